//! Counter resets of native histograms across a seam.
//!
//! A reader of one side knows whether a histogram goes on with the one before it only where that lies on its side.
//! Here the other side is asked about the first histograms of a read of which nothing is known, when there are any.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use hashbrown::HashMap;
use model::{CounterResetHint, FloatHistogram, SampleBatch, SeriesId};
use proto::{SelectedSeries, Selection, SourceError, StoragePart};
use tokio::sync::OnceCell;

/// Selects what lies shortly before the range of a selection, on all sides.
pub(super) type SelectEarlier =
    Box<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Selection>, SourceError>> + Send + Sync>;

/// A selection of one side, or of several merged.
pub(super) struct HintedSelection {
    inner: Arc<dyn Selection>,
    /// Whether `inner` joins samples of one series from several sides.
    is_merged: bool,
    select_earlier: SelectEarlier,
    earlier: OnceCell<Earlier>,
}

struct Earlier {
    selection: Arc<dyn Selection>,
    by_id: HashMap<SeriesId, usize>,
}

impl HintedSelection {
    /// Reads `inner`; what lies before it is selected when it is needed.
    pub(super) fn new(inner: Arc<dyn Selection>, is_merged: bool, select_earlier: SelectEarlier) -> Self {
        HintedSelection { inner, is_merged, select_earlier, earlier: OnceCell::new() }
    }

    async fn earlier(&self) -> Result<&Earlier, SourceError> {
        let select = || async {
            let selection = (self.select_earlier)().await?;
            let by_id = selection.series().iter().enumerate().map(|(i, series)| (series.id, i)).collect();
            Ok(Earlier { selection, by_id })
        };
        self.earlier.get_or_try_init(select).await
    }

    /// The histogram before each of these series, where there is one.
    async fn before(
        &self,
        first: usize,
        wanted: &[usize],
    ) -> Result<Vec<Option<Arc<FloatHistogram>>>, SourceError> {
        let earlier = self.earlier().await?;
        let mut before = Vec::new();
        for series in wanted {
            let Some(at) = earlier.by_id.get(&self.inner.series()[first + series].id) else { continue };
            let batch = earlier.selection.read(*at..at + 1).await?;
            before.resize((series + 1).max(before.len()), None);
            before[*series] = batch.last_histograms().pop().flatten();
        }
        Ok(before)
    }
}

/// The series of a batch that begin with a counter of which nothing is known.
fn unknown(batch: &SampleBatch) -> Vec<usize> {
    let is_unknown = |i: &usize| {
        let Some(first) = batch.histograms_of(*i).first() else { return false };
        first.h.counter_reset_hint == CounterResetHint::Unknown
            && batch.timestamps_of(*i).first().is_none_or(|t| *t > first.t)
    };
    (0..batch.series.len()).filter(is_unknown).collect()
}

#[async_trait]
impl Selection for HintedSelection {
    fn series(&self) -> &[SelectedSeries] {
        self.inner.series()
    }

    async fn read(&self, range: Range<usize>) -> Result<SampleBatch, SourceError> {
        let first = range.start;
        let mut batch = self.inner.read(range).await?;
        if batch.histograms.is_empty() {
            return Ok(batch);
        }
        if self.is_merged {
            batch.hint_counter_resets_of_merged();
        }
        let unknown = unknown(&batch);
        if !unknown.is_empty() {
            let before = self.before(first, &unknown).await?;
            batch.hint_first_counter_resets(&before);
        }
        Ok(batch)
    }

    fn storage(&self) -> Vec<StoragePart> {
        self.inner.storage()
    }

    fn warnings(&self) -> Vec<String> {
        self.inner.warnings()
    }
}

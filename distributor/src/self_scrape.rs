//! Takes a page of text as a scrape would: our own `/metrics`, without going through the network.

use model::{Labels, LabelsBuilder, METRIC_NAME, TenantId};
use proto::remote_write::{IndexRange, WalkedSeries};

use crate::commit;
use crate::distributor::Distributor;
use crate::exposition::{ExpositionError, parse_exposition};
use crate::intake::{Intake, Origin};
use crate::prepare::{self, Prepared};
use crate::refusal::Refusal;

/// What became of a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextAppended {
    /// Samples stored, `up` and its kin included.
    pub written: u64,
    /// One line per reason; empty when everything was written.
    pub refused: String,
    /// The page was malformed: nothing of it was stored and `up` is 0.
    pub malformed: Option<ExpositionError>,
}

/// A sample with its labels complete.
type Row = (Labels, i64, f64);

impl Distributor {
    /// Stores the samples of a page with `extra_labels` (`job`, `instance`) added, and `up`,
    /// `scrape_duration_seconds`, `scrape_samples_scraped`, `scrape_samples_post_metric_relabeling` beside
    /// them. A scraped label of the same name as an extra one is renamed to `exported_…`. Samples without a
    /// timestamp get `now_ms`.
    pub async fn append_text(
        &self,
        tenant: &TenantId,
        extra_labels: &[(&str, &str)],
        now_ms: i64,
        text: &str,
    ) -> Result<TextAppended, Refusal> {
        let started = self.inner.runtime.monotonic();
        let limits = self.limits();
        let page = parse_exposition(text);
        let (mut rows, metadata, malformed): (Vec<Row>, _, _) = match page {
            Ok(page) => {
                let rows = page.samples.into_iter();
                let rows =
                    rows.map(|s| (with_target(&s.labels, extra_labels), s.t.unwrap_or(now_ms), s.value));
                (rows.collect(), page.metadata, None)
            }
            Err(error) => (Vec::new(), Vec::new(), Some(error)),
        };
        let scraped = rows.len() as f64;
        for (name, value) in [
            ("up", if malformed.is_none() { 1.0 } else { 0.0 }),
            ("scrape_duration_seconds", started.elapsed().as_secs_f64()),
            ("scrape_samples_scraped", scraped),
            ("scrape_samples_post_metric_relabeling", scraped),
        ] {
            rows.push((with_target(&name_only(name), extra_labels), now_ms, value));
        }

        let mut scratch = self.inner.pool.take();
        scratch.walk.clear();
        scratch.keys.clear();
        let mut labels = Vec::with_capacity(rows.len());
        for (at, (row, t, value)) in rows.into_iter().enumerate() {
            let floats = IndexRange { start: at as u32, end: at as u32 + 1 };
            scratch.walk.series.push(WalkedSeries::of_floats(floats));
            scratch.walk.timestamps.push(t);
            scratch.walk.values.push(value);
            scratch.keys.push(self.inner.lanes.hash_labels(&row));
            labels.push(row);
        }
        let intake = Intake { origin: Origin::Text(labels), scratch, metadata };
        let (known, batches, report, families) = prepare::build(&self.inner, tenant, &intake, &limits)?;
        let mut prepared = Prepared { intake, known, batches, report, families };
        let written = commit::commit(&self.inner, tenant, &mut prepared, &limits).await;
        self.inner.counters.refused(&prepared.report);
        let refused = prepared.report.text(&limits);
        self.inner.pool.give_back(prepared.intake.scratch);
        let written = written?;
        self.inner.counters.wrote(written);
        Ok(TextAppended { written: written.samples, refused, malformed })
    }
}

fn name_only(name: &str) -> Labels {
    let mut builder = LabelsBuilder::default();
    builder.set(METRIC_NAME, name);
    builder.build()
}

/// Adds the target's labels; those of the page that stand in the way are renamed.
fn with_target(labels: &Labels, extra: &[(&str, &str)]) -> Labels {
    let mut builder = LabelsBuilder::from_labels(labels);
    for (name, value) in extra {
        if let Some(theirs) = labels.get(name) {
            let mut renamed = format!("exported_{name}");
            while labels.get(&renamed).is_some() {
                renamed.insert_str(0, "exported_");
            }
            builder.set(&renamed, theirs);
        }
        builder.set(name, value);
    }
    builder.build()
}

//! Takes a page of text as a scrape would: our own `/metrics`, without going through the network.

use model::{Labels, LabelsBuilder, METRIC_NAME, TenantId};
use parking_lot::Mutex;
use proto::remote_write::{IndexRange, WalkedSeries};
use runtime::{HashMap, HashSet};

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

/// Most targets whose last series are remembered.
const TARGETS_MAX: usize = 64;

/// The series each target had last: what is missing next time is marked stale.
#[derive(Debug, Default)]
pub(crate) struct Targets(Mutex<HashMap<(TenantId, Labels), HashSet<Labels>>>);

impl Targets {
    fn last(&self, target: &(TenantId, Labels)) -> HashSet<Labels> {
        self.0.lock().get(target).cloned().unwrap_or_default()
    }

    fn set(&self, target: (TenantId, Labels), series: HashSet<Labels>) {
        let mut targets = self.0.lock();
        if targets.len() >= TARGETS_MAX && !targets.contains_key(&target) {
            targets.clear();
        }
        targets.insert(target, series);
    }
}

impl Distributor {
    /// Stores the samples of a page with `extra_labels` (`job`, `instance`) added, and `up`,
    /// `scrape_duration_seconds`, `scrape_samples_scraped`, `scrape_samples_post_metric_relabeling`,
    /// `scrape_series_added` beside them. A scraped label of the same name as an extra one is renamed to
    /// `exported_…`. Samples without a timestamp get `now_ms`; series that were on the last page of these
    /// extra labels and are gone get a staleness marker.
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
        let (mut rows, mut series) = (Vec::<Row>::new(), HashSet::default());
        let (metadata, malformed) = match page {
            Ok(page) => {
                for sample in page.samples {
                    let labels = with_target(&sample.labels, extra_labels);
                    if sample.t.is_none() {
                        series.insert(labels.clone());
                    }
                    rows.push((labels, sample.t.unwrap_or(now_ms), sample.value));
                }
                (page.metadata, None)
            }
            Err(error) => (Vec::new(), Some(error)),
        };
        let scraped = rows.len() as f64;
        let target = (tenant.clone(), with_target(&Labels::empty(), extra_labels));
        let last = self.inner.targets.last(&target);
        let added = series.difference(&last).count() as f64;
        let mut gone: Vec<Labels> = last.difference(&series).cloned().collect();
        gone.sort();
        rows.extend(gone.into_iter().map(|labels| (labels, now_ms, model::stale_nan())));
        for (name, value) in [
            ("up", if malformed.is_none() { 1.0 } else { 0.0 }),
            ("scrape_duration_seconds", self.inner.runtime.monotonic().since(started).as_secs_f64()),
            ("scrape_samples_scraped", scraped),
            ("scrape_samples_post_metric_relabeling", scraped),
            ("scrape_series_added", added),
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
        self.inner.targets.set(target, series);
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

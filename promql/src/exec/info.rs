//! `info(v, selector)`: adds the labels of info metrics that share `instance` and `job`.

use std::fmt;
use std::sync::Arc;

use futures::StreamExt;
use hashbrown::{HashMap, HashSet};
use model::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher, TenantId, TimeRange};
use proto::{LabelsWanted, SelectRequest, Source};

use super::batch::{ABSENT, BatchBuilder, HistogramSlot, SeriesBatch, is_absent};
use super::grid::Grid;
use super::instant::{InstantMode, InstantSelect};
use super::label_bytes::{NameAction, get, show};
use super::leaf::{Leaf, selection_bytes};
use super::operator::{BatchStream, Inputs, Operator, once};
use super::unique::duplicate_series;
use crate::ast::PosRange;
use crate::engine::QueryError;

const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// The operator.
#[derive(Clone)]
pub(crate) struct Info {
    pub source: Arc<dyn Source>,
    pub tenant: TenantId,
    pub series_max: usize,
    pub matchers: Option<Vec<Matcher>>,
    pub grid: Grid,
    pub pinned: Option<i64>,
    pub offset: i64,
    pub lookback_ms: i64,
}

impl fmt::Debug for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Info").field("matchers", &self.matchers).finish_non_exhaustive()
    }
}

impl Operator for Info {
    fn name(&self) -> &'static str {
        "Info"
    }

    fn run(self: Arc<Self>, inputs: Inputs, _partition: usize) -> BatchStream {
        once(async move {
            let base = inputs.collect(0).await?;
            let names = self.name_matchers()?;
            let is_info = |labels: &[u8]| names.iter().all(|m| m.matches(get(labels, METRIC_NAME)));
            let infos = self.fetch(&base, &names, &is_info, &inputs).await?;
            let batch = self.combine(&base, &infos, &is_info)?;
            base.encode(batch, &inputs)
        })
    }
}

/// An info series: labels, and the time of its sample in milliseconds per step.
struct InfoSeries {
    labels: Labels,
    times: Vec<f64>,
}

/// (info metric, values of the identifying labels)
type Signature = (String, [String; 2]);

fn signature(name: &str, labels: &[u8]) -> Signature {
    (name.to_owned(), IDENTIFYING.map(|l| get(labels, l).to_owned()))
}

/// Quotes what a regular expression would not take literally.
fn quote_meta(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn matcher(op: MatchOp, name: &str, value: &str) -> Result<Matcher, QueryError> {
    Matcher::new(op, name, value).map_err(|e| QueryError::Execution(e.to_string()))
}

impl Info {
    /// The matchers on the name that select info metrics.
    fn name_matchers(&self) -> Result<Vec<Matcher>, QueryError> {
        let given: Vec<Matcher> =
            self.matchers.iter().flatten().filter(|m| m.name() == METRIC_NAME).cloned().collect();
        if given.iter().any(|m| matches!(m.op(), MatchOp::Equal | MatchOp::Regex)) {
            return Ok(given);
        }
        if given.is_empty() {
            return Ok(vec![Matcher::equal(METRIC_NAME, "target_info")]);
        }
        let mut all = vec![matcher(MatchOp::Regex, METRIC_NAME, ".+_info")?];
        all.extend(given);
        Ok(all)
    }

    fn data_matchers(&self) -> impl Iterator<Item = &Matcher> {
        self.matchers.iter().flatten().filter(|m| m.name() != METRIC_NAME)
    }

    async fn fetch(
        &self,
        base: &[SeriesBatch],
        names: &[Matcher],
        is_info: &impl Fn(&[u8]) -> bool,
        inputs: &Inputs,
    ) -> Result<Vec<InfoSeries>, QueryError> {
        let mut values: [HashSet<String>; 2] = [HashSet::new(), HashSet::new()];
        for batch in base {
            for i in 0..batch.rows() {
                let labels = batch.labels.value(i);
                if is_info(labels) {
                    continue;
                }
                for (set, label) in values.iter_mut().zip(IDENTIFYING) {
                    let value = get(labels, label);
                    if !value.is_empty() {
                        set.insert(value.to_owned());
                    }
                }
            }
        }
        if values.iter().all(HashSet::is_empty) {
            return Ok(Vec::new());
        }
        let mut matchers: Vec<Matcher> = self.data_matchers().cloned().collect();
        for (set, label) in values.iter().zip(IDENTIFYING) {
            if !set.is_empty() {
                let mut sorted: Vec<String> = set.iter().map(|v| quote_meta(v)).collect();
                sorted.sort();
                matchers.push(matcher(MatchOp::Regex, label, &sorted.join("|"))?);
            }
        }
        matchers.extend(names.iter().cloned());
        let (first, last) = match self.pinned {
            Some(t) => (t, t),
            None => (self.grid.start, self.grid.last()),
        };
        let request = SelectRequest {
            tenant: self.tenant.clone(),
            matchers,
            range: TimeRange::inclusive(first - self.offset - self.lookback_ms + 1, last - self.offset),
            labels: LabelsWanted::All,
            series_max: self.series_max,
        };
        let selection = self.source.select(&request).await?;
        inputs.query.keep(selection_bytes(&*selection))?;
        let memory_max = inputs.query.memory.limit();
        let select = InstantSelect {
            leaf: Leaf::new(selection, self.grid.steps, request.range, 1, memory_max, false),
            grid: self.grid,
            offset: self.offset,
            pinned: self.pinned,
            lookback: self.lookback_ms,
            mode: InstantMode::InfoTimestamp,
            name_action: NameAction::Keep,
            pos: PosRange::default(),
            count_times: 1,
        };
        let mut found = Vec::new();
        let mut batches = Arc::new(select).run(inputs.clone(), 0);
        while let Some(batch) = batches.next().await {
            let batch = SeriesBatch::decode(&batch?, &inputs.query);
            for i in 0..batch.rows() {
                let labels = Labels::from_trusted(batch.labels.value(i));
                found.push(InfoSeries { labels, times: batch.row(i).to_vec() });
            }
        }
        Ok(found)
    }

    /// The newest info series per signature at a step.
    fn newest<'a>(
        infos: &'a [InfoSeries],
        step: usize,
    ) -> Result<HashMap<Signature, &'a InfoSeries>, QueryError> {
        let mut newest: HashMap<Signature, &'a InfoSeries> = HashMap::new();
        for info in infos {
            let time = info.times[step];
            if is_absent(time) {
                continue;
            }
            let key = signature(info.labels.metric_name(), info.labels.as_bytes());
            match newest.get(&key) {
                None => {
                    newest.insert(key, info);
                }
                Some(other) if other.times[step] > time => {}
                Some(other) if other.times[step] < time => {
                    newest.insert(key, info);
                }
                Some(other) => {
                    return Err(QueryError::Execution(format!(
                        "found duplicate series for info metric: existing {} @ {}, new {} @ {}",
                        show(other.labels.as_bytes()),
                        other.times[step] as i64,
                        show(info.labels.as_bytes()),
                        time as i64
                    )));
                }
            }
        }
        Ok(newest)
    }

    /// The labels a series gets at a step; `None` when it has no info and needs some.
    fn enrich(
        &self,
        base: &[u8],
        names: &[String],
        newest: &HashMap<Signature, &InfoSeries>,
    ) -> Result<Option<Labels>, QueryError> {
        let wanted: HashSet<&str> = self.data_matchers().map(Matcher::name).collect();
        let mut added: Vec<(&str, &str)> = Vec::new();
        let mut seen = false;
        for name in names {
            let Some(info) = newest.get(&signature(name, base)) else { continue };
            seen = true;
            for (label, value) in info.labels.iter() {
                if label == METRIC_NAME || (!wanted.is_empty() && !wanted.contains(label)) {
                    continue;
                }
                if added.iter().any(|(n, v)| *n == label && *v != value) {
                    return Err(QueryError::Execution(format!("conflicting label: {label}")));
                }
                if get(base, label).is_empty() {
                    added.push((label, value));
                }
            }
        }
        if !seen && !self.data_matchers().all(Matcher::matches_empty) {
            return Ok(None);
        }
        let mut builder = LabelsBuilder::from_labels(&Labels::from_trusted(base));
        for (label, value) in added {
            builder.set(label, value);
        }
        Ok(Some(builder.build()))
    }

    fn combine(
        &self,
        base: &[SeriesBatch],
        infos: &[InfoSeries],
        is_info: &impl Fn(&[u8]) -> bool,
    ) -> Result<SeriesBatch, QueryError> {
        let steps = self.grid.steps;
        let mut names: Vec<String> = infos.iter().map(|i| i.labels.metric_name().to_owned()).collect();
        names.sort();
        names.dedup();
        let mut rows: HashMap<Labels, (Vec<f64>, Vec<HistogramSlot>, bool)> = HashMap::new();
        let mut order: Vec<Labels> = Vec::new();
        for step in 0..steps {
            let newest = Self::newest(infos, step)?;
            for batch in base {
                for i in 0..batch.rows() {
                    let v = batch.row(i)[step];
                    let slot = batch.histogram_row(i).and_then(|h| h[step].clone());
                    if is_absent(v) && slot.is_none() {
                        continue;
                    }
                    let bytes = batch.labels.value(i);
                    let labels = if is_info(bytes) {
                        Labels::from_trusted(bytes)
                    } else {
                        match self.enrich(bytes, &names, &newest)? {
                            Some(labels) => labels,
                            None => continue,
                        }
                    };
                    let row = rows.entry(labels.clone()).or_insert_with(|| {
                        order.push(labels);
                        (vec![ABSENT; steps], vec![None; steps], batch.drop_name.value(i))
                    });
                    if !is_absent(row.0[step]) || row.1[step].is_some() {
                        return Err(duplicate_series());
                    }
                    row.0[step] = v;
                    row.1[step] = slot;
                }
            }
        }
        let mut out = BatchBuilder::new(steps, order.len());
        for labels in order {
            let (floats, histograms, drop_name) = &rows[&labels];
            out.push_row(labels.as_bytes(), *drop_name, floats, Some(histograms));
        }
        Ok(out.finish())
    }
}

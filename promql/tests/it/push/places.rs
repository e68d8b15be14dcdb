//! Random series, and random places where they lie.

use std::sync::Arc;

use async_trait::async_trait;
use model::{
    CounterResetHint, FloatHistogram, Histogram, Labels, Metadata, SampleBatch, Span as Buckets, TenantId,
    TimeRange,
};
use promql::{Engine, MemorySource};
use proto::{
    Fragment, FragmentError, FragmentStream, Layout, MetadataRequest, Place, RunFragment, SelectRequest,
    SelectedSeries, Selection, SeriesExemplars, Shard, Source, SourceError, Span,
};

pub(super) const STEP: i64 = 15_000;
pub(super) const SAMPLES: i64 = 240;
pub(super) const SERIES: usize = 24;

/// One series: labels, floats, histograms.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) labels: Labels,
    pub(super) floats: Vec<(i64, f64, i64)>,
    pub(super) histograms: Vec<(i64, Histogram, i64)>,
}

/// A generator of numbers that needs no crate.
#[derive(Debug, Clone)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(super) fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }
}

pub(super) fn histogram(dice: &mut Dice, grown: u64) -> Histogram {
    let buckets: Vec<f64> = (0..4).map(|i| (grown * (i + 1) + dice.below(3)) as f64).collect();
    let count = buckets.iter().sum::<f64>() + 1.0;
    Histogram::Float(Box::new(FloatHistogram {
        counter_reset_hint: CounterResetHint::Unknown,
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 1.0,
        count,
        sum: count * 1.7,
        positive_spans: vec![Buckets { offset: 0, length: 4 }],
        negative_spans: Vec::new(),
        positive_buckets: buckets,
        negative_buckets: Vec::new(),
        custom_values: Arc::from([]),
    }))
}

/// Counters with resets and gaps, gauges, classic and native histograms, a metric that is both.
pub(super) fn data(dice: &mut Dice) -> Vec<Series> {
    let mut all = Vec::new();
    for i in 0..SERIES {
        let name = ["c_total", "g", "h_bucket", "n", "mixed"][i % 5];
        let mut labels = vec![
            ("__name__", name.to_owned()),
            ("pod", format!("p{}", dice.below(4))),
            ("instance", format!("i{i}")),
        ];
        if name == "h_bucket" {
            labels.push(("le", ["0.1", "1", "10", "+Inf"][(i / 5) % 4].to_owned()));
        }
        let labels = Labels::new(labels.iter().map(|(n, v)| (*n, v.as_str()))).unwrap();
        let mut series = Series { labels, floats: Vec::new(), histograms: Vec::new() };
        let (mut value, mut grown) = (dice.unit() * 100.0, 1);
        for step in 0..SAMPLES {
            let t = step * STEP + (i as i64 % 3) * 1_000;
            // when counting began, told or not
            let begun = if dice.below(40) == 0 { t - 700 } else { 0 };
            let stale = f64::from_bits(model::STALE_NAN_BITS);
            if dice.below(12) == 0 {
                continue;
            }
            let is_histogram = name == "n" || (name == "mixed" && dice.below(2) == 0);
            if is_histogram {
                grown = if dice.below(60) == 0 { 1 } else { grown + dice.below(4) };
                series.histograms.push((t, histogram(dice, grown), begun));
                continue;
            }
            value = match name {
                "g" | "mixed" => dice.unit() * 200.0 - 100.0,
                _ if dice.below(50) == 0 => dice.unit(),
                _ => value + dice.unit() * 10.0,
            };
            series.floats.push((t, if dice.below(30) == 0 { stale } else { value }, begun));
        }
        all.push(series);
    }
    all
}

pub(super) fn memory<'a>(
    series: impl IntoIterator<Item = &'a Series>,
    range: TimeRange,
) -> Arc<MemorySource> {
    let source = MemorySource::new();
    for one in series {
        let floats: Vec<_> = one.floats.iter().copied().filter(|(t, _, _)| range.contains(*t)).collect();
        let histograms: Vec<_> =
            one.histograms.iter().filter(|(t, _, _)| range.contains(*t)).cloned().collect();
        if !floats.is_empty() {
            source.add_floats(&one.labels, &floats);
        }
        if !histograms.is_empty() {
            source.add_histograms(&one.labels, &histograms);
        }
    }
    Arc::new(source)
}

/// A place that holds some of the samples: all inside of a time, and some others. What it knows of counter resets is
/// what the whole knows, as it is where heads and blocks ask each other.
pub(super) struct Side {
    pub(super) whole: Arc<MemorySource>,
    pub(super) holds: TimeRange,
}

impl Side {
    fn has(&self, t: i64) -> bool {
        self.holds.contains(t) || (t / STEP) % 3 == 0
    }
}

pub(super) struct SideSelection {
    inner: Arc<dyn Selection>,
    side: Side,
}

#[async_trait]
impl Selection for SideSelection {
    fn series(&self) -> &[SelectedSeries] {
        self.inner.series()
    }

    async fn read(&self, range: std::ops::Range<usize>) -> Result<SampleBatch, SourceError> {
        let all = self.inner.read(range).await?;
        let mut some = SampleBatch::default();
        for i in 0..all.series.len() {
            let (ts, vs) = (all.timestamps_of(i), all.values_of(i));
            let kept: Vec<usize> = (0..ts.len()).filter(|i| self.side.has(ts[*i])).collect();
            let times: Vec<i64> = kept.iter().map(|i| ts[*i]).collect();
            let values: Vec<f64> = kept.iter().map(|i| vs[*i]).collect();
            let mut histograms = all.histograms_of(i).to_vec();
            histograms.retain(|point| self.side.has(point.t));
            some.push_series(&times, &values, &histograms);
            let starts = all.series[i].start_ts.as_ref();
            some.series[i].start_ts = starts.map(|starts| kept.iter().map(|i| starts[*i]).collect());
        }
        Ok(some)
    }
}

#[async_trait]
impl Source for Side {
    async fn select(&self, request: &SelectRequest) -> Result<Arc<dyn Selection>, SourceError> {
        let side = Side { whole: Arc::clone(&self.whole), holds: self.holds };
        Ok(Arc::new(SideSelection { inner: self.whole.select(request).await?, side }))
    }

    async fn label_names(&self, request: &MetadataRequest) -> Result<Vec<String>, SourceError> {
        self.whole.label_names(request).await
    }

    async fn label_values(&self, request: &MetadataRequest, name: &str) -> Result<Vec<String>, SourceError> {
        self.whole.label_values(request, name).await
    }

    async fn series(&self, request: &MetadataRequest) -> Result<Vec<Labels>, SourceError> {
        self.whole.series(request).await
    }

    async fn metadata(
        &self,
        tenant: &TenantId,
        metric: Option<&str>,
    ) -> Result<Vec<(String, Metadata)>, SourceError> {
        self.whole.metadata(tenant, metric).await
    }

    async fn exemplars(&self, request: &MetadataRequest) -> Result<Vec<SeriesExemplars>, SourceError> {
        self.whole.exemplars(request).await
    }
}

/// Another process, without the sockets.
pub(super) struct Elsewhere {
    pub(super) engine: Engine,
    pub(super) source: Arc<dyn Source>,
}

#[async_trait]
impl RunFragment for Elsewhere {
    async fn run(&self, fragment: Fragment) -> Result<FragmentStream, FragmentError> {
        self.engine.run_fragment(Arc::clone(&self.source), fragment).await
    }
}

/// All series, and where they lie.
pub(super) struct Placed {
    pub(super) all: Arc<MemorySource>,
    pub(super) layout: Layout,
}

#[async_trait]
impl Source for Placed {
    async fn select(&self, request: &SelectRequest) -> Result<Arc<dyn Selection>, SourceError> {
        self.all.select(request).await
    }

    async fn layout(&self, _: &TenantId, _: TimeRange) -> Result<Option<Layout>, SourceError> {
        Ok(Some(self.layout.clone()))
    }

    async fn label_names(&self, request: &MetadataRequest) -> Result<Vec<String>, SourceError> {
        self.all.label_names(request).await
    }

    async fn label_values(&self, request: &MetadataRequest, name: &str) -> Result<Vec<String>, SourceError> {
        self.all.label_values(request, name).await
    }

    async fn series(&self, request: &MetadataRequest) -> Result<Vec<Labels>, SourceError> {
        self.all.series(request).await
    }

    async fn metadata(
        &self,
        tenant: &TenantId,
        metric: Option<&str>,
    ) -> Result<Vec<(String, Metadata)>, SourceError> {
        self.all.metadata(tenant, metric).await
    }

    async fn exemplars(&self, request: &MetadataRequest) -> Result<Vec<SeriesExemplars>, SourceError> {
        self.all.exemplars(request).await
    }
}

/// Shards of series; in each either everything elsewhere, or new samples in one place and old ones in another.
pub(super) fn placed(series: &[Series], dice: &mut Dice, engine: &Engine) -> Placed {
    let count = 1 + dice.below(3) as usize;
    let shards = (0..count).map(|number| {
        let mine = || series.iter().enumerate().filter(move |(i, _)| i % count == number).map(|(_, s)| s);
        let whole = memory(mine(), TimeRange::all());
        let from = (dice.below(200) as i64) * STEP;
        let until = from + (dice.below(80) as i64) * STEP;
        let (new, old) = (TimeRange::new(from, i64::MAX), TimeRange::new(i64::MIN, until));
        let side = |holds: TimeRange| Arc::new(Side { whole: whole.clone(), holds });
        let new_and_old = |place: &dyn Fn(Arc<Side>) -> Place| {
            vec![
                Span { name: "new".to_owned(), holds: new, place: place(side(new)) },
                Span { name: "old".to_owned(), holds: old, place: place(side(old)) },
            ]
        };
        let here = |source: Arc<Side>| Place::Here(source);
        let there =
            |source: Arc<dyn Source>| Place::There(Arc::new(Elsewhere { engine: engine.clone(), source }));
        let elsewhere = |place| vec![Span { name: "elsewhere".to_owned(), holds: TimeRange::all(), place }];
        let spans = match dice.below(7) {
            0 => elsewhere(there(whole.clone())),
            1 => new_and_old(&|source| there(source)),
            2 => {
                // somebody else who has places of its own
                let shard = Shard { spans: new_and_old(&here), whole: whole.clone() };
                let layout = Layout { shards: vec![shard] };
                elsewhere(there(Arc::new(Placed { all: whole.clone(), layout })))
            }
            3 => {
                // one time here, one elsewhere; between them a third that has places of its own
                let between = TimeRange::new(from / 2, until.max(from) + 40 * STEP);
                let shard = Shard { spans: new_and_old(&here), whole: whole.clone() };
                let layout = Layout { shards: vec![shard] };
                let place = there(Arc::new(Placed { all: whole.clone(), layout }));
                let mut spans = new_and_old(&|source| {
                    if source.holds.start == i64::MIN { there(source) } else { here(source) }
                });
                spans.insert(1, Span { name: "between".to_owned(), holds: between, place });
                spans
            }
            _ => new_and_old(&here),
        };
        Shard { spans, whole }
    });
    Placed { layout: Layout { shards: shards.collect() }, all: memory(series, TimeRange::all()) }
}

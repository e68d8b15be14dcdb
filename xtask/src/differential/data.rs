//! The series that both servers are given: of every shape that the language treats in a way of its own.
//!
//! Made from the seed alone. Timestamps for an older Prometheus keep clear of the whole and half seconds at which
//! queries look, for it counts a sample at the beginning of a range in, and today's does not.

use model::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, Histogram, IntHistogram, Labels, Span};
use proto::remote_write::WireHistogram;

use super::random::Random;

/// First sample (Unix seconds): one hour before a boundary of two-hour windows.
pub(super) const START: i64 = 236_111 * 7200 - 3600;
/// Last sample.
pub(super) const END: i64 = START + 6600;

/// What remote write marks the end of a series with.
fn stale() -> f64 {
    f64::from_bits(0x7ff0_0000_0000_0002)
}

/// A series and its samples, in the order of time.
pub(super) struct Series {
    pub(super) labels: Labels,
    /// Timestamp (ms), value, start timestamp (always 0).
    pub(super) floats: Vec<(i64, f64, i64)>,
    pub(super) histograms: Vec<WireHistogram>,
}

/// How the scrapes of a series lie.
#[derive(Clone, Copy)]
enum Rhythm {
    /// Every so many seconds, on the second.
    Exact(i64),
    /// Every so many seconds, up to 0.9 s late.
    Jitter(i64),
    /// Anything from 1 s to 70 s.
    Irregular,
}

/// All series, in the order of their labels.
pub(super) struct Data {
    random: Random,
    /// For today's Prometheus: UTF-8 names, native histograms.
    modern: bool,
    all: Vec<(Vec<(String, String)>, Series)>,
}

impl Data {
    /// The series of that seed.
    pub(super) fn generate(seed: u64, modern: bool) -> Vec<Series> {
        let mut data = Data { random: Random::new(seed, u64::MAX), modern, all: Vec::new() };
        data.counters();
        data.gauges();
        data.classic_histograms();
        data.others();
        if modern {
            data.native_histograms();
            data.utf8();
        }
        data.all.sort_by(|a, b| a.0.cmp(&b.0));
        data.all.into_iter().map(|(_, series)| series).collect()
    }

    fn times(&mut self, rhythm: Rhythm, missing: f64) -> Vec<i64> {
        let mut times = Vec::new();
        let mut t = START * 1000;
        while t <= END * 1000 {
            let (wait, late) = match rhythm {
                Rhythm::Exact(step) => (step, 0),
                Rhythm::Jitter(step) => (step, self.random.between(0, 900)),
                Rhythm::Irregular => (self.random.between(1, 70), self.random.between(0, 1000)),
            };
            if times.is_empty() || !self.random.chance(missing) {
                times.push(if self.modern { t + late } else { t / 1000 * 1000 + 137 });
            }
            t += wait * 1000;
        }
        times
    }

    fn add(
        &mut self,
        labels: &[(&str, &str)],
        floats: Vec<(i64, f64)>,
        histograms: Vec<(i64, IntHistogram)>,
    ) {
        let mut pairs: Vec<(String, String)> = labels
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        pairs.sort();
        let labels = Labels::new(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())))
            .expect("label sets of this file are valid");
        let floats = floats.into_iter().map(|(t, v)| (t, v, 0)).collect();
        let histograms = histograms
            .into_iter()
            .map(|(t, h)| WireHistogram { t, start_t: 0, histogram: Histogram::Int(Box::new(h)) })
            .collect();
        self.all.push((pairs, Series { labels, floats, histograms }));
    }

    /// A counter: grows, is reset at times, disappears for a while.
    fn counter(&mut self, times: &[i64], whole: bool) -> Vec<(i64, f64)> {
        let mut value = if self.random.chance(0.3) { 0.0 } else { self.random.between(1, 5000) as f64 };
        let gap = self.random.index(times.len());
        let mut out = Vec::new();
        for (i, t) in times.iter().enumerate() {
            if i > gap && i < gap + 25 {
                continue;
            }
            if self.random.chance(0.01) {
                value = 0.0;
            }
            let more = if whole {
                self.random.between(0, 9) as f64
            } else {
                self.random.pick(&[0.0, 1.0, 2.5, 7.0, 0.1])
            };
            value += more;
            out.push((*t, value));
            if i == gap {
                out.push((*t + 1000, stale()));
            }
        }
        out
    }

    fn counters(&mut self) {
        for job in ["api", "db", "web"] {
            for instance in ["0", "1", "2"] {
                for code in ["200", "404", "500"] {
                    let times = self.times(Rhythm::Jitter(15), 0.05);
                    let floats = self.counter(&times, false);
                    let labels = [
                        ("__name__", "requests_total"),
                        ("job", job),
                        ("instance", instance),
                        ("code", code),
                    ];
                    self.add(&labels, floats, vec![]);
                }
                let times = self.times(Rhythm::Exact(30), 0.03);
                let floats = self.counter(&times, true);
                let code = if instance == "2" { "" } else { "500" };
                self.add(
                    &[("__name__", "errors_total"), ("job", job), ("instance", instance), ("code", code)],
                    floats,
                    vec![],
                );
            }
        }
    }

    fn gauges(&mut self) {
        for job in ["api", "db", "web"] {
            for instance in ["0", "1", "2"] {
                let mut level = self.random.unit() * 100.0;
                let mut floats = Vec::new();
                for t in self.times(Rhythm::Jitter(15), 0.1) {
                    level += self.random.unit() * 8.0 - 4.0;
                    let odd = self.random.pick(&[f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -0.0, 1e300]);
                    floats.push((t, if self.random.chance(0.006) { odd } else { level }));
                }
                self.add(
                    &[("__name__", "temperature"), ("job", job), ("instance", instance)],
                    floats,
                    vec![],
                );
                let times = self.times(Rhythm::Exact(15), 0.15);
                let floats = times.into_iter().map(|t| (t, self.random.between(-2, 4) as f64)).collect();
                self.add(
                    &[("__name__", "queue_length"), ("job", job), ("instance", instance)],
                    floats,
                    vec![],
                );
                let times = self.times(Rhythm::Exact(15), 0.02);
                let floats =
                    times.into_iter().map(|t| (t, if self.random.chance(0.9) { 1.0 } else { 0.0 })).collect();
                self.add(&[("__name__", "up"), ("job", job), ("instance", instance)], floats, vec![]);
            }
        }
    }

    fn classic_histograms(&mut self) {
        const BOUNDS: [&str; 6] = ["0.1", "0.5", "1", "2.5", "10", "+Inf"];
        for job in ["api", "web"] {
            for instance in ["0", "1"] {
                let mut buckets: [Vec<(i64, f64)>; 6] = Default::default();
                let (mut sums, mut counts) = (Vec::new(), Vec::new());
                let (mut seen, mut sum) = ([0.0; 6], 0.0);
                for t in self.times(Rhythm::Exact(15), 0.03) {
                    if self.random.chance(0.01) {
                        (seen, sum) = ([0.0; 6], 0.0);
                    }
                    let mut total = 0.0;
                    for (bucket, samples) in buckets.iter_mut().enumerate() {
                        seen[bucket] += self.random.between(0, 4) as f64;
                        total += seen[bucket];
                        samples.push((t, total));
                    }
                    sum += self.random.unit() * 10.0;
                    sums.push((t, sum));
                    counts.push((t, total));
                }
                let labels = [("job", job), ("instance", instance)];
                for (bound, samples) in BOUNDS.iter().zip(buckets) {
                    let own = [("__name__", "latency_seconds_bucket"), ("le", bound), labels[0], labels[1]];
                    self.add(&own, samples, vec![]);
                }
                for (name, samples) in [("latency_seconds_sum", sums), ("latency_seconds_count", counts)] {
                    self.add(&[("__name__", name), labels[0], labels[1]], samples, vec![]);
                }
            }
        }
    }

    fn others(&mut self) {
        for (job, zone) in [("api", "north"), ("db", "south"), ("cron", "north")] {
            let times = self.times(Rhythm::Exact(30), 0.1);
            let floats = times.into_iter().map(|t| (t, self.random.between(1, 5) as f64)).collect();
            self.add(&[("__name__", "weight"), ("job", job)], floats, vec![]);
            for instance in ["0", "1"] {
                let times = self.times(Rhythm::Exact(30), 0.0);
                let floats = times.into_iter().map(|t| (t, 1.0)).collect();
                self.add(
                    &[
                        ("__name__", "target_info"),
                        ("job", job),
                        ("instance", instance),
                        ("zone", zone),
                        ("version", if instance == "0" { "1.2" } else { "" }),
                    ],
                    floats,
                    vec![],
                );
            }
        }
        for job in ["api", "db"] {
            let times = self.times(Rhythm::Irregular, 0.0);
            let floats = times.into_iter().map(|t| (t, self.random.unit() * 20.0 - 10.0)).collect();
            self.add(&[("__name__", "irregular"), ("job", job)], floats, vec![]);
        }
        // Series that live for a part of the time; the others' first samples keep the order of arrival.
        for pod in ["p0", "p1", "p2", "p3", "p4", "p5"] {
            let times = self.times(Rhythm::Exact(15), 0.0);
            let from = self.random.index(times.len() / 2);
            let until = from + self.random.index(times.len() / 2) + 2;
            let mut floats = vec![(START * 1000, stale())];
            for t in &times[from.max(1)..until] {
                floats.push((*t, self.random.unit()));
            }
            if self.random.chance(0.5)
                && let Some((t, _)) = floats.last()
            {
                floats.push((t + 15_000, stale()));
            }
            self.add(&[("__name__", "pod_cpu"), ("pod", pod), ("job", "api")], floats, vec![]);
        }
    }

    /// Native histograms of both kinds, counters and gauges, and series that change from one to the other.
    fn native_histograms(&mut self) {
        for job in ["api", "db", "web"] {
            for instance in ["0", "1"] {
                for kind in ["custom", "exponential", "gauge", "mixed"] {
                    let mut state = Native::new(&mut self.random, kind, instance);
                    let (mut floats, mut histograms) = (Vec::new(), Vec::new());
                    for (i, t) in self.times(Rhythm::Exact(15), 0.05).into_iter().enumerate() {
                        match state.next(&mut self.random, i) {
                            Ok(histogram) => histograms.push((t, histogram)),
                            Err(float) => floats.push((t, float)),
                        }
                    }
                    self.add(
                        &[("__name__", "native"), ("job", job), ("instance", instance), ("kind", kind)],
                        floats,
                        histograms,
                    );
                }
            }
        }
    }

    fn utf8(&mut self) {
        for (city, note) in [("Zürich", "a\nb"), ("日本", ""), ("", "x.y"), ("São Paulo", "\"q\"\\")] {
            let times = self.times(Rhythm::Jitter(15), 0.05);
            let floats = times.into_iter().map(|t| (t, self.random.between(0, 50) as f64)).collect();
            self.add(
                &[("__name__", "weather.wind"), ("city.name", city), ("note", note), ("job", "api")],
                floats,
                vec![],
            );
        }
    }
}

/// The growing state of one native histogram.
struct Native<'a> {
    kind: &'a str,
    bounds: Vec<f64>,
    schema: i32,
    /// Positive exponential, custom, and negative buckets.
    counts: [Vec<i64>; 3],
    zeros: u64,
    sum: f64,
}

impl<'a> Native<'a> {
    fn new(random: &mut Random, kind: &'a str, instance: &str) -> Self {
        let bounds = if instance == "0" { vec![0.5, 1.0, 2.5] } else { vec![0.5, 2.0, 2.5] };
        let schema = random.pick(&[0, 1, 3, -1]);
        Native { kind, bounds, schema, counts: [vec![0; 5], vec![0; 4], vec![0; 2]], zeros: 0, sum: 0.0 }
    }

    /// The next sample: a histogram, or (of the mixed kind, at times) a float.
    fn next(&mut self, random: &mut Random, i: usize) -> Result<IntHistogram, f64> {
        let gauge = self.kind == "gauge";
        if random.chance(0.01) || gauge && random.chance(0.2) {
            self.counts.iter_mut().for_each(|counts| counts.fill(0));
            (self.zeros, self.sum) = (0, 0.0);
        }
        for count in self.counts.iter_mut().flatten() {
            *count += random.between(0, 3);
        }
        self.zeros += random.below(2);
        self.sum += random.between(0, 8) as f64;
        if self.kind == "mixed" && (i / 40) % 3 == 1 {
            return Err(self.sum);
        }
        let custom = self.kind == "custom" || self.kind == "mixed" && (i / 40) % 3 == 2;
        let hint = if gauge { CounterResetHint::Gauge } else { CounterResetHint::Unknown };
        Ok(self.histogram(custom, hint))
    }

    #[expect(clippy::cast_sign_loss, reason = "counts only grow")]
    fn histogram(&self, custom: bool, counter_reset_hint: CounterResetHint) -> IntHistogram {
        let deltas = |counts: &[i64]| {
            let mut before = 0;
            counts.iter().map(|c| c - std::mem::replace(&mut before, *c)).collect::<Vec<i64>>()
        };
        let total = |counts: &[i64]| counts.iter().sum::<i64>() as u64;
        let [positive, custom_counts, negative] = &self.counts;
        if custom {
            return IntHistogram {
                counter_reset_hint,
                schema: CUSTOM_BUCKETS_SCHEMA,
                zero_threshold: 0.0,
                zero_count: 0,
                count: total(custom_counts),
                sum: self.sum,
                positive_spans: vec![Span { offset: 0, length: 4 }],
                positive_deltas: deltas(custom_counts),
                negative_spans: vec![],
                negative_deltas: vec![],
                custom_values: self.bounds.clone().into(),
            };
        }
        let with_negative = self.kind == "gauge";
        IntHistogram {
            counter_reset_hint,
            schema: self.schema,
            zero_threshold: 0.001,
            zero_count: self.zeros,
            count: total(positive) + self.zeros + if with_negative { total(negative) } else { 0 },
            sum: self.sum,
            positive_spans: vec![Span { offset: -1, length: 3 }, Span { offset: 2, length: 2 }],
            positive_deltas: deltas(positive),
            negative_spans: if with_negative { vec![Span { offset: 0, length: 2 }] } else { vec![] },
            negative_deltas: if with_negative { deltas(negative) } else { vec![] },
            custom_values: [].into(),
        }
    }
}

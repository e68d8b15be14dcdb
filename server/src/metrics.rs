//! Our own metrics, as OpenMetrics text.
//!
//! What the front door counts lives here; what the roles count is read from them at each scrape, so that a
//! hot path only ever adds to its own plain counters.

use std::fmt;

use parking_lot::RwLock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Prefix of every metric of ours.
const PREFIX: &str = "epimetheus";

/// One metric as read from a role: name without prefix and `_total`, help, type, values by labels.
#[derive(Debug)]
pub(crate) struct Reading {
    name: &'static str,
    help: &'static str,
    counter: bool,
    values: Vec<(Vec<(&'static str, String)>, f64)>,
}

impl Reading {
    /// A number that only goes up.
    pub(crate) fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Reading { name, help, counter: true, values: vec![(Vec::new(), value as f64)] }
    }

    /// A number that only goes up, not a whole one.
    pub(crate) fn seconds(name: &'static str, help: &'static str, value: f64) -> Self {
        Reading { name, help, counter: true, values: vec![(Vec::new(), value)] }
    }

    /// A number that goes up and down.
    pub(crate) fn gauge(name: &'static str, help: &'static str, value: u64) -> Self {
        Reading { name, help, counter: false, values: vec![(Vec::new(), value as f64)] }
    }

    /// Counters by one label.
    pub(crate) fn counters(
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: impl IntoIterator<Item = (String, u64)>,
    ) -> Self {
        let values = values.into_iter().map(|(l, v)| (vec![(label, l)], v as f64)).collect();
        Reading { name, help, counter: true, values }
    }

    /// Counters by several labels.
    pub(crate) fn counters_by(
        name: &'static str,
        help: &'static str,
        values: Vec<(Vec<(&'static str, String)>, u64)>,
    ) -> Self {
        let values = values.into_iter().map(|(labels, v)| (labels, v as f64)).collect();
        Reading { name, help, counter: true, values }
    }

    /// Gauges by one label.
    pub(crate) fn gauges(
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: impl IntoIterator<Item = (String, u64)>,
    ) -> Self {
        let values = values.into_iter().map(|(l, v)| (vec![(label, l)], v as f64)).collect();
        Reading { name, help, counter: false, values }
    }
}

/// The labels of exemplars: there are none.
type NoLabels = [(&'static str, String); 0];

/// Reads one role.
type Reader = Box<dyn Fn() -> Vec<Reading> + Send + Sync>;

struct Readers(Vec<Reader>);

fn write_value(encoder: &mut MetricEncoder<'_>, counter: bool, value: f64) -> fmt::Result {
    if counter {
        encoder.encode_counter::<NoLabels, _, f64>(&value, None)
    } else {
        encoder.encode_gauge(&value)
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Readers({})", self.0.len())
    }
}

impl Collector for Readers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for reading in self.0.iter().flat_map(|read| read()) {
            let kind = if reading.counter { MetricType::Counter } else { MetricType::Gauge };
            let mut metric =
                encoder.encode_descriptor(reading.name, reading.help.trim_end_matches('.'), None, kind)?;
            for (labels, value) in &reading.values {
                if labels.is_empty() {
                    write_value(&mut metric, reading.counter, *value)?;
                } else {
                    write_value(&mut metric.encode_family(labels)?, reading.counter, *value)?;
                }
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteCode {
    route: String,
    code: u16,
}

/// Everything that is measured here.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: RwLock<Registry>,
    requests: Family<RouteCode, Counter>,
    seconds: Family<Route, Histogram, fn() -> Histogram>,
}

impl Metrics {
    /// Metrics of the front door alone.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let requests = Family::default();
        let buckets: fn() -> Histogram =
            || Histogram::new([0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0]);
        let seconds = Family::new_with_constructor(buckets);
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register("http_request_duration_seconds", "Time to answer", seconds.clone());
        Metrics { registry: RwLock::new(registry), requests, seconds }
    }

    /// Adds roles to read at each scrape.
    pub(crate) fn read_from(&self, readers: Vec<Reader>) {
        self.registry.write().register_collector(Box::new(Readers(readers)));
    }

    /// Counts one answered request.
    pub(crate) fn http_request(&self, route: &str, code: u16, seconds: f64) {
        self.requests.get_or_create(&RouteCode { route: route.to_owned(), code }).inc();
        self.seconds.get_or_create(&Route { route: route.to_owned() }).observe(seconds);
    }

    /// All of it as text.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry.read())?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_are_written_as_openmetrics() {
        let metrics = Metrics::new();
        metrics.read_from(vec![Box::new(|| {
            vec![
                Reading::counter("x_samples", "Samples.", 3),
                Reading::gauges("x_series", "Series.", "tenant", [("a".to_owned(), 7)]),
            ]
        })]);
        metrics.http_request("/x", 200, 0.01);
        let text = metrics.text().unwrap();
        assert!(text.contains("epimetheus_x_samples_total 3.0\n"), "{text}");
        assert!(text.contains("epimetheus_x_series{tenant=\"a\"} 7.0\n"), "{text}");
        assert!(text.contains("epimetheus_http_requests_total{route=\"/x\",code=\"200\"} 1"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}

//! Type, help and unit of a metric.

use std::fmt;

/// The type of a metric, as Prometheus names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum MetricType {
    /// Not told.
    #[default]
    Unknown = 0,
    /// Only goes up.
    Counter = 1,
    /// Goes up and down.
    Gauge = 2,
    /// Classic or native histogram.
    Histogram = 3,
    /// Gauge histogram.
    GaugeHistogram = 4,
    /// Quantiles computed by the client.
    Summary = 5,
    /// Information as labels, value 1.
    Info = 6,
    /// One of several states.
    StateSet = 7,
}

impl MetricType {
    /// The wire number of remote write (1.0 and 2.0 agree); unknown numbers are `Unknown`.
    pub fn from_wire(number: u64) -> Self {
        match number {
            1 => MetricType::Counter,
            2 => MetricType::Gauge,
            3 => MetricType::Histogram,
            4 => MetricType::GaugeHistogram,
            5 => MetricType::Summary,
            6 => MetricType::Info,
            7 => MetricType::StateSet,
            _ => MetricType::Unknown,
        }
    }

    /// The name in Prometheus's API (`gaugehistogram` is one word there).
    pub fn as_str(self) -> &'static str {
        match self {
            MetricType::Unknown => "unknown",
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
            MetricType::GaugeHistogram => "gaugehistogram",
            MetricType::Summary => "summary",
            MetricType::Info => "info",
            MetricType::StateSet => "stateset",
        }
    }
}

impl fmt::Display for MetricType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known of a metric besides its samples.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Metadata {
    /// The metric's type.
    pub metric_type: MetricType,
    /// One line for people.
    pub help: String,
    /// The base unit, or empty.
    pub unit: String,
}

//! Native histograms as they are written and evaluated: sparse buckets in spans.
//!
//! Integer histograms keep their buckets as deltas, as the wire does; float histograms as absolute counts.
//! Evaluation works on `FloatHistogram`; storage keeps the form that was written. What PromQL does with
//! them (adding, merging schemas, quantiles) lives with the query engine.

use std::sync::Arc;

use crate::is_stale;

/// The schema number of histograms with custom bucket bounds.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;
/// Coarsest exponential schema.
pub const MIN_EXPONENTIAL_SCHEMA: i32 = -4;
/// Finest exponential schema.
pub const MAX_EXPONENTIAL_SCHEMA: i32 = 8;

/// What is known about a counter reset between the previous histogram of the series and this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum CounterResetHint {
    /// Look at the buckets to find out.
    #[default]
    Unknown = 0,
    /// There was one.
    Reset = 1,
    /// There was none.
    NotReset = 2,
    /// Not a counter at all.
    Gauge = 3,
}

impl CounterResetHint {
    /// The wire number; unknown numbers are `Unknown`.
    pub fn from_wire(number: u64) -> Self {
        match number {
            1 => CounterResetHint::Reset,
            2 => CounterResetHint::NotReset,
            3 => CounterResetHint::Gauge,
            _ => CounterResetHint::Unknown,
        }
    }
}

/// A run of consecutive buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// Gap to the previous span, or the index of the first bucket for the first span.
    pub offset: i32,
    /// Number of buckets.
    pub length: u32,
}

/// A histogram with absolute float counts.
#[derive(Debug, Clone, PartialEq)]
pub struct FloatHistogram {
    /// What is known of a reset before it.
    pub counter_reset_hint: CounterResetHint,
    /// Resolution: -4 to 8, or `CUSTOM_BUCKETS_SCHEMA`.
    pub schema: i32,
    /// Half width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of all observed values; the staleness marker makes the histogram stale.
    pub sum: f64,
    /// Where the positive (or custom) buckets are.
    pub positive_spans: Vec<Span>,
    /// Where the negative buckets are.
    pub negative_spans: Vec<Span>,
    /// Observations per positive (or custom) bucket.
    pub positive_buckets: Vec<f64>,
    /// Observations per negative bucket.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds of custom buckets, ascending, without +Inf; empty for exponential schemas.
    pub custom_values: Arc<[f64]>,
}

/// A histogram with integer counts; buckets are deltas to the bucket before.
#[derive(Debug, Clone, PartialEq)]
pub struct IntHistogram {
    /// What is known of a reset before it.
    pub counter_reset_hint: CounterResetHint,
    /// Resolution: -4 to 8, or `CUSTOM_BUCKETS_SCHEMA`.
    pub schema: i32,
    /// Half width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// All observations.
    pub count: u64,
    /// Sum of all observed values; the staleness marker makes the histogram stale.
    pub sum: f64,
    /// Where the positive (or custom) buckets are.
    pub positive_spans: Vec<Span>,
    /// Where the negative buckets are.
    pub negative_spans: Vec<Span>,
    /// Positive (or custom) buckets, each less the one before.
    pub positive_deltas: Vec<i64>,
    /// Negative buckets, each less the one before.
    pub negative_deltas: Vec<i64>,
    /// Upper bounds of custom buckets, ascending, without +Inf; empty for exponential schemas.
    pub custom_values: Arc<[f64]>,
}

/// A histogram in the form it was written.
#[derive(Debug, Clone, PartialEq)]
pub enum Histogram {
    /// Integer counts.
    Int(Box<IntHistogram>),
    /// Float counts.
    Float(Box<FloatHistogram>),
}

/// Why a histogram cannot be taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum HistogramError {
    /// Outside -9..=52 and not custom.
    #[error("histogram has an invalid schema: {0}")]
    Schema(i32),
    /// Span lengths and bucket counts disagree.
    #[error("histogram has {buckets} {side} buckets but its spans need {spans}")]
    SpansBuckets {
        /// "positive" or "negative".
        side: &'static str,
        /// Buckets there.
        buckets: usize,
        /// Buckets the spans speak of.
        spans: usize,
    },
    /// A later span with a negative offset, or so many buckets that indexes overflow.
    #[error("histogram has an invalid {side} span at {index}")]
    Span {
        /// "positive" or "negative".
        side: &'static str,
        /// Which span.
        index: usize,
    },
    /// A bucket below zero (or NaN).
    #[error("histogram has a negative count in a {side} bucket at {index}")]
    NegativeBucket {
        /// "positive" or "negative".
        side: &'static str,
        /// Which bucket.
        index: usize,
    },
    /// Total or zero count below zero, or buckets that exceed the total.
    #[error("histogram's count {count} does not agree with the {buckets} observations in its buckets")]
    Count {
        /// The count as written.
        count: f64,
        /// What the buckets hold.
        buckets: f64,
    },
    /// Custom bounds unsorted, infinite, NaN, or beside an exponential schema; or negative/zero buckets beside custom ones.
    #[error("histogram with custom buckets: {0}")]
    CustomBuckets(&'static str),
}

fn check_spans(spans: &[Span], buckets: usize, side: &'static str) -> Result<(), HistogramError> {
    let mut needed = 0usize;
    for (index, span) in spans.iter().enumerate() {
        if index > 0 && span.offset < 0 {
            return Err(HistogramError::Span { side, index });
        }
        needed = needed.saturating_add(span.length as usize);
    }
    if needed != buckets {
        return Err(HistogramError::SpansBuckets { side, buckets, spans: needed });
    }
    Ok(())
}

fn check_custom(
    schema: i32,
    custom: &[f64],
    zero: bool,
    negative: bool,
    spans: &[Span],
) -> Result<(), HistogramError> {
    if schema != CUSTOM_BUCKETS_SCHEMA {
        if !(-9..=52).contains(&schema) {
            return Err(HistogramError::Schema(schema));
        }
        return if custom.is_empty() {
            Ok(())
        } else {
            Err(HistogramError::CustomBuckets("custom bounds with an exponential schema"))
        };
    }
    if zero {
        return Err(HistogramError::CustomBuckets("must have a zero bucket of 0"));
    }
    if negative {
        return Err(HistogramError::CustomBuckets("must not have negative buckets"));
    }
    if custom.iter().any(|b| b.is_nan() || b.is_infinite()) {
        return Err(HistogramError::CustomBuckets("bounds must be finite"));
    }
    if custom.windows(2).any(|w| w[0] >= w[1]) {
        return Err(HistogramError::CustomBuckets("bounds must ascend"));
    }
    let mut end: i64 = 0;
    for span in spans {
        end += i64::from(span.offset) + i64::from(span.length);
    }
    if spans.first().is_some_and(|s| s.offset < 0) || end > custom.len() as i64 + 1 {
        return Err(HistogramError::CustomBuckets("more buckets than bounds"));
    }
    Ok(())
}

impl IntHistogram {
    /// Whether it is a staleness marker.
    pub fn is_stale(&self) -> bool {
        is_stale(self.sum)
    }

    /// Checks what every reader relies on. Stale histograms are not looked at further.
    pub fn validate(&self) -> Result<(), HistogramError> {
        check_spans(&self.positive_spans, self.positive_deltas.len(), "positive")?;
        check_spans(&self.negative_spans, self.negative_deltas.len(), "negative")?;
        check_custom(
            self.schema,
            &self.custom_values,
            self.zero_count != 0 || self.zero_threshold != 0.0,
            !self.negative_spans.is_empty() || !self.negative_deltas.is_empty(),
            &self.positive_spans,
        )?;
        let mut total: i128 = i128::from(self.zero_count);
        for (side, deltas) in [("positive", &self.positive_deltas), ("negative", &self.negative_deltas)] {
            let mut bucket: i128 = 0;
            for (index, delta) in deltas.iter().enumerate() {
                bucket += i128::from(*delta);
                if bucket < 0 {
                    return Err(HistogramError::NegativeBucket { side, index });
                }
                total += bucket;
            }
        }
        // Observed NaNs are counted but lie in no bucket.
        let agrees =
            if self.sum.is_nan() { total <= i128::from(self.count) } else { total == i128::from(self.count) };
        if !agrees && !self.is_stale() {
            return Err(HistogramError::Count { count: self.count as f64, buckets: total as f64 });
        }
        Ok(())
    }

    /// The same histogram with absolute float counts.
    pub fn to_float(&self) -> FloatHistogram {
        let absolute = |deltas: &[i64]| {
            let mut bucket = 0i64;
            deltas
                .iter()
                .map(|delta| {
                    bucket = bucket.wrapping_add(*delta);
                    bucket as f64
                })
                .collect()
        };
        FloatHistogram {
            counter_reset_hint: self.counter_reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count as f64,
            count: self.count as f64,
            sum: self.sum,
            positive_spans: self.positive_spans.clone(),
            negative_spans: self.negative_spans.clone(),
            positive_buckets: absolute(&self.positive_deltas),
            negative_buckets: absolute(&self.negative_deltas),
            custom_values: Arc::clone(&self.custom_values),
        }
    }
}

impl FloatHistogram {
    /// Whether it is a staleness marker.
    pub fn is_stale(&self) -> bool {
        is_stale(self.sum)
    }

    /// Checks what every reader relies on.
    pub fn validate(&self) -> Result<(), HistogramError> {
        check_spans(&self.positive_spans, self.positive_buckets.len(), "positive")?;
        check_spans(&self.negative_spans, self.negative_buckets.len(), "negative")?;
        check_custom(
            self.schema,
            &self.custom_values,
            self.zero_count != 0.0 || self.zero_threshold != 0.0,
            !self.negative_spans.is_empty() || !self.negative_buckets.is_empty(),
            &self.positive_spans,
        )?;
        for (side, buckets) in [("positive", &self.positive_buckets), ("negative", &self.negative_buckets)] {
            if let Some(index) = buckets.iter().position(|b| *b < 0.0) {
                return Err(HistogramError::NegativeBucket { side, index });
            }
        }
        if self.count < 0.0 || self.zero_count < 0.0 {
            return Err(HistogramError::Count { count: self.count, buckets: self.zero_count });
        }
        Ok(())
    }

    /// Bytes held, roughly.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + (self.positive_buckets.len() + self.negative_buckets.len() + self.custom_values.len()) * 8
            + (self.positive_spans.len() + self.negative_spans.len()) * size_of::<Span>()
    }
}

impl Histogram {
    /// Whether it is a staleness marker.
    pub fn is_stale(&self) -> bool {
        match self {
            Histogram::Int(h) => h.is_stale(),
            Histogram::Float(h) => h.is_stale(),
        }
    }

    /// Checks what every reader relies on.
    pub fn validate(&self) -> Result<(), HistogramError> {
        match self {
            Histogram::Int(h) => h.validate(),
            Histogram::Float(h) => h.validate(),
        }
    }

    /// With absolute float counts.
    pub fn to_float(&self) -> FloatHistogram {
        match self {
            Histogram::Int(h) => h.to_float(),
            Histogram::Float(h) => (**h).clone(),
        }
    }
}

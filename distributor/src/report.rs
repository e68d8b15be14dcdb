//! What was not taken out of a request that was: one line per reason, with a count and the first series.
//!
//! Bounded: as many lines as there are reasons, each with one clipped series.

use proto::RejectReason;

use crate::limits::{Limits, settings};

/// Longest series text in an answer.
const SERIES_TEXT_CHARS_MAX: usize = 400;

/// Why one series or item was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reason {
    MissingMetricName,
    EmptyLabelName,
    DuplicateLabelName,
    NotUtf8,
    BadSymbol,
    TooManyLabels,
    LabelNameTooLong,
    LabelValueTooLong,
    EmptyTimeSeries,
    InvalidHistogram,
    InvalidExemplar,
    Rejected(RejectReason),
}

/// All reasons, in the order of the metrics snapshot.
pub(crate) const REASONS: [Reason; 18] = [
    Reason::MissingMetricName,
    Reason::EmptyLabelName,
    Reason::DuplicateLabelName,
    Reason::NotUtf8,
    Reason::BadSymbol,
    Reason::TooManyLabels,
    Reason::LabelNameTooLong,
    Reason::LabelValueTooLong,
    Reason::EmptyTimeSeries,
    Reason::InvalidHistogram,
    Reason::InvalidExemplar,
    Reason::Rejected(RejectReason::StaleReference),
    Reason::Rejected(RejectReason::TooOld),
    Reason::Rejected(RejectReason::OutOfOrder),
    Reason::Rejected(RejectReason::Duplicate),
    Reason::Rejected(RejectReason::TooFarInFuture),
    Reason::Rejected(RejectReason::SeriesLimit),
    Reason::Rejected(RejectReason::ExemplarOutOfOrder),
];

impl Reason {
    /// The id that stays, without the prefix.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Reason::MissingMetricName => "missing-metric-name",
            Reason::EmptyLabelName => "empty-label-name",
            Reason::DuplicateLabelName => "duplicate-label-name",
            Reason::NotUtf8 => "invalid-utf8",
            Reason::BadSymbol => "bad-symbol-reference",
            Reason::TooManyLabels => "max-label-names-per-series",
            Reason::LabelNameTooLong => "label-name-too-long",
            Reason::LabelValueTooLong => "label-value-too-long",
            Reason::EmptyTimeSeries => "empty-time-series",
            Reason::InvalidHistogram => "invalid-histogram",
            Reason::InvalidExemplar => "invalid-exemplar",
            Reason::Rejected(RejectReason::StaleReference) => "stale-reference",
            Reason::Rejected(RejectReason::TooOld) => "sample-too-old",
            Reason::Rejected(RejectReason::OutOfOrder) => "sample-out-of-order",
            Reason::Rejected(RejectReason::Duplicate) => "sample-duplicate-timestamp",
            Reason::Rejected(RejectReason::TooFarInFuture) => "sample-too-far-in-future",
            Reason::Rejected(RejectReason::SeriesLimit) => "max-series-per-tenant",
            Reason::Rejected(RejectReason::ExemplarOutOfOrder) => "exemplar-out-of-order",
        }
    }

    fn text(self, limits: &Limits, series_limit: u64) -> String {
        let limit = |what: &str, max: u64, setting: &str| format!("{what} {max} (setting `{setting}`)");
        match self {
            Reason::MissingMetricName => "series without a metric name (label `__name__`)".into(),
            Reason::EmptyLabelName => "series with an empty label name".into(),
            Reason::DuplicateLabelName => "series with the same label name twice".into(),
            Reason::NotUtf8 => "labels that are not valid UTF-8".into(),
            Reason::BadSymbol => "references that are not pairs of symbols of the request".into(),
            Reason::TooManyLabels => limit(
                "series with more labels than",
                limits.labels_per_series_max as u64,
                settings::LABELS_PER_SERIES,
            ),
            Reason::LabelNameTooLong => limit(
                "label names of more bytes than",
                limits.label_name_bytes_max as u64,
                settings::LABEL_NAME_BYTES,
            ),
            Reason::LabelValueTooLong => limit(
                "label values of more bytes than",
                limits.label_value_bytes_max as u64,
                settings::LABEL_VALUE_BYTES,
            ),
            Reason::EmptyTimeSeries => "series with neither samples, histograms nor exemplars".into(),
            Reason::InvalidHistogram => "invalid histogram".into(),
            Reason::InvalidExemplar => format!(
                "exemplars need a timestamp, valid labels and at most {} bytes of them (setting `{}`)",
                limits.exemplar_label_bytes_max,
                settings::EXEMPLAR_LABEL_BYTES
            ),
            Reason::Rejected(RejectReason::StaleReference) => "series reference went stale".into(),
            Reason::Rejected(RejectReason::TooOld) => {
                format!(
                    "too old sample: behind the out-of-order window (setting `{}`)",
                    settings::OUT_OF_ORDER_WINDOW
                )
            }
            Reason::Rejected(RejectReason::OutOfOrder) => "out of order sample".into(),
            Reason::Rejected(RejectReason::Duplicate) => {
                "duplicate sample for timestamp: another value is stored".into()
            }
            Reason::Rejected(RejectReason::TooFarInFuture) => {
                "out of bounds: timestamp is too far in the future".into()
            }
            Reason::Rejected(RejectReason::SeriesLimit) => {
                limit("new series over the tenant's limit of", series_limit, settings::SERIES_PER_TENANT)
            }
            Reason::Rejected(RejectReason::ExemplarOutOfOrder) => "out of order exemplar".into(),
        }
    }
}

#[derive(Debug)]
struct Line {
    reason: Reason,
    count: u64,
    /// Series, and what else there is to say of the first case.
    first: String,
}

/// Refused parts of one request.
#[derive(Debug, Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
    pub(crate) series_limit: u64,
}

impl Report {
    /// Notes `count` items; `first` is asked for the first case of a reason only.
    pub(crate) fn add(&mut self, reason: Reason, count: u64, first: impl FnOnce() -> String) {
        match self.lines.iter_mut().find(|line| line.reason == reason) {
            Some(line) => line.count += count,
            None => self.lines.push(Line { reason, count, first: clip(first()) }),
        }
    }

    pub(crate) fn counts(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        self.lines.iter().map(|line| (line.reason, line.count))
    }

    /// The body of the answer.
    pub(crate) fn text(&self, limits: &Limits) -> String {
        let mut text = String::new();
        for line in &self.lines {
            let reason = line.reason.text(limits, self.series_limit);
            text.push_str(&format!(
                "err-epimetheus-{}: {reason}; refused: {}, first: {}\n",
                line.reason.id(),
                line.count,
                line.first
            ));
        }
        text
    }
}

fn clip(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(SERIES_TEXT_CHARS_MAX) {
        text.truncate(at);
        text.push('…');
    }
    text.replace(['\n', '\r'], " ")
}

//! What a query tells its user beside the answer: warnings and infos, with Prometheus's texts.
//!
//! Equal texts are one annotation, shown with the position of the last; those with details merge them.

use proto::FragmentNote;

use crate::ast::PosRange;
use crate::go_format::{format_g, format_g_digits, quote, rfc3339};

/// A warning or an info.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Annotation {
    is_info: bool,
    text: String,
    pos: PosRange,
    detail: Detail,
}

#[derive(Debug, Clone, PartialEq)]
enum Detail {
    None,
    ForcedMonotonicity { first: i64, last: i64, min_bucket: f64, max_bucket: f64, max_diff: f64, count: u64 },
    Occurrences(u64),
}

fn with_name(text: &str, metric: &str) -> String {
    if metric.is_empty() { text.to_owned() } else { format!("{text} for metric name {}", quote(metric)) }
}

impl Annotation {
    fn warning(text: String, pos: PosRange) -> Self {
        Annotation { is_info: false, text, pos, detail: Detail::None }
    }

    fn info(text: String, pos: PosRange) -> Self {
        Annotation { is_info: true, text, pos, detail: Detail::None }
    }

    pub(crate) fn invalid_quantile(q: f64, pos: PosRange) -> Self {
        Self::warning(format!("quantile value should be between 0 and 1, got {}", format_g(q)), pos)
    }

    pub(crate) fn invalid_ratio(ratio: f64, to: f64, pos: PosRange) -> Self {
        Self::warning(
            format!(
                "ratio value should be between -1 and 1, got {}, capping to {}",
                format_g(ratio),
                format_g(to)
            ),
            pos,
        )
    }

    pub(crate) fn bad_bucket_label(metric: &str, label: &str, pos: PosRange) -> Self {
        let text = format!("bucket label \"le\" is missing or has a malformed value of {}", quote(label));
        Self::warning(with_name(&text, metric), pos)
    }

    pub(crate) fn mixed_floats_histograms(metric: &str, pos: PosRange) -> Self {
        Self::warning(
            format!("encountered a mix of histograms and floats for metric name {}", quote(metric)),
            pos,
        )
    }

    pub(crate) fn mixed_in_aggregation(pos: PosRange) -> Self {
        Self::warning("encountered a mix of histograms and floats for aggregation".to_owned(), pos)
    }

    pub(crate) fn mixed_classic_native(metric: &str, pos: PosRange) -> Self {
        Self::warning(with_name("vector contains a mix of classic and native histograms", metric), pos)
    }

    pub(crate) fn histogram_not_counter(metric: &str, pos: PosRange) -> Self {
        Self::warning(format!("this native histogram metric is not a counter: {}", quote(metric)), pos)
    }

    pub(crate) fn histogram_not_gauge(metric: &str, pos: PosRange) -> Self {
        Self::warning(format!("this native histogram metric is not a gauge: {}", quote(metric)), pos)
    }

    pub(crate) fn mixed_exponential_custom(metric: &str, pos: PosRange) -> Self {
        Self::warning(
            format!(
                "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
                quote(metric)
            ),
            pos,
        )
    }

    pub(crate) fn incompatible_layout(operator: &str, pos: PosRange) -> Self {
        Self::warning(format!("incompatible bucket layout encountered for binary operator {operator}"), pos)
    }

    pub(crate) fn sort_in_range_query(pos: PosRange) -> Self {
        Self::warning(
            "sort is ineffective for range queries since results are always ordered by labels".to_owned(),
            pos,
        )
    }

    pub(crate) fn possible_non_counter(metric: &str, pos: PosRange) -> Self {
        Self::info(
            format!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
                quote(metric)
            ),
            pos,
        )
    }

    pub(crate) fn possible_non_counter_label(metric: &str, type_label: &str, pos: PosRange) -> Self {
        Self::info(
            format!(
                "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {}: {}",
                quote(type_label),
                quote(metric)
            ),
            pos,
        )
    }

    pub(crate) fn forced_monotonicity(
        metric: &str,
        pos: PosRange,
        t: i64,
        min_bucket: f64,
        max_bucket: f64,
        max_diff: f64,
    ) -> Self {
        let text = "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";
        Annotation {
            is_info: true,
            text: with_name(text, metric),
            pos,
            detail: Detail::ForcedMonotonicity {
                first: t,
                last: t,
                min_bucket,
                max_bucket,
                max_diff,
                count: 0,
            },
        }
    }

    pub(crate) fn incompatible_types(left: &str, operator: &str, right: &str, pos: PosRange) -> Self {
        Self::info(
            format!(
                "incompatible sample types encountered for binary operator {}: {left} {operator} {right}",
                quote(operator)
            ),
            pos,
        )
    }

    pub(crate) fn histogram_ignored_in_aggregation(aggregation: &str, pos: PosRange) -> Self {
        Self::info(format!("ignored histogram in {aggregation} aggregation"), pos)
    }

    pub(crate) fn histogram_ignored_in_range(metric: &str, pos: PosRange) -> Self {
        Self::info(
            format!(
                "ignored histograms in a range containing both floats and histograms for metric name {}",
                quote(metric)
            ),
            pos,
        )
    }

    pub(crate) fn quantile_nan_result(metric: &str, pos: PosRange) -> Self {
        Self::info(with_name("input to histogram_quantile has NaN observations, result is NaN", metric), pos)
    }

    pub(crate) fn quantile_nan_skew(metric: &str, pos: PosRange) -> Self {
        Self::info(
            with_name("input to histogram_quantile has NaN observations, result is skewed higher", metric),
            pos,
        )
    }

    pub(crate) fn fraction_nans(metric: &str, pos: PosRange) -> Self {
        let text = "input to histogram_fraction has NaN observations, which are excluded from all fractions";
        Self::info(with_name(text, metric), pos)
    }

    pub(crate) fn counter_reset_collision(operation: &str, pos: PosRange) -> Self {
        Self::warning(format!("conflicting counter resets during histogram {operation}"), pos)
    }

    pub(crate) fn mismatched_custom_buckets(operation: &str, pos: PosRange) -> Self {
        Self::info(format!("mismatched custom buckets were reconciled during {operation}"), pos)
    }

    pub(crate) fn start_time_overlap(metric: &str, pos: PosRange) -> Self {
        let text = format!(
            "sample has start time that overlaps with previous sample timestamp for metric {}",
            quote(metric)
        );
        Annotation { is_info: false, text, pos, detail: Detail::Occurrences(1) }
    }

    /// As it travels between processes.
    fn to_note(&self, text_offset: usize) -> FragmentNote {
        let detail = match &self.detail {
            Detail::None => Vec::new(),
            Detail::Occurrences(count) => vec![*count as f64],
            Detail::ForcedMonotonicity { first, last, min_bucket, max_bucket, max_diff, count } => {
                vec![*first as f64, *last as f64, *min_bucket, *max_bucket, *max_diff, *count as f64]
            }
        };
        FragmentNote {
            is_info: self.is_info,
            text: self.text.clone(),
            pos: (self.pos.start + text_offset, self.pos.end + text_offset),
            detail,
        }
    }

    /// From another process. Details of a kind that is not known here are left out.
    pub(crate) fn from_note(note: FragmentNote) -> Self {
        let detail = match note.detail[..] {
            [count] => Detail::Occurrences(count as u64),
            [first, last, min_bucket, max_bucket, max_diff, count] => Detail::ForcedMonotonicity {
                first: first as i64,
                last: last as i64,
                min_bucket,
                max_bucket,
                max_diff,
                count: count as u64,
            },
            _ => Detail::None,
        };
        Annotation {
            is_info: note.is_info,
            text: note.text,
            pos: PosRange::new(note.pos.0, note.pos.1),
            detail,
        }
    }

    /// Takes in an earlier annotation of the same text.
    fn merge(&mut self, earlier: &Annotation) {
        match (&mut self.detail, &earlier.detail) {
            (
                Detail::ForcedMonotonicity { first, last, min_bucket, max_bucket, max_diff, count },
                Detail::ForcedMonotonicity {
                    first: first0,
                    last: last0,
                    min_bucket: min0,
                    max_bucket: max0,
                    max_diff: diff0,
                    count: count0,
                },
            ) => {
                *first = (*first).min(*first0);
                *last = (*last).max(*last0);
                *min_bucket = min_bucket.min(*min0);
                *max_bucket = max_bucket.max(*max0);
                *max_diff = max_diff.max(*diff0);
                *count += count0 + 1;
                // of these the first place stays, of others the last
                self.pos = earlier.pos;
            }
            (Detail::Occurrences(count), Detail::Occurrences(count0)) => *count += count0,
            _ => {}
        }
    }

    fn to_text(&self, query: &str) -> String {
        let prefix = if self.is_info { "PromQL info" } else { "PromQL warning" };
        let pos = self.pos.line_col(query);
        match &self.detail {
            Detail::None | Detail::Occurrences(0 | 1) => format!("{prefix}: {} ({pos})", self.text),
            Detail::Occurrences(count) => format!("{prefix}: {} ({count} occurrences) ({pos})", self.text),
            Detail::ForcedMonotonicity { first, last, min_bucket, max_bucket, max_diff, count } => format!(
                "{prefix}: {}, from buckets {} to {}, with a max diff of {}, over {} samples from {} to {} ({pos})",
                self.text,
                format_g(*min_bucket),
                format_g(*max_bucket),
                format_g_digits(*max_diff, 2),
                count + 1,
                rfc3339(*first),
                rfc3339(*last),
            ),
        }
    }
}

/// The annotations of a query, each text once, in the order of their first appearance.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Annotations {
    all: Vec<Annotation>,
}

impl Annotations {
    /// Adds one.
    pub(crate) fn add(&mut self, mut annotation: Annotation) {
        let same = |a: &&mut Annotation| a.text == annotation.text && a.is_info == annotation.is_info;
        match self.all.iter_mut().find(same) {
            Some(earlier) => {
                annotation.merge(earlier);
                *earlier = annotation;
            }
            None => self.all.push(annotation),
        }
    }

    /// What of these was noted, or noted again, since `before`.
    pub(crate) fn since(&self, before: &Annotations) -> Annotations {
        Annotations { all: self.all.iter().filter(|a| !before.all.contains(a)).cloned().collect() }
    }

    /// Takes the places of those texts from `others`, as if they were noted last.
    pub(crate) fn place_as(&mut self, others: &Annotations) {
        for other in others.all.iter().filter(|other| other.detail == Detail::None) {
            let same = |a: &&mut Annotation| a.text == other.text && a.is_info == other.is_info;
            if let Some(annotation) = self.all.iter_mut().find(same) {
                annotation.pos = other.pos;
            }
        }
    }

    /// As they travel between processes; positions move by `text_offset`.
    pub(crate) fn to_notes(&self, text_offset: usize) -> Vec<FragmentNote> {
        self.all.iter().map(|a| a.to_note(text_offset)).collect()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether each says the same wherever and how often it is noted.
    pub fn are_plain(&self) -> bool {
        self.all.iter().all(|a| a.detail == Detail::None)
    }

    /// Takes in those of other steps of the same query; false, and nothing is certain any more, when the two note
    /// the same at different positions or one is not plain: only evaluating the steps together tells.
    pub fn join(&mut self, other: &Annotations) -> bool {
        if !self.are_plain() || !other.are_plain() {
            return self.is_empty() && other.is_empty();
        }
        for annotation in &other.all {
            match self.all.iter().find(|a| a.text == annotation.text && a.is_info == annotation.is_info) {
                Some(known) if known.pos != annotation.pos => return false,
                Some(_) => {}
                None => self.all.push(annotation.clone()),
            }
        }
        true
    }

    /// Whether all of them are among `others`.
    pub fn are_among(&self, others: &Annotations) -> bool {
        self.all.iter().all(|annotation| others.all.contains(annotation))
    }

    /// Bytes held, roughly.
    pub fn bytes(&self) -> usize {
        self.all.iter().map(|a| a.text.len() + size_of::<Annotation>()).sum()
    }

    /// (warnings, infos) as shown for the query of this text.
    pub fn to_text(&self, query: &str) -> (Vec<String>, Vec<String>) {
        let of = |is_info: bool| {
            self.all.iter().filter(|a| a.is_info == is_info).map(|a| a.to_text(query)).collect()
        };
        (of(false), of(true))
    }
}

//! Tokens: their kinds, the words that are keywords, and how error messages name them.

use model::CounterResetHint;

use crate::ast::{AggregateOp, BinaryOp, PosRange, go_quote};

/// Keywords that modify something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    Bool,
    By,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Ignoring,
    Offset,
    Smoothed,
    Anchored,
    On,
    Without,
}

/// Keys of a histogram in a series description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HistogramKey {
    Sum,
    Count,
    Schema,
    Offset,
    NegativeOffset,
    Buckets,
    NegativeBuckets,
    ZeroBucket,
    ZeroBucketWidth,
    CustomValues,
    CounterResetHint,
}

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tok {
    Equal,
    EqualRegex,
    NotEqualRegex,
    At,
    Blank,
    Colon,
    Comma,
    Comment,
    Duration,
    Eof,
    Error,
    Identifier,
    LeftBrace,
    LeftBracket,
    LeftParen,
    OpenHistogram,
    CloseHistogram,
    MetricIdentifier,
    Number,
    RightBrace,
    RightBracket,
    RightParen,
    Space,
    String,
    Times,
    Op(BinaryOp),
    Aggregate(AggregateOp),
    Keyword(Keyword),
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
    HistogramKey(HistogramKey),
    ResetHint(CounterResetHint),
}

/// A token and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Tok,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Token {
    pub(super) fn pos(self) -> PosRange {
        PosRange::new(self.start, self.end)
    }

    pub(super) fn text(self, input: &str) -> &str {
        input.get(self.start..self.end).unwrap_or_default()
    }

    /// As error messages name it.
    pub(super) fn describe(self, input: &str) -> String {
        let text = self.text(input);
        match self.kind {
            Tok::Eof => "end of input".to_owned(),
            Tok::Identifier => format!("identifier {}", go_quote(text)),
            Tok::MetricIdentifier => format!("metric identifier {}", go_quote(text)),
            Tok::String => format!("string {}", quote_short(text)),
            Tok::Number => format!("number {}", quote_short(text)),
            Tok::Duration => format!("duration {}", quote_short(text)),
            Tok::Keyword(_) => format!("<{text}>"),
            Tok::Op(_) | Tok::EqualRegex | Tok::NotEqualRegex | Tok::At => format!("<op:{text}>"),
            Tok::Aggregate(_) => format!("<aggr:{text}>"),
            Tok::HistogramKey(key) => format!("\"<Item {}>\" {}", 57_370 + key as u32, quote_short(text)),
            Tok::ResetHint(hint) => format!("\"<Item {}>\" {}", 57_445 + hint as u32, quote_short(text)),
            _ => quote_short(text),
        }
    }
}

/// Quoted, cut after ten characters.
fn quote_short(text: &str) -> String {
    if text.len() <= 10 {
        return go_quote(text);
    }
    let cut: String = text.chars().take(10).collect();
    format!("{}...", go_quote(&cut))
}

/// The token of a word outside braces, when it is no plain identifier. `inf` and `nan` are numbers.
pub(super) fn keyword(word: &str) -> Option<Tok> {
    // No keyword is longer than `count_values`.
    if word.len() > 12 {
        return None;
    }
    Some(match word.to_ascii_lowercase().as_str() {
        "and" => Tok::Op(BinaryOp::And),
        "or" => Tok::Op(BinaryOp::Or),
        "unless" => Tok::Op(BinaryOp::Unless),
        "atan2" => Tok::Op(BinaryOp::Atan2),
        "sum" => Tok::Aggregate(AggregateOp::Sum),
        "avg" => Tok::Aggregate(AggregateOp::Avg),
        "count" => Tok::Aggregate(AggregateOp::Count),
        "min" => Tok::Aggregate(AggregateOp::Min),
        "max" => Tok::Aggregate(AggregateOp::Max),
        "group" => Tok::Aggregate(AggregateOp::Group),
        "stddev" => Tok::Aggregate(AggregateOp::Stddev),
        "stdvar" => Tok::Aggregate(AggregateOp::Stdvar),
        "topk" => Tok::Aggregate(AggregateOp::Topk),
        "bottomk" => Tok::Aggregate(AggregateOp::Bottomk),
        "count_values" => Tok::Aggregate(AggregateOp::CountValues),
        "quantile" => Tok::Aggregate(AggregateOp::Quantile),
        "limitk" => Tok::Aggregate(AggregateOp::Limitk),
        "limit_ratio" => Tok::Aggregate(AggregateOp::LimitRatio),
        "offset" => Tok::Keyword(Keyword::Offset),
        "smoothed" => Tok::Keyword(Keyword::Smoothed),
        "anchored" => Tok::Keyword(Keyword::Anchored),
        "by" => Tok::Keyword(Keyword::By),
        "without" => Tok::Keyword(Keyword::Without),
        "on" => Tok::Keyword(Keyword::On),
        "ignoring" => Tok::Keyword(Keyword::Ignoring),
        "group_left" => Tok::Keyword(Keyword::GroupLeft),
        "group_right" => Tok::Keyword(Keyword::GroupRight),
        "fill" => Tok::Keyword(Keyword::Fill),
        "fill_left" => Tok::Keyword(Keyword::FillLeft),
        "fill_right" => Tok::Keyword(Keyword::FillRight),
        "bool" => Tok::Keyword(Keyword::Bool),
        "start" => Tok::Start,
        "end" => Tok::End,
        "inf" | "nan" => Tok::Number,
        _ => return duration_keyword(word),
    })
}

/// The token of a word that may stand in a duration expression.
pub(super) fn duration_keyword(word: &str) -> Option<Tok> {
    Some(match word.to_ascii_lowercase().as_str() {
        "step" => Tok::Step,
        "range" => Tok::Range,
        "max_of" => Tok::MaxOf,
        "min_of" => Tok::MinOf,
        _ => return None,
    })
}

pub(super) fn histogram_key(word: &str) -> Option<HistogramKey> {
    Some(match word.to_ascii_lowercase().as_str() {
        "sum" => HistogramKey::Sum,
        "count" => HistogramKey::Count,
        "schema" => HistogramKey::Schema,
        "offset" => HistogramKey::Offset,
        "n_offset" => HistogramKey::NegativeOffset,
        "buckets" => HistogramKey::Buckets,
        "n_buckets" => HistogramKey::NegativeBuckets,
        "z_bucket" => HistogramKey::ZeroBucket,
        "z_bucket_w" => HistogramKey::ZeroBucketWidth,
        "custom_values" => HistogramKey::CustomValues,
        "counter_reset_hint" => HistogramKey::CounterResetHint,
        _ => return None,
    })
}

pub(super) fn reset_hint(word: &str) -> Option<CounterResetHint> {
    Some(match word.to_ascii_lowercase().as_str() {
        "unknown" => CounterResetHint::Unknown,
        "reset" => CounterResetHint::Reset,
        "not_reset" => CounterResetHint::NotReset,
        "gauge" => CounterResetHint::Gauge,
        _ => return None,
    })
}

//! What stands behind a dot: fields, entries and methods of values.

use std::sync::Arc;

use chrono::{DateTime, Datelike, Timelike, Utc};

use super::exec::Got;
use super::value::Value;

/// What a name means to a value.
pub(super) enum Field {
    /// A field of a structure.
    Of(Got),
    /// An entry of a map.
    In(Got),
    /// A method without arguments.
    Method(Got),
    /// A time's method that writes it in a layout.
    Format(DateTime<Utc>),
    None,
}

pub(super) fn field(value: &Value, name: &str) -> Field {
    let plain = |value| Field::Of(Got::plain(value));
    let labels = |labels: &std::collections::BTreeMap<_, _>| plain(Value::Labels(Arc::new(labels.clone())));
    match value {
        Value::Root(data) => match name {
            "Labels" => labels(&data.labels),
            "ExternalLabels" => labels(&data.external_labels),
            "ExternalURL" => plain(Value::Text(data.external_url.clone())),
            "Value" => Field::Of(Got::boxed(data.value.clone())),
            _ => Field::None,
        },
        Value::Sample(sample) => match name {
            "Labels" => labels(&sample.labels),
            "Value" => Field::Of(Got::boxed(sample.value.clone())),
            _ => Field::None,
        },
        Value::Labels(labels) => {
            Field::In(Got::plain(Value::Text(labels.get(name).cloned().unwrap_or_default())))
        }
        Value::Args(args) => Field::In(Got::boxed(args.get(name).cloned().unwrap_or(Value::Nil))),
        Value::Histogram(h) => match name {
            "Count" => plain(Value::Float(h.count)),
            "Sum" => plain(Value::Float(h.sum)),
            "ZeroCount" => plain(Value::Float(h.zero_count)),
            "ZeroThreshold" => plain(Value::Float(h.zero_threshold)),
            "Schema" => plain(Value::Int(i64::from(h.schema))),
            "String" => Field::Method(Got::plain(Value::Text(value.show()))),
            _ => Field::None,
        },
        Value::Time(nanos) => of_time(*nanos, value, name),
        Value::Duration(nanos) => of_duration(*nanos, value, name),
        _ => Field::None,
    }
}

fn of_time(nanos: i128, value: &Value, name: &str) -> Field {
    let (seconds, rest) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
    let time = i64::try_from(seconds).ok().zip(u32::try_from(rest).ok());
    let Some(time) = time.and_then(|(seconds, rest)| DateTime::<Utc>::from_timestamp(seconds, rest)) else {
        return Field::None;
    };
    let int = |number: i128| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
    let got = match name {
        "Year" => int(i128::from(time.year())),
        "Month" => Value::Text(time.format("%B").to_string()),
        "Day" => int(i128::from(time.day())),
        "Hour" => int(i128::from(time.hour())),
        "Minute" => int(i128::from(time.minute())),
        "Second" => int(i128::from(time.second())),
        "Nanosecond" => int(rest),
        "YearDay" => int(i128::from(time.ordinal())),
        "Weekday" => Value::Text(time.format("%A").to_string()),
        "Unix" => int(seconds),
        "UnixMilli" => int(nanos.div_euclid(1_000_000)),
        "UnixMicro" => int(nanos.div_euclid(1_000)),
        "UnixNano" => int(nanos),
        "UTC" => value.clone(),
        "IsZero" => Value::Bool(seconds == -62_135_596_800 && rest == 0),
        "String" => Value::Text(value.show()),
        "Format" => return Field::Format(time),
        _ => return Field::None,
    };
    Field::Method(Got::plain(got))
}

fn of_duration(nanos: i64, value: &Value, name: &str) -> Field {
    // whole units and what is left over, as Go adds them up
    let parts = |unit: i64| (nanos / unit) as f64 + (nanos % unit) as f64 / unit as f64;
    let got = match name {
        "Hours" => Value::Float(parts(3_600_000_000_000)),
        "Minutes" => Value::Float(parts(60_000_000_000)),
        "Seconds" => Value::Float(parts(1_000_000_000)),
        "Milliseconds" => Value::Int(nanos / 1_000_000),
        "Microseconds" => Value::Int(nanos / 1_000),
        "Nanoseconds" => Value::Int(nanos),
        "Abs" => Value::Duration(nanos.saturating_abs()),
        "String" => Value::Text(value.show()),
        _ => return Field::None,
    };
    Field::Method(Got::plain(got))
}

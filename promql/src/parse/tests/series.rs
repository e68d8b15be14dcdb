//! Series descriptions.

use model::CounterResetHint::{Gauge, NotReset, Reset, Unknown};
use model::{FloatHistogram, Span, is_stale};

use super::super::*;

fn values(text: &str) -> Vec<SequenceValue> {
    parse_series_desc(text).unwrap_or_else(|e| panic!("{text}: {e}")).values
}

fn floats(text: &str) -> Vec<Option<f64>> {
    let float = |v| match v {
        SequenceValue::Omitted => None,
        SequenceValue::Float(f) => Some(f),
        SequenceValue::Histogram { .. } => panic!("{text}"),
    };
    values(text).into_iter().map(float).collect()
}

fn histograms(text: &str) -> Vec<FloatHistogram> {
    let histogram = |v| match v {
        SequenceValue::Histogram { histogram, .. } => (*histogram).clone(),
        other => panic!("{other:?}"),
    };
    values(text).into_iter().map(histogram).collect()
}

fn fault(text: &str) -> String {
    parse_series_desc(text).expect_err(text).to_string()
}

#[test]
fn floats_expand() {
    let some = |list: &[f64]| list.iter().copied().map(Some).collect::<Vec<_>>();
    for (text, wanted) in [
        ("{} 1 2 3", &[1.0, 2.0, 3.0][..]),
        ("{a=\"b\"} -1 2 3", &[-1.0, 2.0, 3.0]),
        ("m 1 2 3", &[1.0, 2.0, 3.0]),
        ("m{a=\"b\"} 1 2 3-10x4", &[1.0, 2.0, 3.0, -7.0, -17.0, -27.0, -37.0]),
        ("m{a=\"b\"} 1 2 3-0x4", &[1.0, 2.0, 3.0, 3.0, 3.0, 3.0, 3.0]),
        ("{} 1x0", &[1.0]),
        ("{} 1+1x0", &[1.0]),
        ("m 1 -1 -3-10x4 7 9 +5", &[1.0, -1.0, -3.0, -13.0, -23.0, -33.0, -43.0, 7.0, 9.0, 5.0]),
        ("m 1 +1 +4 -6 -2 8", &[1.0, 1.0, 4.0, -6.0, -2.0, 8.0]),
        ("m{a=\"\\u70ac\"} 1 2 3    ", &[1.0, 2.0, 3.0]),
        ("{\"http.requests\", \"service.name\"=\"api\"}\t\t0+50x2", &[0.0, 50.0, 100.0]),
        ("m Inf -inf .5", &[f64::INFINITY, f64::NEG_INFINITY, 0.5]),
    ] {
        assert_eq!(floats(text), some(wanted), "{text}");
    }
    assert_eq!(floats("m 1 _ 5 _x2"), [Some(1.0), None, Some(5.0), None, None]);
    assert!(floats("m stale NaN").iter().zip([true, false]).all(|(f, stale)| is_stale(f.unwrap()) == stale));
    assert!(values("").is_empty() && values("http_requests{job=\"a\"}").is_empty());
    let labels = parse_series_desc("{\"a.b\", c=\"d\"} 1").unwrap().labels;
    assert_eq!((labels.get("__name__"), labels.get("c")), (Some("a.b"), Some("d")));
}

#[test]
fn faults_are_named() {
    for text in [
        "{} 1+1",
        "m 1 _a4",
        "m -3-3 -3",
        "m -3 -3-3",
        "m -3 _-2",
        "m -3 3+3x4-4",
        "m{} 1,2",
        "m 1x9999999999",
    ] {
        fault(text);
    }
    for (text, message) in [
        (
            "{\"http.requests\"xx} 0",
            "1:17: parse error: unexpected identifier \"xx\" in label set, expected \",\" or \"}\"",
        ),
        (
            "{\"http.requests\"=, x=\"y\"} 0",
            "1:18: parse error: unexpected \",\" in label set, expected string",
        ),
        ("{\"http.requests} 0", "1:2: parse error: unterminated quoted string"),
        (
            "{} {{buckets:[5 10 7] schema:1}}+{{buckets:[1 2 3] schema:0}}x2",
            "1:63: parse error: error combining histograms: cannot merge from schema 0 to 1",
        ),
        ("{} {{schema:1 schema:1}}", "1:1: parse error: duplicate key \"schema\" in histogram"),
        ("{} {{foo:1}}", "1:6: parse error: bad histogram descriptor found: \"foo\""),
        ("{} {{schema :1}}", "1:6: parse error: missing `:` for histogram descriptor"),
        ("{} {{schema: 1}}", "1:13: parse error: unexpected \" \" in series values"),
        ("{} {{buckets:[ 1]}}", "1:15: parse error: unexpected \" \" in series values"),
        ("{} {{ schema:1}}", "1:7: parse error: unexpected \"<Item 57372>\" \"schema\" in series values"),
        ("{} {{counter_reset_hint:foo}}", "1:25: parse error: bad histogram descriptor found: \"foo\""),
        (
            "m foo",
            "1:3: parse error: unexpected identifier \"foo\" in series values, expected number or \"stale\"",
        ),
    ] {
        assert_eq!(fault(text), message, "{text}");
    }
}

fn empty() -> FloatHistogram {
    FloatHistogram {
        counter_reset_hint: Unknown,
        schema: 0,
        zero_threshold: 0.0,
        zero_count: 0.0,
        count: 0.0,
        sum: 0.0,
        positive_spans: vec![],
        negative_spans: vec![],
        positive_buckets: vec![],
        negative_buckets: vec![],
        custom_values: [].into(),
    }
}

fn with_buckets(schema: i32, buckets: &[f64]) -> FloatHistogram {
    FloatHistogram {
        schema,
        positive_spans: vec![Span { offset: 0, length: buckets.len() as u32 }],
        positive_buckets: buckets.to_vec(),
        ..empty()
    }
}

#[test]
fn histograms_are_built() {
    assert_eq!(histograms("{} {{}} {{ }}"), [empty(), empty()]);
    let full = FloatHistogram {
        counter_reset_hint: Gauge,
        schema: 1,
        sum: -0.3,
        count: 3.1,
        zero_count: 7.1,
        zero_threshold: 0.05,
        positive_buckets: vec![5.1, 10.0, 7.0],
        positive_spans: vec![Span { offset: -3, length: 3 }],
        negative_buckets: vec![-4.1, 5.0],
        negative_spans: vec![Span { offset: 5, length: 2 }],
        ..empty()
    };
    let text = "{} {{schema:1  sum:-0.3 count:3.1 z_bucket:7.1 z_bucket_w:0.05 buckets:[5.1 10  7  ] offset:-3 \
                n_buckets:[-4.1 5] n_offset:5 counter_reset_hint:gauge  }}";
    assert_eq!(histograms(text), [full]);
    for (word, hint) in [("unknown", Unknown), ("reset", Reset), ("not_reset", NotReset), ("gauge", Gauge)] {
        let text = format!("{{}} {{{{counter_reset_hint:{word}}}}}");
        assert_eq!(histograms(&text)[0].counter_reset_hint, hint);
        assert!(matches!(values(&text)[0], SequenceValue::Histogram { hint_set: true, .. }));
    }
    let custom = &histograms("{} {{schema:-53 custom_values:[1 2.5 Inf] buckets:[1 2] sum:NaN}}")[0];
    assert_eq!((custom.schema, &custom.custom_values[..]), (-53, &[1.0, 2.5, f64::INFINITY][..]));
}

#[test]
fn histograms_expand() {
    assert_eq!(histograms("{} {{buckets:[5 10 7] schema:1}}x2"), vec![with_buckets(1, &[5.0, 10.0, 7.0]); 3]);
    assert_eq!(
        histograms("{} {{buckets:[5 10 7] schema:1}}-{{buckets:[1 2 3] schema:1}}x2"),
        [&[5.0, 10.0, 7.0], &[4.0, 8.0, 4.0], &[3.0, 6.0, 1.0]].map(|b| with_buckets(1, b))
    );
    assert_eq!(
        histograms("{} {{buckets:[5] schema:0}}+{{buckets:[1 2] schema:1}}x2"),
        [&[5.0][..], &[6.0, 2.0], &[7.0, 4.0]].map(|b| with_buckets(0, b))
    );
    let sums: Vec<f64> =
        histograms("{} {{sum:1}}+{{sum:1}}x2 {{sum:2}}+{{sum:2}}x2").iter().map(|h| h.sum).collect();
    assert_eq!(sums, [1.0, 2.0, 3.0, 2.0, 4.0, 6.0]);
}

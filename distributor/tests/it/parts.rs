//! Labels, histograms, exemplars, metadata, start timestamps.

use model::{
    CounterResetHint, Exemplar, FloatHistogram, Histogram, IntHistogram, Metadata, MetricType, Span,
};
use prost::Message;
use proto::remote_write::{EncodeV1, EncodeV2, SeriesToWrite, WireHistogram};
use proto::{prometheus as v1, write_v2 as v2};

use crate::store::{NOW, Recording};
use crate::{Door, labels, written};
use distributor::Limits;

fn int_histogram() -> IntHistogram {
    IntHistogram {
        counter_reset_hint: CounterResetHint::NotReset,
        schema: 3,
        zero_threshold: 0.001,
        zero_count: 1,
        count: 7,
        sum: 12.5,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        negative_spans: vec![Span { offset: 5, length: 1 }],
        positive_deltas: vec![2, 1],
        negative_deltas: vec![1],
        custom_values: vec![].into(),
    }
}

fn custom_histogram() -> FloatHistogram {
    FloatHistogram {
        counter_reset_hint: CounterResetHint::Gauge,
        schema: model::CUSTOM_BUCKETS_SCHEMA,
        zero_threshold: 0.0,
        zero_count: 0.0,
        count: 3.5,
        sum: 1.0,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        negative_spans: vec![],
        positive_buckets: vec![1.5, 2.0],
        negative_buckets: vec![],
        custom_values: vec![0.1, 1.0].into(),
    }
}

#[test]
fn histograms_of_every_kind_arrive_as_sent_and_invalid_ones_are_refused() {
    let door = Door::new();
    let name = labels(&[("__name__", "h")]);
    let stale = IntHistogram { sum: model::stale_nan(), ..int_histogram() };
    let fine = IntHistogram { schema: 9, ..int_histogram() };
    let bad = IntHistogram { count: 6, ..int_histogram() };
    let coarse = IntHistogram { schema: -7, ..int_histogram() };
    let all: Vec<WireHistogram> = [
        Histogram::Int(Box::new(int_histogram())),
        Histogram::Float(Box::new(custom_histogram())),
        Histogram::Float(Box::new(int_histogram().to_float())),
        Histogram::Int(Box::new(stale)),
        Histogram::Int(Box::new(fine)),
        Histogram::Int(Box::new(bad)),
        Histogram::Int(Box::new(coarse)),
    ]
    .into_iter()
    .enumerate()
    .map(|(i, histogram)| WireHistogram { t: NOW + i as i64, start_t: NOW - 5, histogram })
    .collect();
    let series = SeriesToWrite { histograms: &all, ..SeriesToWrite::floats(&name, &[]) };
    let answer = door.v2(&EncodeV2::default().series(series).finish());
    assert_eq!((answer.status, written(&answer)), (400, Some((0, 5, 0))));
    assert!(
        answer
            .body
            .starts_with("err-epimetheus-invalid-histogram: invalid histogram; refused: 2, first: h (")
    );
    assert_eq!(door.v1(&EncodeV1::default().series(series).finish()).status, 400);
    let stored = door.store.series("anonymous", &[("__name__", "h")]).unwrap().histograms;
    assert_eq!(stored.len(), 5);
    for i in 0..3 {
        assert_eq!(stored[&(NOW + i)], (all[i as usize].histogram.clone(), NOW - 5));
    }
    assert!(stored[&(NOW + 3)].0.is_stale());
    let Histogram::Int(reduced) = &stored[&(NOW + 4)].0 else { panic!("still integers") };
    assert_eq!(reduced.schema, 8);
}

#[test]
fn start_timestamps_arrive_and_the_old_field_stands_in() {
    let door = Door::new();
    let histogram = v2::Histogram {
        timestamp: NOW,
        count: Some(v2::histogram::Count::CountInt(0)),
        ..Default::default()
    };
    let request = v2::Request {
        symbols: ["", "__name__", "m", "n"].map(str::to_owned).to_vec(),
        timeseries: vec![
            v2::TimeSeries {
                labels_refs: vec![1, 2],
                samples: vec![
                    v2::Sample { value: 1.0, timestamp: NOW, start_timestamp: 0 },
                    v2::Sample { value: 2.0, timestamp: NOW + 1, start_timestamp: 77 },
                ],
                created_timestamp: 55,
                ..Default::default()
            },
            v2::TimeSeries {
                labels_refs: vec![1, 3],
                samples: vec![v2::Sample { value: 1.0, timestamp: NOW, start_timestamp: 0 }],
                histograms: vec![histogram],
                ..Default::default()
            },
        ],
    };
    let answer = door.v2(&request.encode_to_vec());
    assert_eq!(written(&answer), Some((3, 1, 0)), "{}", answer.body);
    let m = door.store.series("anonymous", &[("__name__", "m")]).unwrap();
    assert_eq!((m.floats[&NOW].1, m.floats[&(NOW + 1)].1), (55, 77));
    let n = door.store.series("anonymous", &[("__name__", "n")]).unwrap();
    assert_eq!((n.floats[&NOW].1, n.histograms[&NOW].1), (0, 0));
}

#[test]
fn exemplars_are_kept_and_bad_ones_are_told_to_2_0_alone() {
    let door = Door::new();
    let name = labels(&[("__name__", "m")]);
    let exemplar = |t: i64, id: &str| Exemplar { labels: labels(&[("trace_id", id)]), value: 1.0, t };
    let long = "x".repeat(5000);
    let exemplars = [
        exemplar(NOW, "a"),
        exemplar(NOW + 5, "b"),
        exemplar(NOW + 1, "c"),
        exemplar(0, "d"),
        exemplar(NOW + 9, &long),
    ];
    let with = SeriesToWrite { exemplars: &exemplars, ..SeriesToWrite::floats(&name, &[(NOW, 1.0, 0)]) };
    assert_eq!(door.v1(&EncodeV1::default().series(with).finish()).status, 204);
    let alone = SeriesToWrite { samples: &[], ..with };
    let answer = door.v2(&EncodeV2::default().series(alone).finish());
    // `a` is behind `b` by now; `b` again is taken
    assert_eq!((answer.status, written(&answer)), (400, Some((0, 0, 1))), "{}", answer.body);
    assert!(
        answer
            .body
            .contains("err-epimetheus-exemplar-out-of-order: out of order exemplar; refused: 2, first: m\n")
    );
    assert!(
        answer.body.contains("err-epimetheus-invalid-exemplar:")
            && answer.body.contains("refused: 2, first: m\n")
    );
    let stored = door.store.series("anonymous", &[("__name__", "m")]).unwrap().exemplars;
    assert_eq!(stored, exemplars[..2]);
}

#[test]
fn metadata_is_kept_never_fails_and_is_not_sent_again() {
    let door = Door::new();
    let name = labels(&[("__name__", "m"), ("job", "a")]);
    let counter =
        Metadata { metric_type: MetricType::Counter, help: "Helps.".into(), unit: "seconds".into() };
    let message = EncodeV1::default().metadata("m", &counter).metadata("", &counter).finish();
    assert_eq!(door.v1(&message).status, 204);
    assert_eq!(door.store.metadata("anonymous", "m"), Some(counter.clone()));
    assert_eq!(door.v1(&message).status, 204);
    assert_eq!(door.store.metadata_appends(), 1);

    let gauge = Metadata { metric_type: MetricType::Gauge, help: "Other.".into(), unit: String::new() };
    let other = labels(&[("__name__", "m"), ("job", "b")]);
    let with = |metadata| {
        let mut encode = EncodeV2::default();
        for name in [&name, &other] {
            encode.series(SeriesToWrite {
                metadata: Some(metadata),
                ..SeriesToWrite::floats(name, &[(NOW, 1.0, 0)])
            });
        }
        encode.finish()
    };
    for _ in 0..3 {
        assert_eq!(written(&door.v2(&with(&gauge))), Some((2, 0, 0)));
        assert_eq!(door.store.metadata_appends(), 2);
    }
    assert_eq!(door.store.metadata("anonymous", "m"), Some(gauge.clone()));
    assert_eq!(door.v2(&with(&counter)).status, 204);
    assert_eq!(door.store.metadata("anonymous", "m"), Some(counter.clone()));
    assert_eq!(door.store.metadata_appends(), 3);
    // alone, without any sample
    let alone = labels(&[("__name__", "alone")]);
    let series = SeriesToWrite { metadata: Some(&counter), ..SeriesToWrite::floats(&alone, &[]) };
    assert_eq!(written(&door.v2(&EncodeV2::default().series(series).finish())), Some((0, 0, 0)));
    assert_eq!(door.store.metadata("anonymous", "alone"), Some(counter.clone()));
    // references that lead nowhere are no reason to fail
    let mut request = v2::Request::decode(&with(&Metadata::default())[..]).unwrap();
    request.timeseries[0].metadata = Some(v2::Metadata { r#type: 99, help_ref: 999, unit_ref: 999 });
    assert_eq!(door.v2(&request.encode_to_vec()).status, 204);
}

#[test]
fn labels_are_checked_alike_in_both_versions_and_the_rest_is_written() {
    type Pairs<'a> = &'a [(&'a str, &'a str)];
    let cases: [(Pairs<'_>, Option<&str>); 9] = [
        (&[("__name__", "good"), ("z", "1"), ("a", "unsorted")], None),
        (&[("__name__", "empty_value_is_absent"), ("a", "")], None),
        (&[("__name__", "größe.x"), ("a b", "ü")], None),
        (&[], Some("missing-metric-name")),
        (&[("job", "a")], Some("missing-metric-name")),
        (&[("__name__", "")], Some("missing-metric-name")),
        (&[("__name__", "m"), ("", "x")], Some("empty-label-name")),
        (&[("__name__", "m"), ("a", "1"), ("a", "2")], Some("duplicate-label-name")),
        (&[("__name__", "m"), ("toolonganame", "1")], Some("label-name-too-long")),
    ];
    let limits = Limits { label_name_bytes_max: 10, ..Limits::default() };
    for (pairs, refused) in cases {
        for version in [1, 2] {
            let door = Door::over(Recording::new(1), limits.clone());
            let (good, t) = ([("__name__", "bystander")], NOW);
            let answer = if version == 1 {
                let series = |pairs: &[(&str, &str)]| v1::TimeSeries {
                    labels: pairs
                        .iter()
                        .map(|(n, v)| v1::Label { name: (*n).into(), value: (*v).into() })
                        .collect(),
                    samples: vec![v1::Sample { value: 1.0, timestamp: t }],
                    ..Default::default()
                };
                let request =
                    v1::WriteRequest { timeseries: vec![series(pairs), series(&good)], metadata: vec![] };
                door.v1(&request.encode_to_vec())
            } else {
                let mut symbols = vec![String::new()];
                let mut series = |pairs: &[(&str, &str)]| {
                    let mut labels_refs = vec![];
                    for text in pairs.iter().flat_map(|(n, v)| [*n, *v]) {
                        labels_refs.push(symbols.len() as u32);
                        symbols.push(text.to_owned());
                    }
                    let samples = vec![v2::Sample { value: 1.0, timestamp: t, start_timestamp: 0 }];
                    v2::TimeSeries { labels_refs, samples, ..Default::default() }
                };
                let timeseries = vec![series(pairs), series(&good)];
                door.v2(&v2::Request { symbols, timeseries }.encode_to_vec())
            };
            let stored = door.store.all(&model::TenantId::anonymous()).len();
            match refused {
                None => assert_eq!((answer.status, stored), (204, 2), "{pairs:?} {}", answer.body),
                Some(id) => {
                    assert_eq!((answer.status, stored), (400, 1), "{pairs:?} {}", answer.body);
                    assert!(answer.body.starts_with(&format!("err-epimetheus-{id}: ")), "{}", answer.body);
                    if version == 2 {
                        assert_eq!(written(&answer), Some((1, 0, 0)));
                    }
                }
            }
        }
    }
}

#[test]
fn symbol_references_are_checked() {
    let door = Door::new();
    let symbols = ["", "__name__", "m"].map(str::to_owned).to_vec();
    let series = |labels_refs: &[u32]| v2::TimeSeries {
        labels_refs: labels_refs.to_vec(),
        samples: vec![v2::Sample { value: 1.0, timestamp: NOW, start_timestamp: 0 }],
        ..Default::default()
    };
    let timeseries = vec![
        series(&[1]),
        series(&[1, 3]),
        series(&[1, u32::MAX]),
        series(&[1, 2]),
        v2::TimeSeries { labels_refs: vec![1, 2], ..Default::default() },
    ];
    let answer =
        door.v2(&v2::Request { symbols: symbols.clone(), timeseries: timeseries.clone() }.encode_to_vec());
    assert_eq!((answer.status, written(&answer)), (400, Some((1, 0, 0))));
    let lines: Vec<_> = answer.body.lines().collect();
    assert!(lines[1].starts_with("err-epimetheus-bad-symbol-reference:") && lines[1].contains("refused: 3"));
    assert!(lines[0].starts_with("err-epimetheus-empty-time-series:") && lines[0].ends_with("first: m"));
    let wrong_first = v2::Request { symbols: symbols[1..].to_vec(), timeseries };
    let answer = door.v2(&wrong_first.encode_to_vec());
    assert_eq!((answer.status, written(&answer)), (400, Some((0, 0, 0))));
}

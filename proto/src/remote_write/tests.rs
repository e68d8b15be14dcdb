use model::{CounterResetHint, Histogram, Labels, Span};
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::{prometheus as v1, write_v2 as v2};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z_]{1,8}", "\\PC{0,6}", "[a-z]{120,140}"]
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), any::<i64>(), 1_700_000_000_000i64..1_700_000_100_000]
}

/// Without -0, which generated code does not send.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(model::stale_nan()), any::<u64>().prop_map(f64::from_bits)]
}

/// The fields that the histograms of both versions share.
#[derive(Debug, Clone)]
struct Parts {
    count: Option<Result<u64, f64>>,
    zero: Option<Result<u64, f64>>,
    sum: f64,
    schema: i32,
    threshold: f64,
    negative: Vec<(i32, u32)>,
    positive: Vec<(i32, u32)>,
    deltas: (Vec<i64>, Vec<i64>),
    counts: (Vec<f64>, Vec<f64>),
    custom: Vec<f64>,
    hint: i32,
    t: i64,
    start: i64,
}

fn count() -> impl Strategy<Value = Option<Result<u64, f64>>> {
    prop_oneof![Just(None), any::<u64>().prop_map(|n| Some(Ok(n))), number().prop_map(|n| Some(Err(n)))]
}

fn parts() -> impl Strategy<Value = Parts> {
    let spans = || proptest::collection::vec((any::<i32>(), any::<u32>()), 0..4);
    let deltas = || proptest::collection::vec(any::<i64>(), 0..5);
    let doubles = || proptest::collection::vec(number(), 0..5);
    (
        (count(), count(), number(), any::<i32>(), number()),
        (spans(), spans()),
        (deltas(), deltas()),
        (doubles(), doubles(), doubles()),
        (0..6i32, time(), time()),
    )
        .prop_map(|(a, b, deltas, c, d)| Parts {
            count: a.0,
            zero: a.1,
            sum: a.2,
            schema: a.3,
            threshold: a.4,
            negative: b.0,
            positive: b.1,
            deltas,
            counts: (c.0, c.1),
            custom: c.2,
            hint: d.0,
            t: d.1,
            start: d.2,
        })
}

fn histogram_v1(p: &Parts) -> v1::Histogram {
    let spans = |spans: &[(i32, u32)]| {
        spans.iter().map(|(offset, length)| v1::BucketSpan { offset: *offset, length: *length }).collect()
    };
    v1::Histogram {
        count: p.count.map(|c| match c {
            Ok(n) => v1::histogram::Count::CountInt(n),
            Err(n) => v1::histogram::Count::CountFloat(n),
        }),
        sum: p.sum,
        schema: p.schema,
        zero_threshold: p.threshold,
        zero_count: p.zero.map(|c| match c {
            Ok(n) => v1::histogram::ZeroCount::ZeroCountInt(n),
            Err(n) => v1::histogram::ZeroCount::ZeroCountFloat(n),
        }),
        negative_spans: spans(&p.negative),
        negative_deltas: p.deltas.0.clone(),
        negative_counts: p.counts.0.clone(),
        positive_spans: spans(&p.positive),
        positive_deltas: p.deltas.1.clone(),
        positive_counts: p.counts.1.clone(),
        reset_hint: p.hint,
        timestamp: p.t,
        custom_values: p.custom.clone(),
    }
}

/// The same message with a start timestamp: the fields have the same numbers in both versions.
fn histogram_v2(p: &Parts) -> v2::Histogram {
    let mut h = v2::Histogram::decode(&histogram_v1(p).encode_to_vec()[..]).unwrap();
    h.start_timestamp = p.start;
    h
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn check_histogram(read: &WireHistogram, p: &Parts, start: i64) {
    let spans = |spans: &[(i32, u32)]| -> Vec<Span> {
        spans.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect()
    };
    assert_eq!((read.t, read.start_t), (p.t, start));
    match (&read.histogram, p.count) {
        (Histogram::Float(h), Some(Err(count))) => {
            assert_eq!(h.count.to_bits(), count.to_bits());
            assert_eq!(h.sum.to_bits(), p.sum.to_bits());
            assert_eq!(h.zero_count.to_bits(), p.zero.map_or(0.0, |z| z.err().unwrap_or(0.0)).to_bits());
            assert_eq!(
                (bits(&h.negative_buckets), bits(&h.positive_buckets)),
                (bits(&p.counts.0), bits(&p.counts.1))
            );
            assert_eq!((&h.negative_spans, &h.positive_spans), (&spans(&p.negative), &spans(&p.positive)));
            assert_eq!(bits(&h.custom_values), bits(&p.custom));
            assert_eq!((h.schema, h.zero_threshold.to_bits()), (p.schema, p.threshold.to_bits()));
            assert_eq!(h.counter_reset_hint, CounterResetHint::from_wire(p.hint as u64));
        }
        (Histogram::Int(h), count) => {
            assert_eq!(h.count, count.map_or(0, |c| c.unwrap()));
            assert_eq!(h.sum.to_bits(), p.sum.to_bits());
            assert_eq!(h.zero_count, p.zero.map_or(0, |z| z.unwrap_or(0)));
            assert_eq!((&h.negative_deltas, &h.positive_deltas), (&p.deltas.0, &p.deltas.1));
            assert_eq!((&h.negative_spans, &h.positive_spans), (&spans(&p.negative), &spans(&p.positive)));
            assert_eq!(bits(&h.custom_values), bits(&p.custom));
            assert_eq!((h.schema, h.zero_threshold.to_bits()), (p.schema, p.threshold.to_bits()));
            assert_eq!(h.counter_reset_hint, CounterResetHint::from_wire(p.hint as u64));
        }
        (Histogram::Float(_), _) => panic!("a float histogram without a float count"),
    }
}

type RandomV1 = (Vec<(String, String)>, Vec<(f64, i64)>, Vec<(Vec<(String, String)>, f64, i64)>, Vec<Parts>);

fn series_v1() -> impl Strategy<Value = RandomV1> {
    let labels = || proptest::collection::vec((text(), text()), 0..5);
    (
        labels(),
        proptest::collection::vec((number(), time()), 0..5),
        proptest::collection::vec((labels(), number(), time()), 0..3),
        proptest::collection::vec(parts(), 0..3),
    )
}

fn labels_v1(pairs: &[(String, String)]) -> Vec<v1::Label> {
    pairs.iter().map(|(name, value)| v1::Label { name: name.clone(), value: value.clone() }).collect()
}

fn read_labels(pairs: LabelPairs<'_>) -> Vec<(String, String)> {
    pairs
        .map(|pair| {
            let (name, value) = pair.unwrap();
            (String::from_utf8(name.to_vec()).unwrap(), String::from_utf8(value.to_vec()).unwrap())
        })
        .collect()
}

/// Whatever generated code accepts, the walker accepts, with as many series and samples; the walker alone
/// leaves texts unchecked, and what lies inside labels and other parts until they are read.
fn agree(version: WriteVersion, data: &[u8]) {
    let mut walk = Walk::default();
    let walked = walk.read(version, data);
    let counted = match version {
        WriteVersion::V1 => v1::WriteRequest::decode(data)
            .map(|r| (r.timeseries.len(), r.timeseries.iter().map(|s| s.samples.len()).sum::<usize>())),
        WriteVersion::V2 => v2::Request::decode(data)
            .map(|r| (r.timeseries.len(), r.timeseries.iter().map(|s| s.samples.len()).sum::<usize>())),
    };
    if let Ok(counted) = counted {
        assert_eq!(walked, Ok(()));
        assert_eq!((walk.series.len(), walk.values.len()), counted);
    }
}

proptest! {
    #[test]
    fn the_walker_reads_1_0_as_generated_code_does(
        random in proptest::collection::vec(series_v1(), 0..5),
        metadata in proptest::collection::vec((0..9i32, text(), text(), text()), 0..3),
    ) {
        let message = v1::WriteRequest {
            timeseries: random.iter().map(|(labels, samples, exemplars, histograms)| v1::TimeSeries {
                labels: labels_v1(labels),
                samples: samples.iter().map(|(value, t)| v1::Sample { value: *value, timestamp: *t }).collect(),
                exemplars: exemplars.iter().map(|(labels, value, t)| v1::Exemplar {
                    labels: labels_v1(labels), value: *value, timestamp: *t,
                }).collect(),
                histograms: histograms.iter().map(histogram_v1).collect(),
            }).collect(),
            metadata: metadata.iter().map(|(r#type, name, help, unit)| v1::MetricMetadata {
                r#type: *r#type, metric_family_name: name.clone(), help: help.clone(), unit: unit.clone(),
            }).collect(),
        };
        let body = message.encode_to_vec();
        let mut walk = Walk::default();
        walk.read(WriteVersion::V1, &body).unwrap();
        prop_assert_eq!(walk.series.len(), random.len());
        for (series, (labels, samples, exemplars, histograms)) in walk.series.iter().zip(&random) {
            prop_assert!(!series.scattered);
            prop_assert_eq!(&read_labels(label_pairs(series.label_bytes(&body))), labels);
            let floats: Vec<(u64, i64)> = series.floats.range()
                .map(|i| (walk.values[i].to_bits(), walk.timestamps[i])).collect();
            prop_assert_eq!(floats, samples.iter().map(|(v, t)| (v.to_bits(), *t)).collect::<Vec<_>>());
            prop_assert_eq!(series.histograms.len(), histograms.len());
            for (i, parts) in series.histograms.range().zip(histograms) {
                check_histogram(&decode_histogram(walk.histograms[i].of(&body)).unwrap(), parts, 0);
            }
            prop_assert_eq!(series.exemplars.len(), exemplars.len());
            for (i, (labels, value, t)) in series.exemplars.range().zip(exemplars) {
                let read = decode_exemplar_v1(walk.exemplars[i].of(&body)).unwrap();
                prop_assert_eq!((read.value.to_bits(), read.t), (value.to_bits(), *t));
                prop_assert_eq!(&read_labels(read.labels), labels);
            }
        }
        prop_assert_eq!(walk.metadata.len(), metadata.len());
        for (span, (number, name, help, unit)) in walk.metadata.iter().zip(&metadata) {
            let read = decode_metadata_v1(span.of(&body)).unwrap();
            prop_assert_eq!(read, MetadataV1 {
                metric_type: *number as u32, family: name.as_bytes(), help: help.as_bytes(), unit: unit.as_bytes(),
            });
        }
        prop_assert!(walk.start_timestamps.is_empty());
    }

    #[test]
    fn the_walker_reads_2_0_as_generated_code_does(
        symbols in proptest::collection::vec(text(), 0..6),
        random in proptest::collection::vec((
            proptest::collection::vec(any::<u32>(), 0..6),
            proptest::collection::vec((number(), time(), time()), 0..5),
            proptest::collection::vec(parts(), 0..3),
            proptest::collection::vec((proptest::collection::vec(any::<u32>(), 0..6), number(), time()), 0..3),
            proptest::option::of((0..9i32, any::<u32>(), any::<u32>())),
            prop_oneof![Just(0i64), any::<i64>()],
        ), 0..5),
    ) {
        let message = v2::Request {
            symbols: symbols.clone(),
            timeseries: random.iter().map(|(refs, samples, histograms, exemplars, metadata, created)| v2::TimeSeries {
                labels_refs: refs.clone(),
                samples: samples.iter().map(|(value, t, start)| v2::Sample {
                    value: *value, timestamp: *t, start_timestamp: *start,
                }).collect(),
                histograms: histograms.iter().map(histogram_v2).collect(),
                exemplars: exemplars.iter().map(|(refs, value, t)| v2::Exemplar {
                    labels_refs: refs.clone(), value: *value, timestamp: *t,
                }).collect(),
                metadata: metadata.map(|(r#type, help_ref, unit_ref)| v2::Metadata { r#type, help_ref, unit_ref }),
                created_timestamp: *created,
            }).collect(),
        };
        let body = message.encode_to_vec();
        let mut walk = Walk::default();
        walk.read(WriteVersion::V2, &body).unwrap();
        prop_assert_eq!(walk.symbols.iter().map(|s| s.of(&body)).collect::<Vec<_>>(),
            symbols.iter().map(|s| s.as_bytes()).collect::<Vec<_>>());
        prop_assert_eq!(walk.series.len(), random.len());
        for (series, (refs, samples, histograms, exemplars, metadata, created)) in walk.series.iter().zip(&random) {
            prop_assert_eq!(series.label_refs(&walk.refs), &refs[..]);
            let floats: Vec<(u64, i64, i64)> = series.floats.range().map(|i| {
                (walk.values[i].to_bits(), walk.timestamps[i], walk.start_timestamps.get(i).copied().unwrap_or(0))
            }).collect();
            prop_assert_eq!(floats, samples.iter().map(|(v, t, start)| {
                (v.to_bits(), *t, if *start == 0 { *created } else { *start })
            }).collect::<Vec<_>>());
            prop_assert_eq!(series.created, *created);
            prop_assert_eq!(series.histograms.len(), histograms.len());
            for (i, parts) in series.histograms.range().zip(histograms) {
                check_histogram(&decode_histogram(walk.histograms[i].of(&body)).unwrap(), parts, parts.start);
            }
            prop_assert_eq!(series.exemplars.len(), exemplars.len());
            for (i, (refs, value, t)) in series.exemplars.range().zip(exemplars) {
                let read = decode_exemplar_v2(walk.exemplars[i].of(&body)).unwrap();
                prop_assert_eq!((read.refs, read.value.to_bits(), read.t), (refs.clone(), value.to_bits(), *t));
            }
            let (number, help, unit) = metadata.unwrap_or_default();
            prop_assert_eq!(series.metadata, MetadataRefs { metric_type: number as u32, help, unit });
        }
        if !walk.start_timestamps.is_empty() {
            prop_assert_eq!(walk.start_timestamps.len(), walk.timestamps.len());
        }
    }

    #[test]
    fn random_and_mutated_bytes_never_panic_and_are_taken_when_generated_code_takes_them(
        data in proptest::collection::vec(any::<u8>(), 0..300),
        random in proptest::collection::vec(series_v1(), 1..4),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        fuzz_remote_write(&data);
        let mut bodies = [EncodeV1::default().finish(), EncodeV2::default().finish()];
        for (i, (_, samples, _, _)) in random.iter().enumerate() {
            let labels = Labels::new([("__name__", "m"), ("i", i.to_string().as_str())]).unwrap();
            let samples: Vec<_> = samples.iter().map(|(v, t)| (*t, *v, *t)).collect();
            bodies[0].extend(EncodeV1::default().series(SeriesToWrite::floats(&labels, &samples)).finish());
            bodies[1].extend(EncodeV2::default().series(SeriesToWrite::floats(&labels, &samples)).finish());
        }
        for body in &mut bodies {
            for (at, byte) in &flips {
                if !body.is_empty() {
                    let at = at.index(body.len());
                    body[at] = *byte;
                }
            }
            body.truncate(cut.index(body.len() + 1).max(body.len() / 2));
            fuzz_remote_write(body);
            agree(WriteVersion::V1, body);
            agree(WriteVersion::V2, body);
        }
        agree(WriteVersion::V1, &data);
        agree(WriteVersion::V2, &data);
    }
}

#[test]
fn encoders_write_what_generated_code_reads() {
    let labels = Labels::new([("__name__", "up"), ("job", "x")]).unwrap();
    let metadata =
        model::Metadata { metric_type: model::MetricType::Gauge, help: "h".into(), unit: String::new() };
    let exemplar = model::Exemplar { labels: Labels::new([("trace_id", "1")]).unwrap(), value: 3.0, t: 9 };
    let histogram = Histogram::Int(Box::new(model::IntHistogram {
        counter_reset_hint: CounterResetHint::Gauge,
        schema: -4,
        zero_threshold: 0.5,
        zero_count: 0,
        count: 3,
        sum: 4.0,
        positive_spans: vec![Span { offset: -3, length: 2 }],
        negative_spans: vec![],
        positive_deltas: vec![2, -1],
        negative_deltas: vec![],
        custom_values: vec![].into(),
    }));
    let histograms = [WireHistogram { t: 7, start_t: 5, histogram }];
    let series = SeriesToWrite {
        labels: &labels,
        samples: &[(1, model::stale_nan(), 0), (2, -0.0, 1)],
        histograms: &histograms,
        exemplars: std::slice::from_ref(&exemplar),
        metadata: Some(&metadata),
    };
    let body = EncodeV1::default().series(series).metadata("up", &metadata).finish();
    let message = v1::WriteRequest::decode(&body[..]).unwrap();
    assert_eq!(message.timeseries[0].samples[1].value.to_bits(), (-0.0f64).to_bits());
    assert_eq!(message.timeseries[0].samples[0].value.to_bits(), model::STALE_NAN_BITS);
    assert_eq!(message.metadata[0].metric_family_name, "up");
    let body = EncodeV2::default().series(series).finish();
    let message = v2::Request::decode(&body[..]).unwrap();
    assert_eq!(message.symbols, ["", "__name__", "up", "job", "x", "trace_id", "1", "h"]);
    assert_eq!(message.timeseries[0].histograms[0].start_timestamp, 5);
    assert_eq!(
        decode_histogram(&message.timeseries[0].histograms[0].encode_to_vec()).unwrap(),
        histograms[0]
    );
    assert_eq!(message.timeseries[0].metadata.unwrap().help_ref, 7);
}

#[test]
fn packed_and_unpacked_references_and_labels_between_samples_are_taken() {
    use crate::wire::{put_bytes, put_number};
    let mut series = Vec::new();
    put_number(&mut series, 1, 300);
    put_bytes(&mut series, 1, &[1, 2]);
    put_bytes(&mut series, 2, &[]);
    put_number(&mut series, 1, 4);
    let mut body = Vec::new();
    put_bytes(&mut body, 5, &series);
    put_bytes(&mut body, 4, b"");
    let mut walk = Walk::default();
    walk.read(WriteVersion::V2, &body).unwrap();
    assert_eq!(walk.series[0].label_refs(&walk.refs), [300, 1, 2, 4]);
    assert_eq!((walk.timestamps.len(), walk.symbols.len()), (1, 1));

    let mut series = Vec::new();
    put_bytes(&mut series, 1, b"\x0a\x01a\x12\x01b");
    put_bytes(&mut series, 2, &[]);
    put_bytes(&mut series, 1, b"\x0a\x01c\x12\x01d");
    let mut body = Vec::new();
    put_bytes(&mut body, 1, &series);
    walk.read(WriteVersion::V1, &body).unwrap();
    assert!(walk.series[0].scattered);
    let pairs = read_labels(label_pairs(walk.series[0].label_bytes(&body)));
    assert_eq!(pairs, [("a".to_owned(), "b".to_owned()), ("c".to_owned(), "d".to_owned())]);
}

#[test]
fn a_body_of_empty_messages_is_refused_before_it_grows() {
    let body: Vec<u8> = std::iter::repeat_n([0x0a, 0x00], 3 << 20).flatten().collect();
    let refused = Walk::default().read(WriteVersion::V1, &body);
    assert!(matches!(refused, Err(crate::WireError::TooMany(_))));
    let nested: Vec<u8> = std::iter::repeat_n(0x7b, 1000).collect();
    assert!(Walk::default().read(WriteVersion::V1, &nested).is_err());
}

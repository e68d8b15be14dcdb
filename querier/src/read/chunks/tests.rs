//! Chunks read back by a decoder that shares nothing with the writer.

use std::sync::Arc;

use model::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, HistogramPoint, Span, stale_nan};
use proptest::prelude::*;
use proto::prometheus::Chunk;

use super::encode;

/// Bits as a text of zeros and ones, read from the left.
struct Text {
    bits: Vec<u8>,
    at: usize,
}

impl Text {
    fn of(bytes: &[u8]) -> Self {
        let bits = bytes.iter().flat_map(|b| (0..8).rev().map(move |i| b >> i & 1)).collect();
        Text { bits, at: 0 }
    }

    fn take(&mut self, count: usize) -> u64 {
        let taken = &self.bits[self.at..self.at + count];
        self.at += count;
        taken.iter().fold(0, |all, bit| all << 1 | u64::from(*bit))
    }

    fn double(&mut self) -> f64 {
        f64::from_bits(self.take(64))
    }

    /// How many ones there are before a zero, at most `most`.
    fn ones(&mut self, most: usize) -> usize {
        let mut count = 0;
        while count < most && self.take(1) == 1 {
            count += 1;
        }
        count
    }

    /// A number of `bits` where the largest stands for itself, what is above it is negative.
    fn signed(&mut self, bits: usize) -> i64 {
        let raw = self.take(bits);
        if bits == 64 || raw <= 1 << (bits - 1) { raw as i64 } else { raw as i64 - (1 << bits) }
    }

    fn int(&mut self) -> i64 {
        match self.ones(8) {
            0 => 0,
            n => self.signed([3, 6, 9, 12, 18, 25, 56, 64][n - 1]),
        }
    }

    fn uint(&mut self) -> u64 {
        match self.ones(8) {
            0 => 0,
            n => self.take([3, 6, 9, 12, 18, 25, 56, 64][n - 1]),
        }
    }

    fn varint(&mut self) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.take(8);
            value |= (byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }

    fn next_float(&mut self, before: f64, window: &mut (u64, u64)) -> f64 {
        if self.take(1) == 0 {
            return before;
        }
        if self.take(1) == 1 {
            let leading = self.take(5);
            let length = match self.take(6) {
                0 => 64,
                n => n,
            };
            *window = (leading, 64 - leading - length);
        }
        let changed = self.take((64 - window.0 - window.1) as usize) << window.1;
        f64::from_bits(before.to_bits() ^ changed)
    }

    fn spans(&mut self) -> Vec<Span> {
        (0..self.uint())
            .map(|_| {
                let length = self.uint() as u32;
                Span { length, offset: self.int() as i32 }
            })
            .collect()
    }
}

fn floats(chunk: &Chunk) -> Vec<(i64, f64)> {
    let mut text = Text::of(&chunk.data);
    let count = text.take(16);
    let (mut t, mut v, mut delta, mut window) = (0_i64, 0.0, 0_i64, (0, 0));
    (0..count)
        .map(|i| {
            match i {
                0 => {
                    let raw = text.varint();
                    t = (raw >> 1) as i64 ^ -((raw & 1) as i64);
                    v = text.double();
                }
                n => {
                    if n == 1 {
                        delta = text.varint() as i64;
                    } else {
                        let change = match text.ones(4) {
                            0 => 0,
                            n => text.signed([14, 17, 20, 64][n - 1]),
                        };
                        delta = delta.wrapping_add(change);
                    }
                    t = t.wrapping_add(delta);
                    v = text.next_float(v, &mut window);
                }
            }
            (t, v)
        })
        .collect()
}

/// Hints as a reader gives them.
fn histograms(chunk: &Chunk) -> Vec<(i64, FloatHistogram)> {
    let mut text = Text::of(&chunk.data);
    let count = text.take(16);
    let flags = text.take(8);
    let zero_threshold = match text.take(8) {
        0 => 0.0,
        255 => text.double(),
        n => 2f64.powi(n as i32 - 244),
    };
    let schema = text.int() as i32;
    let (positive_spans, negative_spans) = (text.spans(), text.spans());
    let mut custom = Vec::new();
    if schema == CUSTOM_BUCKETS_SCHEMA {
        for _ in 0..text.uint() {
            let raw = text.uint();
            custom.push(if raw == 0 { text.double() } else { (raw - 1) as f64 / 1000.0 });
        }
    }
    let size = |spans: &[Span]| spans.iter().map(|s| s.length as usize).sum::<usize>();
    let (positives, negatives) = (size(&positive_spans), size(&negative_spans));
    let whole = chunk.r#type == 2;
    let mut t = text.int();
    // count, zero count, sum, then the buckets
    let numbers = 3 + positives + negatives;
    let mut values: Vec<f64> = vec![0.0; numbers];
    let mut ints: Vec<i64> = vec![0; numbers];
    let mut deltas: Vec<i64> = vec![0; numbers];
    let mut windows = vec![(0, 0); numbers];
    let mut t_delta = 0_i64;
    let mut out = Vec::new();
    for i in 0..count {
        if i > 0 {
            t_delta = t_delta.wrapping_add(text.int());
            t = t.wrapping_add(t_delta);
        }
        for n in 0..numbers {
            match (i, whole && n != 2) {
                (0, false) => values[n] = text.double(),
                (_, false) => values[n] = text.next_float(values[n], &mut windows[n]),
                (0, true) => ints[n] = if n < 2 { text.uint() as i64 } else { text.int() },
                (_, true) => {
                    deltas[n] += text.int();
                    ints[n] += deltas[n];
                }
            }
        }
        let buckets = |from: usize, count: usize| -> Vec<f64> {
            let mut sum = 0;
            (from..from + count)
                .map(|n| {
                    sum += ints[n];
                    if whole { sum as f64 } else { values[n] }
                })
                .collect()
        };
        let number = |n: usize| if whole { ints[n] as f64 } else { values[n] };
        let counter_reset_hint = match (flags, i) {
            (0b1100_0000, _) => CounterResetHint::Gauge,
            (0b0100_0000, _) => CounterResetHint::NotReset,
            (_, i) if i > 0 => CounterResetHint::NotReset,
            (0b1000_0000, _) => CounterResetHint::Reset,
            _ => CounterResetHint::Unknown,
        };
        out.push((
            t,
            FloatHistogram {
                counter_reset_hint,
                schema,
                zero_threshold,
                count: number(0),
                zero_count: number(1),
                sum: values[2],
                positive_buckets: buckets(3, positives),
                negative_buckets: buckets(3 + positives, negatives),
                positive_spans: positive_spans.clone(),
                negative_spans: negative_spans.clone(),
                custom_values: Arc::from(custom.clone()),
            },
        ));
    }
    out
}

/// Checks the ends that chunks tell, and that they ascend.
fn check_ends(chunks: &[Chunk], times: &[Vec<i64>]) {
    for (chunk, times) in chunks.iter().zip(times) {
        assert_eq!((chunk.min_time_ms, chunk.max_time_ms), (times[0], *times.last().unwrap()));
        assert!(times.len() <= 120);
    }
    assert!(chunks.windows(2).all(|two| two[0].max_time_ms < two[1].min_time_ms));
}

fn times() -> impl Strategy<Value = Vec<i64>> {
    let step = prop_oneof![
        8 => Just(15_000_i64),
        4 => 14_990..15_010_i64,
        2 => 1..1_000_000_i64,
        1 => (1_i64 << 40)..(1 << 50),
    ];
    (any::<i32>(), prop::collection::vec(step, 0..300)).prop_map(|(first, steps)| {
        let mut t = i64::from(first);
        steps
            .into_iter()
            .map(|step| {
                t += step;
                t
            })
            .collect()
    })
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (0..1000u32).prop_map(f64::from),
        4 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(stale_nan()),
        1 => Just(1.5),
    ]
}

prop_compose! {
    fn layouts()(
        schema in prop_oneof![-4..9i32, Just(CUSTOM_BUCKETS_SCHEMA)],
        zero_threshold in prop_oneof![
            Just(0.0), Just(1e-128), (-260..20i32).prop_map(|e| 2f64.powi(e)), 0.0..3.0f64
        ],
        spans in prop::collection::vec((-100_000..100_000i32, 0..4u32), 0..4),
        negative in prop::collection::vec((0..10i32, 0..3u32), 0..2),
        bounds in prop::collection::vec(
            prop_oneof![0.0..40_000.0f64, any::<f64>(), (0..40_000_000u32).prop_map(|n| f64::from(n) / 1000.0)],
            0..5,
        ),
    ) -> FloatHistogram {
        let of = |all: Vec<(i32, u32)>| -> Vec<Span> {
            all.into_iter().map(|(offset, length)| Span { offset, length }).collect()
        };
        FloatHistogram {
            counter_reset_hint: CounterResetHint::Unknown,
            schema,
            zero_threshold,
            zero_count: 0.0,
            count: 0.0,
            sum: 0.0,
            positive_spans: of(spans),
            negative_spans: of(negative),
            positive_buckets: vec![],
            negative_buckets: vec![],
            custom_values: Arc::from(if schema == CUSTOM_BUCKETS_SCHEMA { bounds } else { vec![] }),
        }
    }
}

fn points(whole: bool) -> impl Strategy<Value = Vec<HistogramPoint>> {
    let number = move || {
        prop_oneof![
            4 => (0..100u32).prop_map(f64::from),
            1 => (0..(1u64 << 53)).prop_map(|n| n as f64),
            1 => (0.0..1e9f64).prop_map(move |v| if whole { v.trunc() } else { v }),
        ]
    };
    let hint = prop_oneof![
        1 => Just(CounterResetHint::Unknown), 6 => Just(CounterResetHint::NotReset),
        1 => Just(CounterResetHint::Reset), 2 => Just(CounterResetHint::Gauge),
    ];
    let one = (any::<prop::sample::Index>(), hint, prop::collection::vec(number(), 30), value());
    (prop::collection::vec(layouts(), 1..3), times(), prop::collection::vec(one, 0..200)).prop_map(
        |(layouts, times, ones)| {
            times
                .into_iter()
                .zip(ones)
                .enumerate()
                .map(|(i, (t, (layout, hint, numbers, sum)))| {
                    // layouts stay for a while
                    let layout = &layouts[if i % 7 == 0 { layout.index(layouts.len()) } else { 0 }];
                    let size = |spans: &[Span]| spans.iter().map(|s| s.length as usize).sum::<usize>();
                    let (p, n) = (size(&layout.positive_spans), size(&layout.negative_spans));
                    let h = FloatHistogram {
                        counter_reset_hint: hint,
                        count: numbers[0],
                        zero_count: numbers[1],
                        sum,
                        positive_buckets: numbers[2..2 + p].to_vec(),
                        negative_buckets: numbers[14..14 + n].to_vec(),
                        ..layout.clone()
                    };
                    HistogramPoint { t, h: Arc::new(h), start_t: 0 }
                })
                .collect()
        },
    )
}

/// Equal to the bit; a staleness marker has its sum alone.
fn same(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    if b.is_stale() {
        return a.is_stale() && a.positive_buckets.is_empty() && a.count == 0.0;
    }
    let unsummed =
        |h: &FloatHistogram| FloatHistogram { sum: 0.0, custom_values: Arc::from([]), ..h.clone() };
    let bits = |h: &FloatHistogram| h.custom_values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    unsummed(a) == unsummed(b) && a.sum.to_bits() == b.sum.to_bits() && bits(a) == bits(b)
}

proptest! {
    #[test]
    fn floats_read_back(ts in times(), values in prop::collection::vec(value(), 300)) {
        let values = &values[..ts.len()];
        let chunks = encode(&ts, values, &[]);
        let read: Vec<Vec<(i64, f64)>> = chunks.iter().map(floats).collect();
        check_ends(&chunks, &read.iter().map(|c| c.iter().map(|p| p.0).collect()).collect::<Vec<_>>());
        let read: Vec<(i64, u64)> = read.into_iter().flatten().map(|(t, v)| (t, v.to_bits())).collect();
        let written: Vec<(i64, u64)> = ts.iter().zip(values).map(|(t, v)| (*t, v.to_bits())).collect();
        prop_assert_eq!(read, written);
    }

    #[test]
    fn histograms_read_back(points in prop_oneof![points(true), points(false)]) {
        let chunks = encode(&[], &[], &points);
        let read: Vec<Vec<(i64, FloatHistogram)>> = chunks.iter().map(histograms).collect();
        check_ends(&chunks, &read.iter().map(|c| c.iter().map(|p| p.0).collect()).collect::<Vec<_>>());
        let read: Vec<(i64, FloatHistogram)> = read.into_iter().flatten().collect();
        prop_assert_eq!(read.len(), points.len());
        for ((t, h), point) in read.iter().zip(&points) {
            prop_assert_eq!(*t, point.t);
            prop_assert!(same(h, &point.h), "{:?}\n{:?}", h, point.h);
        }
    }

    #[test]
    fn both_kinds_follow_each_other_in_time(ts in times(), points in points(true)) {
        let values = vec![1.0; ts.len()];
        let chunks = encode(&ts, &values, &points);
        let read = chunks.iter().map(|c| match c.r#type {
            1 => floats(c).into_iter().map(|p| p.0).collect::<Vec<i64>>(),
            _ => histograms(c).into_iter().map(|p| p.0).collect(),
        });
        let read: Vec<Vec<i64>> = read.collect();
        check_ends(&chunks, &read);
        let mut all: Vec<i64> = ts.iter().copied().chain(points.iter().map(|p| p.t)).collect();
        all.sort_unstable();
        all.dedup();
        prop_assert_eq!(read.concat(), all);
    }
}

#[test]
fn a_float_chunk_is_as_others_write_it() {
    // two samples a minute apart: header, zigzag varint, value, varint, one bit for no change
    let chunks = encode(&[1000, 61_000], &[1.0, 1.0], &[]);
    assert_eq!(chunks[0].data, [0, 2, 0xd0, 0x0f, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0xe0, 0xd4, 0x03, 0]);
    // a third, 100 ms late: after that bit `10`, 14 bits of change, and no change of the value
    let chunks = encode(&[1000, 61_000, 121_100], &[1.0, 1.0, 1.0], &[]);
    assert_eq!(chunks[0].data[15..], [0b0100_0000, 0b0011_0010, 0]);
}

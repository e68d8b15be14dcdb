//! Histograms and their states as bytes: the wire form of `proto`, with what is added to it here.

pub(crate) use proto::histogram_wire::{Cursor, Malformed, get_histogram, put_histogram};
pub(super) use proto::histogram_wire::{get_floats, put_count, put_f64, put_floats};

/// For fuzzing: bytes of outside never do harm.
pub fn fuzz_histogram_wire(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    if let Ok(histogram) = get_histogram(&mut cursor) {
        let mut out = Vec::new();
        put_histogram(&histogram, &mut out);
        assert_eq!(
            get_histogram(&mut Cursor::new(&out)).map(|h| h.sum.to_bits()),
            Ok(histogram.sum.to_bits())
        );
    }
    let _ = super::MeanState::get(&mut Cursor::new(data));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{CounterResetHint, FloatHistogram, Span};
    use proptest::prelude::*;

    use super::*;
    use crate::histogram::MeanState;

    fn histogram() -> impl Strategy<Value = FloatHistogram> {
        let side = || proptest::collection::vec((-3i32..9, 0.0..1e6f64), 0..6);
        (any::<f64>(), any::<f64>(), -4i32..9, side(), side(), 0u64..4).prop_map(
            |(count, sum, schema, positive, negative, hint)| {
                let spans =
                    |side: &[(i32, f64)]| side.iter().map(|(o, _)| Span { offset: *o, length: 1 }).collect();
                FloatHistogram {
                    counter_reset_hint: CounterResetHint::from_wire(hint),
                    schema,
                    zero_threshold: 1e-128,
                    zero_count: 3.0,
                    count,
                    sum,
                    positive_spans: spans(&positive),
                    negative_spans: spans(&negative),
                    positive_buckets: positive.iter().map(|(_, v)| *v).collect(),
                    negative_buckets: negative.iter().map(|(_, v)| *v).collect(),
                    custom_values: Arc::from([]),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(h in histogram(), is_mean in any::<bool>(), cut in 0usize..400) {
            let mut bytes = Vec::new();
            put_histogram(&h, &mut bytes);
            let mut cursor = Cursor::new(&bytes);
            let read = get_histogram(&mut cursor).unwrap();
            prop_assert!(cursor.is_empty());
            prop_assert_eq!(format!("{h:?}"), format!("{read:?}"));
            let mut state = Vec::new();
            MeanState::new(&h, is_mean).put(&mut state);
            let mut cursor = Cursor::new(&state);
            let mean = MeanState::get(&mut cursor).unwrap();
            prop_assert!(cursor.is_empty());
            prop_assert_eq!(format!("{:?}", MeanState::new(&h, is_mean)), format!("{mean:?}"));
            if cut < state.len() {
                prop_assert!(MeanState::get(&mut Cursor::new(&state[..cut])).is_err());
            }
        }

        #[test]
        fn garbage_is_refused_or_read(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            fuzz_histogram_wire(&data);
        }
    }
}

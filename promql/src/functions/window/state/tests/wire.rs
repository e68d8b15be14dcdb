//! States as bytes: there and back, and any bytes.

use proptest::prelude::*;

use super::super::*;
use super::samples::{Samples, samples};
use super::{MERGEABLE, algebra, check, edges};

fn encoded(state: &WindowState) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    bytes
}

proptest! {
    #[test]
    fn what_is_written_is_read_and_goes_on_as_before(
        samples in samples(),
        cut in 0i64..100_000,
    ) {
        let edges = edges(&samples, 20, 20, 0);
        let cut = 1000 + cut % (samples.end() - 998);
        for function in MERGEABLE {
            let family = algebra(function);
            let (a, b) = (samples.between(i64::MIN, cut), samples.between(cut, i64::MAX));
            let sent = |run: &Run<'_>| {
                WindowState::of(family, run).map(|state| {
                    let mut bytes = encoded(&state);
                    let length = bytes.len();
                    bytes.extend_from_slice(b"next");
                    let mut rest = &bytes[..];
                    let read = WindowState::decode(family, &mut rest).unwrap();
                    assert_eq!(rest, b"next");
                    assert_eq!(encoded(&read), bytes[..length]);
                    for short in 0..length {
                        assert!(WindowState::decode(family, &mut &bytes[..short]).is_err());
                    }
                    read
                })
            };
            let state = WindowState::merge_any(sent(&a), sent(&b));
            check(function, &samples.run(), &edges, state.as_ref())?;
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz_window_state(&bytes);
    }

    #[test]
    fn damaged_states_are_read_without_harm(
        samples in samples(),
        family in 0usize..24,
        damage in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6),
    ) {
        let state = WindowState::of(algebra(MERGEABLE[family]), &samples.run()).unwrap();
        let mut bytes = encoded(&state);
        for (at, with) in damage {
            let at = usize::from(at) % bytes.len();
            bytes[at] = with;
        }
        fuzz_window_state(&bytes);
        bytes.extend_from_slice(&bytes.clone());
        fuzz_window_state(&bytes);
    }
}

#[test]
fn small_states_are_small_on_the_wire() {
    let samples = Samples {
        ts: (0..20).map(|i| 1_700_000_000_000 + 15_000 * i).collect(),
        vs: (0..20).map(|i| f64::from(i) * 3.0).collect(),
        ..Samples::default()
    };
    let size = |function: WindowFunction| {
        encoded(&WindowState::of(algebra(function), &samples.run()).unwrap()).len()
    };
    assert!(size(WindowFunction::Count) <= 2);
    assert!(size(WindowFunction::Sum) <= 8);
    assert!(size(WindowFunction::Rate) <= 20);
}

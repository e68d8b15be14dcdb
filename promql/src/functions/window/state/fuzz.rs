//! The harness that reads states from any bytes: as a fuzz target and as a property test.

use super::{Edges, Family, WindowFunction, WindowState};
use crate::ast::PosRange;
use crate::functions::window::Notes;

/// One function of each family.
const FUNCTIONS: [(Family, WindowFunction); 16] = [
    (Family::Counter, WindowFunction::Rate),
    (Family::Delta, WindowFunction::Delta),
    (Family::LastTwo, WindowFunction::Irate),
    (Family::Changes, WindowFunction::Changes),
    (Family::Resets, WindowFunction::Resets),
    (Family::Trend, WindowFunction::PredictLinear),
    (Family::Sum, WindowFunction::Sum),
    (Family::Avg, WindowFunction::Avg),
    (Family::Count, WindowFunction::Count),
    (Family::First, WindowFunction::First),
    (Family::Last, WindowFunction::Last),
    (Family::Variance, WindowFunction::Stddev),
    (Family::FirstMin, WindowFunction::Min),
    (Family::FirstMax, WindowFunction::Max),
    (Family::LastMin, WindowFunction::TsOfMin),
    (Family::LastMax, WindowFunction::TsOfMax),
];

/// Reads one state after another from any bytes; those of a family merge, finish and are written again. Never panics.
pub fn fuzz_window_state(data: &[u8]) {
    for (family, function) in FUNCTIONS {
        let mut rest = data;
        let mut all: Option<WindowState> = None;
        while let Ok(state) = WindowState::decode(family, &mut rest) {
            let mut bytes = Vec::new();
            state.encode(&mut bytes);
            let again = WindowState::decode(family, &mut &bytes[..]);
            assert!(again.is_ok(), "what was read and written is read again");
            all = WindowState::merge_any(all, Some(state));
        }
        if let Some(state) = all {
            let edges = Edges { start: 0, end: 60_000, eval_t: 60_000, params: [60.0, 0.0] };
            let mut notes = Notes { metric: "m", pos: PosRange::default(), noted: Vec::new() };
            let _ = state.finish(function, &edges, &mut notes);
            state.encode(&mut Vec::new());
        }
    }
}

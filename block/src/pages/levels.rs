//! The RLE / bit-packing hybrid: definition levels, and dictionary indexes that come in runs.

use super::bits::{get_varint, put_varint};
use super::{PAGE_VALUES_MAX, PageError};

/// A run of rows that have a value, or have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) present: bool,
    pub(crate) rows: usize,
}

/// Adds rows to a list of runs.
pub(crate) fn append_run(runs: &mut Vec<Run>, present: bool, rows: usize) {
    match runs.last_mut() {
        Some(last) if last.present == present => last.rows += rows,
        _ if rows > 0 => runs.push(Run { present, rows }),
        _ => {}
    }
}

/// Definition levels of an optional column, for a data page v2 (no length in front).
///
/// Runs shorter than eight rows are packed: eight rows take one byte.
pub(crate) fn encode_runs(runs: &[Run], out: &mut Vec<u8>) {
    let mut packed: Vec<u8> = Vec::new();
    let mut filled = 0usize;
    for run in runs {
        let mut rows = run.rows;
        // fill the byte that is open before anything else can follow
        while rows > 0 && !filled.is_multiple_of(8) {
            push_bit(&mut packed, &mut filled, run.present);
            rows -= 1;
        }
        if rows >= 8 {
            flush(&mut packed, &mut filled, out);
            put_varint(out, (rows as u64) << 1);
            out.push(u8::from(run.present));
        } else {
            for _ in 0..rows {
                push_bit(&mut packed, &mut filled, run.present);
            }
        }
    }
    flush(&mut packed, &mut filled, out);
}

fn push_bit(packed: &mut Vec<u8>, filled: &mut usize, bit: bool) {
    if filled.is_multiple_of(8) {
        packed.push(0);
    }
    if let Some(last) = packed.last_mut() {
        *last |= u8::from(bit) << (*filled % 8);
    }
    *filled += 1;
}

fn flush(packed: &mut Vec<u8>, filled: &mut usize, out: &mut Vec<u8>) {
    if !packed.is_empty() {
        put_varint(out, ((packed.len() as u64) << 1) | 1);
        out.append(packed);
    }
    *filled = 0;
}

/// Reads definition levels of `rows` rows.
pub(crate) fn decode_runs(bytes: &[u8], rows: usize) -> Result<Vec<Run>, PageError> {
    if rows > PAGE_VALUES_MAX {
        return Err(PageError("a page holds too many rows"));
    }
    let mut runs = Vec::new();
    let mut at = 0;
    let mut left = rows;
    while left > 0 {
        let head = get_varint(bytes, &mut at)?;
        if head & 1 == 0 {
            let n = usize::try_from(head >> 1).unwrap_or(usize::MAX).min(left);
            let level = *bytes.get(at).ok_or(PageError("definition levels are cut short"))?;
            at += 1;
            if level > 1 || n == 0 {
                return Err(PageError("definition levels make no sense"));
            }
            append_run(&mut runs, level == 1, n);
            left -= n;
        } else {
            let groups = usize::try_from(head >> 1).unwrap_or(usize::MAX);
            if groups == 0 {
                return Err(PageError("definition levels make no sense"));
            }
            for _ in 0..groups {
                if left == 0 {
                    break;
                }
                let byte = *bytes.get(at).ok_or(PageError("definition levels are cut short"))?;
                at += 1;
                for bit in 0..8.min(left) {
                    append_run(&mut runs, byte >> bit & 1 == 1, 1);
                }
                left -= 8.min(left);
            }
        }
    }
    Ok(runs)
}

/// Dictionary indexes that come in long runs: (index, rows) pairs after the byte of the width.
pub(crate) fn encode_index_runs(runs: &[(u32, usize)], entries: usize, out: &mut Vec<u8>) {
    let width = usize::BITS - entries.saturating_sub(1).leading_zeros();
    out.push(width as u8);
    let bytes = width.div_ceil(8) as usize;
    for &(index, rows) in runs {
        put_varint(out, (rows as u64) << 1);
        out.extend_from_slice(&index.to_le_bytes()[..bytes]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn levels_read_back(flags in proptest::collection::vec((any::<bool>(), 1usize..40), 0..60)) {
            let mut runs = Vec::new();
            for (present, rows) in flags {
                append_run(&mut runs, present, rows);
            }
            let rows = runs.iter().map(|r| r.rows).sum();
            let mut bytes = Vec::new();
            encode_runs(&runs, &mut bytes);
            prop_assert_eq!(decode_runs(&bytes, rows), Ok(runs));
        }

        #[test]
        fn broken_levels_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), rows in 0usize..10_000) {
            if let Ok(runs) = decode_runs(&bytes, rows) {
                prop_assert_eq!(runs.iter().map(|r| r.rows).sum::<usize>(), rows);
            }
        }
    }
}

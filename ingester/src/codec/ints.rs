//! A column of integers (timestamps) as first value, smallest step and bit-packed rests of the steps.
//!
//! A regular column takes about ten bytes whatever its length.

use super::bits;
use crate::wire::{Reader, put_zigzag};

/// Appends the code of `values`; the count is the caller's to keep.
pub(crate) fn encode_ints(out: &mut Vec<u8>, values: &[i64]) {
    let Some(first) = values.first() else { return };
    put_zigzag(out, *first);
    if values.len() == 1 {
        return;
    }
    let steps = || values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
    let smallest = steps().min().unwrap_or(0);
    let largest = steps().max().unwrap_or(0);
    let width = bits::width_of(largest.wrapping_sub(smallest) as u64);
    put_zigzag(out, smallest);
    out.push(width as u8);
    bits::pack(out, width, steps().map(|step| step.wrapping_sub(smallest) as u64));
}

/// Appends `count` values to `out` and returns the bytes behind the code; `None` when it is damaged.
pub(crate) fn decode_ints<'a>(data: &'a [u8], count: usize, out: &mut Vec<i64>) -> Option<&'a [u8]> {
    let mut reader = Reader::new(data);
    if count == 0 {
        return Some(data);
    }
    let mut value = reader.zigzag().ok()?;
    out.push(value);
    if count == 1 {
        return Some(reader.rest());
    }
    let smallest = reader.zigzag().ok()?;
    let width = u32::from(reader.byte().ok()?);
    if width > 64 {
        return None;
    }
    let rest = reader.rest();
    let length = bits::packed_len(count - 1, width);
    if rest.len() < length {
        return None;
    }
    out.reserve(count);
    bits::unpack(rest, width, count - 1, |v| {
        value = value.wrapping_add(smallest).wrapping_add(v as i64);
        out.push(value);
    });
    Some(&rest[length..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn integers_come_back(values in proptest::collection::vec(any::<i64>(), 0..80), tail in any::<u8>()) {
            let mut out = Vec::new();
            encode_ints(&mut out, &values);
            out.push(tail);
            let mut back = Vec::new();
            let rest = decode_ints(&out, values.len(), &mut back);
            prop_assert_eq!(rest, Some(&[tail][..]));
            prop_assert_eq!(back, values);
        }
    }

    #[test]
    fn a_regular_column_is_small() {
        let values: Vec<i64> = (0..60).map(|i| 1_700_000_000_000 + i * 15_000).collect();
        let mut out = Vec::new();
        encode_ints(&mut out, &values);
        assert!(out.len() <= 12, "{}", out.len());
    }
}

//! BYTE_STREAM_SPLIT of doubles: all first bytes, then all second bytes, and so on.

use std::ops::Range;

use super::PageError;

/// Appends `values`.
pub(crate) fn encode(values: &[f64], out: &mut Vec<u8>) {
    let n = values.len();
    let start = out.len();
    out.resize(start + n * 8, 0);
    let (_, target) = out.split_at_mut(start);
    for (byte, stream) in target.chunks_exact_mut(n.max(1)).enumerate() {
        for (slot, value) in stream.iter_mut().zip(values) {
            *slot = (value.to_bits() >> (8 * byte)) as u8;
        }
    }
}

/// Appends the bits of values `range` of a page of `total` values.
pub(crate) fn decode(
    bytes: &[u8],
    total: usize,
    range: Range<usize>,
    out: &mut Vec<u64>,
) -> Result<(), PageError> {
    if Some(bytes.len()) != total.checked_mul(8) || range.end > total || range.start > range.end {
        return Err(PageError("a byte-split page has another number of values than it says"));
    }
    let start = out.len();
    out.resize(start + range.len(), 0);
    let target = &mut out[start..];
    for byte in 0..8 {
        let stream = &bytes[byte * total + range.start..byte * total + range.end];
        for (slot, part) in target.iter_mut().zip(stream) {
            *slot |= u64::from(*part) << (8 * byte);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_reads_back() {
        let values: Vec<f64> =
            (0..100u64).map(|i| f64::from_bits(i.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        let mut bytes = Vec::new();
        encode(&values, &mut bytes);
        let mut out = Vec::new();
        decode(&bytes, 100, 10..90, &mut out).unwrap();
        assert_eq!(out, values[10..90].iter().map(|v| v.to_bits()).collect::<Vec<_>>());
        assert!(decode(&bytes, 99, 0..1, &mut out).is_err());
        assert!(decode(&bytes, 100, 0..101, &mut out).is_err());
        encode(&[], &mut bytes);
        assert_eq!(bytes.len(), 800);
    }
}

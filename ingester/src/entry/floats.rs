//! Float values of an entry: a four-bit code per sample, then as many bytes as the code says.
//!
//! 0: zero. 1-7: an integer of so many bytes. 8: all eight bytes. 9: staleness marker. 10: the sample
//! before. 11-15: the 2-6 upper bytes, the lower ones are zero.

use model::STALE_NAN_BITS;

use crate::wire::{Malformed, Reader};

const RAW: u8 = 8;
const STALE: u8 = 9;
const SAME: u8 = 10;
/// Codes above this one keep `code - TRIMMED` upper bytes.
const TRIMMED: u8 = 9;

pub(super) fn put_values(out: &mut Vec<u8>, values: &[f64]) {
    let codes = out.len();
    out.resize(codes + values.len().div_ceil(2), 0);
    let mut before = 0;
    for (i, value) in values.iter().enumerate() {
        let bits = value.to_bits();
        let code = if bits == 0 {
            0
        } else if bits == before {
            SAME
        } else if bits == STALE_NAN_BITS {
            STALE
        } else {
            put_value(out, *value)
        };
        before = bits;
        out[codes + i / 2] |= code << (4 * (i & 1));
    }
}

#[inline]
fn put_value(out: &mut Vec<u8>, value: f64) -> u8 {
    let bits = value.to_bits();
    let upper = 8 - bits.trailing_zeros() / 8;
    let whole = value as i64;
    if (whole as f64).to_bits() == bits && whole.unsigned_abs() < 1 << 54 {
        let zigzag = ((whole << 1) ^ (whole >> 63)) as u64;
        let length = 8 - zigzag.leading_zeros() / 8;
        if length <= upper.max(2) {
            out.extend_from_slice(&zigzag.to_le_bytes()[..length as usize]);
            return length as u8;
        }
    }
    if upper <= 6 {
        let upper = upper.max(2);
        out.extend_from_slice(&bits.to_be_bytes()[..upper as usize]);
        return TRIMMED + upper as u8;
    }
    out.extend_from_slice(&bits.to_le_bytes());
    RAW
}

/// Up to seven bytes from the front, lowest first.
#[inline]
fn take(rest: &mut &[u8], length: usize) -> Result<u64, Malformed> {
    if let Some(eight) = rest.get(..8) {
        let all = u64::from_le_bytes(eight.try_into().map_err(|_| Malformed("value"))?);
        *rest = &rest[length..];
        return Ok(all & (u64::MAX >> (64 - 8 * length)));
    }
    let (taken, tail) = rest.split_at_checked(length).ok_or(Malformed("value"))?;
    *rest = tail;
    let mut eight = [0; 8];
    eight[..length].copy_from_slice(taken);
    Ok(u64::from_le_bytes(eight))
}

pub(super) fn read_values(reader: &mut Reader<'_>, count: usize) -> Result<Vec<f64>, Malformed> {
    let codes = reader.bytes(count.div_ceil(2))?;
    let mut values = Vec::with_capacity(count);
    let mut rest = reader.rest();
    let mut before = 0_u64;
    for i in 0..count {
        let code = (codes[i / 2] >> (4 * (i & 1))) & 15;
        let bits = match code {
            0 => 0,
            1..=7 => {
                let zigzag = take(&mut rest, usize::from(code))?;
                (((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)) as f64).to_bits()
            }
            RAW => take(&mut rest, 8)?,
            STALE => STALE_NAN_BITS,
            SAME => before,
            _ => {
                let upper = usize::from(code - TRIMMED);
                let low_first = take(&mut rest, upper)?;
                low_first.swap_bytes()
            }
        };
        before = bits;
        values.push(f64::from_bits(bits));
    }
    let used = reader.rest().len() - rest.len();
    reader.bytes(used)?;
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::stale_nan;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_come_back(values in proptest::collection::vec(prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            any::<i32>().prop_map(f64::from),
            any::<i64>().prop_map(|v| v as f64),
            any::<f32>().prop_map(f64::from),
            Just(stale_nan()), Just(0.0), Just(-0.0), Just(1.5),
        ], 0..200)) {
            let mut out = Vec::new();
            put_values(&mut out, &values);
            out.push(7);
            let mut reader = Reader::new(&out);
            let back = read_values(&mut reader, values.len()).unwrap();
            prop_assert_eq!(reader.rest(), &[7][..]);
            let bits = |v: &[f64]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&back), bits(&values));
        }
    }
}

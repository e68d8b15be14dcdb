//! DELTA_BINARY_PACKED: blocks of 128 values, four mini-blocks of 32.
//!
//! Small blocks because one series ends and the next begins somewhere in the middle: the jump widens one
//! mini-block instead of a whole block.

use super::bits::{get_varint, pack32, put_varint, unpack32, unzigzag, zigzag};
use super::{PAGE_VALUES_MAX, PageError};

const BLOCK: usize = 128;
const MINI: usize = 32;
const MINIS: usize = BLOCK / MINI;

/// Appends `values`.
pub(crate) fn encode(values: &[i64], out: &mut Vec<u8>) {
    put_varint(out, BLOCK as u64);
    put_varint(out, MINIS as u64);
    put_varint(out, values.len() as u64);
    put_varint(out, zigzag(values.first().copied().unwrap_or(0)));
    let mut deltas = [0i64; BLOCK];
    let mut at = 1;
    while at < values.len() {
        let n = (values.len() - at).min(BLOCK);
        let mut least = i64::MAX;
        for i in 0..n {
            let delta = values[at + i].wrapping_sub(values[at + i - 1]);
            deltas[i] = delta;
            least = least.min(delta);
        }
        put_varint(out, zigzag(least));
        let widths_at = out.len();
        out.extend([0; MINIS]);
        for mini in 0..n.div_ceil(MINI) {
            let mut packed = [0u64; MINI];
            let mut any = 0u64;
            let end = n.min((mini + 1) * MINI);
            for (slot, delta) in packed.iter_mut().zip(&deltas[mini * MINI..end]) {
                *slot = delta.wrapping_sub(least).cast_unsigned();
                any |= *slot;
            }
            let width = 64 - any.leading_zeros();
            out[widths_at + mini] = width as u8;
            pack32(&packed, width, out);
        }
        at += n;
    }
}

/// Decodes the first `wanted` values (fewer when there are fewer) into `out`, which is emptied before.
/// Takes what any writer makes: other block sizes too. Returns how many values the page holds.
pub(crate) fn decode(bytes: &[u8], wanted: usize, out: &mut Vec<i64>) -> Result<usize, PageError> {
    out.clear();
    let mut at = 0;
    let block = get_varint(bytes, &mut at)?;
    let minis = get_varint(bytes, &mut at)?;
    let total = get_varint(bytes, &mut at)?;
    let mut last = unzigzag(get_varint(bytes, &mut at)?);
    if block == 0
        || block > 1 << 16
        || minis == 0
        || minis > 512
        || block % minis != 0
        || (block / minis) % 32 != 0
    {
        return Err(PageError("block size of a delta page makes no sense"));
    }
    if total > PAGE_VALUES_MAX as u64 {
        return Err(PageError("a delta page holds too many values"));
    }
    let (per_mini, minis, total) = ((block / minis) as usize, minis as usize, total as usize);
    let wanted = wanted.min(total);
    if wanted == 0 {
        return Ok(total);
    }
    out.reserve(wanted);
    out.push(last);
    let mut unpacked = [0u64; 32];
    while out.len() < wanted {
        let least = unzigzag(get_varint(bytes, &mut at)?);
        let widths = bytes.get(at..at + minis).ok_or(PageError("a delta page is cut short"))?;
        at += minis;
        for &width in widths {
            if out.len() >= wanted {
                break;
            }
            if width > 64 {
                return Err(PageError("a mini-block is wider than 64 bits"));
            }
            let length = per_mini * usize::from(width) / 8;
            let packed = bytes.get(at..).filter(|rest| rest.len() >= length);
            let packed = packed.ok_or(PageError("a delta page is cut short"))?;
            if width == 0 {
                let n = per_mini.min(wanted - out.len());
                push_constant(out, &mut last, least, n);
            } else {
                for group in 0..per_mini / 32 {
                    let n = 32.min(wanted - out.len());
                    unpack32(&packed[group * 4 * usize::from(width)..], u32::from(width), &mut unpacked);
                    let start = out.len();
                    out.resize(start + n, 0);
                    for (slot, delta) in out[start..].iter_mut().zip(&unpacked) {
                        last = last.wrapping_add(least.wrapping_add(delta.cast_signed()));
                        *slot = last;
                    }
                }
            }
            at += length;
        }
    }
    Ok(total)
}

fn push_constant(out: &mut Vec<i64>, last: &mut i64, delta: i64, n: usize) {
    if delta == 0 {
        out.resize(out.len() + n, *last);
        return;
    }
    for _ in 0..n {
        *last = last.wrapping_add(delta);
        out.push(*last);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = Vec<i64>> {
        prop_oneof![
            proptest::collection::vec(any::<i64>(), 0..400),
            proptest::collection::vec(-300i64..300, 0..1000),
            proptest::collection::vec(Just(7i64), 0..600),
            (any::<i64>(), any::<i32>()).prop_map(|(first, step)| {
                (0..500i64).map(|i| first.wrapping_add(i.wrapping_mul(i64::from(step)))).collect()
            }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(values in values(), cut in 0.0..1.0f64) {
            let mut bytes = Vec::new();
            encode(&values, &mut bytes);
            let mut out = Vec::new();
            prop_assert_eq!(decode(&bytes, usize::MAX, &mut out), Ok(values.len()));
            prop_assert_eq!(&out, &values);
            let some = (values.len() as f64 * cut) as usize;
            prop_assert_eq!(decode(&bytes, some, &mut out), Ok(values.len()));
            prop_assert_eq!(&out[..], &values[..some]);
        }

        #[test]
        fn broken_bytes_never_panic(values in values(), at in any::<usize>(), byte in any::<u8>(), cut in any::<usize>()) {
            let mut bytes = Vec::new();
            encode(&values, &mut bytes);
            let length = bytes.len();
            bytes[at % length] = byte;
            let mut out = Vec::new();
            let _either = decode(&bytes, usize::MAX, &mut out);
            let _either = decode(&bytes[..cut % length], usize::MAX, &mut out);
        }
    }
}

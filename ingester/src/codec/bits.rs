//! Bit packing: numbers of one width, lowest bit first, the last byte padded with zeros.

/// Bits that `value` needs.
pub(crate) fn width_of(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// Bytes of `count` numbers of `width` bits.
pub(crate) fn packed_len(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

/// Appends numbers of `width` bits.
pub(crate) fn pack(out: &mut Vec<u8>, width: u32, values: impl Iterator<Item = u64>) {
    if width == 0 {
        return;
    }
    let mut held: u128 = 0;
    let mut count = 0;
    for value in values {
        held |= u128::from(value) << count;
        count += width;
        if count >= 64 {
            out.extend_from_slice(&(held as u64).to_le_bytes());
            held >>= 64;
            count -= 64;
        }
    }
    let rest = (held as u64).to_le_bytes();
    out.extend_from_slice(&rest[..(count as usize).div_ceil(8)]);
}

#[inline]
fn load(data: &[u8], at: usize) -> u64 {
    match data.get(at..at + 8) {
        Some(bytes) => u64::from_le_bytes(bytes.try_into().expect("the slice has eight bytes")),
        None => load_slow(data, at),
    }
}

#[cold]
fn load_slow(data: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    let tail = data.get(at..).unwrap_or(&[]);
    let length = tail.len().min(8);
    bytes[..length].copy_from_slice(&tail[..length]);
    u64::from_le_bytes(bytes)
}

/// Calls `take` with `count` numbers of `width` bits; bytes that are not there read as zeros.
#[inline]
pub(crate) fn unpack(data: &[u8], width: u32, count: usize, mut take: impl FnMut(u64)) {
    if width == 0 {
        for _ in 0..count {
            take(0);
        }
        return;
    }
    let mask = u64::MAX >> (64 - width.min(64));
    let mut bit = 0_usize;
    if width <= 56 {
        for _ in 0..count {
            take((load(data, bit >> 3) >> (bit & 7)) & mask);
            bit += width as usize;
        }
        return;
    }
    for _ in 0..count {
        let at = bit >> 3;
        let high = data.get(at + 8).copied().unwrap_or(0);
        let both = u128::from(load(data, at)) | (u128::from(high) << 64);
        take((both >> (bit & 7)) as u64 & mask);
        bit += width as usize;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn unpack_inverts_pack(width in 0_u32..=64, seed in proptest::collection::vec(any::<u64>(), 0..70)) {
            let mask = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
            let values: Vec<u64> = seed.iter().map(|v| v & mask).collect();
            let mut out = Vec::new();
            pack(&mut out, width, values.iter().copied());
            prop_assert_eq!(out.len(), packed_len(values.len(), width));
            let mut back = Vec::new();
            unpack(&out, width, values.len(), |v| back.push(v));
            prop_assert_eq!(back, values);
        }
    }
}

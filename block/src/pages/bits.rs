//! LEB128 numbers, zigzag, and fixed-width integers packed from the lowest bit up.

use super::PageError;

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn get_varint(bytes: &[u8], at: &mut usize) -> Result<u64, PageError> {
    let mut value = 0u64;
    let mut shift = 0;
    loop {
        let byte = *bytes.get(*at).ok_or(PageError("a number is cut short"))?;
        *at += 1;
        if shift == 63 && byte > 1 || shift > 63 {
            return Err(PageError("a number is too long"));
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
        shift += 7;
    }
}

pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Packs 32 values at `width` bits each.
pub(super) fn pack32(values: &[u64; 32], width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let mut buffer = 0u128;
    let mut filled = 0u32;
    for &value in values {
        buffer |= u128::from(value) << filled;
        filled += width;
        if filled >= 64 {
            out.extend_from_slice(&(buffer as u64).to_le_bytes());
            buffer >>= 64;
            filled -= 64;
        }
    }
    // 32 values are a multiple of 4 bytes
    let bytes = (buffer as u64).to_le_bytes();
    out.extend_from_slice(&bytes[..(filled / 8) as usize]);
}

/// As `unpack32` for one width, shifts and masks known to the compiler; eight bytes more lie behind.
fn unpack32_of<const WIDTH: usize>(bytes: &[u8], into: &mut [u64; 32]) {
    let bytes = &bytes[..4 * WIDTH + 8];
    for (i, value) in into.iter_mut().enumerate() {
        let bit = i * WIDTH;
        let at = bit / 8;
        let word: [u8; 8] = bytes[at..at + 8].try_into().expect("eight bytes");
        *value = (u64::from_le_bytes(word) >> (bit % 8)) & ((1 << WIDTH) - 1);
    }
}

/// Unpacks the widths that occur often; false for others.
fn unpack32_known(bytes: &[u8], width: u32, into: &mut [u64; 32]) -> bool {
    macro_rules! dispatch {
        ($($w:literal)*) => {
            match width {
                $($w => unpack32_of::<$w>(bytes, into),)*
                _ => return false,
            }
        };
    }
    dispatch!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35
        36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56);
    true
}

/// Unpacks 32 values of `width` bits; `bytes` has at least `4 * width` of them.
pub(super) fn unpack32(bytes: &[u8], width: u32, into: &mut [u64; 32]) {
    if width == 0 {
        *into = [0; 32];
        return;
    }
    let mask = if width == 64 { u64::MAX } else { (1u64 << width) - 1 };
    let length = 4 * width as usize;
    if bytes.len() >= length + 8 && unpack32_known(bytes, width, into) {
        return;
    }
    let mut buffer = 0u128;
    let mut filled = 0u32;
    let mut words = bytes[..length].chunks(8);
    for value in into.iter_mut() {
        if filled < width {
            let chunk = words.next().unwrap_or(&[]);
            let mut word = [0u8; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            buffer |= u128::from(u64::from_le_bytes(word)) << filled;
            filled += 64;
        }
        *value = (buffer as u64) & mask;
        buffer >>= width;
        filled -= width;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_packs_and_unpacks() {
        for width in 0..=64u32 {
            let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
            let mut values = [0u64; 32];
            for (i, value) in values.iter_mut().enumerate() {
                *value = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask;
            }
            let mut bytes = Vec::new();
            pack32(&values, width, &mut bytes);
            assert_eq!(bytes.len(), 4 * width as usize);
            let mut back = [0; 32];
            unpack32(&bytes, width, &mut back);
            assert_eq!(back, values, "width {width}");
            bytes.extend([0xff; 8]);
            unpack32(&bytes, width, &mut back);
            assert_eq!(back, values, "width {width} with more behind");
        }
    }
}

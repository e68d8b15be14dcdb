//! Numbers in a few bits: how many bits there are is told first, in unary.

use super::bits::Bits;

/// The sizes there are; what fits none has 64 bits.
const SIZES: [u32; 7] = [3, 6, 9, 12, 18, 25, 56];

/// Whether a number of two's complement fits: one more above zero than below it.
pub(super) fn fits(value: i64, bits: u32) -> bool {
    let half = 1_i64 << (bits - 1);
    -half < value && value <= half
}

pub(super) fn put_int(out: &mut Bits, value: i64) {
    put(out, value as u64, value == 0, |bits| fits(value, bits));
}

pub(super) fn put_uint(out: &mut Bits, value: u64) {
    put(out, value, value == 0, |bits| value >> bits == 0);
}

fn put(out: &mut Bits, value: u64, zero: bool, fits: impl Fn(u32) -> bool) {
    if zero {
        return out.bit(false);
    }
    match (0..).zip(SIZES).find(|(_, bits)| fits(*bits)) {
        Some((place, bits)) => {
            // as many ones as there are smaller sizes and zero itself, then a zero
            out.bits((1 << (place + 2)) - 2, place + 2);
            out.bits(value, bits);
        }
        None => {
            out.bits(0xff, 8);
            out.bits(value, 64);
        }
    }
}

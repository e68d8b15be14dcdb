//! Chunks of floats: differences of differences of times, values as what changed of their bits.

use model::TimestampMs;

use super::bits::Bits;
use super::varbit::fits;

/// The value before, and which of its bits changed last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Xor {
    value: f64,
    /// Zeros before and after the bits that changed; none yet.
    window: Option<(u32, u32)>,
}

impl Xor {
    pub(super) fn new(value: f64) -> Self {
        Xor { value, window: None }
    }

    /// Writes the next value.
    pub(super) fn put(&mut self, out: &mut Bits, value: f64) {
        let changed = value.to_bits() ^ self.value.to_bits();
        self.value = value;
        if changed == 0 {
            return out.bit(false);
        }
        out.bit(true);
        // five bits tell the number
        let leading = changed.leading_zeros().min(31);
        let trailing = changed.trailing_zeros();
        if let Some((before, after)) = self.window
            && leading >= before
            && trailing >= after
        {
            out.bit(false);
            return out.bits(changed >> after, 64 - before - after);
        }
        self.window = Some((leading, trailing));
        let length = 64 - leading - trailing;
        out.bit(true);
        out.bits(u64::from(leading), 5);
        // six bits: 64 is told as 0
        out.bits(u64::from(length), 6);
        out.bits(changed >> trailing, length);
    }
}

/// A chunk of at most 65,535 samples.
pub(super) fn encode(ts: &[TimestampMs], values: &[f64]) -> Vec<u8> {
    let mut out = Bits::after((ts.len() as u16).to_be_bytes().to_vec());
    let (mut before, mut delta) = (0, 0_i64);
    let mut xor = Xor::new(0.0);
    for (i, (t, v)) in ts.iter().zip(values).enumerate() {
        let now = t.wrapping_sub(before);
        match i {
            0 => {
                out.bytes(&varint(zigzag(*t)));
                out.double(*v);
                xor = Xor::new(*v);
            }
            1 => {
                out.bytes(&varint(now as u64));
                xor.put(&mut out, *v);
            }
            _ => {
                put_change(&mut out, now.wrapping_sub(delta));
                xor.put(&mut out, *v);
            }
        }
        (before, delta) = (*t, now);
    }
    out.into_bytes()
}

fn put_change(out: &mut Bits, change: i64) {
    if change == 0 {
        return out.bit(false);
    }
    let (mark, mark_bits, bits) = match change {
        c if fits(c, 14) => (0b10, 2, 14),
        c if fits(c, 17) => (0b110, 3, 17),
        c if fits(c, 20) => (0b1110, 4, 20),
        _ => (0b1111, 4, 64),
    };
    out.bits(mark, mark_bits);
    out.bits(change as u64, bits);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(10);
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

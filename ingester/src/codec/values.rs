//! A column of floats: integers times a power of ten, bit-packed, where that gives every bit back.
//!
//! Byte 0: kind (low 3 bits), whether a shift byte follows (bit 3), decimal places (high 4 bits).
//! Byte 1 of packed kinds: bit width (low 7 bits), whether exceptions follow (bit 7). Values that are
//! no such integers (NaN, infinities, -0.0, odd doubles) are exceptions when they are few; when they are
//! many the column is XORed with its predecessor, or raw.

use super::bits;
use crate::wire::{Reader, put_varint, put_zigzag};

const CONSTANT: u8 = 0;
const CONSTANT_INTEGER: u8 = 1;
const FRAME: u8 = 2;
const DELTA: u8 = 3;
const XOR: u8 = 4;
const RAW: u8 = 5;

const HAS_SHIFT: u8 = 8;
const HAS_EXCEPTIONS: u8 = 0x80;
const PLACES_MAX: usize = 12;
const POWERS: [f64; PLACES_MAX + 1] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12];
/// Largest mantissa: every integer up to here is a float of its own.
const MANTISSA_MAX: f64 = 9_007_199_254_740_992.0;
/// How often a column may turn out to need more decimal places than thought.
const GUESSES_MAX: usize = 4;

/// The integer that is `value` times `power`, when dividing gives back every bit.
#[inline]
fn mantissa(value: f64, power: f64) -> Option<i64> {
    let scaled = if power == 1.0 { value } else { (value * power).round_ties_even() };
    if scaled.is_nan() || scaled.abs() > MANTISSA_MAX {
        return None;
    }
    let whole = scaled as i64;
    (unscale(whole, power).to_bits() == value.to_bits()).then_some(whole)
}

#[inline]
fn unscale(mantissa: i64, power: f64) -> f64 {
    mantissa as f64 / power
}

/// Fewest decimal places `value` needs.
fn places_of(value: f64) -> Option<usize> {
    if !value.is_finite() {
        return None;
    }
    (0..=PLACES_MAX).find(|places| mantissa(value, POWERS[*places]).is_some())
}

/// Encodes columns; holds scratch memory between them.
#[derive(Debug, Default)]
pub(crate) struct ValueEncoder {
    mantissas: Vec<i64>,
    exceptions: Vec<(usize, u64)>,
}

impl ValueEncoder {
    /// Appends the code of `values`; the count is the caller's to keep.
    pub(crate) fn encode(&mut self, out: &mut Vec<u8>, values: &[f64]) {
        let Some(first) = values.first() else { return };
        if values.iter().all(|v| v.to_bits() == first.to_bits()) {
            if let Some(whole) = mantissa(*first, 1.0) {
                out.push(CONSTANT_INTEGER);
                put_zigzag(out, whole);
            } else {
                out.push(CONSTANT);
                out.extend_from_slice(&first.to_bits().to_le_bytes());
            }
            return;
        }
        match self.find_integers(values) {
            Some(places) => self.pack_integers(out, places),
            None => pack_floats(out, values),
        }
    }

    /// Fills mantissas and exceptions; the number of decimal places.
    fn find_integers(&mut self, values: &[f64]) -> Option<usize> {
        let exceptions_max = (values.len() / 8).max(1);
        let mut places = 0;
        for _ in 0..GUESSES_MAX {
            if self.convert(values, POWERS[places], exceptions_max) {
                return Some(places);
            }
            // The first values that did not fit tell how many places it takes.
            let wanted =
                self.exceptions.iter().filter_map(|(_, bits)| places_of(f64::from_bits(*bits))).max()?;
            if wanted <= places {
                return None;
            }
            places = wanted;
        }
        None
    }

    /// Stops, and is false, when too many values do not fit.
    fn convert(&mut self, values: &[f64], power: f64, exceptions_max: usize) -> bool {
        self.mantissas.clear();
        self.exceptions.clear();
        let mut before = 0;
        for (i, value) in values.iter().enumerate() {
            match mantissa(*value, power) {
                Some(whole) => before = whole,
                None => {
                    self.exceptions.push((i, value.to_bits()));
                    if self.exceptions.len() > exceptions_max {
                        return false;
                    }
                }
            }
            self.mantissas.push(before);
        }
        // What stands before the first integer takes its place, so that it costs no bits.
        let leading = self.exceptions.iter().enumerate().take_while(|(i, (at, _))| i == at).count();
        if leading > 0 && leading < values.len() {
            let fill = self.mantissas[leading];
            self.mantissas[..leading].fill(fill);
        }
        true
    }

    fn pack_integers(&self, out: &mut Vec<u8>, places: usize) {
        let m = &self.mantissas;
        let (mut low, mut high) = (m[0], m[0]);
        let (mut step_low, mut step_high) = (i64::MAX, i64::MIN);
        for pair in m.windows(2) {
            low = low.min(pair[1]);
            high = high.max(pair[1]);
            let step = pair[1] - pair[0];
            step_low = step_low.min(step);
            step_high = step_high.max(step);
        }
        let mut frame_bits = 0;
        let mut step_bits = 0;
        for pair in m.windows(2) {
            frame_bits |= (pair[1] - low) as u64;
            step_bits |= (pair[1] - pair[0] - step_low) as u64;
        }
        frame_bits |= (m[0] - low) as u64;
        let shift_of = |bits: u64| if bits == 0 { 0 } else { bits.trailing_zeros() };
        let (frame_shift, step_shift) = (shift_of(frame_bits), shift_of(step_bits));
        let frame_width =
            bits::width_of((high - low) as u64) - frame_shift.min(bits::width_of((high - low) as u64));
        let step_range = (step_high - step_low) as u64;
        let step_width = bits::width_of(step_range) - step_shift.min(bits::width_of(step_range));
        let is_delta = step_width * (m.len() as u32 - 1) < frame_width * m.len() as u32;
        let (kind, width, shift) =
            if is_delta { (DELTA, step_width, step_shift) } else { (FRAME, frame_width, frame_shift) };
        // A shift byte must earn its place.
        let shift = if shift as usize * m.len() >= 16 { shift } else { 0 };
        let width = if shift == 0 {
            bits::width_of(if is_delta { step_range } else { (high - low) as u64 })
        } else {
            width
        };
        out.push(kind | if shift > 0 { HAS_SHIFT } else { 0 } | (places as u8) << 4);
        out.push(width as u8 | if self.exceptions.is_empty() { 0 } else { HAS_EXCEPTIONS });
        if shift > 0 {
            out.push(shift as u8);
        }
        if is_delta {
            put_zigzag(out, m[0]);
            put_zigzag(out, step_low);
        } else {
            put_zigzag(out, low);
        }
        if !self.exceptions.is_empty() {
            put_varint(out, self.exceptions.len() as u64);
            for (at, bits) in &self.exceptions {
                put_varint(out, *at as u64);
                out.extend_from_slice(&bits.to_le_bytes());
            }
        }
        if is_delta {
            bits::pack(out, width, m.windows(2).map(|p| ((p[1] - p[0] - step_low) as u64) >> shift));
        } else {
            bits::pack(out, width, m.iter().map(|v| ((v - low) as u64) >> shift));
        }
    }
}

fn pack_floats(out: &mut Vec<u8>, values: &[f64]) {
    let xors = || values.windows(2).map(|p| p[0].to_bits() ^ p[1].to_bits());
    let all = xors().fold(0, |a, b| a | b);
    let shift = all.trailing_zeros().min(63);
    let width = bits::width_of(all) - shift.min(bits::width_of(all));
    if width > 60 {
        out.push(RAW);
        for value in values {
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        return;
    }
    out.push(XOR);
    out.push(width as u8);
    out.push(shift as u8);
    out.extend_from_slice(&values[0].to_bits().to_le_bytes());
    bits::pack(out, width, xors().map(|x| x >> shift));
}

/// Appends `count` values to `out`; `None` when the code is damaged. Bytes behind the code are not looked at.
pub(crate) fn decode_values(data: &[u8], count: usize, out: &mut Vec<f64>) -> Option<()> {
    if count == 0 {
        return Some(());
    }
    let mut reader = Reader::new(data);
    let head = reader.byte().ok()?;
    let places = usize::from(head >> 4);
    match head & 7 {
        CONSTANT => {
            let bits = reader.u64().ok()?;
            out.resize(out.len() + count, f64::from_bits(bits));
        }
        CONSTANT_INTEGER => {
            let value = reader.zigzag().ok()? as f64;
            out.resize(out.len() + count, value);
        }
        kind @ (FRAME | DELTA) => {
            let second = reader.byte().ok()?;
            let width = u32::from(second & 0x7f);
            let shift = if head & HAS_SHIFT != 0 { u32::from(reader.byte().ok()?) } else { 0 };
            if width > 64 || shift > 63 || places > PLACES_MAX {
                return None;
            }
            let base = reader.zigzag().ok()?;
            let step = if kind == DELTA { reader.zigzag().ok()? } else { 0 };
            let exceptions = if second & HAS_EXCEPTIONS != 0 { reader.varint().ok()? as usize } else { 0 };
            let mut exception_bytes = reader;
            for _ in 0..exceptions {
                reader.varint().ok()?;
                reader.u64().ok()?;
            }
            let packed = reader.rest();
            let first = out.len();
            out.reserve(count);
            let power = POWERS[places];
            let numbers = if kind == DELTA { count - 1 } else { count };
            if packed.len() < bits::packed_len(numbers, width) {
                return None;
            }
            if kind == DELTA {
                let mut m = base;
                out.push(unscale(m, power));
                if places == 0 {
                    bits::unpack(packed, width, numbers, |v| {
                        m = m.wrapping_add(step).wrapping_add((v << shift) as i64);
                        out.push(m as f64);
                    });
                } else {
                    bits::unpack(packed, width, numbers, |v| {
                        m = m.wrapping_add(step).wrapping_add((v << shift) as i64);
                        out.push(unscale(m, power));
                    });
                }
            } else {
                bits::unpack(packed, width, numbers, |v| {
                    out.push(unscale(base.wrapping_add((v << shift) as i64), power));
                });
            }
            for _ in 0..exceptions {
                let at = exception_bytes.varint().ok()? as usize;
                let bits = exception_bytes.u64().ok()?;
                *out.get_mut(first..)?.get_mut(at)? = f64::from_bits(bits);
            }
        }
        XOR => {
            let width = u32::from(reader.byte().ok()?);
            let shift = u32::from(reader.byte().ok()?);
            if width > 64 || shift > 63 {
                return None;
            }
            let mut bits = reader.u64().ok()?;
            let packed = reader.rest();
            if packed.len() < bits::packed_len(count - 1, width) {
                return None;
            }
            out.reserve(count);
            out.push(f64::from_bits(bits));
            bits::unpack(packed, width, count - 1, |v| {
                bits ^= v << shift;
                out.push(f64::from_bits(bits));
            });
        }
        RAW => {
            let bytes = reader.bytes(count.checked_mul(8)?).ok()?;
            out.extend(
                bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().expect("chunks of eight"))),
            );
        }
        _ => return None,
    }
    Some(())
}

/// Feeds outside bytes to the decoder: must neither panic nor allocate much.
pub(crate) fn fuzz_values(data: &[u8]) {
    let mut out = Vec::new();
    let _damaged = decode_values(data, 60, &mut out).is_none();
    let mut ints = Vec::new();
    let _damaged = super::decode_ints(data, 60, &mut ints).is_none();
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::stale_nan;
    use proptest::prelude::*;

    fn round_trip(values: &[f64]) -> usize {
        let mut out = Vec::new();
        ValueEncoder::default().encode(&mut out, values);
        let mut back = Vec::new();
        decode_values(&out, values.len(), &mut back).unwrap();
        let bits = |v: &[f64]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(values));
        out.len()
    }

    #[test]
    fn odd_floats_come_back_bit_by_bit() {
        round_trip(&[0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, stale_nan()]);
        round_trip(&[stale_nan(); 60]);
        round_trip(&[1.0, stale_nan(), 2.0, 3.0]);
        round_trip(&[stale_nan(), 5.0, 6.0]);
        round_trip(&[-0.0, -0.0]);
        round_trip(&[9_007_199_254_740_992.0, -9_007_199_254_740_992.0, 1.0]);
        round_trip(&[9_007_199_254_740_993.0, 9_007_199_254_740_994.0, 1e300, 5e-324]);
        round_trip(&[f64::from_bits(0x7ff0_0000_0000_0001), f64::from_bits(u64::MAX)]);
    }

    #[test]
    fn usual_columns_are_small() {
        let counter: Vec<f64> = (0..60).map(|i| f64::from(1_000_000 + i * 17 + i % 7)).collect();
        assert!(round_trip(&counter) < 40);
        let pages: Vec<f64> = (0..60).map(|i| f64::from(((i * 37) % 61) * 4096)).collect();
        assert!(round_trip(&pages) < 55);
        let decimals: Vec<f64> = (0..60).map(|i| f64::from((i * 37) % 100) / 100.0).collect();
        assert!(round_trip(&decimals) < 65);
        assert!(round_trip(&[1.0; 60]) <= 3);
    }

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => (-1000_i32..1000).prop_map(f64::from),
            2 => (-100_000_i32..100_000).prop_map(|v| f64::from(v) / 1000.0),
            1 => any::<u64>().prop_map(f64::from_bits),
            1 => Just(stale_nan()),
            1 => Just(-0.0),
            1 => any::<f64>(),
        ]
    }

    proptest! {
        #[test]
        fn values_come_back(values in proptest::collection::vec(any_value(), 1..130)) {
            round_trip(&values);
        }

        #[test]
        fn integers_come_back(start in any::<i32>(), steps in proptest::collection::vec(-5_i64..50, 1..64)) {
            let mut at = i64::from(start);
            let values: Vec<f64> = steps.iter().map(|s| { at += s; at as f64 }).collect();
            round_trip(&values);
        }

        #[test]
        fn garbage_does_not_panic(data in proptest::collection::vec(any::<u8>(), 0..100)) {
            fuzz_values(&data);
        }
    }
}

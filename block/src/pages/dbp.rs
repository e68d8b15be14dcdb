//! DELTA_BINARY_PACKED: blocks of 128 values, four mini-blocks of 32.
//!
//! Small blocks because one series ends and the next begins somewhere in the middle: the jump widens one
//! mini-block instead of a whole block.

use std::ops::Range;

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

/// A page of deltas, from any value of which reading may begin.
///
/// Kept packed; the value before each block is known, so that reading a few values costs one block at most.
/// Takes what any writer makes: other block sizes too.
#[derive(Debug)]
pub(crate) struct DeltaPage {
    bytes: Box<[u8]>,
    total: usize,
    per_mini: usize,
    minis: usize,
    first: i64,
    /// Where each block starts, and the value before its first.
    blocks: Box<[(u32, i64)]>,
}

impl DeltaPage {
    /// Walks through all blocks.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, PageError> {
        let mut at = 0;
        let block = get_varint(bytes, &mut at)?;
        let minis = get_varint(bytes, &mut at)?;
        let total = get_varint(bytes, &mut at)?;
        let first = unzigzag(get_varint(bytes, &mut at)?);
        if block == 0
            || block > 1 << 16
            || minis == 0
            || minis > 512
            || block % minis != 0
            || (block / minis) % 32 != 0
        {
            return Err(PageError("block size of a delta page makes no sense"));
        }
        if total > PAGE_VALUES_MAX as u64 || u32::try_from(bytes.len()).is_err() {
            return Err(PageError("a delta page holds too many values"));
        }
        let (per_mini, minis, total) = ((block / minis) as usize, minis as usize, total as usize);
        let deltas = total.saturating_sub(1);
        let mut page =
            DeltaPage { bytes: Box::default(), total, per_mini, minis, first, blocks: Box::default() };
        // each block takes at least the bytes of its widths: the list cannot outgrow the page
        let mut blocks = Vec::new();
        let mut last = first;
        for number in 0..deltas.div_ceil(per_mini * minis) {
            blocks.push((at as u32, last));
            let start = number * per_mini * minis;
            let end = deltas.min(start + per_mini * minis);
            last = page.walk(bytes, &mut at, last, start, end..end, &mut [])?;
        }
        page.bytes = Box::from(bytes.get(..at).unwrap_or(bytes));
        page.blocks = blocks.into_boxed_slice();
        Ok(page)
    }

    /// Values.
    pub(crate) fn len(&self) -> usize {
        self.total
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len() + self.blocks.len() * size_of::<(u32, i64)>()
    }

    /// The byte that reading from value `at` on looks at first.
    pub(crate) fn first_byte(&self, at: usize) -> u8 {
        let block = self.blocks.get(at.saturating_sub(1) / (self.per_mini * self.minis));
        block.and_then(|(at, _)| self.bytes.get(*at as usize)).copied().unwrap_or(0)
    }

    /// Reads values `range` into `out`, which is as long.
    pub(crate) fn read(&self, range: Range<usize>, out: &mut [i64]) -> Result<(), PageError> {
        if range.end > self.total || range.start > range.end || out.len() != range.len() {
            return Err(PageError("a delta page has fewer values"));
        }
        if range.is_empty() {
            return Ok(());
        }
        let mut out = out;
        if range.start == 0 {
            out[0] = self.first;
            out = &mut out[1..];
        }
        let deltas = range.start.saturating_sub(1)..range.end - 1;
        let block = self.per_mini * self.minis;
        let mut next = deltas.start;
        while next < deltas.end {
            let number = next / block;
            let (at, last) = *self.blocks.get(number).ok_or(PageError("a delta page is cut short"))?;
            let (start, end) = (number * block, deltas.end.min((number + 1) * block));
            let (these, rest) = out.split_at_mut(end - next);
            self.walk(&self.bytes, &mut (at as usize), last, start, next..end, these)?;
            (out, next) = (rest, end);
        }
        Ok(())
    }

    /// Walks through the block whose first delta is number `start` up to the end of `wanted`, and puts the
    /// values that follow the deltas `wanted` into `out`. Returns the last value.
    fn walk(
        &self,
        bytes: &[u8],
        at: &mut usize,
        mut last: i64,
        start: usize,
        wanted: Range<usize>,
        out: &mut [i64],
    ) -> Result<i64, PageError> {
        let least = unzigzag(get_varint(bytes, at)?);
        let widths = bytes.get(*at..*at + self.minis).ok_or(PageError("a delta page is cut short"))?;
        *at += self.minis;
        let mut unpacked = [0u64; MINI];
        for (mini, &width) in widths.iter().enumerate() {
            let first = start + mini * self.per_mini;
            if first >= wanted.end {
                break;
            }
            if width > 64 {
                return Err(PageError("a mini-block is wider than 64 bits"));
            }
            let length = self.per_mini * usize::from(width) / 8;
            let packed = bytes.get(*at..).filter(|rest| rest.len() >= length);
            let packed = packed.ok_or(PageError("a delta page is cut short"))?;
            *at += length;
            for group in 0..self.per_mini / MINI {
                let from = first + group * MINI;
                if from >= wanted.end {
                    break;
                }
                let to = (from + MINI).min(wanted.end);
                let (skip, n) = (wanted.start.clamp(from, to) - from, to - from);
                let target = if skip == n {
                    &mut []
                } else {
                    let out_at = from + skip - wanted.start;
                    &mut out[out_at..out_at + n - skip]
                };
                if width == 0 {
                    last = last.wrapping_add(least.wrapping_mul(skip as i64));
                    if least == 0 {
                        target.fill(last);
                        continue;
                    }
                    for slot in target {
                        last = last.wrapping_add(least);
                        *slot = last;
                    }
                    continue;
                }
                unpack32(&packed[group * 4 * usize::from(width)..], u32::from(width), &mut unpacked);
                // what is only passed by is summed up, which needs no order
                let passed = unpacked[..skip].iter().fold(0u64, |sum, delta| sum.wrapping_add(*delta));
                last = last.wrapping_add(least.wrapping_mul(skip as i64)).wrapping_add(passed.cast_signed());
                for (slot, delta) in target.iter_mut().zip(&unpacked[skip..]) {
                    last = last.wrapping_add(least.wrapping_add(delta.cast_signed()));
                    *slot = last;
                }
            }
        }
        Ok(last)
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

    fn read(page: &DeltaPage, range: Range<usize>) -> Result<Vec<i64>, PageError> {
        let mut out = vec![0; range.len()];
        page.read(range, &mut out)?;
        Ok(out)
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(values in values(), a in 0.0..1.0f64, b in 0.0..1.0f64) {
            let mut bytes = Vec::new();
            encode(&values, &mut bytes);
            let page = DeltaPage::parse(&bytes).unwrap();
            prop_assert_eq!(page.len(), values.len());
            prop_assert_eq!(&read(&page, 0..values.len()).unwrap(), &values);
            let (a, b) = ((values.len() as f64 * a) as usize, (values.len() as f64 * b) as usize);
            let part = a.min(b)..a.max(b);
            prop_assert_eq!(&read(&page, part.clone()).unwrap()[..], &values[part]);
            prop_assert!(read(&page, values.len()..values.len() + 1).is_err());
        }

        #[test]
        fn broken_bytes_never_panic(values in values(), at in any::<usize>(), byte in any::<u8>(), cut in any::<usize>()) {
            let mut bytes = Vec::new();
            encode(&values, &mut bytes);
            let length = bytes.len();
            bytes[at % length] = byte;
            for bytes in [&bytes[..], &bytes[..cut % length]] {
                if let Ok(page) = DeltaPage::parse(bytes) {
                    let (all, middle) = (page.len(), page.len() / 2);
                    let whole = read(&page, 0..all);
                    prop_assert!(whole.is_ok());
                    prop_assert_eq!(&read(&page, middle..all).unwrap()[..], &whole.unwrap()[middle..]);
                }
            }
        }
    }
}

//! Bits, one after the other into bytes, the highest first.

#[derive(Debug, Clone, Default)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    /// Bits of the last byte that are not written yet.
    free: u32,
}

impl Bits {
    /// After whole bytes.
    pub(super) fn after(bytes: Vec<u8>) -> Self {
        Bits { bytes, free: 0 }
    }

    pub(super) fn bit(&mut self, one: bool) {
        self.bits(u64::from(one), 1);
    }

    /// The lowest `count` (up to 64) bits of `value`.
    pub(super) fn bits(&mut self, value: u64, count: u32) {
        let mut left = count;
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let take = self.free.min(left);
            let piece = (value >> (left - take)) & ((1 << take) - 1);
            if let Some(last) = self.bytes.last_mut() {
                *last |= (piece << (self.free - take)) as u8;
            }
            self.free -= take;
            left -= take;
        }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.bits(u64::from(*byte), 8));
    }

    pub(super) fn double(&mut self, value: f64) {
        self.bits(value.to_bits(), 64);
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

//! A small generator of random numbers: equal seeds give equal queries, on every machine.

/// SplitMix64.
pub(super) struct Random(u64);

impl Random {
    /// A sequence of its own for every pair.
    pub(super) fn new(seed: u64, index: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ index.rotate_left(32));
        random.next();
        Random(random.next() ^ index)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`, which is not 0.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// From `low` to below `high`.
    #[expect(clippy::cast_possible_wrap, clippy::cast_sign_loss, reason = "small ranges")]
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low) as u64) as i64
    }

    /// An index below `n`, which is not 0.
    #[expect(clippy::cast_possible_truncation, reason = "below a usize")]
    pub(super) fn index(&mut self, n: usize) -> usize {
        self.below(n as u64) as usize
    }

    /// In [0, 1).
    #[expect(clippy::cast_precision_loss, reason = "53 bits")]
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True in that share of calls.
    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// One of them.
    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }

    /// `n` different ones of them, in random order.
    pub(super) fn some<T: Copy>(&mut self, of: &[T], n: usize) -> Vec<T> {
        let mut rest = of.to_vec();
        (0..n.min(of.len())).map(|_| rest.swap_remove(self.index(rest.len()))).collect()
    }
}

//! Random numbers: from the operating system, or from the simulation's seed.

use rand::Rng as _;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

/// A generator of random numbers; equal seeds give equal numbers. Not for secrets.
#[derive(Debug, Clone)]
pub struct Random(SmallRng);

impl Random {
    /// The generator of `seed`.
    pub fn new(seed: u64) -> Self {
        Random(SmallRng::seed_from_u64(seed))
    }

    /// A generator seeded by the operating system.
    #[expect(clippy::disallowed_methods, reason = "the one place that draws real randomness")]
    pub(crate) fn from_system() -> Self {
        Random(SmallRng::from_rng(&mut rand::rng()))
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.random()
    }

    /// 128 random bits.
    pub fn next_u128(&mut self) -> u128 {
        self.0.random()
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.0.random_range(0..bound) }
    }

    /// True once in `n` draws; never when `n` is 0.
    pub fn one_in(&mut self, n: u64) -> bool {
        n != 0 && self.below(n) == 0
    }
}

thread_local! {
    static REAL: std::cell::RefCell<Random> = std::cell::RefCell::new(Random::from_system());
}

/// 64 bits of the thread's own generator, seeded by the operating system.
pub(crate) fn real_u64() -> u64 {
    REAL.with(|random| random.borrow_mut().next_u64())
}

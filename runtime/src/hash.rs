//! Hash tables whose order an outsider cannot choose and a simulation can repeat.

use std::hash::{BuildHasher, DefaultHasher, Hasher};
use std::sync::OnceLock;

use crate::{random, simulation};

/// `std`'s hash map, seeded at start (by the simulation's seed inside one).
pub type HashMap<K, V> = std::collections::HashMap<K, V, HashState>;
/// `std`'s hash set, seeded likewise.
pub type HashSet<K> = std::collections::HashSet<K, HashState>;

static SEED: OnceLock<u64> = OnceLock::new();

/// Builds hashers of one seed: per process, or per simulation.
#[derive(Debug, Clone, Copy)]
pub struct HashState(u64);

impl Default for HashState {
    fn default() -> Self {
        match simulation::current() {
            Some(sim) => HashState(sim.hash_seed()),
            None => HashState(*SEED.get_or_init(random::real_u64)),
        }
    }
}

impl BuildHasher for HashState {
    type Hasher = DefaultHasher;
    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0);
        hasher
    }
}

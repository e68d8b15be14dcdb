//! The fast lanes of all tenants, and the secret their hashes are keyed by.
//!
//! The secret is drawn once per process: nobody outside can make two label sets collide.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use model::{Labels, TenantId};
use parking_lot::{Mutex, RwLock};
use proto::remote_write::{Walk, WriteVersion};
use runtime::{HashMap, Runtime};
use xxhash_rust::xxh3::{xxh3_64_with_secret, xxh3_128_with_secret};

use crate::decode::Scratch;
use crate::lane::Lane;

/// Bytes of a secret of xxh3.
const SECRET_BYTES: usize = 192;
/// Most tenants remembered at once.
const TENANTS_MAX: usize = 4096;
/// Most labels of a series whose hash is computed on the stack.
const STACK_REFS: usize = 64;

/// A secret per kind of key, so that the same bytes mean different keys.
struct Secrets {
    v1: [u8; SECRET_BYTES],
    v2: [u8; SECRET_BYTES],
    text: [u8; SECRET_BYTES],
}

/// One tenant's lane.
#[derive(Debug)]
pub(crate) struct TenantLane {
    pub(crate) lane: Mutex<Lane>,
    bytes: AtomicUsize,
    used: AtomicUsize,
    /// Made room for another tenant; requests in work may still hold it, nobody counts its bytes any more.
    gone: AtomicBool,
}

/// All tenants' lanes.
pub(crate) struct Lanes {
    secrets: Secrets,
    tenants: RwLock<HashMap<TenantId, Arc<TenantLane>>>,
    /// Bytes of all lanes.
    bytes: AtomicUsize,
    bytes_max: usize,
    uses: AtomicUsize,
}

impl Lanes {
    pub(crate) fn new(runtime: &Runtime, bytes_max: usize) -> Self {
        let mut random = runtime.random();
        let mut secret = || {
            let mut bytes = [0u8; SECRET_BYTES];
            for chunk in bytes.as_chunks_mut::<8>().0 {
                *chunk = random.next_u64().to_le_bytes();
            }
            bytes
        };
        Lanes {
            secrets: Secrets { v1: secret(), v2: secret(), text: secret() },
            tenants: RwLock::default(),
            bytes: AtomicUsize::new(0),
            bytes_max,
            uses: AtomicUsize::new(0),
        }
    }

    /// The lane of `tenant`.
    pub(crate) fn of(&self, tenant: &TenantId, runtime: &Runtime) -> Arc<TenantLane> {
        let use_number = self.uses.fetch_add(1, Ordering::Relaxed);
        if let Some(lane) = self.tenants.read().get(tenant) {
            lane.used.store(use_number, Ordering::Relaxed);
            return Arc::clone(lane);
        }
        let mut tenants = self.tenants.write();
        if tenants.len() >= TENANTS_MAX && !tenants.contains_key(tenant) {
            let idle = tenants.iter().min_by_key(|(_, lane)| lane.used.load(Ordering::Relaxed));
            if let Some(idle) = idle.map(|(tenant, _)| tenant.clone())
                && let Some(gone) = tenants.remove(&idle)
            {
                // under its lock, so that nobody is just counting
                let _lane = gone.lane.lock();
                gone.gone.store(true, Ordering::Relaxed);
                self.bytes.fetch_sub(gone.bytes.swap(0, Ordering::Relaxed), Ordering::Relaxed);
            }
        }
        let lane = tenants.entry(tenant.clone()).or_insert_with(|| {
            Arc::new(TenantLane {
                lane: Mutex::new(Lane::new(runtime.monotonic())),
                bytes: AtomicUsize::new(0),
                used: AtomicUsize::new(use_number),
                gone: AtomicBool::new(false),
            })
        });
        Arc::clone(lane)
    }

    /// Keeps the account of bytes after a lane changed, and the bound.
    pub(crate) fn settle(&self, tenant: &TenantLane, lane: &mut Lane, runtime: &Runtime) {
        if tenant.gone.load(Ordering::Relaxed) {
            return;
        }
        let mut now = lane.bytes();
        let before = tenant.bytes.swap(now, Ordering::Relaxed);
        let total = self.bytes.fetch_add(now, Ordering::Relaxed) + now - before;
        self.bytes.fetch_sub(before, Ordering::Relaxed);
        if total > self.bytes_max || lane.young_bytes() > self.bytes_max / 2 {
            lane.rotate(runtime.monotonic());
            if lane.bytes() > self.bytes_max {
                lane.rotate(runtime.monotonic());
            }
            let before = now;
            now = lane.bytes();
            tenant.bytes.store(now, Ordering::Relaxed);
            self.bytes.fetch_sub(before.saturating_sub(now), Ordering::Relaxed);
        }
    }

    /// Bytes of all lanes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Series remembered, all tenants together.
    pub(crate) fn series(&self) -> usize {
        self.tenants.read().values().map(|lane| lane.lane.lock().len()).sum()
    }

    /// Hashes what identifies each series of a request into `scratch.keys`. Zero: not to be remembered.
    pub(crate) fn hash(&self, version: WriteVersion, scratch: &mut Scratch) {
        let mut keys = std::mem::take(&mut scratch.keys);
        let mut symbols = std::mem::take(&mut scratch.symbol_hashes);
        keys.clear();
        match version {
            WriteVersion::V1 => self.hash_v1(&scratch.walk, scratch.body(), &mut keys),
            WriteVersion::V2 => self.hash_v2(&scratch.walk, scratch.body(), &mut symbols, &mut keys),
        }
        scratch.keys = keys;
        scratch.symbol_hashes = symbols;
    }

    fn hash_v1(&self, walk: &Walk, body: &[u8], keys: &mut Vec<u128>) {
        keys.extend(walk.series.iter().map(|series| {
            if series.scattered {
                0
            } else {
                xxh3_128_with_secret(series.label_bytes(body), &self.secrets.v1)
            }
        }));
    }

    /// A series of 2.0 is the hash of its symbols' hashes: equal strings, equal key, in whatever request.
    fn hash_v2(&self, walk: &Walk, body: &[u8], symbols: &mut Vec<u128>, keys: &mut Vec<u128>) {
        symbols.clear();
        symbols.extend(walk.symbols.iter().map(|span| xxh3_128_with_secret(span.of(body), &self.secrets.v2)));
        let mut bytes = [0u8; STACK_REFS * 16];
        for series in &walk.series {
            let refs = series.label_refs(&walk.refs);
            let mut length = 0;
            let whole = refs.len() <= STACK_REFS
                && refs.iter().zip(bytes.as_chunks_mut::<16>().0).all(|(symbol, chunk)| {
                    length += 16;
                    match symbols.get(*symbol as usize) {
                        Some(hash) => {
                            *chunk = hash.to_le_bytes();
                            true
                        }
                        None => false,
                    }
                });
            keys.push(if whole { xxh3_128_with_secret(&bytes[..length], &self.secrets.v2) } else { 0 });
        }
    }

    /// The key of a label set that was read from text.
    pub(crate) fn hash_labels(&self, labels: &Labels) -> u128 {
        xxh3_128_with_secret(labels.as_bytes(), &self.secrets.text)
    }

    /// The key of a metric family's name.
    pub(crate) fn hash_family(&self, family: &[u8]) -> u64 {
        xxh3_64_with_secret(family, &self.secrets.text)
    }
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lanes").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

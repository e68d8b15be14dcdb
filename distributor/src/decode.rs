//! Decompression into buffers that are used again, with caps before anything is allocated.

use std::io::Read as _;

use parking_lot::Mutex;
use proto::remote_write::Walk;

use crate::limits::Limits;
use crate::media::Encoding;
use crate::refusal::Refusal;

/// A byte of a Snappy block cannot become more than this many bytes (a copy of 64 bytes takes three).
const SNAPPY_RATIO_MAX: usize = 64;
/// Largest zstd window: 2^25 bytes, the default cap of a decoded request.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;
/// Most sets of buffers kept for the next request, and the most bytes of one that is kept.
const POOL_MAX: usize = 16;
const POOLED_BYTES_MAX: usize = 4 << 20;

/// The memory of one request in work.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    buffer: Vec<u8>,
    length: usize,
    pub(crate) walk: Walk,
    pub(crate) keys: Vec<u128>,
    pub(crate) symbol_hashes: Vec<u128>,
}

impl Scratch {
    /// The decompressed body.
    pub(crate) fn body(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// Reads the body with the walk of the same scratch.
    pub(crate) fn read(
        &mut self,
        version: proto::remote_write::WriteVersion,
    ) -> Result<(), proto::WireError> {
        self.walk.read(version, &self.buffer[..self.length])
    }

    fn bytes(&self) -> usize {
        self.buffer.capacity()
            + self.walk.bytes()
            + (self.keys.capacity() + self.symbol_hashes.capacity()) * size_of::<u128>()
    }

    /// Fills the buffer from `body`.
    pub(crate) fn decompress(
        &mut self,
        encoding: Encoding,
        body: &[u8],
        limits: &Limits,
    ) -> Result<(), Refusal> {
        self.length = 0;
        match encoding {
            Encoding::Snappy => self.snappy(body, limits),
            Encoding::Zstd => self.zstd(body, limits),
        }
    }

    fn snappy(&mut self, body: &[u8], limits: &Limits) -> Result<(), Refusal> {
        let bad = |error: snap::Error| Refusal::Compression { encoding: "snappy", reason: error.to_string() };
        let length = snap::raw::decompress_len(body).map_err(bad)?;
        if length > limits.decoded_bytes_max {
            return Err(Refusal::DecodedTooLarge { max: limits.decoded_bytes_max });
        }
        if length > body.len() * SNAPPY_RATIO_MAX {
            let reason = format!("{} bytes cannot hold {length}", body.len());
            return Err(Refusal::Compression { encoding: "snappy", reason });
        }
        if self.buffer.len() < length {
            self.buffer.resize(length, 0);
        }
        self.length = snap::raw::Decoder::new().decompress(body, &mut self.buffer[..length]).map_err(bad)?;
        Ok(())
    }

    fn zstd(&mut self, body: &[u8], limits: &Limits) -> Result<(), Refusal> {
        let bad =
            |error: std::io::Error| Refusal::Compression { encoding: "zstd", reason: error.to_string() };
        let max = limits.decoded_bytes_max;
        let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(bad)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(bad)?;
        self.buffer.clear();
        let length = decoder.take(max as u64 + 1).read_to_end(&mut self.buffer).map_err(bad)?;
        if length > max {
            return Err(Refusal::DecodedTooLarge { max });
        }
        self.length = length;
        Ok(())
    }
}

/// How many bytes a body will take decompressed, as far as one can tell without doing it.
pub(crate) fn decoded_bytes_guess(encoding: Encoding, body: &[u8], limits: &Limits) -> usize {
    let claimed = match encoding {
        Encoding::Snappy => snap::raw::decompress_len(body).unwrap_or(0).min(body.len() * SNAPPY_RATIO_MAX),
        Encoding::Zstd => match zstd::zstd_safe::get_frame_content_size(body) {
            Ok(Some(claimed)) => usize::try_from(claimed).unwrap_or(usize::MAX),
            // a header that does not tell: as much as there may be
            Ok(None) => usize::MAX,
            Err(_) => 0,
        },
    };
    claimed.min(limits.decoded_bytes_max)
}

/// Buffers between requests.
#[derive(Debug, Default)]
pub(crate) struct Pool(Mutex<Vec<Scratch>>);

impl Pool {
    pub(crate) fn take(&self) -> Scratch {
        self.0.lock().pop().unwrap_or_default()
    }

    pub(crate) fn give_back(&self, mut scratch: Scratch) {
        if scratch.bytes() > POOLED_BYTES_MAX {
            return;
        }
        scratch.walk.clear();
        scratch.length = 0;
        let mut pool = self.0.lock();
        if pool.len() < POOL_MAX {
            pool.push(scratch);
        }
    }
}

//! What readers keep in memory: decoded indexes and decompressed pages of any number of blocks, bounded by bytes.

use std::sync::Arc;

use model::{BlockId, Metadata, TimestampMs};
use parquet::file::metadata::ParquetMetaData;

use super::samples::{Page, SamplesIndex};
use super::series::SeriesTable;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct BlockCacheOptions {
    /// Bytes of decoded series, timestamps and page indexes.
    pub index_bytes: u64,
    /// Bytes of pages of samples, decompressed but packed.
    pub page_bytes: u64,
}

impl Default for BlockCacheOptions {
    fn default() -> Self {
        BlockCacheOptions { index_bytes: 1 << 30, page_bytes: 256 << 20 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum PartKey {
    Series,
    Samples,
    Timestamps,
    Histograms,
    Metadata,
}

/// A decoded index file.
#[derive(Debug, Clone)]
pub(super) enum Part {
    Series(Arc<SeriesTable>),
    Samples(Arc<SamplesIndex>),
    Timestamps(Arc<Vec<Arc<[TimestampMs]>>>),
    Footer(Arc<ParquetMetaData>),
    Metadata(Arc<Vec<(String, Metadata)>>),
}

impl Part {
    fn weight(&self) -> u32 {
        let bytes = match self {
            Part::Series(table) => table.bytes(),
            Part::Samples(index) => index.bytes(),
            Part::Timestamps(vectors) => vectors.iter().map(|v| v.len() * 8 + 32).sum(),
            Part::Footer(footer) => footer.memory_size(),
            Part::Metadata(all) => all.iter().map(|(n, m)| n.len() + m.help.len() + m.unit.len() + 96).sum(),
        };
        u32::try_from(bytes + 128).unwrap_or(u32::MAX)
    }
}

/// Shared by all readers of a process.
#[derive(Debug, Clone)]
pub struct BlockCache {
    pub(super) parts: moka::future::Cache<(BlockId, usize, PartKey), Part>,
    pub(super) pages: moka::sync::Cache<(BlockId, usize, u8, usize), Arc<Page>>,
}

impl BlockCache {
    /// An empty one.
    pub fn new(options: &BlockCacheOptions) -> Self {
        let parts = moka::future::Cache::builder()
            .max_capacity(options.index_bytes)
            .weigher(|_, part: &Part| part.weight())
            .build();
        let pages = moka::sync::Cache::builder()
            .max_capacity(options.page_bytes)
            .weigher(|_, page: &Arc<Page>| u32::try_from(page.bytes() + 64).unwrap_or(u32::MAX))
            .build();
        BlockCache { parts, pages }
    }

    /// Bytes held now, roughly: (indexes, pages).
    pub fn bytes(&self) -> (u64, u64) {
        (self.parts.weighted_size(), self.pages.weighted_size())
    }
}

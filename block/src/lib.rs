//! Immutable history: Parquet blocks, the bucket they lie in, the catalog that says which are live.
//!
//! A block is written ([`BlockWriter`]), uploaded ([`upload`]), then published ([`Catalog::publish`]); only
//! the last makes it visible. Nothing in a bucket is ever changed.

mod bucket;
mod catalog;
mod error;
mod layout;
mod meta;
mod pages;
mod reader;
mod upload;
mod verify;
mod writer;

pub use bucket::{Backend, Bucket, BucketOptions, BucketStats, ObjectInfo};
pub use catalog::{
    Catalog, CatalogState, Catalogs, Edit, Published, Retired, fuzz_catalog, invariants, list_tenants,
};
pub use error::{BlockError, BucketError};
pub use meta::{BlockKey, BlockMeta, Counts, FORMAT_VERSION, FileMeta, GroupMeta, PieceMeta, fuzz_meta};
pub use pages::fuzz_pages;
pub use reader::{BlockCache, BlockCacheOptions, BlockReader, BlockRow, BlockSelection};
pub use upload::{delete_files, upload, upload_meta};
pub use verify::{
    BlockState, ListedBlock, Verified, VerifiedBlock, list_blocks, verify_block, verify_blocks,
};
pub use writer::{
    BlockHistogram, BlockSeries, BlockSpec, BlockWriter, EncodedFile, PIECE_SERIES_MAX, series_order,
};

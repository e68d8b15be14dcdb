//! Parquet pages by hand: the encodings of the sample columns, both ways.
//!
//! The samples file is most of a block, and few columns of fixed shape: writing and reading its pages
//! directly is several times faster than through row batches, and lets DELTA_BINARY_PACKED use blocks
//! of 128. What is written is plain Parquet; what is read is checked against its page header first.

mod bits;
mod dbp;
mod header;
mod levels;
mod split;

pub(crate) use dbp::{DeltaPage, encode as dbp_encode};
pub(crate) use header::PageHeader;
pub(crate) use levels::{Run, append_run, decode_runs, encode_index_runs, encode_runs};
pub(crate) use split::{decode as bss_decode, encode as bss_encode};

/// Why bytes are not the page they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct PageError(pub(crate) &'static str);

/// Most values a page may hold: what a reader allocates at most.
pub(crate) const PAGE_VALUES_MAX: usize = 1 << 21;

/// For the fuzzer: any bytes as page header and as values of each encoding.
pub fn fuzz_pages(data: &[u8]) {
    if let Ok((header, length)) = PageHeader::parse(data) {
        assert!(length <= data.len());
        let _size = header.compressed_size;
    }
    // an error is as good an answer as values
    if let Ok(page) = DeltaPage::parse(data) {
        let from = page.len() / 3;
        let _ignored = page.read(from..page.len(), &mut vec![0; page.len() - from]);
    }
    let _ignored = decode_runs(data, 4096);
    let _ignored = split::decode(data, data.len() / 8, 0..data.len() / 8, &mut Vec::new());
}

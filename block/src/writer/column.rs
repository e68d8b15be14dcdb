//! One column chunk of the samples file, page by page, in memory until its row group is complete.

use bytes::Bytes;
use parquet::basic::{BoundaryOrder, Compression, Encoding, Type, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use crate::BlockError;

/// Compression level at the first write.
pub(crate) const ZSTD_LEVEL: i32 = 3;

/// What a page holds, encoded but not compressed.
pub(super) struct PageBody<'a> {
    pub(super) encoding: Encoding,
    pub(super) rows: usize,
    pub(super) nulls: usize,
    /// Definition levels; empty for a required column.
    pub(super) levels: &'a [u8],
    pub(super) values: &'a [u8],
    /// Least and greatest value, for columns with an index.
    pub(super) bounds: Option<(i64, i64)>,
}

/// A column chunk that grows.
pub(super) struct ColumnChunk {
    column: ColumnDescPtr,
    sink: TrackedWrite<Vec<u8>>,
    offsets: OffsetIndexBuilder,
    index: Option<ColumnIndexBuilder>,
    compressor: zstd::bulk::Compressor<'static>,
    encodings: Vec<Encoding>,
    rows: usize,
    compressed: usize,
    uncompressed: usize,
    dictionary_bytes: usize,
    bounds: Option<(i64, i64)>,
}

/// Frames carry a checksum of what they hold: a reader of one page notices damage.
fn compressor() -> std::io::Result<zstd::bulk::Compressor<'static>> {
    let mut compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
    compressor.include_checksum(true)?;
    Ok(compressor)
}

impl ColumnChunk {
    pub(super) fn new(column: ColumnDescPtr, indexed: bool) -> Result<Self, BlockError> {
        let index = indexed.then(|| {
            let mut index = ColumnIndexBuilder::new(column.physical_type());
            index.set_boundary_order(BoundaryOrder::UNORDERED);
            index
        });
        Ok(ColumnChunk {
            column,
            sink: TrackedWrite::new(Vec::new()),
            offsets: OffsetIndexBuilder::new(),
            index,
            compressor: compressor().map_err(|e| BlockError::Internal(format!("zstd: {e}")))?,
            encodings: vec![Encoding::RLE],
            rows: 0,
            compressed: 0,
            uncompressed: 0,
            dictionary_bytes: 0,
            bounds: None,
        })
    }

    fn compress(&mut self, bytes: &[u8]) -> Result<Vec<u8>, BlockError> {
        self.compressor.compress(bytes).map_err(|e| BlockError::Internal(format!("zstd: {e}")))
    }

    fn write(&mut self, page: Page, uncompressed: usize) -> Result<(u64, usize), BlockError> {
        let spec =
            SerializedPageWriter::new(&mut self.sink).write_page(CompressedPage::new(page, uncompressed))?;
        self.compressed += spec.compressed_size;
        self.uncompressed += spec.uncompressed_size;
        Ok((spec.offset, spec.compressed_size))
    }

    fn note_encoding(&mut self, encoding: Encoding) {
        if !self.encodings.contains(&encoding) {
            self.encodings.push(encoding);
        }
    }

    /// The dictionary; before every data page.
    pub(super) fn dictionary(&mut self, values: &[u8], entries: usize) -> Result<(), BlockError> {
        let compressed = self.compress(values)?;
        let page = Page::DictionaryPage {
            buf: Bytes::from(compressed),
            num_values: u32::try_from(entries).map_err(|_| BlockError::Internal("dictionary".into()))?,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        self.note_encoding(Encoding::PLAIN);
        let (_, length) = self.write(page, values.len())?;
        self.dictionary_bytes = length;
        Ok(())
    }

    /// A data page.
    pub(super) fn page(&mut self, body: &PageBody<'_>) -> Result<(), BlockError> {
        let count = |n: usize| u32::try_from(n).map_err(|_| BlockError::Internal("page too large".into()));
        let is_compressed = !body.values.is_empty();
        let stored = if is_compressed { self.compress(body.values)? } else { Vec::new() };
        let mut buffer = Vec::with_capacity(body.levels.len() + stored.len());
        buffer.extend_from_slice(body.levels);
        buffer.extend_from_slice(&stored);
        let page = Page::DataPageV2 {
            buf: Bytes::from(buffer),
            num_values: count(body.rows)?,
            encoding: body.encoding,
            num_nulls: count(body.nulls)?,
            num_rows: count(body.rows)?,
            def_levels_byte_len: count(body.levels.len())?,
            rep_levels_byte_len: 0,
            is_compressed,
            statistics: None,
        };
        self.note_encoding(body.encoding);
        let (offset, size) = self.write(page, body.levels.len() + body.values.len())?;
        self.rows += body.rows;
        self.offsets.append_row_count(body.rows as i64);
        let size = i32::try_from(size).map_err(|_| BlockError::Internal("page too large".into()))?;
        self.offsets.append_offset_and_size(offset.cast_signed(), size);
        if let (Some(index), Some((least, greatest))) = (&mut self.index, body.bounds) {
            let plain = |value: i64| match self.column.physical_type() {
                Type::INT32 => (value as i32).to_le_bytes().to_vec(),
                _ => value.to_le_bytes().to_vec(),
            };
            index.append(false, plain(least), plain(greatest), 0);
            let known = self.bounds.unwrap_or((least, greatest));
            self.bounds = Some((known.0.min(least), known.1.max(greatest)));
        }
        Ok(())
    }

    /// The finished chunk: its bytes and how to append them.
    pub(super) fn finish(mut self) -> Result<(Bytes, ColumnCloseResult), BlockError> {
        let level = ZstdLevel::try_new(ZSTD_LEVEL)?;
        let mut metadata = ColumnChunkMetaData::builder(self.column.clone())
            .set_compression(Compression::ZSTD(level))
            .set_encodings(std::mem::take(&mut self.encodings))
            .set_total_compressed_size(self.compressed as i64)
            .set_total_uncompressed_size(self.uncompressed as i64)
            .set_num_values(self.rows as i64)
            .set_data_page_offset(self.dictionary_bytes as i64)
            .set_dictionary_page_offset((self.dictionary_bytes > 0).then_some(0));
        if let Some((least, greatest)) = self.bounds {
            metadata = metadata.set_statistics(match self.column.physical_type() {
                Type::INT32 => {
                    Statistics::int32(Some(least as i32), Some(greatest as i32), None, Some(0), false)
                }
                _ => Statistics::int64(Some(least), Some(greatest), None, Some(0), false),
            });
        }
        let rows_written = self.rows as u64;
        let bytes = self.sink.into_inner()?;
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written,
            metadata: metadata.build()?,
            bloom_filter: None,
            column_index: self.index.map(ColumnIndexBuilder::build).transpose()?,
            offset_index: Some(self.offsets.build()),
        };
        Ok((Bytes::from(bytes), close))
    }
}

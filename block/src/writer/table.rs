//! Small tables through Arrow: properties and the finishing of a file.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion,
};
use parquet::schema::types::ColumnPath;

use super::column::ZSTD_LEVEL;
use crate::BlockError;
use crate::meta::GroupMeta;

/// Dictionaries never fall back to plain values: a piece's strings are bounded by its series.
const DICTIONARY_BYTES_MAX: usize = 256 << 20;
/// Rows of a page.
const PAGE_ROWS: usize = 4096;

/// What all files have in common.
pub(super) fn properties() -> Result<WriterPropertiesBuilder, BlockError> {
    Ok(WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_created_by("epimetheus block format 1".into())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_max_row_group_row_count(Some(1 << 20)))
}

/// A column by its path; its dictionary is off and it is encoded so.
pub(super) fn encoded(
    builder: WriterPropertiesBuilder,
    path: &[&str],
    encoding: Encoding,
) -> WriterPropertiesBuilder {
    let path = ColumnPath::new(path.iter().map(|p| (*p).to_owned()).collect());
    builder.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, encoding)
}

/// The columns of a table under construction.
#[derive(Default)]
pub(super) struct Table {
    fields: Vec<Field>,
    columns: Vec<ArrayRef>,
}

impl Table {
    pub(super) fn add(&mut self, name: &str, nullable: bool, column: ArrayRef) {
        self.fields.push(Field::new(name, column.data_type().clone(), nullable));
        self.columns.push(column);
    }

    pub(super) fn batch(self) -> Result<RecordBatch, BlockError> {
        Ok(RecordBatch::try_new(Arc::new(Schema::new(self.fields)), self.columns)?)
    }
}

/// A finished file.
pub(super) struct Written {
    pub(super) bytes: Bytes,
    /// Where page indexes and footer begin.
    pub(super) tail_offset: u64,
    pub(super) rows: u64,
    /// Row groups, when readers go by them.
    pub(super) groups: Vec<GroupMeta>,
}

/// A file written batch by batch.
pub(super) struct TableWriter {
    writer: ArrowWriter<Vec<u8>>,
    rows: u64,
    /// (rows, first byte) of the row groups ended by hand.
    groups: Vec<(u64, u64)>,
}

impl TableWriter {
    pub(super) fn new(schema: &Arc<Schema>, properties: WriterProperties) -> Result<Self, BlockError> {
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(schema), options)?;
        Ok(TableWriter { writer, rows: 0, groups: Vec::new() })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), BlockError> {
        self.rows += batch.num_rows() as u64;
        Ok(self.writer.write(batch)?)
    }

    /// Writes `batch` as a row group of its own, which readers can check by itself.
    pub(super) fn write_group(&mut self, batch: &RecordBatch) -> Result<(), BlockError> {
        let offset = self.writer.bytes_written() as u64;
        self.write(batch)?;
        self.writer.flush()?;
        self.groups.push((batch.num_rows() as u64, offset));
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Written, BlockError> {
        self.writer.flush()?;
        let tail_offset = self.writer.bytes_written() as u64;
        let rows = self.rows;
        let bytes = Bytes::from(self.writer.into_inner()?);
        let ends = self.groups.iter().skip(1).map(|g| g.1).chain([tail_offset]);
        let groups = self.groups.iter().zip(ends).map(|(&(rows, offset), end)| {
            let part = &bytes[offset as usize..end as usize];
            GroupMeta { rows, offset, size: end - offset, crc32c: crc32c::crc32c(part) }
        });
        let groups = groups.collect();
        Ok(Written { bytes, tail_offset, rows, groups })
    }
}

/// One batch as a file.
pub(super) fn one_batch(batch: &RecordBatch, properties: WriterProperties) -> Result<Written, BlockError> {
    let mut writer = TableWriter::new(&batch.schema(), properties)?;
    writer.write(batch)?;
    writer.finish()
}

/// Milliseconds in UTC.
pub(super) fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some(Arc::from("UTC")))
}

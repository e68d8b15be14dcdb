//! Reads the small files: shared timestamps, exemplars, metadata. Whole, checksum verified before.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, StringArray};
use arrow::datatypes::{Float64Type, Int32Type, TimestampMillisecondType};
use bytes::Bytes;
use model::{Exemplar, Labels, Metadata, MetricType, TimestampMs};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

const BATCH_ROWS: usize = 8192;

pub(crate) fn batches(bytes: &Bytes) -> Result<Vec<RecordBatch>, String> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).map_err(|e| e.to_string())?;
    let reader = builder.with_batch_size(BATCH_ROWS).build().map_err(|e| e.to_string())?;
    reader.collect::<Result<_, _>>().map_err(|e| e.to_string())
}

fn missing() -> String {
    "a column is missing or has another type".into()
}

/// The vectors by id.
pub(crate) fn decode_timestamps(bytes: &Bytes) -> Result<Vec<Arc<[TimestampMs]>>, String> {
    let mut out = Vec::new();
    for batch in batches(bytes)? {
        let lists = batch.column_by_name("ts").and_then(|c| c.as_list_opt::<i32>()).ok_or_else(missing)?;
        let all = lists.values().as_primitive_opt::<TimestampMillisecondType>().ok_or_else(missing)?;
        for window in lists.value_offsets().windows(2) {
            let (start, end) = (window[0].max(0) as usize, window[1].max(0) as usize);
            out.push(Arc::from(all.values().get(start..end).ok_or_else(missing)?));
        }
    }
    Ok(out)
}

/// The exemplars with the row of their series, by series, then time.
pub(crate) fn decode_exemplars(bytes: &Bytes) -> Result<Vec<(u32, Exemplar)>, String> {
    let mut out = Vec::new();
    for batch in batches(bytes)? {
        let column = |name: &str| batch.column_by_name(name).ok_or_else(missing);
        let ids = column("series_id")?.as_primitive_opt::<Int32Type>().ok_or_else(missing)?;
        let times = column("ts")?.as_primitive_opt::<TimestampMillisecondType>().ok_or_else(missing)?;
        let values = column("value")?.as_primitive_opt::<Float64Type>().ok_or_else(missing)?;
        let maps = column("labels")?.as_map_opt().ok_or_else(missing)?;
        let names = maps.keys().as_string_opt::<i32>().ok_or_else(missing)?;
        let texts = maps.values().as_string_opt::<i32>().ok_or_else(missing)?;
        for row in 0..batch.num_rows() {
            let (start, end) = (maps.value_offsets()[row] as usize, maps.value_offsets()[row + 1] as usize);
            let labels = Labels::new((start..end).map(|i| (names.value(i), texts.value(i))));
            let labels = labels.map_err(|e| e.to_string())?;
            let exemplar = Exemplar { labels, value: values.value(row), t: times.value(row) };
            out.push((ids.value(row).cast_unsigned(), exemplar));
        }
    }
    Ok(out)
}

/// Metadata by metric name, sorted.
pub(crate) fn decode_metadata(bytes: &Bytes) -> Result<Vec<(String, Metadata)>, String> {
    let mut out = Vec::new();
    for batch in batches(bytes)? {
        let column = |name: &str| -> Result<&StringArray, String> {
            batch.column_by_name(name).and_then(|c| c.as_string_opt::<i32>()).ok_or_else(missing)
        };
        let (names, types) = (column("metric_name")?, column("metric_type")?);
        let (units, helps) = (column("unit")?, column("help")?);
        for row in 0..batch.num_rows() {
            let metadata = Metadata {
                metric_type: metric_type(types.value(row)),
                help: helps.value(row).to_owned(),
                unit: units.value(row).to_owned(),
            };
            out.push((names.value(row).to_owned(), metadata));
        }
    }
    Ok(out)
}

fn metric_type(name: &str) -> MetricType {
    (0..8).map(MetricType::from_wire).find(|t| t.as_str() == name).unwrap_or_default()
}

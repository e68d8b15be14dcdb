//! The small files: shared timestamps, exemplars, metadata of metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Float64Array, Int32Array, ListBuilder, StringArray, TimestampMillisecondArray,
    TimestampMillisecondBuilder,
};
use arrow::datatypes::Field;
use model::{Exemplar, Metadata};
use parquet::basic::Encoding;

use super::series::{append_labels, map_builder};
use super::table::{Table, Written, encoded, one_batch, properties, timestamp_type};
use super::vectors::Vectors;
use crate::BlockError;

/// `timestamps.parquet`: one row per distinct vector.
pub(super) fn write_timestamps(vectors: &Vectors) -> Result<Written, BlockError> {
    let builder = TimestampMillisecondBuilder::new().with_timezone("UTC");
    let mut lists = ListBuilder::new(builder).with_field(Field::new("element", timestamp_type(), false));
    let mut count = 0;
    for vector in vectors.iter() {
        lists.values().append_slice(vector);
        lists.append(true);
        count += 1;
    }
    let mut table = Table::default();
    table.add("ts_id", false, Arc::new(Int32Array::from_iter_values(0..count)));
    table.add("slice", false, Arc::new(Int32Array::from_iter_values((0..count).map(|_| 0))));
    table.add("ts", false, Arc::new(lists.finish()));
    let properties = encoded(properties()?, &["ts_id"], Encoding::DELTA_BINARY_PACKED);
    let properties = encoded(properties, &["ts", "list", "element"], Encoding::DELTA_BINARY_PACKED);
    one_batch(&table.batch()?, properties.build())
}

/// `exemplars.parquet`: one row per exemplar, by series, then time.
pub(super) fn write_exemplars(exemplars: &[(u32, Exemplar)]) -> Result<Written, BlockError> {
    let mut labels = map_builder();
    for (_, exemplar) in exemplars {
        append_labels(&mut labels, &exemplar.labels)?;
    }
    let ids = Int32Array::from_iter_values(exemplars.iter().map(|(id, _)| id.cast_signed()));
    let times = TimestampMillisecondArray::from_iter_values(exemplars.iter().map(|(_, e)| e.t));
    let values = Float64Array::from_iter_values(exemplars.iter().map(|(_, e)| e.value));
    let mut table = Table::default();
    table.add("series_id", false, Arc::new(ids));
    table.add("ts", false, Arc::new(times.with_timezone("UTC")));
    table.add("value", false, Arc::new(values));
    table.add("labels", false, Arc::new(labels.finish()));
    let properties = encoded(properties()?, &["series_id"], Encoding::DELTA_BINARY_PACKED);
    let properties = encoded(properties, &["ts"], Encoding::DELTA_BINARY_PACKED);
    one_batch(&table.batch()?, encoded(properties, &["value"], Encoding::BYTE_STREAM_SPLIT).build())
}

/// `metadata.parquet`: type, unit and help per metric name.
pub(super) fn write_metadata(metadata: &BTreeMap<String, Metadata>) -> Result<Written, BlockError> {
    let column = |of: fn(&Metadata) -> &str| StringArray::from_iter_values(metadata.values().map(of));
    let mut table = Table::default();
    table.add("metric_name", false, Arc::new(StringArray::from_iter_values(metadata.keys())));
    table.add("metric_type", false, Arc::new(column(|m| m.metric_type.as_str())));
    table.add("unit", false, Arc::new(column(|m| &m.unit)));
    table.add("help", false, Arc::new(column(|m| &m.help)));
    one_batch(&table.batch()?, properties()?.build())
}

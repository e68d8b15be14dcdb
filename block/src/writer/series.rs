//! `series.parquet`: one row per series, its number is the row; labels, identity, where its samples lie.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, MapBuilder, MapFieldNames, StringBuilder,
};
use model::{Labels, METRIC_NAME, MetricType, SeriesId, TimestampMs};
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{EnabledStatistics, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use super::decimal::Scale;
use super::table::{Table, Written, encoded, one_batch, properties};
use crate::BlockError;

/// Labels with a column of their own at most.
const PROMOTED_MAX: usize = 32;
/// A label on one of this many series has a column of its own.
const PROMOTED_SHARE: usize = 100;
/// Labels that have one always.
const PROMOTED_ALWAYS: [&str; 3] = [METRIC_NAME, "instance", "job"];

/// A series' row.
pub(super) struct SeriesRow {
    pub(super) labels: Labels,
    pub(super) id: SeriesId,
    pub(super) metric_type: MetricType,
    pub(super) unit: Arc<str>,
    pub(super) min_t: TimestampMs,
    pub(super) max_t: TimestampMs,
    pub(super) samples: Option<SamplesPlace>,
    pub(super) histograms: Option<HistogramsPlace>,
}

/// Where its float samples lie.
pub(super) struct SamplesPlace {
    pub(super) row: u64,
    pub(super) count: usize,
    /// Vector and offset in it; `None`: read the `ts` column.
    pub(super) vector: Option<(u32, u32)>,
    /// `None`: all in `value`.
    pub(super) scale: Option<Scale>,
}

/// Where its histograms lie.
pub(super) struct HistogramsPlace {
    pub(super) row: u64,
    pub(super) rows: usize,
}

/// The labels worth a column of their own, sorted.
fn promoted(rows: &[SeriesRow]) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = PROMOTED_ALWAYS.iter().map(|n| (*n, usize::MAX)).collect();
    for row in rows {
        for (name, _) in &row.labels {
            let count = counts.entry(name).or_insert(0);
            *count = count.saturating_add(1);
        }
    }
    let mut frequent: Vec<(&str, usize)> =
        counts.into_iter().filter(|(_, n)| *n >= rows.len().div_ceil(PROMOTED_SHARE)).collect();
    frequent.sort_by_key(|(name, n)| (std::cmp::Reverse(*n), *name));
    frequent.truncate(PROMOTED_MAX);
    let mut names: Vec<String> = frequent.into_iter().map(|(name, _)| name.to_owned()).collect();
    names.sort();
    names
}

fn int64(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(Int64Array::from_iter(values))
}

fn int32(values: impl Iterator<Item = Option<usize>>) -> ArrayRef {
    Arc::new(Int32Array::from_iter(values.map(|v| v.map(|v| v as i32))))
}

/// The map builder with the names the format asks for.
pub(super) fn map_builder() -> MapBuilder<StringBuilder, StringBuilder> {
    let names = MapFieldNames { entry: "key_value".into(), key: "key".into(), value: "value".into() };
    MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
}

pub(super) fn append_labels(
    builder: &mut MapBuilder<StringBuilder, StringBuilder>,
    labels: &Labels,
) -> Result<(), BlockError> {
    for (name, value) in labels {
        builder.keys().append_value(name);
        builder.values().append_value(value);
    }
    Ok(builder.append(true)?)
}

/// Writes the table; also tells the promoted labels.
pub(super) fn write_series(rows: &[SeriesRow]) -> Result<(Written, Vec<String>), BlockError> {
    let promoted = promoted(rows);
    let mut table = Table::default();
    let properties = add_columns(&mut table, rows, &promoted)?;
    Ok((one_batch(&table.batch()?, properties.build())?, promoted))
}

fn add_columns(
    table: &mut Table,
    rows: &[SeriesRow],
    promoted: &[String],
) -> Result<WriterPropertiesBuilder, BlockError> {
    let mut properties = properties()?;
    table.add("series_id", false, int32((0..rows.len()).map(Some)));
    table.add("series_hash", false, int64(rows.iter().map(|r| Some(r.id.0.cast_signed()))));
    let mut labels = map_builder();
    for row in rows {
        append_labels(&mut labels, &row.labels)?;
    }
    table.add("labels", false, Arc::new(labels.finish()));
    for name in promoted {
        let mut column = StringBuilder::new();
        for row in rows {
            column.append_option(row.labels.get(name));
        }
        let column_name = format!("l_{name}");
        let path = ColumnPath::new(vec![column_name.clone()]);
        properties = properties.set_column_statistics_enabled(path, EnabledStatistics::Page);
        table.add(&column_name, true, Arc::new(column.finish()));
    }
    let (mut types, mut units) = (StringBuilder::new(), StringBuilder::new());
    for row in rows {
        types.append_option((row.metric_type != MetricType::Unknown).then(|| row.metric_type.as_str()));
        units.append_option((!row.unit.is_empty()).then_some(&*row.unit));
    }
    table.add("metric_type", true, Arc::new(types.finish()));
    table.add("unit", true, Arc::new(units.finish()));
    table.add("min_t", false, int64(rows.iter().map(|r| Some(r.min_t))));
    table.add("max_t", false, int64(rows.iter().map(|r| Some(r.max_t))));
    add_places(table, rows);
    let delta = ["series_id", "min_t", "max_t", "s0_row", "h0_row", "h0_n"];
    for name in delta {
        properties = encoded(properties, &[name], Encoding::DELTA_BINARY_PACKED);
    }
    properties = encoded(properties, &["series_hash"], Encoding::PLAIN);
    let hash = ColumnPath::new(vec!["series_hash".into()]);
    Ok(properties.set_column_compression(hash, Compression::UNCOMPRESSED))
}

fn add_places(table: &mut Table, rows: &[SeriesRow]) {
    let samples = || rows.iter().map(|r| r.samples.as_ref());
    let scale = || samples().map(|s| s.and_then(|s| s.scale));
    table.add("s0_row", true, int64(samples().map(|s| s.map(|s| s.row.cast_signed()))));
    table.add("s0_n", true, int32(samples().map(|s| s.map(|s| s.count))));
    let vectors = || samples().map(|s| s.and_then(|s| s.vector));
    table.add("s0_ts", true, int32(vectors().map(|v| v.map(|v| v.0 as usize))));
    table.add("s0_ts_off", true, int32(vectors().map(|v| v.map(|v| v.1 as usize))));
    table.add("s0_mul", true, int64(scale().map(|s| s.map(|s| s.mul))));
    table.add("s0_den", true, Arc::new(Float64Array::from_iter(scale().map(|s| s.map(|s| s.den)))));
    let exceptions = samples().map(|s| s.map(|s| s.scale.is_some_and(|s| s.exceptions > 0)));
    table.add("s0_exceptions", true, Arc::new(BooleanArray::from_iter(exceptions)));
    let histograms = || rows.iter().map(|r| r.histograms.as_ref());
    table.add("h0_row", true, int64(histograms().map(|h| h.map(|h| h.row.cast_signed()))));
    table.add("h0_n", true, int32(histograms().map(|h| h.map(|h| h.rows))));
}

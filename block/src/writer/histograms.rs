//! `histograms.parquet`: one row per run of native histograms of a series that have one shape.
//!
//! Buckets are absolute counts, all of the first bucket, then all of the second, and so on, so that the
//! encoding sees a bucket's way through time. Nothing is rounded: what was written comes back.

use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, Float64Builder, Int32Builder, Int64Builder, ListBuilder,
    TimestampMillisecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema};
use model::{CounterResetHint, Histogram, Span, TimestampMs};
use parquet::basic::Encoding;
use parquet::file::properties::WriterProperties;

use super::table::{Table, TableWriter, Written, encoded, properties, timestamp_type};
use crate::BlockError;

/// Histograms in one row at most.
const RUN_MAX: usize = 1024;
/// Numbers (buckets and all) after which a row group ends.
const ROW_GROUP_NUMBERS: usize = 2 << 20;

/// A histogram sample on its way into a block.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockHistogram {
    /// When.
    pub t: TimestampMs,
    /// Start timestamp, 0 when not told.
    pub start_t: TimestampMs,
    /// What, in the form it was written.
    pub histogram: Histogram,
}

/// What all histograms of a row share.
struct Shape<'a> {
    float: bool,
    schema: i32,
    zero_threshold: f64,
    positive: &'a [Span],
    negative: &'a [Span],
    positive_buckets: usize,
    negative_buckets: usize,
    custom: &'a [f64],
}

impl<'a> Shape<'a> {
    fn of(histogram: &'a Histogram) -> Self {
        match histogram {
            Histogram::Int(h) => Shape {
                float: false,
                schema: h.schema,
                zero_threshold: h.zero_threshold,
                positive: &h.positive_spans,
                negative: &h.negative_spans,
                positive_buckets: h.positive_deltas.len(),
                negative_buckets: h.negative_deltas.len(),
                custom: &h.custom_values,
            },
            Histogram::Float(h) => Shape {
                float: true,
                schema: h.schema,
                zero_threshold: h.zero_threshold,
                positive: &h.positive_spans,
                negative: &h.negative_spans,
                positive_buckets: h.positive_buckets.len(),
                negative_buckets: h.negative_buckets.len(),
                custom: &h.custom_values,
            },
        }
    }

    fn same(&self, other: &Shape<'_>) -> bool {
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        self.float == other.float
            && self.schema == other.schema
            && self.zero_threshold.to_bits() == other.zero_threshold.to_bits()
            && self.positive == other.positive
            && self.negative == other.negative
            && self.positive_buckets == other.positive_buckets
            && self.negative_buckets == other.negative_buckets
            && bits(self.custom) == bits(other.custom)
    }
}

fn element(of: DataType) -> Field {
    Field::new("element", of, false)
}

fn list_of(of: DataType) -> DataType {
    DataType::List(Arc::new(element(of)))
}

fn integers() -> ListBuilder<Int64Builder> {
    ListBuilder::new(Int64Builder::new()).with_field(element(DataType::Int64))
}

fn small_integers() -> ListBuilder<Int32Builder> {
    ListBuilder::new(Int32Builder::new()).with_field(element(DataType::Int32))
}

fn doubles() -> ListBuilder<Float64Builder> {
    ListBuilder::new(Float64Builder::new()).with_field(element(DataType::Float64))
}

fn times() -> ListBuilder<TimestampMillisecondBuilder> {
    let builder = TimestampMillisecondBuilder::new().with_timezone("UTC");
    ListBuilder::new(builder).with_field(element(timestamp_type()))
}

struct Columns {
    series_id: Int32Builder,
    slice: Int32Builder,
    n: Int32Builder,
    schema: Int32Builder,
    zero_threshold: Float64Builder,
    custom_values: ListBuilder<Float64Builder>,
    spans: [ListBuilder<Int32Builder>; 4],
    ts: ListBuilder<TimestampMillisecondBuilder>,
    start_ts: ListBuilder<TimestampMillisecondBuilder>,
    reset_hint: ListBuilder<Int32Builder>,
    sum: ListBuilder<Float64Builder>,
    /// count, zero_count, pos_buckets, neg_buckets
    integers: [ListBuilder<Int64Builder>; 4],
    /// the same, as floats
    floats: [ListBuilder<Float64Builder>; 4],
}

const SPAN_COLUMNS: [&str; 4] = ["pos_span_offset", "pos_span_length", "neg_span_offset", "neg_span_length"];
const COUNT_COLUMNS: [&str; 4] = ["count", "zero_count", "pos_buckets", "neg_buckets"];

impl Columns {
    fn new() -> Self {
        Columns {
            series_id: Int32Builder::new(),
            slice: Int32Builder::new(),
            n: Int32Builder::new(),
            schema: Int32Builder::new(),
            zero_threshold: Float64Builder::new(),
            custom_values: doubles(),
            spans: std::array::from_fn(|_| small_integers()),
            ts: times(),
            start_ts: times(),
            reset_hint: small_integers(),
            sum: doubles(),
            integers: std::array::from_fn(|_| integers()),
            floats: std::array::from_fn(|_| doubles()),
        }
    }

    fn push(&mut self, series: u32, run: &[BlockHistogram]) {
        let shape = Shape::of(&run[0].histogram);
        self.series_id.append_value(series.cast_signed());
        self.slice.append_value(0);
        self.n.append_value(run.len() as i32);
        self.schema.append_value(shape.schema);
        self.zero_threshold.append_value(shape.zero_threshold);
        self.custom_values.values().append_slice(shape.custom);
        self.custom_values.append(true);
        for (i, spans) in [(0, shape.positive), (2, shape.negative)] {
            for span in spans {
                self.spans[i].values().append_value(span.offset);
                self.spans[i + 1].values().append_value(span.length.cast_signed());
            }
            self.spans[i].append(true);
            self.spans[i + 1].append(true);
        }
        for sample in run {
            self.ts.values().append_value(sample.t);
            self.start_ts.values().append_value(sample.start_t);
            let (hint, sum) = match &sample.histogram {
                Histogram::Int(h) => (h.counter_reset_hint, h.sum),
                Histogram::Float(h) => (h.counter_reset_hint, h.sum),
            };
            self.reset_hint.values().append_value(hint_number(hint));
            self.sum.values().append_value(sum);
        }
        self.ts.append(true);
        self.start_ts.append(run.iter().any(|s| s.start_t != 0));
        self.reset_hint.append(true);
        self.sum.append(true);
        if shape.float {
            self.push_floats(run, &shape);
        } else {
            self.push_integers(run, &shape);
        }
        for i in 0..4 {
            self.integers[i].append(!shape.float);
            self.floats[i].append(shape.float);
        }
    }

    fn push_integers(&mut self, run: &[BlockHistogram], shape: &Shape<'_>) {
        let all: Vec<_> = run
            .iter()
            .filter_map(|s| match &s.histogram {
                Histogram::Int(h) => Some(h),
                Histogram::Float(_) => None,
            })
            .collect();
        for h in &all {
            self.integers[0].values().append_value(h.count.cast_signed());
            self.integers[1].values().append_value(h.zero_count.cast_signed());
        }
        let mut absolute = vec![0i64; all.len()];
        for bucket in 0..shape.positive_buckets {
            for (sum, h) in absolute.iter_mut().zip(&all) {
                *sum = sum.wrapping_add(h.positive_deltas[bucket]);
            }
            self.integers[2].values().append_slice(&absolute);
        }
        absolute.fill(0);
        for bucket in 0..shape.negative_buckets {
            for (sum, h) in absolute.iter_mut().zip(&all) {
                *sum = sum.wrapping_add(h.negative_deltas[bucket]);
            }
            self.integers[3].values().append_slice(&absolute);
        }
    }

    fn push_floats(&mut self, run: &[BlockHistogram], shape: &Shape<'_>) {
        let all: Vec<_> = run
            .iter()
            .filter_map(|s| match &s.histogram {
                Histogram::Float(h) => Some(h),
                Histogram::Int(_) => None,
            })
            .collect();
        for h in &all {
            self.floats[0].values().append_value(h.count);
            self.floats[1].values().append_value(h.zero_count);
        }
        for bucket in 0..shape.positive_buckets {
            all.iter().for_each(|h| self.floats[2].values().append_value(h.positive_buckets[bucket]));
        }
        for bucket in 0..shape.negative_buckets {
            all.iter().for_each(|h| self.floats[3].values().append_value(h.negative_buckets[bucket]));
        }
    }

    fn finish(&mut self) -> Table {
        let mut table = Table::default();
        let mut add = |name: &str, nullable: bool, mut builder: Box<dyn ArrayBuilder>| {
            let column: ArrayRef = builder.finish();
            table.add(name, nullable, column);
        };
        let taken = std::mem::replace(self, Columns::new());
        add("series_id", false, Box::new(taken.series_id));
        add("slice", false, Box::new(taken.slice));
        add("n", false, Box::new(taken.n));
        add("schema", false, Box::new(taken.schema));
        add("zero_threshold", false, Box::new(taken.zero_threshold));
        add("custom_values", false, Box::new(taken.custom_values));
        for (name, builder) in SPAN_COLUMNS.iter().zip(taken.spans) {
            add(name, false, Box::new(builder));
        }
        add("ts", false, Box::new(taken.ts));
        add("start_ts", true, Box::new(taken.start_ts));
        add("reset_hint", false, Box::new(taken.reset_hint));
        add("sum", false, Box::new(taken.sum));
        for (name, builder) in COUNT_COLUMNS.iter().zip(taken.integers) {
            add(name, true, Box::new(builder));
        }
        for (name, builder) in COUNT_COLUMNS.iter().zip(taken.floats) {
            add(&format!("f_{name}"), true, Box::new(builder));
        }
        table
    }
}

fn hint_number(hint: CounterResetHint) -> i32 {
    hint as i32
}

/// The columns of the file.
pub(crate) fn histograms_schema() -> Arc<Schema> {
    let mut fields = vec![
        Field::new("series_id", DataType::Int32, false),
        Field::new("slice", DataType::Int32, false),
        Field::new("n", DataType::Int32, false),
        Field::new("schema", DataType::Int32, false),
        Field::new("zero_threshold", DataType::Float64, false),
        Field::new("custom_values", list_of(DataType::Float64), false),
    ];
    fields.extend(SPAN_COLUMNS.iter().map(|n| Field::new(*n, list_of(DataType::Int32), false)));
    fields.push(Field::new("ts", list_of(timestamp_type()), false));
    fields.push(Field::new("start_ts", list_of(timestamp_type()), true));
    fields.push(Field::new("reset_hint", list_of(DataType::Int32), false));
    fields.push(Field::new("sum", list_of(DataType::Float64), false));
    fields.extend(COUNT_COLUMNS.iter().map(|n| Field::new(*n, list_of(DataType::Int64), true)));
    let floats = COUNT_COLUMNS.iter().map(|n| Field::new(format!("f_{n}"), list_of(DataType::Float64), true));
    fields.extend(floats);
    Arc::new(Schema::new(fields))
}

fn histogram_properties() -> Result<WriterProperties, BlockError> {
    let mut builder = properties()?.set_dictionary_enabled(true);
    for name in COUNT_COLUMNS.iter().chain(&["ts", "start_ts"]) {
        builder = encoded(builder, &[name, "list", "element"], Encoding::DELTA_BINARY_PACKED);
    }
    for name in COUNT_COLUMNS {
        builder = encoded(builder, &[&format!("f_{name}"), "list", "element"], Encoding::BYTE_STREAM_SPLIT);
    }
    builder = encoded(builder, &["sum", "list", "element"], Encoding::BYTE_STREAM_SPLIT);
    builder = encoded(builder, &["series_id"], Encoding::DELTA_BINARY_PACKED);
    Ok(builder.build())
}

/// Writes the histograms of one piece.
pub(super) struct HistogramsWriter {
    columns: Columns,
    file: TableWriter,
    rows: u64,
    numbers: usize,
}

impl HistogramsWriter {
    pub(super) fn new() -> Result<Self, BlockError> {
        let file = TableWriter::new(&histograms_schema(), histogram_properties()?)?;
        Ok(HistogramsWriter { columns: Columns::new(), file, rows: 0, numbers: 0 })
    }

    /// Adds the histograms of a series (not empty); tells first row and number of rows.
    pub(super) fn push(
        &mut self,
        series: u32,
        samples: &[BlockHistogram],
    ) -> Result<(u64, usize), BlockError> {
        let first = self.rows;
        let mut rest = samples;
        while let Some(head) = rest.first() {
            let shape = Shape::of(&head.histogram);
            let n = rest.iter().take(RUN_MAX).take_while(|s| shape.same(&Shape::of(&s.histogram))).count();
            self.columns.push(series, &rest[..n]);
            self.rows += 1;
            self.numbers += n * (shape.positive_buckets + shape.negative_buckets + 5);
            rest = &rest[n..];
            if self.numbers >= ROW_GROUP_NUMBERS {
                self.end_group()?;
            }
        }
        Ok((first, usize::try_from(self.rows - first).unwrap_or(usize::MAX)))
    }

    fn end_group(&mut self) -> Result<(), BlockError> {
        self.numbers = 0;
        let batch = self.columns.finish().batch()?;
        if batch.num_rows() > 0 {
            self.file.write_group(&batch)?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Written, BlockError> {
        self.end_group()?;
        self.file.finish()
    }
}

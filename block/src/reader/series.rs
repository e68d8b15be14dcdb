//! The series of a piece, decoded: labels as dictionary codes, and where each series' samples lie.
//!
//! A matcher runs once per distinct value of its label, then codes are compared; lists of literals and prefixes are
//! looked up where the label has been asked for often enough for its values to be sorted. Columns of codes are made
//! when a label is first asked for and kept.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use arrow::array::{
    Array, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use bytes::Bytes;
use model::{Labels, METRIC_NAME, Matcher, SeriesId, TimeRange, TimestampMs};
use parking_lot::Mutex;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

/// Columns of codes kept at most.
const COLUMNS_MAX: usize = 64;
/// A column's values are sorted when they have been gone over so often.
const SCANS_MAX: u32 = 4;

/// Where the float samples of a series lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SamplesAt {
    pub(crate) row: u64,
    pub(crate) count: usize,
    /// Vector and offset; `None`: the `ts` column.
    pub(crate) vector: Option<(usize, usize)>,
    /// `mul` and `den`; `None`: all in `value`.
    pub(crate) scale: Option<(i64, f64)>,
    pub(crate) exceptions: bool,
}

/// The values one label has in the piece: a code per row, 0 where the label is absent.
#[derive(Debug)]
pub(crate) struct LabelColumn {
    codes: Vec<u32>,
    /// Positions in the dictionary of values; code n is entry n - 1.
    values: Vec<u32>,
    /// Codes in the order of their values.
    sorted: OnceLock<Vec<u32>>,
    /// How often all values were gone over.
    scans: AtomicU32,
}

/// The decoded series file.
#[derive(Debug)]
pub(crate) struct SeriesTable {
    names: StringArray,
    values: StringArray,
    /// Row r has pairs `offsets[r]..offsets[r + 1]`.
    offsets: Vec<u32>,
    name_codes: Vec<u32>,
    value_codes: Vec<u32>,
    hashes: Vec<u64>,
    min_t: Vec<TimestampMs>,
    max_t: Vec<TimestampMs>,
    places: Places,
    columns: Mutex<HashMap<String, Arc<LabelColumn>>>,
}

#[derive(Debug)]
struct Places {
    row: Int64Array,
    n: Int32Array,
    ts: Int32Array,
    ts_off: Int32Array,
    mul: Int64Array,
    den: Float64Array,
    exceptions: BooleanArray,
    h_row: Int64Array,
    h_n: Int32Array,
}

const COLUMNS: [&str; 13] = [
    "series_hash",
    "labels",
    "min_t",
    "max_t",
    "s0_row",
    "s0_n",
    "s0_ts",
    "s0_ts_off",
    "s0_mul",
    "s0_den",
    "s0_exceptions",
    "h0_row",
    "h0_n",
];

fn column<'a, T: Array + 'static>(batch: &'a RecordBatch, name: &str) -> Result<&'a T, String> {
    let column = batch.column_by_name(name).ok_or_else(|| format!("column `{name}` is missing"))?;
    column.as_any().downcast_ref::<T>().ok_or_else(|| format!("column `{name}` has another type"))
}

/// The map with its strings as dictionaries.
fn with_dictionaries(schema: &Schema) -> Schema {
    let dictionary = || DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Map(entries, sorted) if field.name() == "labels" => {
            let DataType::Struct(pair) = entries.data_type() else { return Arc::clone(field) };
            let pair: Vec<Field> =
                pair.iter().map(|f| Field::new(f.name(), dictionary(), f.is_nullable())).collect();
            let entries = Field::new(entries.name(), DataType::Struct(pair.into()), false);
            let map = DataType::Map(Arc::new(entries), *sorted);
            Arc::new(Field::new(field.name(), map, field.is_nullable()))
        }
        _ => Arc::clone(field),
    });
    Schema::new(fields.collect::<Vec<_>>())
}

fn read_batch(bytes: &Bytes, rows: usize) -> Result<RecordBatch, String> {
    let text = |e: parquet::errors::ParquetError| e.to_string();
    let plain = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).map_err(text)?;
    let schema = Arc::new(with_dictionaries(plain.schema()));
    let options = ArrowReaderOptions::new().with_schema(schema);
    let builder =
        ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), options).map_err(text)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), COLUMNS);
    let mut batches = builder.with_projection(mask).with_batch_size(rows.max(1)).build().map_err(text)?;
    let batch = batches.next().ok_or("no rows")?.map_err(|e| e.to_string())?;
    if batch.num_rows() != rows || batches.next().is_some() {
        return Err(format!("{} rows instead of {rows}", batch.num_rows()));
    }
    Ok(batch)
}

fn codes(keys: &Int32Array, entries: usize) -> Result<Vec<u32>, String> {
    if keys.null_count() > 0
        || keys.values().iter().any(|k| usize::try_from(*k).map_or(true, |k| k >= entries))
    {
        return Err("labels have no string".into());
    }
    Ok(keys.values().iter().map(|k| k.cast_unsigned()).collect())
}

impl SeriesTable {
    /// Decodes the file; its checksum was verified.
    pub(crate) fn decode(bytes: &Bytes, rows: u64) -> Result<Self, String> {
        let batch = read_batch(bytes, usize::try_from(rows).map_err(|e| e.to_string())?)?;
        let labels = batch.column_by_name("labels").and_then(|c| c.as_map_opt()).ok_or("no labels")?;
        let strings = |column: &dyn Array| -> Result<(Vec<u32>, StringArray), String> {
            let dictionary = column.as_dictionary_opt::<Int32Type>().ok_or("labels are no dictionary")?;
            let values = dictionary.values().as_string_opt::<i32>().ok_or("labels are no strings")?;
            Ok((codes(dictionary.keys(), values.len())?, values.clone()))
        };
        let (name_codes, names) = strings(labels.keys().as_ref())?;
        let (value_codes, values) = strings(labels.values().as_ref())?;
        let hashes = column::<Int64Array>(&batch, "series_hash")?;
        Ok(SeriesTable {
            names,
            values,
            offsets: labels.value_offsets().iter().map(|o| o.cast_unsigned()).collect(),
            name_codes,
            value_codes,
            hashes: hashes.values().iter().map(|h| h.cast_unsigned()).collect(),
            min_t: column::<Int64Array>(&batch, "min_t")?.values().to_vec(),
            max_t: column::<Int64Array>(&batch, "max_t")?.values().to_vec(),
            places: Places {
                row: column::<Int64Array>(&batch, "s0_row")?.clone(),
                n: column::<Int32Array>(&batch, "s0_n")?.clone(),
                ts: column::<Int32Array>(&batch, "s0_ts")?.clone(),
                ts_off: column::<Int32Array>(&batch, "s0_ts_off")?.clone(),
                mul: column::<Int64Array>(&batch, "s0_mul")?.clone(),
                den: column::<Float64Array>(&batch, "s0_den")?.clone(),
                exceptions: column::<BooleanArray>(&batch, "s0_exceptions")?.clone(),
                h_row: column::<Int64Array>(&batch, "h0_row")?.clone(),
                h_n: column::<Int32Array>(&batch, "h0_n")?.clone(),
            },
            columns: Mutex::new(HashMap::new()),
        })
    }

    /// Series.
    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Bytes held, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.names.get_array_memory_size()
            + self.values.get_array_memory_size()
            + (self.offsets.len() + self.name_codes.len() + self.value_codes.len()) * 4
            + self.len() * (8 * 3 + 50)
            // columns of codes that will be made
            + self.len() * 4 * 8
    }

    pub(crate) fn id(&self, row: usize) -> SeriesId {
        SeriesId(self.hashes[row])
    }

    pub(crate) fn overlaps(&self, row: usize, range: &TimeRange) -> bool {
        self.min_t[row] < range.end && range.start <= self.max_t[row]
    }

    fn pairs(&self, row: usize) -> Range<usize> {
        self.offsets[row] as usize..self.offsets[row + 1] as usize
    }

    /// The pairs of a row that `wanted` names by code (`None`: all), as codes of name and value.
    pub(crate) fn kept_pairs(&self, row: usize, wanted: Option<&[bool]>, into: &mut Vec<(u32, u32)>) {
        into.clear();
        let pairs = self.pairs(row);
        let codes = self.name_codes[pairs.clone()].iter().zip(&self.value_codes[pairs]);
        let kept = codes.filter(|(name, _)| wanted.is_none_or(|wanted| wanted[**name as usize]));
        into.extend(kept.map(|(name, value)| (*name, *value)));
    }

    /// The labels of a row from its pairs; `buffer` is for their bytes.
    pub(crate) fn labels(
        &self,
        row: usize,
        pairs: &[(u32, u32)],
        buffer: &mut Vec<u8>,
    ) -> Result<Labels, String> {
        let text = |(name, value): &(u32, u32)| {
            (self.names.value(*name as usize), self.values.value(*value as usize))
        };
        // the writer sorts them; another's file may be unsorted
        match Labels::from_ascending(pairs.iter().map(text), buffer) {
            Some(labels) => Ok(labels),
            None => Labels::new(pairs.iter().map(text)).map_err(|e| format!("series {row}: {e}")),
        }
    }

    /// For each label name (by code), whether `wants` it.
    pub(crate) fn wanted(&self, wants: &dyn Fn(&str) -> bool) -> Vec<bool> {
        (0..self.names.len()).map(|code| wants(self.names.value(code))).collect()
    }

    /// The float samples of a row.
    pub(crate) fn samples(&self, row: usize) -> Option<SamplesAt> {
        let p = &self.places;
        if p.row.is_null(row) || p.n.is_null(row) {
            return None;
        }
        let size = |value: i32| usize::try_from(value).unwrap_or(usize::MAX);
        let vector = (p.ts.is_valid(row) && p.ts_off.is_valid(row))
            .then(|| (size(p.ts.value(row)), size(p.ts_off.value(row))));
        let scale = p.den.is_valid(row).then(|| (p.mul.value(row), p.den.value(row)));
        Some(SamplesAt {
            row: p.row.value(row).cast_unsigned(),
            count: size(p.n.value(row)),
            vector,
            scale,
            exceptions: p.exceptions.is_valid(row) && p.exceptions.value(row),
        })
    }

    /// First row and number of rows in the histograms file.
    pub(crate) fn histograms(&self, row: usize) -> Option<(u64, usize)> {
        let p = &self.places;
        (p.h_row.is_valid(row) && p.h_n.is_valid(row)).then(|| {
            (p.h_row.value(row).cast_unsigned(), usize::try_from(p.h_n.value(row)).unwrap_or(usize::MAX))
        })
    }

    fn column(&self, name: &str) -> Arc<LabelColumn> {
        if let Some(column) = self.columns.lock().get(name) {
            return Arc::clone(column);
        }
        let column = Arc::new(self.make_column(name));
        let mut columns = self.columns.lock();
        if columns.len() >= COLUMNS_MAX {
            columns.clear();
        }
        columns.insert(name.to_owned(), Arc::clone(&column));
        column
    }

    fn make_column(&self, name: &str) -> LabelColumn {
        let code = (0..self.names.len()).find(|c| self.names.value(*c) == name);
        let mut codes = vec![0u32; self.len()];
        let mut values = Vec::new();
        if let Some(code) = code {
            // by position in the dictionary of values: the column's own code
            let mut known: hashbrown::HashMap<u32, u32> = hashbrown::HashMap::new();
            for (row, slot) in codes.iter_mut().enumerate() {
                let pair = self.pairs(row).find(|i| self.name_codes[*i] as usize == code);
                if let Some(pair) = pair {
                    let value = self.value_codes[pair];
                    *slot = *known.entry(value).or_insert_with(|| {
                        values.push(value);
                        values.len() as u32
                    });
                }
            }
        }
        LabelColumn { codes, values, sorted: OnceLock::new(), scans: AtomicU32::new(0) }
    }

    fn value_of<'a>(&'a self, column: &LabelColumn, code: u32) -> &'a str {
        match code {
            0 => "",
            code => self.values.value(column.values[code as usize - 1] as usize),
        }
    }

    /// Rows whose metric name lies from `first` to `last`, or begins with `last` if that is a prefix. Rows are
    /// sorted by name.
    fn name_range(&self, first: &str, last: &str, is_prefix: bool) -> Range<usize> {
        let column = self.column(METRIC_NAME);
        let bound = |is_before: &dyn Fn(&str) -> bool| {
            let (mut low, mut high) = (0, self.len());
            while low < high {
                let middle = usize::midpoint(low, high);
                let before = is_before(self.value_of(&column, column.codes[middle]));
                if before { low = middle + 1 } else { high = middle }
            }
            low
        };
        let inside = |name: &str| name <= last || (is_prefix && name.starts_with(last));
        bound(&|name| name < first)..bound(&inside)
    }

    /// The rows that a matcher on the metric's name leaves, and whether that is all it says.
    fn named(&self, matcher: &Matcher) -> Option<(Range<usize>, bool)> {
        if matcher.name() != METRIC_NAME {
            return None;
        }
        if let Some(names) = matcher.literal_values() {
            // they are sorted
            let (first, last) = (names.first()?, names.last()?);
            return Some((self.name_range(first, last, false), names.len() == 1));
        }
        let prefix = matcher.literal_prefix();
        (!prefix.is_empty()).then(|| (self.name_range(prefix, prefix, true), false))
    }

    /// A column's codes in the order of their values, once it is worth it.
    fn sorted<'a>(&self, column: &'a LabelColumn) -> Option<&'a [u32]> {
        if column.scans.load(Ordering::Relaxed) < SCANS_MAX {
            return None;
        }
        let sorted = column.sorted.get_or_init(|| {
            let mut codes: Vec<u32> = (1..=column.values.len() as u32).collect();
            codes.sort_unstable_by_key(|code| self.value_of(column, *code));
            codes
        });
        Some(sorted)
    }

    /// For each code of a column, whether its value passes.
    fn passing(&self, column: &LabelColumn, matcher: &Matcher) -> Vec<bool> {
        let count = column.values.len() + 1;
        let with = |all: bool, matcher: &Matcher| {
            let mut passes = vec![all; count];
            passes[0] = matcher.matches_empty();
            passes
        };
        if matcher.matches_all_but_empty() {
            return with(true, matcher);
        }
        let listed = match matcher.literal_values() {
            Some(values) => Some((values, true)),
            None => matcher.excluded_values().map(|values| (values, false)),
        };
        let prefix = matcher.literal_prefix();
        if listed.is_some() || !prefix.is_empty() {
            let Some(sorted) = self.sorted(column) else {
                column.scans.fetch_add(1, Ordering::Relaxed);
                return self.scanned(column, matcher);
            };
            let from = |value: &str| sorted.partition_point(|code| self.value_of(column, *code) < value);
            if let Some((values, pass)) = listed {
                let mut passes = with(!pass, matcher);
                for value in values {
                    let code = sorted.get(from(value)).filter(|c| self.value_of(column, **c) == value);
                    if let Some(code) = code {
                        passes[*code as usize] = pass;
                    }
                }
                return passes;
            }
            let mut passes = with(false, matcher);
            let begin = |code: &&u32| self.value_of(column, **code).starts_with(prefix);
            for code in sorted[from(prefix)..].iter().take_while(begin) {
                passes[*code as usize] = matcher.matches(self.value_of(column, *code));
            }
            return passes;
        }
        self.scanned(column, matcher)
    }

    /// The same by going over all values.
    fn scanned(&self, column: &LabelColumn, matcher: &Matcher) -> Vec<bool> {
        (0..=column.values.len() as u32).map(|code| matcher.matches(self.value_of(column, code))).collect()
    }

    /// Rows that pass all matchers and have anything in `range`, ascending.
    pub(crate) fn matching(&self, matchers: &[Matcher], range: &TimeRange) -> Vec<u32> {
        let mut span = 0..self.len();
        let mut tests: Vec<(Arc<LabelColumn>, Vec<bool>)> = Vec::new();
        for matcher in matchers {
            if matcher.matches_everything() {
                continue;
            }
            if let Some((narrower, is_all)) = self.named(matcher) {
                span = span.start.max(narrower.start)..span.end.min(narrower.end);
                if is_all {
                    continue;
                }
            }
            let column = self.column(matcher.name());
            let passes = self.passing(&column, matcher);
            tests.push((column, passes));
        }
        span.filter(|row| {
            tests.iter().all(|(column, passes)| passes[column.codes[*row] as usize])
                && self.overlaps(*row, range)
        })
        .map(|row| row as u32)
        .collect()
    }

    /// Names of labels of these rows.
    pub(crate) fn label_names(&self, rows: &[u32]) -> Vec<&str> {
        let mut seen = vec![false; self.names.len()];
        for row in rows {
            for pair in self.pairs(*row as usize) {
                seen[self.name_codes[pair] as usize] = true;
            }
        }
        (0..seen.len()).filter(|c| seen[*c]).map(|c| self.names.value(c)).collect()
    }

    /// Values of a label of these rows.
    pub(crate) fn label_values(&self, name: &str, rows: &[u32]) -> Vec<&str> {
        let column = self.column(name);
        let mut seen = vec![false; column.values.len() + 1];
        for row in rows {
            seen[column.codes[*row as usize] as usize] = true;
        }
        let found = (1..seen.len()).filter(|c| seen[*c]);
        found.map(|c| self.values.value(column.values[c - 1] as usize)).collect()
    }
}

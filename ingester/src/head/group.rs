//! A group: series that are scraped together, so that one timestamp vector serves them all.
//!
//! Open rows lie row-major in panels of up to eight rows, so appending a scrape writes memory in order.
//! Full matrices are sealed into a segment, column by column. A column belongs to one series from when it
//! joins until the rows it has samples in are sealed; after that it is vacant and another may take it.

use std::sync::{Arc, OnceLock};

use model::TimestampMs;
use smallvec::SmallVec;

use super::segment::{SEGMENT_ROWS_MAX, SPARSE, Segment};
use super::series::NONE;
use crate::codec::{ValueEncoder, encode_ints};

/// Rows per panel.
const PANEL_ROWS: usize = 8;
/// Rows per segment.
const SEAL_ROWS: usize = 60;
/// The first segment of a group is shorter, by its number: groups made together do not seal together.
const SEAL_ROWS_FIRST: usize = 30;
/// Most columns of a group.
pub(crate) const COLUMNS_MAX: usize = 4096;

/// Smaller groups are never hollow.
const HOLLOW_COLUMNS_MIN: usize = 64;

const _: () = assert!(SEAL_ROWS < SEGMENT_ROWS_MAX);

#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenRow {
    pub(crate) t: TimestampMs,
    pub(crate) present: u32,
}

#[derive(Debug)]
struct Panel {
    /// Index of its first row.
    first: usize,
    stride: usize,
    values: Vec<f64>,
    present: Vec<u64>,
}

impl Panel {
    fn new(first: usize, stride: usize) -> Self {
        let values = Vec::with_capacity(stride * PANEL_ROWS);
        Panel { first, stride, values, present: Vec::with_capacity(stride.div_ceil(64) * PANEL_ROWS) }
    }

    fn words(&self) -> usize {
        self.stride.div_ceil(64)
    }

    fn rows(&self) -> usize {
        self.values.len() / self.stride
    }

    fn push_row(&mut self) {
        self.values.resize(self.values.len() + self.stride, 0.0);
        self.present.resize(self.present.len() + self.words(), 0);
    }

    fn row(&self, row: usize) -> (&[f64], &[u64]) {
        let at = row - self.first;
        let words = self.words();
        (&self.values[at * self.stride..(at + 1) * self.stride], &self.present[at * words..(at + 1) * words])
    }
}

fn has(present: &[u64], column: usize) -> bool {
    present.get(column / 64).is_some_and(|word| word >> (column % 64) & 1 == 1)
}

/// Where a timestamp falls among the open rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// On this row.
    Row(usize),
    /// Behind them all: a new row.
    Newer,
    /// Between or before them.
    Misfit,
}

/// Open rows, looked up once for all columns that are read.
#[derive(Debug, Default)]
pub(crate) struct OpenRows<'a>(SmallVec<[(&'a [f64], &'a [u64]); 16]>);

impl OpenRows<'_> {
    /// Appends the values of a column; the mask of the rows that have one (bit 0 is the first).
    #[inline]
    pub(crate) fn copy(&self, column: u32, out: &mut Vec<f64>) -> u64 {
        let mut mask = 0;
        for (i, (values, present)) in self.0.iter().enumerate() {
            if has(present, column as usize)
                && let Some(value) = values.get(column as usize)
            {
                mask |= 1 << i;
                out.push(*value);
            }
        }
        mask
    }
}

#[derive(Debug, Default)]
pub(crate) struct Group {
    /// References by column.
    pub(crate) members: Vec<u32>,
    shared_members: Option<Arc<[u32]>>,
    pub(crate) vacant: Vec<u32>,
    /// Columns whose series has left; vacant once the open rows are sealed.
    pub(crate) leaving: Vec<u32>,
    /// Columns that series call their home.
    pub(crate) live: u32,
    pub(crate) rows: Vec<OpenRow>,
    panels: Vec<Panel>,
    pub(crate) seal_rows: usize,
    pub(crate) segments: Arc<Vec<Arc<Segment>>>,
}

impl Group {
    pub(crate) fn new(number: u32) -> Self {
        let stagger = number as usize * 7 % (SEAL_ROWS - SEAL_ROWS_FIRST + 1);
        Group { seal_rows: SEAL_ROWS_FIRST + stagger, ..Group::default() }
    }

    #[inline]
    pub(crate) fn fit(&self, t: TimestampMs) -> Fit {
        match self.rows.last() {
            None => Fit::Newer,
            Some(last) if t > last.t => Fit::Newer,
            Some(last) if t == last.t => Fit::Row(self.rows.len() - 1),
            Some(_) => match self.rows.binary_search_by_key(&t, |row| row.t) {
                Ok(row) => Fit::Row(row),
                Err(_) => Fit::Misfit,
            },
        }
    }

    /// Whether the newest row got so few samples that its series should have a group of their own.
    pub(crate) fn last_row_is_sparse(&self) -> bool {
        self.live >= 4 && self.rows.last().is_some_and(|row| row.present * 3 < self.live)
    }

    /// Whether a row must be sealed before another opens.
    pub(crate) fn is_full(&self) -> bool {
        self.rows.len() > self.seal_rows
    }

    /// Whether most columns are empty for good.
    pub(crate) fn is_hollow(&self) -> bool {
        self.members.len() >= HOLLOW_COLUMNS_MIN && (self.live as usize) < self.members.len() / 4
    }

    /// Opens a row behind the others.
    pub(crate) fn open_row(&mut self, t: TimestampMs) -> usize {
        let row = self.rows.len();
        self.rows.push(OpenRow { t, present: 0 });
        let columns = self.members.len().max(1);
        let fits = self.panels.last().is_some_and(|p| p.rows() < PANEL_ROWS && p.stride >= columns);
        if !fits {
            self.panels.push(Panel::new(row, columns));
        }
        if let Some(panel) = self.panels.last_mut() {
            panel.push_row();
        }
        row
    }

    fn panel_of(&self, row: usize) -> usize {
        self.panels.iter().rposition(|p| p.first <= row).unwrap_or(0)
    }

    /// Writes a cell; a cell is written once.
    #[inline]
    pub(crate) fn set(&mut self, row: usize, column: u32, value: f64) {
        let last = self.panels.len() - 1;
        let at = if self.panels[last].first <= row { last } else { self.panel_of(row) };
        let panel = &mut self.panels[at];
        let (column, local) = (column as usize, row - panel.first);
        let words = panel.stride.div_ceil(64);
        panel.values[local * panel.stride + column] = value;
        panel.present[local * words + column / 64] |= 1 << (column % 64);
        self.rows[row].present += 1;
    }

    /// The cell's value.
    pub(crate) fn get_checked(&self, row: usize, column: u32) -> Option<f64> {
        if row >= self.rows.len() {
            return None;
        }
        let (values, present) = self.panels[self.panel_of(row)].row(row);
        (has(present, column as usize) && (column as usize) < values.len()).then(|| values[column as usize])
    }

    /// Columns and values of an open row.
    pub(crate) fn cells(&self, row: usize) -> impl Iterator<Item = (u32, f64)> {
        let (values, present) = self.panels[self.panel_of(row)].row(row);
        (0..values.len()).filter(|c| has(present, *c)).map(|c| (c as u32, values[c]))
    }

    /// Whether another series may join.
    pub(crate) fn has_room(&self) -> bool {
        self.live as usize <= COLUMNS_MAX && (!self.vacant.is_empty() || self.members.len() < COLUMNS_MAX)
    }

    /// Gives `reference` a column that the newest row has room for.
    pub(crate) fn join(&mut self, reference: u32) -> u32 {
        let column = self.vacant.pop().unwrap_or_else(|| {
            self.members.push(NONE);
            self.members.len() as u32 - 1
        });
        self.members[column as usize] = reference;
        self.shared_members = None;
        self.live += 1;
        let row = self.rows.len().saturating_sub(1);
        if let Some(last) = self.panels.last()
            && last.stride <= column as usize
            && !self.rows.is_empty()
        {
            // The newest row moves to a wider panel.
            let stride = (last.stride * 2).max(column as usize + 1).min(COLUMNS_MAX);
            let mut wider = Panel::new(row, stride);
            wider.push_row();
            let (values, present) = last.row(row);
            wider.values[..values.len()].copy_from_slice(values);
            wider.present[..present.len()].copy_from_slice(present);
            if let Some(last) = self.panels.last_mut() {
                let left = row - last.first;
                let words = last.words();
                last.values.truncate(left * last.stride);
                last.present.truncate(left * words);
                last.values.shrink_to_fit();
                last.present.shrink_to_fit();
                if left == 0 {
                    self.panels.pop();
                }
            }
            self.panels.push(wider);
        }
        column
    }

    /// The series of `column` leaves; what it has stays until it is sealed.
    pub(crate) fn leave(&mut self, column: u32) {
        self.leaving.push(column);
        self.live -= 1;
    }

    /// The list of members is no longer what the last segment shares.
    pub(crate) fn members_changed(&mut self) {
        self.shared_members = None;
    }

    /// Takes the newest row away: columns and values it had.
    pub(crate) fn take_last_row(&mut self) -> Vec<(u32, f64)> {
        let Some(last) = self.rows.len().checked_sub(1) else { return Vec::new() };
        let at = self.panel_of(last);
        let (values, present) = self.panels[at].row(last);
        let taken = (0..values.len()).filter(|c| has(present, *c)).map(|c| (c as u32, values[c])).collect();
        let panel = &mut self.panels[at];
        let left = last - panel.first;
        let words = panel.words();
        panel.values.truncate(left * panel.stride);
        panel.present.truncate(left * words);
        if left == 0 {
            self.panels.pop();
        }
        self.rows.pop();
        taken
    }

    /// Seals the first rows and returns the columns (with their series) that nobody needs any more and
    /// whose series had not left already.
    pub(crate) fn seal(&mut self, encoder: &mut ValueEncoder) -> Vec<(u32, u32)> {
        let count = self.rows.len().min(self.seal_rows);
        self.seal_rows = SEAL_ROWS;
        if count == 0 {
            return Vec::new();
        }
        let segment = self.encode(count, encoder);
        Arc::make_mut(&mut self.segments).push(Arc::new(segment));
        let idle = self.idle_columns();
        self.discard(count);
        self.vacate(idle)
    }

    /// Columns with a series but without a sample in the open rows.
    fn idle_columns(&self) -> Vec<u32> {
        let mut used = vec![0_u64; self.members.len().div_ceil(64)];
        for row in 0..self.rows.len() {
            let (_, present) = self.panels[self.panel_of(row)].row(row);
            for (all, word) in used.iter_mut().zip(present) {
                *all |= word;
            }
        }
        (0..self.members.len())
            .filter(|c| self.members[*c] != NONE && !has(&used, *c))
            .map(|c| c as u32)
            .collect()
    }

    fn vacate(&mut self, idle: Vec<u32>) -> Vec<(u32, u32)> {
        let mut left = Vec::new();
        let leaving = std::mem::take(&mut self.leaving);
        for column in leaving.iter().copied() {
            // A straggler's sample may stand in a row that is still open.
            let open = (0..self.rows.len()).any(|row| self.get_checked(row, column).is_some());
            if open {
                self.leaving.push(column);
            } else {
                self.members[column as usize] = NONE;
                self.vacant.push(column);
            }
        }
        for column in idle {
            let reference = self.members[column as usize];
            if reference != NONE && !leaving.contains(&column) {
                left.push((column, reference));
                self.members[column as usize] = NONE;
                self.vacant.push(column);
                self.live -= 1;
            }
        }
        if !leaving.is_empty() || !left.is_empty() {
            self.shared_members = None;
        }
        left
    }

    fn encode(&mut self, count: usize, encoder: &mut ValueEncoder) -> Segment {
        let members = match &self.shared_members {
            Some(members) => Arc::clone(members),
            None => {
                let members: Arc<[u32]> = Arc::from(self.members.as_slice());
                self.shared_members = Some(Arc::clone(&members));
                members
            }
        };
        let columns = members.len();
        let mut data = Vec::with_capacity(columns * count + 32);
        let timestamps: Vec<TimestampMs> = self.rows[..count].iter().map(|row| row.t).collect();
        encode_ints(&mut data, &timestamps);
        let columns_at = data.len() as u32;
        let rows: Vec<(&[f64], &[u64])> =
            (0..count).map(|row| self.panels[self.panel_of(row)].row(row)).collect();
        let is_full = self.rows[..count].iter().all(|row| row.present as usize == columns);
        let mut ends = Vec::with_capacity(columns);
        let mut column_values = Vec::with_capacity(count);
        for column in 0..columns {
            column_values.clear();
            let mut mask = u64::MAX >> (64 - count);
            if is_full {
                column_values.extend(rows.iter().map(|(values, _)| values[column]));
            } else {
                mask = 0;
                for (i, (values, present)) in rows.iter().enumerate() {
                    if has(present, column) {
                        mask |= 1 << i;
                        column_values.push(values[column]);
                    }
                }
            }
            if mask != 0 {
                if column_values.len() < count {
                    data.push(SPARSE);
                    data.extend_from_slice(&mask.to_le_bytes());
                }
                encoder.encode(&mut data, &column_values);
            }
            ends.push(data.len() as u32);
        }
        Segment {
            first_t: timestamps[0],
            last_t: timestamps[count - 1],
            rows: count as u32,
            members,
            ends: ends.into_boxed_slice(),
            columns_at,
            data: data.into_boxed_slice(),
            stored: OnceLock::new(),
        }
    }

    /// Lets go of the first `count` open rows.
    pub(crate) fn discard(&mut self, count: usize) {
        let kept = self.rows.len() - count;
        let panels = std::mem::take(&mut self.panels);
        let rows = self.rows.split_off(count);
        self.rows.clear();
        for (i, row) in rows.iter().enumerate() {
            self.open_row(row.t);
            let Some(panel) = panels.iter().rev().find(|p| p.first <= count + i) else { continue };
            let (values, present) = panel.row(count + i);
            for (column, value) in values.iter().enumerate().filter(|(c, _)| has(present, *c)) {
                self.set(i, column as u32, *value);
            }
        }
        debug_assert_eq!(self.rows.len(), kept);
    }

    /// About how many rows lie in `range`.
    pub(crate) fn rows_in(&self, range: model::TimeRange) -> usize {
        let touched = |s: &&Arc<Segment>| s.last_t >= range.start && s.first_t < range.end;
        let sealed: usize = self.segments.iter().filter(touched).map(|s| s.rows as usize).sum();
        sealed + self.rows.len()
    }

    /// Values and presence of the open rows in `rows`.
    pub(crate) fn open_rows(&self, rows: std::ops::Range<usize>) -> OpenRows<'_> {
        let rows_of =
            |panel: &'_ Panel| panel.first.max(rows.start)..(panel.first + panel.rows()).min(rows.end);
        let all = self.panels.iter().flat_map(|panel| rows_of(panel).map(|row| panel.row(row)));
        OpenRows(all.collect())
    }

    /// Nothing in it, and nobody at home.
    pub(crate) fn is_dead(&self) -> bool {
        self.live == 0 && self.rows.is_empty() && self.segments.is_empty()
    }

    /// Bytes held by open rows and lists, roughly.
    pub(crate) fn open_bytes(&self) -> usize {
        self.panels.iter().map(|p| p.values.capacity() * 8 + p.present.capacity() * 8 + 80).sum::<usize>()
            + self.members.capacity() * 8
            + self.rows.capacity() * 16
            + size_of::<Self>()
    }
}

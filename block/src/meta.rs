//! What a block is: the description beside its files (`meta.json`) and in the catalog.

use model::{BlockId, LogPosition, SlotRange, TenantId, TimeRange, TimestampMs};
use serde::{Deserialize, Serialize};

use crate::layout;

/// The format this build writes; it reads this one alone.
pub const FORMAT_VERSION: u32 = 1;

/// One file of a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMeta {
    /// Path below the block's folder: `piece=000/samples.parquet`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// CRC-32C of the whole file.
    pub crc32c: u32,
    /// Where the page indexes and the footer begin: everything a reader needs to open the file, up to its end.
    pub tail_offset: u64,
    /// CRC-32C of the tail.
    pub tail_crc32c: u32,
    /// Rows.
    pub rows: u64,
    /// Row groups, for files that are read by row group (histograms).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupMeta>,
}

/// One row group of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMeta {
    /// Rows.
    pub rows: u64,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// CRC-32C of these bytes.
    pub crc32c: u32,
}

/// One piece: up to 131,072 series with everything of theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PieceMeta {
    /// Series.
    pub series: u64,
    /// Float samples.
    pub samples: u64,
    /// Histogram samples.
    pub histograms: u64,
    /// Exemplars.
    pub exemplars: u64,
    /// Metric name of the first series.
    pub first_name: String,
    /// Metric name of the last series.
    pub last_name: String,
    /// Labels that have a column of their own in the series file, sorted.
    pub promoted: Vec<String>,
    /// Whether any float sample has a start timestamp.
    #[serde(default)]
    pub start_ts: bool,
}

/// What a block holds, in sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Series.
    pub series: u64,
    /// Float samples.
    pub samples: u64,
    /// Histogram samples.
    pub histograms: u64,
    /// Exemplars.
    pub exemplars: u64,
    /// Bytes of all files but `meta.json`.
    pub bytes: u64,
}

/// Which series of a tenant, which time, which go: a block of one key is published once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockKey {
    /// Slots of the group that cut it.
    pub slots: SlotRange,
    /// First millisecond of the window.
    pub start: TimestampMs,
    /// First millisecond after the window.
    pub end: TimestampMs,
    /// 0 for the first cut of a window, then counting up.
    pub generation: u32,
    /// 0 as cut; compaction counts up.
    pub level: u32,
}

/// The description of a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockMeta {
    /// Format of the files; see [`FORMAT_VERSION`].
    pub format: u32,
    /// Whose.
    #[serde(with = "text_tenant")]
    pub tenant: TenantId,
    /// This attempt's ULID.
    #[serde(with = "text_block")]
    pub block: BlockId,
    /// First and last slot of its series, both inside.
    #[serde(with = "text_slots")]
    pub slots: SlotRange,
    /// First millisecond of the window.
    pub start: TimestampMs,
    /// First millisecond after the window.
    pub end: TimestampMs,
    /// 0 for the first cut of a window, then counting up.
    pub generation: u32,
    /// 0 as cut; compaction counts up.
    pub level: u32,
    /// Everything in the block was applied at log positions after this one,
    #[serde(with = "text_position")]
    pub log_first: LogPosition,
    /// up to this one.
    #[serde(with = "text_position")]
    pub log_last: LogPosition,
    /// What a block of level 0 was cut from, as 32 hexadecimal digits drawn by who cut it: another attempt to
    /// publish the same cut has the same. Empty when not told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cut: String,
    /// Earliest sample.
    pub min_t: TimestampMs,
    /// Latest sample.
    pub max_t: TimestampMs,
    /// Ends of the time slices samples are sorted by first; the last is `end`.
    pub slice_ends: Vec<TimestampMs>,
    /// Sums.
    pub counts: Counts,
    /// The pieces, in the order of their series.
    pub pieces: Vec<PieceMeta>,
    /// Every file.
    pub files: Vec<FileMeta>,
    /// The blocks it was merged from.
    #[serde(default, with = "text_blocks", skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<BlockId>,
}

impl BlockMeta {
    /// What may be published once.
    pub fn key(&self) -> BlockKey {
        BlockKey {
            slots: self.slots,
            start: self.start,
            end: self.end,
            generation: self.generation,
            level: self.level,
        }
    }

    /// Whether it holds the very samples that `other` does: both were made from one cut.
    pub fn is_same_cut(&self, other: &BlockMeta) -> bool {
        !self.cut.is_empty()
            && self.cut == other.cut
            && (self.start, self.end, self.slots) == (other.start, other.end, other.slots)
    }

    /// The window.
    pub fn window(&self) -> TimeRange {
        TimeRange::new(self.start, self.end)
    }

    /// The folder its files lie in.
    pub fn folder(&self) -> String {
        layout::block_folder(&self.tenant, self.start, self.block)
    }

    /// The path of `file` in the bucket.
    pub fn path(&self, file: &str) -> String {
        format!("{}/{file}", self.folder())
    }

    /// The file of that path below the folder.
    pub fn file(&self, path: &str) -> Option<&FileMeta> {
        self.files.iter().find(|f| f.path == path)
    }

    /// As `meta.json` holds it.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a description is plain data")
    }

    /// From `meta.json`; what does not fit is told.
    pub fn from_json(bytes: &[u8]) -> Result<Self, String> {
        let meta: BlockMeta = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        meta.check()?;
        Ok(meta)
    }

    /// Whether its parts fit together.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.format != FORMAT_VERSION {
            return Err(format!(
                "format {} is not known here; this build reads {FORMAT_VERSION}",
                self.format
            ));
        }
        if self.end <= self.start {
            return Err(format!("window [{}, {}) is empty", self.start, self.end));
        }
        if self.slots.last < self.slots.first {
            return Err("slot range is empty".into());
        }
        if self.slice_ends.is_empty() || self.slice_ends.windows(2).any(|w| w[0] >= w[1]) {
            return Err("slices are not ascending".into());
        }
        for file in &self.files {
            if file.tail_offset > file.size {
                return Err(format!("file `{}` has its tail after its end", file.path));
            }
            if file.groups.iter().any(|g| g.offset.checked_add(g.size).is_none_or(|end| end > file.size)) {
                return Err(format!("file `{}` has a row group after its end", file.path));
            }
            if file.path.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
                return Err(format!("file path `{}` is not below the block", file.path));
            }
        }
        Ok(())
    }
}

macro_rules! as_text {
    ($module:ident, $type:ty, $to:expr, $from:expr) => {
        mod $module {
            use super::*;
            use serde::{Deserializer, Serializer, de::Error};

            pub(super) fn serialize<S: Serializer>(value: &$type, s: S) -> Result<S::Ok, S::Error> {
                let to: fn(&$type) -> String = $to;
                s.serialize_str(&to(value))
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<$type, D::Error> {
                let text = String::deserialize(d)?;
                let from: fn(&str) -> Option<$type> = $from;
                from(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is malformed")))
            }
        }
    };
}

as_text!(text_tenant, TenantId, |t| t.to_string(), |s| TenantId::new(s).ok());
as_text!(text_block, BlockId, |b| b.to_string(), BlockId::parse);
as_text!(text_slots, SlotRange, |r| format!("{}-{}", r.first, r.last), |s| {
    let (first, last) = s.split_once('-')?;
    Some(SlotRange { first: first.parse().ok()?, last: last.parse().ok()? })
});
as_text!(text_position, LogPosition, |p| format!("{}/{}", p.term, p.index), |s| {
    let (term, index) = s.split_once('/')?;
    Some(LogPosition { term: term.parse().ok()?, index: index.parse().ok()? })
});
as_text!(
    text_blocks,
    Vec<BlockId>,
    |blocks| blocks.iter().map(BlockId::to_string).collect::<Vec<_>>().join(" "),
    |s| s.split_whitespace().map(BlockId::parse).collect()
);

/// For the fuzzer: any bytes as `meta.json`.
pub fn fuzz_meta(data: &[u8]) {
    if let Ok(meta) = BlockMeta::from_json(data) {
        assert_eq!(BlockMeta::from_json(&meta.to_json()).as_ref(), Ok(&meta));
    }
}

//! Where things lie in the bucket: hive-style folders, so that other engines can glob them.

use model::{BlockId, TenantId, TimestampMs};

/// Name of the description beside a block's pieces.
pub(crate) const META_FILE: &str = "meta.json";
/// Metadata of the block's metrics.
pub(crate) const METADATA_FILE: &str = "metadata.parquet";
/// Folder of the catalog below the tenant's.
const CATALOG: &str = "catalog";
/// Folder of the checkpoints below the tenant's.
const CHECKPOINT: &str = "catalog-checkpoint";
const TENANT_PREFIX: &str = "tenant=";
const DAY_MS: i64 = 86_400_000;

/// The files of one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PieceFile {
    Series,
    Samples,
    Timestamps,
    Histograms,
    Exemplars,
}

impl PieceFile {
    fn name(self) -> &'static str {
        match self {
            PieceFile::Series => "series",
            PieceFile::Samples => "samples",
            PieceFile::Timestamps => "timestamps",
            PieceFile::Histograms => "histograms",
            PieceFile::Exemplars => "exemplars",
        }
    }

    /// Path below the block's folder.
    pub(crate) fn path(self, piece: usize) -> String {
        format!("piece={piece:03}/{}.parquet", self.name())
    }
}

/// The folder of everything of a tenant.
pub(crate) fn tenant_folder(tenant: &TenantId) -> String {
    format!("{TENANT_PREFIX}{tenant}")
}

/// The tenant whose folder has this name.
pub(crate) fn tenant_of_folder(name: &str) -> Option<TenantId> {
    TenantId::new(name.strip_prefix(TENANT_PREFIX)?).ok()
}

/// The folder of a block whose window begins at `start`.
pub(crate) fn block_folder(tenant: &TenantId, start: TimestampMs, block: BlockId) -> String {
    format!("{}/date={}/block={block}", tenant_folder(tenant), date(start))
}

pub(crate) fn catalog_folder(tenant: &TenantId) -> String {
    format!("{}/{CATALOG}", tenant_folder(tenant))
}

pub(crate) fn checkpoint_folder(tenant: &TenantId) -> String {
    format!("{}/{CHECKPOINT}", tenant_folder(tenant))
}

pub(crate) fn numbered(folder: &str, number: u64) -> String {
    format!("{folder}/{number:020}")
}

/// The number an object's path ends in.
pub(crate) fn number_of(path: &str) -> Option<u64> {
    let name = path.rsplit('/').next()?;
    (name.len() == 20 && name.bytes().all(|b| b.is_ascii_digit())).then(|| name.parse().ok())?
}

/// The UTC day of `t` as YYYY-MM-DD (proleptic Gregorian).
pub(crate) fn date(t: TimestampMs) -> String {
    // days to civil date, counted in eras of 400 years that begin on 1 March
    let days = t.div_euclid(DAY_MS) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_named_by_the_calendar() {
        for (t, day) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (951_782_400_000, "2000-02-29"),
            (1_709_164_800_000, "2024-02-29"),
            (1_735_689_599_999, "2024-12-31"),
        ] {
            assert_eq!(date(t), day);
        }
    }

    #[test]
    fn numbers_are_read_from_names() {
        assert_eq!(number_of(&numbered("a/catalog", 17)), Some(17));
        assert_eq!(number_of("a/catalog/17"), None);
        assert_eq!(number_of("a/catalog/0000000000000000001x"), None);
    }
}

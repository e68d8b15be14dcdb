//! Who the data belongs to.

use std::fmt;
use std::sync::Arc;

/// Longest tenant id in bytes, as in Cortex and Mimir.
const TENANT_ID_BYTES_MAX: usize = 150;

/// The name of a tenant: checked once, cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Arc<str>);

/// Why a string is not a tenant id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TenantError {
    /// Nothing there.
    #[error("tenant id is empty")]
    Empty,
    /// Over 150 bytes.
    #[error("tenant id is too long: {0} bytes, at most 150")]
    TooLong(usize),
    /// A character outside the set.
    #[error("tenant id `{id}` contains unsupported character `{character}`")]
    Character {
        /// The id as given.
        id: String,
        /// The first offender.
        character: char,
    },
    /// A name that is used for something else.
    #[error("tenant id `{0}` is reserved")]
    Reserved(String),
}

impl TenantId {
    /// The tenant of a server without multi-tenancy.
    pub const ANONYMOUS: &'static str = "anonymous";
    /// The tenant that holds our own metrics when multi-tenancy is on.
    pub const OWN_METRICS: &'static str = "epimetheus";

    /// Checks `id`: 1 to 150 characters out of letters, digits and `! - _ . * ' ( )`, not reserved.
    pub fn new(id: &str) -> Result<Self, TenantError> {
        if id.is_empty() {
            return Err(TenantError::Empty);
        }
        if id.len() > TENANT_ID_BYTES_MAX {
            return Err(TenantError::TooLong(id.len()));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()".contains(c);
        if let Some(character) = id.chars().find(|c| !allowed(*c)) {
            return Err(TenantError::Character { id: id.to_owned(), character });
        }
        if matches!(id, "." | ".." | "__markers__" | "__mimir_cluster" | "user-index.json.gz") {
            return Err(TenantError::Reserved(id.to_owned()));
        }
        Ok(TenantId(Arc::from(id)))
    }

    /// The tenant `anonymous`.
    pub fn anonymous() -> Self {
        TenantId(Arc::from(Self::ANONYMOUS))
    }

    /// The tenant `epimetheus`.
    pub fn own_metrics() -> Self {
        TenantId(Arc::from(Self::OWN_METRICS))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenant_ids_are_checked() {
        for good in ["a", "team-1", "A.b_c*'()!", &"x".repeat(150)] {
            assert!(TenantId::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a|b", "ä", "__markers__", &"x".repeat(151)] {
            assert!(TenantId::new(bad).is_err(), "{bad}");
        }
    }
}

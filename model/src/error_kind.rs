//! What the receiver of an error should do about it; the one map every crate's errors go through.

/// The class of an error, named by what the caller should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Fix the request; sending it again changes nothing.
    Invalid,
    /// No credentials, or no tenant.
    Unauthenticated,
    /// Credentials that do not allow this.
    Forbidden,
    /// There is no such thing; stop asking.
    NotFound,
    /// A limit was hit: slow down, or raise it.
    Limited,
    /// Not now: retry later or elsewhere.
    Unavailable,
    /// Time ran out: ask for less.
    Deadline,
    /// Stored data is damaged: an operator must act.
    Corrupt,
    /// A bug here: report it.
    Internal,
}

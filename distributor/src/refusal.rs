//! Why a request as a whole is not taken: status, text, when to come back.

use model::ErrorKind;
use proto::{AppendError, WireError};

use crate::limits::settings;

/// A request that was not taken at all; the texts begin with an id that stays.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// A media type or message nobody here reads.
    #[error(
        "err-epimetheus-unsupported-content-type: content type `{0}` is not supported, expected `application/x-protobuf` with proto=prometheus.WriteRequest or proto=io.prometheus.write.v2.Request"
    )]
    ContentType(String),
    /// A compression nobody here reads.
    #[error(
        "err-epimetheus-unsupported-content-encoding: content encoding `{0}` is not supported, expected `snappy` or `zstd`"
    )]
    ContentEncoding(String),
    /// The body as sent is too large.
    #[error(
        "err-epimetheus-request-too-large: the request has {size} bytes, at most {max} are taken (setting `{}`)",
        settings::REQUEST_BYTES
    )]
    TooLarge {
        /// Bytes sent.
        size: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The body decompressed is too large.
    #[error(
        "err-epimetheus-decoded-too-large: the decompressed request has more than {max} bytes (setting `{}`)",
        settings::DECODED_BYTES
    )]
    DecodedTooLarge {
        /// Bytes allowed.
        max: usize,
    },
    /// The body cannot be decompressed.
    #[error("err-epimetheus-malformed-body: the body is not valid {encoding}: {reason}")]
    Compression {
        /// How it claims to be compressed.
        encoding: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The body is not the message announced.
    #[error("err-epimetheus-malformed-body: {0}")]
    Malformed(#[from] WireError),
    /// 2.0: the first symbol is not empty.
    #[error("err-epimetheus-malformed-body: the first symbol must be the empty string")]
    FirstSymbol,
    /// The tenant sends more than it may.
    #[error(
        "err-epimetheus-max-ingestion-rate: the tenant sends more than {limit} samples per second (setting `{}`)",
        settings::SAMPLES_PER_SECOND
    )]
    RateLimited {
        /// Samples allowed per second.
        limit: f64,
        /// When there is room again.
        retry_after_seconds: u64,
    },
    /// Too much is in work.
    #[error(
        "err-epimetheus-overloaded: requests of {inflight} bytes are in work, at most {max} are taken at once (setting `{}`)",
        settings::INFLIGHT_BYTES
    )]
    Overloaded {
        /// Bytes in work.
        inflight: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The group that should take the samples did not.
    #[error("{id}: {0}", id = append_id(.0))]
    Append(#[from] AppendError),
    /// References went stale again and again.
    #[error("err-epimetheus-unavailable: series references changed {0} times during the request")]
    StaleReferences(usize),
}

fn append_id(error: &AppendError) -> &'static str {
    match error.kind() {
        ErrorKind::Unavailable => "err-epimetheus-unavailable",
        _ => "err-epimetheus-internal",
    }
}

impl Refusal {
    /// What the sender should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Refusal::RateLimited { .. } => ErrorKind::Limited,
            Refusal::Overloaded { .. } | Refusal::StaleReferences(_) => ErrorKind::Unavailable,
            Refusal::Append(error) => error.kind(),
            _ => ErrorKind::Invalid,
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match (self, self.kind()) {
            (Refusal::ContentType(_) | Refusal::ContentEncoding(_), _) => 415,
            (Refusal::TooLarge { .. }, _) => 413,
            (_, ErrorKind::Limited) => 429,
            (_, ErrorKind::Unavailable) => 503,
            (_, ErrorKind::Invalid) => 400,
            _ => 500,
        }
    }

    /// Seconds for `Retry-After`, when time helps.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        match self {
            Refusal::RateLimited { retry_after_seconds, .. } => Some(*retry_after_seconds),
            _ if self.kind() == ErrorKind::Unavailable => Some(1),
            _ => None,
        }
    }
}

//! Accepts writes: decodes, checks, routes series to groups.
//!
//! A series that was written before goes through the fast lane: its raw labels are hashed, never read.
//! Labels are read, checked and sorted on a miss alone. A request is answered after what was accepted is
//! committed.

mod batch;
mod commit;
mod decode;
mod distributor;
mod exposition;
mod intake;
mod lane;
mod lanes;
mod limits;
mod media;
mod metrics;
mod prepare;
mod rate;
mod reduce;
mod refusal;
mod report;
mod self_scrape;
mod validate;

pub use distributor::{Distributor, PushAnswer, PushRequest};
pub use exposition::{Exposition, ExpositionError, ExpositionSample, fuzz_exposition, parse_exposition};
pub use limits::{Limits, settings};
pub use metrics::{MetricsSnapshot, RequestCount};
pub use refusal::Refusal;
pub use self_scrape::TextAppended;

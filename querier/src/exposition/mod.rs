//! Metric families as text and as protobuf: what another Prometheus scrapes from us.
//!
//! The form is chosen from `Accept` as Prometheus's own exporters choose it; names that the form or the reader
//! cannot take are escaped on the way out.

mod accept;
mod escape;
mod text;

use prost::Message;
use proto::exposition::MetricFamily;

pub use accept::fuzz_accept;
pub(crate) use accept::{Encoding, Exposition};

impl Exposition {
    /// Appends one family. A family without metrics or name is nothing.
    pub(crate) fn write(&self, out: &mut Vec<u8>, mut family: MetricFamily) {
        if family.metric.is_empty() || family.name().is_empty() {
            return;
        }
        self.escaping.family(&mut family);
        match self.encoding {
            Encoding::Text => text::write_family(out, &family),
            Encoding::Protobuf => out.extend_from_slice(&family.encode_length_delimited_to_vec()),
        }
    }
}

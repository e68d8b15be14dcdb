//! The write door over a store that is the contract's model.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail there")]

mod answers;
mod fast_lane;
mod malformed;
mod parts;
mod properties;
mod scrape;
mod store;

use std::sync::Arc;

use bytes::Bytes;
use distributor::{Distributor, Limits, PushAnswer, PushRequest};
use model::{Labels, TenantId};
use proto::remote_write::{EncodeV1, EncodeV2, SeriesToWrite};
use runtime::Runtime;
use store::Recording;

pub(crate) const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::new(pairs.iter().copied()).unwrap()
}

pub(crate) fn snappy(message: &[u8]) -> Bytes {
    snap::raw::Encoder::new().compress_vec(message).unwrap().into()
}

/// A door with its store, on virtual time.
pub(crate) struct Door {
    pub(crate) runtime: Runtime,
    pub(crate) store: Arc<Recording>,
    pub(crate) distributor: Distributor,
}

impl Door {
    pub(crate) fn new() -> Self {
        Self::over(Recording::new(1), Limits::default())
    }

    pub(crate) fn over(store: Arc<Recording>, limits: Limits) -> Self {
        let runtime = Runtime::simulated(1);
        let distributor = Distributor::new(runtime.clone(), Arc::clone(&store) as _, limits);
        Door { runtime, store, distributor }
    }

    pub(crate) fn request(
        &self,
        content_type: Option<&str>,
        encoding: Option<&str>,
        body: Bytes,
    ) -> PushAnswer {
        self.request_as(TenantId::anonymous(), content_type, encoding, body)
    }

    pub(crate) fn request_as(
        &self,
        tenant: TenantId,
        content_type: Option<&str>,
        content_encoding: Option<&str>,
        body: Bytes,
    ) -> PushAnswer {
        self.runtime.block_on(self.distributor.push(PushRequest {
            tenant,
            content_type,
            content_encoding,
            body,
        }))
    }

    pub(crate) fn v1(&self, message: &[u8]) -> PushAnswer {
        self.request(Some("application/x-protobuf"), Some("snappy"), snappy(message))
    }

    pub(crate) fn v2(&self, message: &[u8]) -> PushAnswer {
        self.request(Some(V2), Some("snappy"), snappy(message))
    }
}

/// Messages of both versions with one series of floats.
pub(crate) fn both(labels: &Labels, samples: &[(i64, f64, i64)]) -> [Vec<u8>; 2] {
    let series = SeriesToWrite::floats(labels, samples);
    [EncodeV1::default().series(series).finish(), EncodeV2::default().series(series).finish()]
}

pub(crate) fn header<'a>(answer: &'a PushAnswer, name: &str) -> Option<&'a str> {
    answer.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Samples, histograms, exemplars written, when the answer tells.
pub(crate) fn written(answer: &PushAnswer) -> Option<(u64, u64, u64)> {
    let read =
        |what: &str| header(answer, &format!("X-Prometheus-Remote-Write-{what}-Written"))?.parse().ok();
    Some((read("Samples")?, read("Histograms")?, read("Exemplars")?))
}

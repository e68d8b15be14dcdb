//! Remote write 1.0 (`prometheus.WriteRequest`) and 2.0 (`io.prometheus.write.v2.Request`).
//!
//! `Walk` goes over a decompressed request once and notes where everything is; samples go straight into
//! columns, the rest (labels, histograms, exemplars, metadata) is decoded when somebody asks. Nothing is
//! allocated per sample; a `Walk` is meant to be used again for the next request.

mod encode;
mod histogram;
mod parts;
#[cfg(test)]
mod tests;
mod walk;

pub use encode::{EncodeV1, EncodeV2, SeriesToWrite};
pub use histogram::{WireHistogram, decode_histogram};
pub use parts::{
    ExemplarV1, ExemplarV2, LabelPair, LabelPairs, MetadataV1, decode_exemplar_v1, decode_exemplar_v2,
    decode_metadata_v1, label_pairs,
};
pub use walk::{ByteSpan, IndexRange, MetadataRefs, Walk, WalkedSeries, WriteVersion};

/// What fuzz targets and tests run over arbitrary bytes: both walkers and every decoder behind them.
pub fn fuzz_remote_write(data: &[u8]) {
    let mut walk = Walk::default();
    for version in [WriteVersion::V1, WriteVersion::V2] {
        if walk.read(version, data).is_err() {
            continue;
        }
        for span in &walk.histograms {
            let _checked = decode_histogram(span.of(data)).map(|h| h.histogram.validate());
        }
        for span in &walk.exemplars {
            let _read = decode_exemplar_v1(span.of(data)).map(|e| e.labels.count());
            let _read = decode_exemplar_v2(span.of(data));
        }
        for span in &walk.metadata {
            let _read = decode_metadata_v1(span.of(data));
        }
        if version == WriteVersion::V1 {
            for series in &walk.series {
                assert!(label_pairs(series.label_bytes(data)).count() <= data.len(), "a label takes a byte");
            }
        } else {
            for series in &walk.series {
                assert!(series.label_refs(&walk.refs).len() <= data.len(), "a reference takes a byte");
            }
        }
    }
}

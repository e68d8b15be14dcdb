//! The numbers: data for the micro benchmarks in `micro/`; load scenarios are in `load/`.
//!
//! Everything is made from indices alone, so that every run sees the same bytes. The fleet is made of pods of
//! [`SERIES_PER_POD`] series each: a classic histogram, request counters, byte counters, gauges.

use bytes::Bytes;
use model::{Labels, TimestampMs};
use proto::remote_write::{EncodeV1, EncodeV2, SeriesToWrite, WriteVersion};

/// An even UTC hour: 2026-01-01 00:00.
pub const START_MS: TimestampMs = 1_767_225_600_000;
/// Between two scrapes.
pub const STEP_MS: i64 = 15_000;
/// Samples of a request, as Prometheus sends by default.
pub const REQUEST_SAMPLES: usize = 2_000;
/// Series of a pod.
pub const SERIES_PER_POD: usize = 20;

/// Bounds of the histogram's buckets.
const BOUNDS: [&str; 12] =
    ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];
const CODES: [&str; 3] = ["200", "404", "500"];

/// What a series of a pod is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `http_request_duration_seconds_bucket`, by bound.
    Bucket(usize),
    /// `http_requests_total`, by status code.
    Requests(usize),
    /// `network_receive_bytes_total` and `network_transmit_bytes_total`.
    Bytes(usize),
    /// `cpu_seconds_total`: three decimals.
    Cpu,
    /// `memory_working_set_bytes`: a gauge, multiples of 4096.
    Memory,
    /// `temperature_celsius`: a gauge, two decimals.
    Temperature,
}

/// What series `index` of the fleet is.
pub fn kind(index: usize) -> Kind {
    match index % SERIES_PER_POD {
        bound @ 0..12 => Kind::Bucket(bound),
        code @ 12..15 => Kind::Requests(code - 12),
        direction @ 15..17 => Kind::Bytes(direction - 15),
        17 => Kind::Cpu,
        18 => Kind::Memory,
        _ => Kind::Temperature,
    }
}

/// The labels of series `index` of the fleet: 7 or 8 of them, about 190 bytes.
pub fn labels(index: usize) -> Labels {
    let pod_number = index / SERIES_PER_POD;
    let pod = format!("checkout-{:05x}-{pod_number:05}", pod_number.wrapping_mul(0x9E37) & 0xF_FFFF);
    let namespace = format!("team-{:02}", pod_number % 20);
    let instance = format!("10.{}.{}.17:9102", pod_number / 250 % 250, pod_number % 250);
    let node = format!("ip-10-0-{:03}.eu-central-1.compute.internal", pod_number / 10 % 250);
    let mut pairs = vec![
        ("cluster", "eu-central-1-production"),
        ("job", "kubernetes-pods"),
        ("pod", pod.as_str()),
        ("namespace", namespace.as_str()),
        ("instance", instance.as_str()),
        ("node", node.as_str()),
    ];
    let (name, own) = match kind(index) {
        Kind::Bucket(bound) => ("http_request_duration_seconds_bucket", Some(("le", BOUNDS[bound]))),
        Kind::Requests(code) => ("http_requests_total", Some(("code", CODES[code]))),
        Kind::Bytes(0) => ("network_receive_bytes_total", None),
        Kind::Bytes(_) => ("network_transmit_bytes_total", None),
        Kind::Cpu => ("cpu_seconds_total", None),
        Kind::Memory => ("memory_working_set_bytes", None),
        Kind::Temperature => ("temperature_celsius", None),
    };
    pairs.push(("__name__", name));
    pairs.extend(own);
    Labels::new(pairs).expect("names are valid and different")
}

/// Splitmix64: an index to bits that look random.
pub fn noise(index: u64) -> u64 {
    let mut z = index.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// From 0 up to 1.
fn share(index: u64) -> f64 {
    (noise(index) >> 11) as f64 / (1_u64 << 53) as f64
}

/// The value of series `index` of the fleet in its scrape number `scrape`. Counters never go down, buckets of a
/// histogram never go down from one bound to the next.
pub fn value(index: usize, scrape: usize) -> f64 {
    let pod = (index / SERIES_PER_POD) as u64;
    let moment = (pod << 32) | scrape as u64;
    // stays below the next scrape's, whatever the noise
    let counted = |per_scrape: f64| per_scrape * (scrape as f64 + share(moment));
    let busy = 1.0 + 20.0 * share(pod);
    match kind(index) {
        Kind::Bucket(bound) => counted(busy * (bound + 1) as f64).floor(),
        Kind::Requests(code) => counted(busy / (1.0 + 9.0 * code as f64)).floor(),
        Kind::Bytes(direction) => counted(busy * 1500.0 * (direction + 1) as f64).floor(),
        Kind::Cpu => (counted(busy / 40.0) * 1000.0).floor() / 1000.0,
        Kind::Memory => (50_000.0 * busy + 2_000.0 * share(moment)).floor() * 4096.0,
        Kind::Temperature => (3000.0 + 100.0 * busy + 300.0 * share(moment)).floor() / 100.0,
    }
}

/// When scrape number `scrape` was.
pub fn time(scrape: usize) -> TimestampMs {
    START_MS + scrape as i64 * STEP_MS
}

/// Times of the first `scrapes` scrapes.
pub fn times(scrapes: usize) -> Vec<TimestampMs> {
    (0..scrapes).map(time).collect()
}

/// One scrape of the series `first..first + REQUEST_SAMPLES` as a message of remote write, not compressed.
pub fn message(version: WriteVersion, first: usize, scrape: usize) -> Vec<u8> {
    let (mut v1, mut v2) = (EncodeV1::default(), EncodeV2::default());
    for index in first..first + REQUEST_SAMPLES {
        let labels = labels(index);
        let samples = [(time(scrape), value(index, scrape), 0)];
        let series = SeriesToWrite::floats(&labels, &samples);
        match version {
            WriteVersion::V1 => drop(v1.series(series)),
            WriteVersion::V2 => drop(v2.series(series)),
        }
    }
    match version {
        WriteVersion::V1 => v1.finish(),
        WriteVersion::V2 => v2.finish(),
    }
}

/// The same as a sender's body: snappy.
pub fn body(version: WriteVersion, first: usize, scrape: usize) -> Bytes {
    let compressed = snap::raw::Encoder::new().compress_vec(&message(version, first, scrape));
    compressed.expect("a request is smaller than 4 GiB").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_differ_and_are_as_large_as_real_ones() {
        let all: std::collections::BTreeSet<Labels> = (0..4000).map(labels).collect();
        assert_eq!(all.len(), 4000);
        let bytes: usize = all.iter().map(|labels| labels.as_bytes().len()).sum();
        assert!((150..280).contains(&(bytes / 4000)), "{} bytes a series", bytes / 4000);
    }

    #[test]
    fn counters_and_buckets_do_not_go_down() {
        for index in 0..10 * SERIES_PER_POD {
            for scrape in 0..50 {
                match kind(index) {
                    Kind::Memory | Kind::Temperature => {}
                    _ => assert!(value(index, scrape) <= value(index, scrape + 1)),
                }
                if let Kind::Bucket(1..) = kind(index) {
                    assert!(value(index - 1, scrape) <= value(index, scrape));
                }
            }
        }
    }
}

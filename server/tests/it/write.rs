//! Remote-write 1.0 requests, encoded here by hand so that nothing of the product tests itself.

use crate::process::{Answer, Server};

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn field(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// One series: labels (sorted by the caller) and samples.
pub(crate) type Series<'a> = (Vec<(&'a str, String)>, Vec<(i64, f64)>);

/// A `WriteRequest`, not compressed.
pub(crate) fn encode(series: &[Series<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for (labels, samples) in series {
        let mut one = Vec::new();
        for (name, value) in labels {
            let mut label = Vec::new();
            field(&mut label, 1, name.as_bytes());
            field(&mut label, 2, value.as_bytes());
            field(&mut one, 1, &label);
        }
        for (t, v) in samples {
            let mut sample = vec![1 << 3 | 1];
            sample.extend_from_slice(&v.to_le_bytes());
            sample.push(2 << 3);
            varint(&mut sample, *t as u64);
            field(&mut one, 2, &sample);
        }
        field(&mut out, 1, &one);
    }
    out
}

/// Snappy, block format.
pub(crate) fn snappy(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

/// Headers of a 1.0 sender.
pub(crate) const HEADERS_1: [(&str, &str); 3] = [
    ("content-type", "application/x-protobuf"),
    ("content-encoding", "snappy"),
    ("x-prometheus-remote-write-version", "0.1.0"),
];

/// Writes as `tenant`.
pub(crate) fn push_as(server: &Server, tenant: &str, series: &[Series<'_>]) -> Answer {
    let mut headers = HEADERS_1.to_vec();
    headers.push(("x-scope-orgid", tenant));
    server.request("POST", "/api/v1/push", &headers, &snappy(&encode(series)))
}

/// Writes; must be accepted.
pub(crate) fn push(server: &Server, series: &[Series<'_>]) {
    let answer = push_as(server, "anonymous", series);
    assert_eq!(answer.status, 204, "{}", answer.text());
}

/// `name{i="N"}` with the samples.
pub(crate) fn named<'a>(name: &str, i: usize, samples: Vec<(i64, f64)>) -> Series<'a> {
    (vec![("__name__", name.to_owned()), ("i", i.to_string())], samples)
}

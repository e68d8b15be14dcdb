//! Generated types of the same messages: for clients, tests, remote read and federation; never on the write path.

/// Remote write 1.0 and remote read.
pub mod prometheus {
    include!(concat!(env!("OUT_DIR"), "/prometheus.rs"));
}

/// Remote write 2.0.
pub mod write_v2 {
    include!(concat!(env!("OUT_DIR"), "/io.prometheus.write.v2.rs"));
}

/// Metric families: the exposition format in protobuf.
pub mod exposition {
    include!(concat!(env!("OUT_DIR"), "/io.prometheus.client.rs"));
}

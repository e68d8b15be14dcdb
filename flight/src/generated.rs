//! Types generated from `protos/flight.proto`.
#![expect(unreachable_pub, reason = "generated")]

include!(concat!(env!("OUT_DIR"), "/epimetheus.flight.v1.rs"));

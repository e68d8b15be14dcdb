//! The codec of sealed chunks: columns of floats and of timestamps, bit-packed.
//!
//! Every bit comes back: what fits no cheaper form is kept raw. The bytes are a function of the values
//! alone, so replicas that seal the same columns hold the same bytes. Decoders never panic on damaged
//! bytes and never allocate more than the count the caller names.

mod bits;
mod ints;
mod values;

pub(crate) use ints::{decode_ints, encode_ints};
pub(crate) use values::{ValueEncoder, decode_values, fuzz_values};

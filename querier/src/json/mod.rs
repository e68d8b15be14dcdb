//! JSON as Prometheus writes it, straight into bytes.
//!
//! Floats are strings in the shortest form that reads back equal, times are seconds with milliseconds, and
//! an empty list is `[]`. Byte for byte what Prometheus 3 answers, so that nobody's reader can tell.

mod answer;
mod histogram;
mod number;
mod text;

pub(crate) use answer::{AnswerWriter, Tail};
pub(crate) use number::{
    write_float, write_float_general, write_float_plain, write_seconds, write_timestamp,
};
pub(crate) use text::{write_labels, write_string, write_strings};

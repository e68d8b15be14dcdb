//! YAML as Go's decoders see it: a tree with places, and the reading of typed values out of it with Go's messages.
//!
//! Rule files and tests of rules are checked by people who know the messages of Prometheus; they name Go types, lines and
//! columns, so reading stands on the tree and not on `serde`.

mod decoder;
mod node;
mod scalar;

pub(crate) use decoder::{Decoder, Dialect};
pub(crate) use node::{Document, Node, Place};

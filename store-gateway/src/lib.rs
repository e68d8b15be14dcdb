//! Old data: answers reads from the live blocks of a tenant's catalog.
//!
//! Stateless: what it keeps in memory can be dropped at any time. Nothing is read at the start.

mod changes;
mod damage;
mod merge;
mod selection;
mod source;

pub use damage::DamagedBlock;
pub use source::{BlockSource, BlockSourceOptions};

//! Tidies history: drops whole blocks past their tenant's retention, deletes files nobody reads any more.
//!
//! The plan is a pure function of the catalog; any number of compactors may run side by side, the commit
//! decides.

mod plan;
mod runner;

pub use plan::{Plan, Retention, plan};
pub use runner::{Compactor, Outcome};

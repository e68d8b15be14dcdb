//! What the binary can do, one file a subcommand.

pub(crate) mod blocks;
pub(crate) mod check_rules;
pub(crate) mod existing;
pub(crate) mod glob;
pub(crate) mod promql;
pub(crate) mod query;
pub(crate) mod serve;
pub(crate) mod test_promql;
pub(crate) mod test_rules;
pub(crate) mod wal;

//! Queries over series in memory.

//! Immutable history: Parquet blocks, the bucket they lie in, the catalog that lists them.

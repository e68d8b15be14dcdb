//! The numbers: micro benchmarks and load scenarios.

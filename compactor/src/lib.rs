//! Tidies history: retention.

//! The language: parse, plan, execute. Knows no role.

pub mod ast;
pub mod parse;
pub mod test_script;

mod engine;

pub use engine::{
    Answer, Engine, EngineOptions, Features, MatrixSeries, QueryError, QueryRequest, QueryStats, SampleValue,
    Value, VectorSample,
};

//! The language: parse, plan, execute. Knows no role.

pub mod ast;

mod engine;

pub use engine::{
    Answer, Engine, EngineOptions, Features, MatrixSeries, QueryError, QueryRequest, QueryStats, SampleValue,
    Value, VectorSample,
};

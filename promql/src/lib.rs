//! The language: parse, plan, execute. Knows no role.

pub mod ast;
pub mod parse;
pub mod test_script;

mod annotations;
mod engine;
mod engine_target;
mod exec;
mod functions;
mod go_format;
mod histogram;
mod kahan;
mod memory_source;
mod plan;

pub use annotations::Annotations;
pub use engine::{
    Answer, AnswerMemory, Engine, EngineOptions, Explanation, Features, LocalFragments, MatrixSeries,
    MemoryLimits, MemoryUsage, QueryError, QueryLimit, QueryProgress, QueryRequest, QueryStats, SampleValue,
    StepSamples, Value, VectorSample,
};
pub use engine_target::EngineTarget;
pub use functions::fuzz_window_state;
pub use histogram::{fuzz_histogram_wire, to_text as histogram_text};
pub use memory_source::MemorySource;
pub use model::go_quote;
pub use plan::{Reach, Rewrite, Rewrites};

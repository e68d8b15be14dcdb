//! The functions of the language, apart from how they are driven over series and steps.

mod civil;
mod classic;
mod quantile;
mod scalar_math;
mod window;

pub(crate) use civil::Civil;
pub(crate) use classic::{Bucket, bucket_fraction, bucket_quantile};
pub(crate) use quantile::quantile;
pub(crate) use scalar_math::{SampleFunction, arithmetic, compare, go_max, go_min};
pub use window::fuzz_window_state;
pub(crate) use window::{
    Algebra, Bounds, Edges, Ends, Extended, Family, Notes, RateTerms, Run, SlidePlan, SlideScratch, Window,
    WindowFunction, WindowState, WindowValue, each_state, evaluate, extend_floats, interpolate,
    interpolate_histograms, needs_list, slide, slides,
};

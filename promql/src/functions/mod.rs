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
pub(crate) use window::{
    Bounds, Extended, Notes, RateTerms, SlidePlan, SlideScratch, Window, WindowFunction, WindowValue,
    evaluate, extend_floats, interpolate, interpolate_histograms, slide, slides,
};

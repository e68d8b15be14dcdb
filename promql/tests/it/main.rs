//! The engine seen from outside.

mod queries;
mod scripts;

//! The binary `epimetheus`: reads the command line and runs what it asks for.

mod cli;
mod config;
mod duration;

fn main() {}

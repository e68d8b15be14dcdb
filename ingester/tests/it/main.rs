//! The ingester over a real log, real blocks and a simulated machine.

mod blocks;
mod crash;
mod node;
mod reads;

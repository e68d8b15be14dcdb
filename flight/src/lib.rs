//! Reads between nodes: fragments, samples and listings as Arrow Flight over gRPC.
//!
//! A node serves its `Source` and its `RunFragment`; whoever knows its address has both again as a [`RemoteNode`].
//! Always: one tenant a request, named in the metadata; messages are capped before they are decoded; dropping an
//! answer ends the work for it.

mod batch;
mod client;
mod error;
mod explained;
mod fragment;
mod generated;
mod limits;
mod list;
mod samples;
mod selection;
mod server;
mod ticket;
mod traffic;

pub use client::{AddressError, RemoteNode};
pub use fragment::fuzz_fragment_answer;
pub use samples::fuzz_samples;
pub use server::{NodeServer, ServeError};
pub use ticket::fuzz_ticket;
pub use traffic::{Direction, Traffic, TrafficReading};

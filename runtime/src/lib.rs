//! The effects: the only door to clocks, randomness, tasks, threads, files and sockets.
//!
//! A [`Runtime`] is either real (Tokio threads, the machine's clock and disk) or simulated: one
//! thread, virtual time that jumps to the next timer when nothing can run, randomness from one
//! seed, a disk in memory that can lose what no fsync covers. Code that touches the world through
//! this crate alone runs in a simulation as it is, and repeats exactly for an equal seed.

mod cpu;
mod disk;
mod hash;
mod moment;
pub mod net;
mod raft;
mod random;
mod runtime;
mod shutdown;
mod simulation;
mod task;

pub use cpu::CpuStats;
pub use disk::{Disk, DiskEntry, DiskFaults, DiskFile, DiskLock, OpenMode, RealDisk, SimulatedDisk};
pub use hash::{HashMap, HashSet, HashState};
pub use moment::Moment;
pub use raft::RaftRuntime;
pub use random::Random;
pub use runtime::{Elapsed, Runtime, Timeout};
pub use shutdown::Shutdown;
pub use simulation::Sleep;
pub use task::{Task, TaskError};

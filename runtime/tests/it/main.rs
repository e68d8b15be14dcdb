//! The runtime from outside: time, tasks and the disk, real and simulated.

mod disk;
mod tasks;
mod time;

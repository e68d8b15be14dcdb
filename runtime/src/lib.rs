//! The effects: the only door to clocks, randomness, tasks, threads, files and sockets.

//! Bounds that are no settings, and how they relate.

use std::time::Duration;

/// Largest ticket, and largest message to a server.
pub(crate) const TICKET_BYTES_MAX: usize = 4 << 20;
/// About how large messages of an answer are made.
pub(crate) const PIECE_BYTES: usize = 1 << 20;
/// Largest message of an answer: one row of a batch is never divided.
pub(crate) const MESSAGE_BYTES_MAX: usize = 256 << 20;
/// Largest answer to one read of samples.
pub(crate) const READ_BYTES_MAX: usize = 1 << 30;
/// Most points of a fragment.
pub(crate) const STEPS_MAX: i64 = 1 << 24;
/// Operators below each other that a plan tells: messages inside of messages are read 100 deep.
pub(crate) const PLAN_DEPTH_MAX: usize = 90;
/// Reads of one selection that are worked on at once.
pub(crate) const READS_AT_ONCE: usize = 8;
/// Longest text of an error: it travels in a header.
pub(crate) const ERROR_BYTES_MAX: usize = 3 << 10;
/// Answers under way at once in a server, whoever asked.
pub(crate) const STREAMS_MAX: usize = 1024;
/// What HTTP/2 allows on one connection: more than the server answers, so that it refuses instead of letting wait.
pub(crate) const CONNECTION_STREAMS_MAX: u32 = 2 * STREAMS_MAX as u32;
/// What one stream may send unread.
pub(crate) const STREAM_WINDOW_BYTES: u32 = PIECE_BYTES as u32;
/// What all streams of a connection may send unread: those nobody reads just now must not stop the others.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = i32::MAX as u32;
/// How often an open connection is probed.
pub(crate) const PROBE_INTERVAL: Duration = Duration::from_secs(10);
/// How long connecting and probes may take.
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long answers under way may take when a server stops.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(5);

const _: () = {
    assert!(PIECE_BYTES < TICKET_BYTES_MAX && PIECE_BYTES < MESSAGE_BYTES_MAX);
    assert!(STREAMS_MAX as u64 * STREAM_WINDOW_BYTES as u64 <= CONNECTION_WINDOW_BYTES as u64);
};

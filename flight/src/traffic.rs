//! What went over the wire, by direction and by what was asked.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::ticket::TicketKind;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From this process.
    Sent,
    /// To this process.
    Received,
}

impl Direction {
    /// As the metric's label says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Sent => "sent",
            Direction::Received => "received",
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    messages: AtomicU64,
    bytes: AtomicU64,
}

/// Counters of one process. What one side sent the other received, so both count the same.
#[derive(Debug, Default)]
pub struct Traffic {
    /// By direction and kind.
    counts: [[Counts; TicketKind::COUNT]; 2],
}

/// A counter as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrafficReading {
    /// Which way.
    pub direction: Direction,
    /// The kind of ticket: `fragment`, `select`, `label_names`, …
    pub ticket: &'static str,
    /// Messages.
    pub messages: u64,
    /// Their bytes, without what HTTP/2 adds.
    pub bytes: u64,
}

impl Traffic {
    /// One message more.
    pub(crate) fn count(&self, direction: Direction, kind: TicketKind, bytes: usize) {
        let counts = &self.counts[direction as usize][kind as usize];
        counts.messages.fetch_add(1, Ordering::Relaxed);
        counts.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// All counters.
    pub fn read(&self) -> Vec<TrafficReading> {
        let directions = [Direction::Sent, Direction::Received];
        directions
            .into_iter()
            .flat_map(|direction| TicketKind::ALL.map(|kind| (direction, kind)))
            .map(|(direction, kind)| {
                let counts = &self.counts[direction as usize][kind as usize];
                TrafficReading {
                    direction,
                    ticket: kind.as_str(),
                    messages: counts.messages.load(Ordering::Relaxed),
                    bytes: counts.bytes.load(Ordering::Relaxed),
                }
            })
            .collect()
    }

    /// Bytes that went one way for one kind of ticket.
    pub fn bytes(&self, direction: Direction, ticket: &str) -> u64 {
        self.read().iter().filter(|r| r.direction == direction && r.ticket == ticket).map(|r| r.bytes).sum()
    }
}

//! Bytes of the small structures in the log: ids, votes, memberships, snapshots.
//!
//! Little-endian, lengths before contents, every count checked against the bytes that are left
//! before anything is allocated.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use openraft::impls::BasicNode;

use crate::types::{LogId, Membership, StoredMembership, StoredSnapshot, Vote, log_id, term_of};

/// The bytes are not of the expected form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).expect("counts of small structures fit 32 bits"));
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn option<T>(&mut self, value: Option<&T>, write: impl FnOnce(&mut Self, &T)) {
        self.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    pub(crate) fn log_id(&mut self, id: &LogId) {
        self.u64(term_of(id));
        self.u64(id.index);
    }

    pub(crate) fn vote(&mut self, vote: &Vote) {
        self.u64(vote.leader_id.term);
        self.u64(vote.leader_id.voted_for);
        self.u8(u8::from(vote.committed));
    }

    pub(crate) fn membership(&mut self, membership: &Membership) {
        let configs = membership.get_joint_config();
        self.count(configs.len());
        for config in configs {
            self.count(config.len());
            config.iter().for_each(|id| self.u64(*id));
        }
        self.count(membership.nodes().count());
        for (id, node) in membership.nodes() {
            self.u64(*id);
            self.bytes(node.addr.as_bytes());
        }
    }

    pub(crate) fn snapshot(&mut self, snapshot: &StoredSnapshot) {
        self.option(snapshot.last.as_ref(), Writer::log_id);
        self.option(snapshot.membership.log_id().as_ref(), Writer::log_id);
        self.membership(snapshot.membership.membership());
        self.bytes(&snapshot.manifest);
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Reader { rest: bytes, what }
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed(self.what))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let what = self.what;
        self.take(N)?.try_into().map_err(|_| Malformed(what))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_le_bytes)
    }

    /// A count of things of at least `each` bytes: more than can follow is refused.
    pub(crate) fn count(&mut self, each: usize) -> Result<usize, Malformed> {
        let count = usize::try_from(self.u32()?).map_err(|_| Malformed(self.what))?;
        if count > self.rest.len() / each.max(1) { Err(Malformed(self.what)) } else { Ok(count) }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.count(1)?;
        self.take(len)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        let what = self.what;
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed(what))
    }

    pub(crate) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(Malformed(self.what)),
        }
    }

    pub(crate) fn log_id(&mut self) -> Result<LogId, Malformed> {
        let term = self.u64()?;
        Ok(log_id(term, self.u64()?))
    }

    pub(crate) fn vote(&mut self) -> Result<Vote, Malformed> {
        let (term, node) = (self.u64()?, self.u64()?);
        match self.u8()? {
            0 => Ok(Vote::new(term, node)),
            1 => Ok(Vote::new_committed(term, node)),
            _ => Err(Malformed(self.what)),
        }
    }

    pub(crate) fn membership(&mut self) -> Result<Membership, Malformed> {
        let mut configs = Vec::new();
        for _ in 0..self.count(4)? {
            let mut config = BTreeSet::new();
            for _ in 0..self.count(8)? {
                config.insert(self.u64()?);
            }
            configs.push(config);
        }
        let mut nodes = BTreeMap::new();
        for _ in 0..self.count(12)? {
            let id = self.u64()?;
            nodes.insert(id, BasicNode { addr: self.text()?.to_string() });
        }
        let what = self.what;
        if configs.is_empty() && nodes.is_empty() {
            return Ok(Membership::default());
        }
        Membership::new(configs, nodes).map_err(|_| Malformed(what))
    }

    pub(crate) fn snapshot(&mut self) -> Result<StoredSnapshot, Malformed> {
        let last = self.option(Reader::log_id)?;
        let membership_at = self.option(Reader::log_id)?;
        let membership = StoredMembership::new(membership_at, self.membership()?);
        let manifest = Bytes::copy_from_slice(self.bytes()?);
        Ok(StoredSnapshot { last, membership, manifest })
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn end(self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed(self.what)) }
    }
}

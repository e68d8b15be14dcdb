//! Encoding and decoding are inverse; damage and old lives of a file are noticed.

use std::collections::{BTreeMap, BTreeSet};

use openraft::impls::BasicNode;
use proptest::prelude::*;

use super::*;
use crate::types::{Membership, StoredMembership};

fn bytes_of(encoder: &Encoder) -> Vec<u8> {
    encoder.slices().iter().flat_map(|part| part.to_vec()).collect()
}

fn read(segment: u64, bytes: &[u8]) -> Vec<(Header, Vec<u8>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(header) = bytes[at..].first_chunk::<HEADER_BYTES>().and_then(Header::parse) {
        let body = &bytes[at + HEADER_BYTES..at + HEADER_BYTES + header.body_len];
        if !header.matches(segment, body) {
            break;
        }
        found.push((header, body.to_vec()));
        at += usize::try_from(header.record_len()).unwrap();
    }
    found
}

fn membership() -> Membership {
    let nodes: BTreeMap<u64, BasicNode> =
        [(1, BasicNode::new("10.0.0.1:9095")), (2, BasicNode::new(""))].into_iter().collect();
    Membership::new(vec![BTreeSet::from([1, 2]), BTreeSet::from([1])], nodes).unwrap()
}

fn snapshot() -> StoredSnapshot {
    StoredSnapshot {
        last: Some(log_id(3, 77)),
        membership: StoredMembership::new(Some(log_id(1, 0)), membership()),
        manifest: Bytes::from_static(b"files"),
    }
}

#[test]
fn every_kind_reads_back() {
    let mut encoder = Encoder::default();
    encoder.clear(9);
    let group = GroupId(5);
    let large = Bytes::from(vec![7; 100_001]);
    let checkpoint = Checkpoint {
        vote: Some(Vote::new(4, 2)),
        purged: None,
        committed: Some(log_id(3, 8)),
        snapshot: Some(snapshot()),
    };
    encoder.batch(4096);
    encoder.entry(group, &log_id(2, 10), &EntryPayload::Normal(Payload(large.clone())));
    encoder.entry(group, &log_id(2, 11), &EntryPayload::Blank);
    encoder.entry(group, &log_id(2, 12), &EntryPayload::Membership(membership()));
    encoder.vote(group, &Vote::new_committed(4, 1));
    encoder.truncate(group, None);
    encoder.purge(group, &log_id(1, 3));
    encoder.committed(group, &log_id(2, 11));
    encoder.snapshot(group, &snapshot());
    encoder.checkpoint(group, &checkpoint);
    encoder.checkpoint_end();
    encoder.seal();
    let bytes = bytes_of(&encoder);
    assert_eq!(bytes.len() as u64, encoder.len());
    let found = read(9, &bytes);
    let records: Vec<Record<'_>> =
        found.iter().map(|(header, body)| decode(header.kind, body).unwrap()).collect();
    assert_eq!(records.len(), 12);
    assert_eq!(records[0], Record::Batch { durable: 4096 });
    assert_eq!(records[1], Record::Entry { id: log_id(2, 10), payload_kind: 1, payload: &large });
    assert_eq!(found[1].0.record_len(), entry_record_len(large.len()));
    let Record::Entry { payload_kind, payload, .. } = &records[3] else { panic!("an entry") };
    let body = decode_payload(*payload_kind, Bytes::copy_from_slice(payload)).unwrap();
    assert_eq!(body, EntryPayload::Membership(membership()));
    assert_eq!(records[4], Record::Vote(Vote::new_committed(4, 1)));
    assert_eq!(records[8], Record::Snapshot(snapshot()));
    assert_eq!(records[9], Record::Checkpoint(Box::new(checkpoint)));
    assert_eq!(records[11], Record::Seal);
}

#[test]
fn a_record_of_another_segment_is_no_record() {
    let mut encoder = Encoder::default();
    encoder.clear(9);
    encoder.seal();
    let bytes = bytes_of(&encoder);
    assert_eq!(read(9, &bytes).len(), 1);
    for other in [0, 1, 8, 10, 9 << 8] {
        assert!(read(other, &bytes).is_empty(), "segment {other}");
    }
}

proptest! {
    #[test]
    fn a_flipped_bit_is_noticed(payload in proptest::collection::vec(any::<u8>(), 0..300), at in any::<usize>(), bit in 0..8u8) {
        let mut encoder = Encoder::default();
        encoder.clear(3);
        let body = EntryPayload::Normal(Payload(Bytes::from(payload.clone())));
        encoder.entry(GroupId(1), &log_id(1, 1), &body);
        let mut bytes = bytes_of(&encoder);
        let end = HEADER_BYTES + ENTRY_PREFIX_BYTES + payload.len();
        bytes[at % end] ^= 1 << bit;
        let header = bytes.first_chunk::<HEADER_BYTES>().and_then(Header::parse);
        let sound = header.is_some_and(|header| {
            bytes.get(HEADER_BYTES..HEADER_BYTES + header.body_len).is_some_and(|body| header.matches(3, body))
        });
        prop_assert!(!sound);
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        fuzz_wal_record(&bytes);
    }

    #[test]
    fn plausible_frames_with_any_body_are_survived(kind in 0..12u8, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
        bytes[8] = kind;
        bytes.extend_from_slice(&body);
        fuzz_wal_record(&bytes);
    }
}

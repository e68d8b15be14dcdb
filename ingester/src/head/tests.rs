//! The head against a simple model, and against itself: same entries, same state.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use model::{Labels, LogPosition, Matcher, TenantId, TimeRange, TimestampMs, stale_nan};
use proptest::prelude::*;
use proto::{AppendBatch, AppendOutcome, NEW_SERIES, RejectReason};

use super::*;
use crate::entry::{Command, Entry, EntryWriter, Limits};

const HOUR: i64 = 3_600_000;
const START: i64 = 1_700_000_000_000 - 1_700_000_000_000 % WINDOW_MS;

fn labels(i: usize) -> Labels {
    let pod = format!("pod-{}", i % 7);
    let instance = format!("i-{i}");
    Labels::new([("__name__", "requests_total"), ("pod", pod.as_str()), ("instance", &instance)]).unwrap()
}

/// Applies entries as the state machine does.
fn apply(head: &mut TenantHead, index: u64, bytes: &Bytes) -> Vec<AppendOutcome> {
    let entry = Entry::decode(bytes).unwrap();
    match entry.command {
        Command::Append(sections) => {
            sections.iter().map(|section| head.append(section, entry.leader_time)).collect()
        }
        Command::Cut { until, identity, .. } => {
            head.cut(until, identity, LogPosition { index, term: 1 });
            Vec::new()
        }
        Command::Published { window, generation, block, .. } => {
            head.published(window, generation, block);
            Vec::new()
        }
        Command::Drop { floor, .. } => {
            head.drop_before(floor);
            Vec::new()
        }
    }
}

fn tenant() -> TenantId {
    TenantId::anonymous()
}

fn append(samples: &[(usize, TimestampMs, f64)], leader_time: TimestampMs) -> Bytes {
    let mut batch = AppendBatch::default();
    for (series, t, value) in samples {
        let at = batch.new_series.len() as u32;
        batch.new_series.push(labels(*series));
        batch.floats.series.push(NEW_SERIES | at);
        batch.floats.timestamps.push(*t);
        batch.floats.values.push(*value);
    }
    let mut writer = EntryWriter::new(leader_time);
    writer.push(&tenant(), Limits::default(), &batch);
    writer.finish().unwrap()
}

type Model = BTreeMap<(Labels, TimestampMs), u64>;

fn contents(head: &TenantHead, range: TimeRange) -> Model {
    let in_order = TimeRange::new(range.start.max(head.floor), range.end);
    let references: Vec<u32> =
        head.series.rows.iter().map(|row| head.series.reference[row as usize]).collect();
    let mut out = Model::new();
    for chunk in references.chunks(5) {
        let read = head.prepare_read(chunk.iter().copied(), in_order, LateWanted::Range(range));
        let batch = read.decode().unwrap();
        for (i, reference) in chunk.iter().enumerate() {
            let labels = head.labels(head.series.row_of(*reference).unwrap());
            let values = batch.values_of(i);
            let timestamps = batch.timestamps_of(i);
            assert_eq!(values.len(), timestamps.len());
            assert!(timestamps.is_sorted_by(|a, b| a < b));
            for (t, v) in timestamps.iter().zip(values) {
                out.insert((labels.clone(), *t), v.to_bits());
            }
        }
    }
    out
}

#[derive(Debug, Clone)]
enum Step {
    /// A scrape of series `from..to` at tick, with jitter for some.
    Scrape {
        from: usize,
        to: usize,
        ticks: i64,
        jitter: i64,
    },
    /// Samples anywhere.
    Scattered(Vec<(usize, i64, i32)>),
    Cut {
        ticks_back: i64,
    },
    Publish,
    Drop {
        ticks_back: i64,
    },
    Restore,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0_usize..20, 1_usize..20, 1_i64..3, prop_oneof![4 => Just(0_i64), 1 => 0_i64..3000])
            .prop_map(|(from, count, ticks, jitter)| Step::Scrape { from, to: from + count, ticks, jitter }),
        3 => proptest::collection::vec((0_usize..40, -2000_i64..3, any::<i32>()), 1..10)
            .prop_map(Step::Scattered),
        1 => (0_i64..300).prop_map(|ticks_back| Step::Cut { ticks_back }),
        1 => Just(Step::Publish),
        1 => (0_i64..400).prop_map(|ticks_back| Step::Drop { ticks_back }),
        1 => Just(Step::Restore),
    ]
}

fn value_of(series: usize, tick: i64) -> f64 {
    match series % 5 {
        0 => (tick * 17) as f64,
        1 => tick as f64 / 100.0,
        2 => (tick as f64).sqrt(),
        3 if tick % 11 == 0 => stale_nan(),
        _ => 1.0,
    }
}

fn restored(head: &TenantHead) -> TenantHead {
    let frozen = head.freeze();
    let mut segments: Vec<Arc<Segment>> = Vec::new();
    for segment in &frozen.segments {
        let mut bytes = Vec::new();
        segment.put(&mut bytes);
        let mut reader = Reader::new(&bytes);
        segments.push(Arc::new(Segment::read_back(&mut reader, segments.last()).unwrap()));
        assert!(reader.is_empty());
    }
    TenantHead::restore(7, &frozen.frame, segments).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn head_is_a_sorted_map_and_restores_to_itself(steps in proptest::collection::vec(any_step(), 1..220)) {
        let mut head = TenantHead::new(1);
        // Never restored: must stay equal to the one that is.
        let mut twin = TenantHead::new(2);
        let mut model = Model::new();
        // What is published and dropped may or may not be in the head any more.
        let mut dropped_until = TimestampMs::MIN;
        let mut tick = 0;
        for (index, step) in steps.iter().enumerate() {
            let now = START + tick * 15_000;
            let mut entry = None;
            let mut samples = Vec::new();
            match step {
                Step::Scrape { from, to, ticks, jitter } => {
                    tick += ticks;
                    let t = START + tick * 15_000;
                    samples.extend((*from..*to).map(|s| {
                        let jitter = if s % 6 == 0 { *jitter } else { 0 };
                        (s, t + jitter, value_of(s, tick))
                    }));
                }
                Step::Scattered(list) => {
                    samples.extend(list.iter().map(|(s, back, v)| (*s, now + back * 15_000, f64::from(*v))));
                }
                Step::Cut { ticks_back } => {
                    let until = now - ticks_back * 15_000;
                    entry = Some(Command::Cut { tenant: tenant(), until, identity: 7 });
                }
                Step::Publish => {
                    if let Some(cut) = head.pending_cuts().next() {
                        let (window, generation) = (cut.window, cut.generation);
                        entry = Some(Command::Published { tenant: tenant(), window, generation, block: None });
                    }
                }
                Step::Drop { ticks_back } => {
                    entry = Some(Command::Drop { tenant: tenant(), floor: now - ticks_back * 15_000 });
                }
                Step::Restore => head = restored(&head),
            }
            if !samples.is_empty() {
                let bytes = append(&samples, START + tick * 15_000);
                let outcomes = apply(&mut head, index as u64, &bytes);
                prop_assert_eq!(&outcomes, &apply(&mut twin, index as u64, &bytes));
                for (i, (series, t, value)) in samples.iter().enumerate() {
                    let known = model.get(&(labels(*series), *t)).copied();
                    let reason = outcomes[0].rejections.iter().find(|r| r.index == i as u32).map(|r| r.reason);
                    match reason {
                        None if *t < dropped_until => {
                            model.entry((labels(*series), *t)).or_insert(value.to_bits());
                        }
                        None => {
                            prop_assert!(known.is_none_or(|k| k == value.to_bits()));
                            model.insert((labels(*series), *t), value.to_bits());
                        }
                        Some(RejectReason::Duplicate) => {
                            prop_assert!(known.is_some_and(|k| k != value.to_bits()));
                        }
                        Some(RejectReason::TooOld) => prop_assert!(*t < head.max_t - 20 * HOUR),
                        Some(other) => prop_assert!(false, "{:?}", other),
                    }
                }
            }
            if let Some(command) = entry {
                let bytes = EntryWriter::command(now, &command);
                apply(&mut head, index as u64, &bytes);
                apply(&mut twin, index as u64, &bytes);
                dropped_until = dropped_until.max(head.floor);
                if matches!(command, Command::Drop { .. }) {
                    let held: Model = contents(&head, TimeRange::all());
                    // Gone are only samples that a published cut could hold.
                    for (key, value) in &model {
                        if !held.contains_key(key) {
                            prop_assert!(key.1 < head.floor, "{:?} lost, floor {}", key, head.floor);
                        } else {
                            prop_assert_eq!(held[key], *value);
                        }
                    }
                    model.retain(|key, _| held.contains_key(key));
                }
            }
        }
        prop_assert_eq!(contents(&head, TimeRange::all()), model.clone());
        let part = TimeRange::new(START + tick * 5_000, START + tick * 10_000);
        let wanted: Model = model.into_iter().filter(|(key, _)| part.contains(key.1)).collect();
        prop_assert_eq!(contents(&head, part), wanted);
        prop_assert_eq!(head.state_hash(), twin.state_hash());
        prop_assert_eq!(restored(&head).state_hash(), twin.state_hash());
    }

    #[test]
    fn garbage_entries_do_not_panic(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        crate::entry::fuzz_entry(&data);
    }

    #[test]
    fn garbage_snapshots_do_not_panic(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        crate::fuzz_snapshot(&data);
        let _maybe = TenantHead::restore(0, &[&[1_u8][..], &data].concat(), Vec::new()).is_err();
    }

    #[test]
    fn mutated_entries_do_not_panic(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let samples: Vec<_> = (0..20).map(|i| (i, START, i as f64)).collect();
        let mut bytes = append(&samples, START).to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(Entry { command: Command::Append(sections), leader_time }) = Entry::decode(&bytes) {
            let mut head = TenantHead::new(1);
            for section in &sections {
                head.append(section, leader_time);
            }
        }
    }

    #[test]
    fn mutated_frames_do_not_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut head = TenantHead::new(1);
        for tick in 0..5 {
            let samples: Vec<_> = (0..20).map(|i| (i, START + tick * 15_000, i as f64)).collect();
            apply(&mut head, tick as u64, &append(&samples, START));
        }
        let mut frame = head.freeze().frame;
        let at = at.index(frame.len());
        frame[at] = byte;
        let _maybe = TenantHead::restore(1, &frame, Vec::new()).is_err();
    }
}

#[test]
fn a_scrape_makes_one_group_and_seals_small_chunks() {
    let mut head = TenantHead::new(1);
    for tick in 0..481 {
        let samples: Vec<_> = (0..200).map(|i| (i, START + tick * 15_000, value_of(i * 5, tick))).collect();
        apply(&mut head, tick as u64, &append(&samples, START + tick * 15_000));
    }
    assert_eq!(head.groups.iter().flatten().count(), 1);
    let (segments, chunks, bytes) = head.sealed();
    assert!(segments >= 7 && chunks == segments * 200);
    assert!(bytes < 200 * 480, "{bytes}");
    assert_eq!(contents(&head, TimeRange::all()).len(), 481 * 200);
}

#[test]
fn series_with_another_rhythm_leave_the_group() {
    let mut head = TenantHead::new(1);
    for tick in 0..200_i64 {
        let mut samples: Vec<_> = (0..40).map(|i| (i, START + tick * 15_000, 1.0)).collect();
        if tick > 0 {
            // Two of them have timestamps of their own.
            samples[3].1 += 3_000;
            samples[17].1 += 7_000 + tick;
        }
        apply(&mut head, tick as u64, &append(&samples, START + tick * 15_000));
    }
    assert_eq!(contents(&head, TimeRange::all()).len(), 200 * 40);
    let groups = head.groups.iter().flatten().count();
    assert!((2..=6).contains(&groups), "{groups} groups");
    let rows: usize = head.groups.iter().flatten().map(|g| g.rows.len()).sum();
    assert!(rows < 200, "{rows} rows");
}

#[test]
fn samples_are_judged_by_order_age_and_limit() {
    let mut head = TenantHead::new(1);
    let now = START + 30 * HOUR;
    apply(&mut head, 1, &append(&[(1, now, 1.0)], now));
    let reasons = |head: &mut TenantHead, samples: &[(usize, i64, f64)]| -> Vec<RejectReason> {
        apply(head, 2, &append(samples, now))[0].rejections.iter().map(|r| r.reason).collect()
    };
    assert_eq!(reasons(&mut head, &[(1, now, 1.0)]), []);
    assert_eq!(reasons(&mut head, &[(1, now, 2.0)]), [RejectReason::Duplicate]);
    assert_eq!(reasons(&mut head, &[(1, now - HOUR, 2.0)]), []);
    assert_eq!(reasons(&mut head, &[(1, now - HOUR, 2.0)]), []);
    assert_eq!(reasons(&mut head, &[(1, now - HOUR, 3.0)]), [RejectReason::Duplicate]);
    assert_eq!(reasons(&mut head, &[(1, now - 25 * HOUR, 3.0)]), [RejectReason::TooOld]);
    assert_eq!(reasons(&mut head, &[(1, now + 11 * 60_000, 3.0)]), [RejectReason::TooFarInFuture]);
    let mut batch = AppendBatch { new_series: vec![labels(5)], ..AppendBatch::default() };
    batch.floats.series = vec![NEW_SERIES, 0, 77];
    batch.floats.timestamps = vec![now; 3];
    batch.floats.values = vec![1.0; 3];
    let mut writer = EntryWriter::new(now);
    writer.push(&tenant(), Limits { series_max: 1, out_of_order_ms: 0 }, &batch);
    let outcome = apply(&mut head, 3, &writer.finish().unwrap()).remove(0);
    assert_eq!(outcome.references, [NEW_SERIES]);
    assert_eq!(outcome.series_limit, 1);
    let reasons: Vec<_> = outcome.rejections.iter().map(|r| (r.index, r.reason)).collect();
    assert_eq!(reasons, [(0, RejectReason::SeriesLimit), (2, RejectReason::StaleReference)]);
}

#[test]
fn timestamps_at_the_ends_of_time_are_refused() {
    let mut head = TenantHead::new(1);
    let samples = [(1, i64::MIN, 1.0), (1, i64::MIN + 1, 1.0), (1, i64::MAX, 1.0), (1, START, 1.0)];
    let outcome = apply(&mut head, 1, &append(&samples, START)).remove(0);
    let reasons: Vec<_> = outcome.rejections.iter().map(|r| r.reason).collect();
    assert_eq!(reasons, [RejectReason::TooOld, RejectReason::TooOld, RejectReason::TooFarInFuture]);
    assert_eq!(contents(&head, TimeRange::all()).len(), 1);
}

#[test]
fn collected_series_give_their_rows_but_never_their_references() {
    let mut head = TenantHead::new(1);
    apply(&mut head, 1, &append(&[(1, START, 1.0), (2, START, 1.0)], START));
    let later = START + 10 * HOUR;
    apply(&mut head, 2, &append(&[(2, later, 1.0)], later));
    head.cut(later, 1, LogPosition { index: 3, term: 1 });
    let windows: Vec<_> = head.pending_cuts().map(|cut| (cut.window, cut.generation)).collect();
    assert_eq!(windows, [(START, 0)]);
    head.drop_before(later);
    assert_eq!(head.floor, START, "not published yet");
    head.published(START, 0, None);
    head.drop_before(later);
    head.drop_before(later);
    assert_eq!(head.series.len(), 1);
    assert_eq!(contents(&head, TimeRange::all()).len(), 1);
    assert_eq!(head.index.find(&[Matcher::equal("instance", "i-1")], &head.series.rows).len(), 0);
    let outcome = apply(&mut head, 4, &append(&[(3, later, 1.0)], later)).remove(0);
    assert_eq!(outcome.references, [2]);
    assert_eq!(head.series.reference.len(), 2, "the row is used again");
    assert_eq!(restored(&head).state_hash(), head.state_hash());
}

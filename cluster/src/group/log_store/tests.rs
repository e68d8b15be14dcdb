//! The storage contract: openraft's own checks, and a model that is compared after every crash.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use model::{GroupId, LogPosition};
use openraft::EntryPayload;
use openraft::rt::Oneshot;
use openraft::testing::log::Suite;
use openraft_rt_tokio::TokioOneshot;
use runtime::{Random, Runtime, SimulatedDisk};
use tokio::sync::{oneshot, watch};

use super::super::machine::Machine;
use super::super::state_machine::{SnapshotDir, SnapshotJob, StateMachine};
use super::*;
use crate::types::{Payload, StoredMembership, StoredSnapshot, log_id};
use crate::wal::{Limits, WalConfig};

struct Nothing;

impl StateMachine for Nothing {
    fn apply(&mut self, _: LogPosition, _: &Bytes) -> Bytes {
        Bytes::new()
    }

    fn snapshot(&mut self) -> SnapshotJob {
        Box::new(|_| Ok(Bytes::new()))
    }

    fn restore(&mut self, _: &Bytes, _: &SnapshotDir) -> io::Result<()> {
        Ok(())
    }

    fn collect_garbage(&mut self, _: &Bytes, _: &SnapshotDir) -> io::Result<()> {
        Ok(())
    }
}

async fn open(runtime: &Runtime) -> LogStore {
    let limits = Limits { segment_bytes: 4096, group_bytes: 1 << 30, total_bytes: 1 << 30 };
    let config = WalConfig { data_dir: PathBuf::from("/data"), limits, cache_bytes_max: 500 };
    runtime.disk().create_dir_all(&config.data_dir).unwrap();
    let wal = Arc::new(Wal::open(runtime.clone(), config).await.unwrap());
    let group = wal.group(GroupId(3));
    LogStore { wal, group }
}

macro_rules! suite {
    ($($test:ident)*) => {$(
        #[test]
        fn $test() {
            let runtime = Runtime::simulated(1);
            runtime.block_on(async {
                let store = open(&runtime).await;
                let dir = SnapshotDir::new(runtime.disk(), PathBuf::from("/data/snapshots"));
                dir.create().unwrap();
                let applied = watch::channel(None).0;
                let machine = Machine::new(Box::new(Nothing), dir, store.clone(), applied);
                Suite::<Types, LogStore, Machine, Never, ()>::$test(store, machine).await.unwrap();
            });
        }
    )*};
}

struct Never;

impl openraft::testing::log::StoreBuilder<Types, LogStore, Machine, ()> for Never {
    async fn build(&self) -> Result<((), LogStore, Machine), openraft::StorageError<Types>> {
        panic!("stores are given to the checks one by one")
    }
}

// left out: what wants a snapshot built from the state here and now; ours is written by the keeper
suite! {
    last_membership_in_log_initial
    last_membership_in_log
    last_membership_in_log_multi_step
    get_membership_initial
    get_membership_from_log_and_empty_sm
    get_membership_from_empty_log_and_sm
    get_membership_from_log_le_sm_last_applied
    get_membership_from_log_gt_sm_last_applied_1
    get_membership_from_log_gt_sm_last_applied_2
    get_initial_state_without_init
    get_initial_state_with_state
    get_initial_state_last_log_gt_sm
    get_initial_state_inverted_log_order
    get_initial_state_conflict_at_same_index
    save_vote
    get_log_entries
    limited_get_log_entries
    leader_bounded_stream
    entries_stream
    try_get_log_entry
    log_reader_reads_new_entries
    initial_logs
    get_log_state
    get_log_id
    last_id_in_log
    last_applied_state
    purge_logs_upto_0
    purge_logs_upto_5
    purge_logs_upto_20
    delete_logs_after_11
    delete_logs_after_5
    delete_logs_after_0
    delete_logs_after_none
    append_to_log
    apply_single
    apply_multiple
}

/// What a log must show: vote, purge point, entries as (index, term, payload), snapshot.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    vote: Option<Vote>,
    purged: Option<LogId>,
    entries: Vec<(u64, u64, Bytes)>,
    snapshot: Option<Bytes>,
}

impl Model {
    fn next(&self) -> u64 {
        let purged = self.purged.map_or(0, |id| id.index + 1);
        self.entries.last().map_or(purged, |(index, _, _)| index + 1)
    }
}

async fn shown(store: &LogStore) -> Model {
    let (vote, purged, snapshot, first, end) = {
        let state = store.group.state.lock();
        let snapshot = state.snapshot.as_ref().map(|snapshot| snapshot.manifest.clone());
        (state.vote, state.purged, snapshot, state.first, state.end())
    };
    let mut entries = Vec::new();
    for entry in store.read(first, end, u64::MAX).await.unwrap() {
        let EntryPayload::Normal(payload) = entry.payload else { panic!("only payloads are written") };
        entries.push((entry.log_id.index, entry.log_id.leader_id.term, payload.0));
    }
    assert_eq!(entries.len() as u64, end - first, "every entry can be read");
    Model { vote, purged, entries, snapshot }
}

/// Random operations. Every state the log went through is in `states`, the last durable one at
/// `durable` or after.
struct Run {
    random: Random,
    term: u64,
    states: Vec<Model>,
    durable: usize,
    pending: Vec<(usize, oneshot::Receiver<Result<(), io::Error>>)>,
}

impl Run {
    fn model(&self) -> Model {
        self.states.last().cloned().unwrap()
    }

    async fn step(&mut self, store: &mut LogStore) {
        let mut model = self.model();
        match self.random.below(10) {
            0..=4 => {
                let mut entries = Vec::new();
                for _ in 0..=self.random.below(4) {
                    let len = usize::try_from(self.random.below(3000)).unwrap();
                    let payload = Bytes::from(vec![u8::try_from(self.random.below(256)).unwrap(); len]);
                    let index = model.next();
                    model.entries.push((index, self.term, payload.clone()));
                    self.states.push(model.clone());
                    let payload = EntryPayload::Normal(Payload(payload));
                    entries.push(Entry { log_id: log_id(self.term, index), payload });
                }
                let (sender, receiver) = <TokioOneshot as Oneshot>::channel();
                store.append(entries, Flushed::signal(sender)).await.unwrap();
                self.pending.push((self.states.len() - 1, receiver));
            }
            5 => {
                self.term += 1;
                let vote = Vote::new(self.term, 1);
                model.vote = Some(vote);
                self.states.push(model);
                store.save_vote(&vote).await.unwrap();
                self.durable = self.states.len() - 1;
            }
            6 => {
                let keep = self.random.below(model.entries.len() as u64 + 1);
                model.entries.truncate(usize::try_from(keep).unwrap());
                let last =
                    model.entries.last().map(|(index, term, _)| log_id(*term, *index)).or(model.purged);
                self.states.push(model);
                store.truncate_after(last).await.unwrap();
            }
            7 if !model.entries.is_empty() => {
                let count = usize::try_from(self.random.below(model.entries.len() as u64)).unwrap() + 1;
                let (index, term, _) = model.entries[count - 1].clone();
                model.entries.drain(..count);
                model.purged = Some(log_id(term, index));
                self.states.push(model);
                store.purge(log_id(term, index)).await.unwrap();
            }
            8 => {
                let manifest = Bytes::from(vec![9; usize::try_from(self.random.below(700)).unwrap()]);
                model.snapshot = Some(manifest.clone());
                self.states.push(model);
                let membership = StoredMembership::default();
                let snapshot = Arc::new(StoredSnapshot { last: None, membership, manifest });
                let group = Arc::clone(&store.group);
                store.wal.send_and_wait(|done| Request::Snapshot { group, snapshot, done }).await.unwrap();
                self.durable = self.states.len() - 1;
            }
            _ => store.wal.runtime.sleep(Duration::from_micros(self.random.below(800))).await,
        }
        let done: Vec<usize> = self
            .pending
            .iter_mut()
            .filter_map(|(state, done)| done.try_recv().is_ok_and(|done| done.is_ok()).then_some(*state))
            .collect();
        self.durable = done.into_iter().fold(self.durable, usize::max);
    }
}

#[test]
fn after_a_power_loss_the_log_is_one_it_was_no_older_than_what_was_acknowledged() {
    for seed in 0..120 {
        let disk = SimulatedDisk::new(seed);
        disk.set_faults(|faults| faults.sync_latency = Duration::from_micros(200));
        let runtime = Runtime::simulated(seed);
        let mut run = Run {
            random: Random::new(seed),
            term: 1,
            states: vec![Model::default()],
            durable: 0,
            pending: Vec::new(),
        };
        for life in 0..6 {
            let runtime = runtime.with_disk(Arc::new(disk.mount()));
            runtime.block_on(async {
                let mut store = open(&runtime).await;
                let recovered = shown(&store).await;
                let found = run.states[run.durable..].contains(&recovered);
                assert!(found, "seed {seed}, life {life}: {recovered:?}");
                run.states = vec![recovered];
                run.durable = 0;
                for _ in 0..run.random.below(60) {
                    run.step(&mut store).await;
                    let mut now = shown(&store).await;
                    // a vote and a snapshot show once durable, and are waited for
                    now.vote = run.model().vote;
                    assert_eq!(now, run.model(), "seed {seed}, life {life}");
                }
            });
            run.pending.clear();
            disk.power_loss();
        }
    }
}

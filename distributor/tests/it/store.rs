//! A store in memory that keeps the contract of `AppendSamples` and remembers all it was given.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use model::{Exemplar, GroupId, Histogram, Labels, Metadata, SeriesId, TenantId};
use parking_lot::Mutex;
use proto::{
    AppendBatch, AppendError, AppendOutcome, AppendSamples, Column, NEW_SERIES, RejectReason, Rejection,
    SeriesRef,
};

pub(crate) const NOW: i64 = 1_700_000_000_000;

/// Everything stored of one series, for ever.
#[derive(Debug, Default, Clone)]
pub(crate) struct Stored {
    /// Time to value bits and start.
    pub(crate) floats: BTreeMap<i64, (u64, i64)>,
    pub(crate) histograms: BTreeMap<i64, (Histogram, i64)>,
    pub(crate) exemplars: Vec<Exemplar>,
    /// Timestamps of floats in the order they came.
    pub(crate) arrival: Vec<i64>,
}

#[derive(Default)]
struct Head {
    by_labels: HashMap<Labels, SeriesRef>,
    by_ref: HashMap<SeriesRef, Labels>,
    next: SeriesRef,
}

#[derive(Default)]
struct State {
    heads: HashMap<(TenantId, GroupId), Head>,
    series: HashMap<(TenantId, Labels), Stored>,
    metadata: HashMap<(TenantId, String), Metadata>,
    batches: Vec<(TenantId, GroupId, usize)>,
    metadata_appends: usize,
}

pub(crate) struct Recording {
    state: Mutex<State>,
    groups: u32,
    pub(crate) series_limit: usize,
    pub(crate) unavailable: AtomicBool,
    /// Refuses every reference, whatever is sent.
    pub(crate) always_stale: AtomicBool,
}

impl Recording {
    pub(crate) fn new(groups: u32) -> Arc<Self> {
        Self::with_limit(groups, usize::MAX)
    }

    pub(crate) fn with_limit(groups: u32, series_limit: usize) -> Arc<Self> {
        Arc::new(Recording {
            state: Mutex::default(),
            groups,
            series_limit,
            unavailable: AtomicBool::new(false),
            always_stale: AtomicBool::new(false),
        })
    }

    /// Forgets all references; they are never used again.
    pub(crate) fn collect_garbage(&self) {
        for head in self.state.lock().heads.values_mut() {
            head.by_labels.clear();
            head.by_ref.clear();
        }
    }

    pub(crate) fn series(&self, tenant: &str, labels: &[(&str, &str)]) -> Option<Stored> {
        let labels = Labels::new(labels.iter().copied()).unwrap();
        self.state.lock().series.get(&(TenantId::new(tenant).unwrap(), labels)).cloned()
    }

    pub(crate) fn all(&self, tenant: &TenantId) -> Vec<(Labels, Stored)> {
        let state = self.state.lock();
        let mut all: Vec<_> = state
            .series
            .iter()
            .filter(|((owner, _), _)| owner == tenant)
            .map(|((_, labels), stored)| (labels.clone(), stored.clone()))
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    pub(crate) fn metadata(&self, tenant: &str, metric: &str) -> Option<Metadata> {
        self.state.lock().metadata.get(&(TenantId::new(tenant).unwrap(), metric.to_owned())).cloned()
    }

    /// Groups and numbers of new label sets of all batches so far.
    pub(crate) fn batches(&self) -> Vec<(TenantId, GroupId, usize)> {
        self.state.lock().batches.clone()
    }

    pub(crate) fn metadata_appends(&self) -> usize {
        self.state.lock().metadata_appends
    }
}

fn check_time(t: i64) -> Option<RejectReason> {
    if t > NOW + 600_000 {
        Some(RejectReason::TooFarInFuture)
    } else if t < NOW - 86_400_000 {
        Some(RejectReason::TooOld)
    } else {
        None
    }
}

#[async_trait]
impl AppendSamples for Recording {
    fn place(&self, _tenant: &TenantId, series: SeriesId) -> GroupId {
        GroupId(1 + u32::from(series.slot()) % self.groups)
    }

    fn place_all(&self, _tenant: &TenantId) -> Option<GroupId> {
        (self.groups == 1).then_some(GroupId(1))
    }

    async fn append(
        &self,
        tenant: &TenantId,
        group: GroupId,
        batch: AppendBatch,
    ) -> Result<AppendOutcome, AppendError> {
        if self.unavailable.load(Ordering::SeqCst) {
            return Err(AppendError::Unavailable { group, reason: "no leader".into() });
        }
        let lengths = [batch.floats.timestamps.len(), batch.floats.values.len()];
        assert_eq!(lengths, [batch.floats.series.len(); 2], "columns of equal length");
        let starts = batch.floats.start_timestamps.len();
        assert!(starts == 0 || starts == batch.floats.series.len(), "no starts or one each");
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.batches.push((tenant.clone(), group, batch.new_series.len()));
        let known: usize =
            state.heads.iter().filter(|((t, _), _)| t == tenant).map(|(_, h)| h.by_ref.len()).sum();
        let mut room = self.series_limit.saturating_sub(known);
        let head = state.heads.entry((tenant.clone(), group)).or_default();
        let mut outcome =
            AppendOutcome { series_limit: self.series_limit as u64, ..AppendOutcome::default() };
        for labels in &batch.new_series {
            assert_eq!(self.place(tenant, labels.series_id()), group, "in its own group");
            let reference = match head.by_labels.get(labels) {
                Some(reference) => *reference,
                None if room == 0 => NEW_SERIES,
                None => {
                    room -= 1;
                    let reference = head.next;
                    head.next += 1;
                    head.by_labels.insert(labels.clone(), reference);
                    head.by_ref.insert(reference, labels.clone());
                    reference
                }
            };
            outcome.references.push(reference);
        }
        let stale = self.always_stale.load(Ordering::SeqCst);
        let find = |reference: SeriesRef| -> Result<Labels, RejectReason> {
            if stale {
                return Err(RejectReason::StaleReference);
            }
            let reference = if reference & NEW_SERIES != 0 {
                outcome.references[(reference & !NEW_SERIES) as usize]
            } else {
                reference
            };
            if reference == NEW_SERIES {
                return Err(RejectReason::SeriesLimit);
            }
            head.by_ref.get(&reference).cloned().ok_or(RejectReason::StaleReference)
        };
        let mut rejections = Vec::new();
        let series = &mut state.series;
        for i in 0..batch.floats.series.len() {
            let (t, bits) = (batch.floats.timestamps[i], batch.floats.values[i].to_bits());
            let start = batch.floats.start_timestamps.get(i).copied().unwrap_or(0);
            let taken = find(batch.floats.series[i]).and_then(|labels| {
                if let Some(reason) = check_time(t) {
                    return Err(reason);
                }
                let stored = series.entry((tenant.clone(), labels)).or_default();
                match stored.floats.get(&t) {
                    Some((there, _)) if *there != bits => Err(RejectReason::Duplicate),
                    Some(_) => Ok(()),
                    None => {
                        stored.floats.insert(t, (bits, start));
                        stored.arrival.push(t);
                        Ok(())
                    }
                }
            });
            if let Err(reason) = taken {
                rejections.push(Rejection { column: Column::Floats, index: i as u32, reason });
            }
        }
        for (i, append) in batch.histograms.into_iter().enumerate() {
            append.histogram.validate().expect("validated before");
            let taken = find(append.series).and_then(|labels| {
                let stored = series.entry((tenant.clone(), labels)).or_default();
                match (check_time(append.t), stored.histograms.get(&append.t)) {
                    (Some(reason), _) => Err(reason),
                    (None, Some((there, _))) if *there == append.histogram => Ok(()),
                    (None, Some((there, _))) if there.is_stale() && append.histogram.is_stale() => Ok(()),
                    (None, Some(_)) => Err(RejectReason::Duplicate),
                    (None, None) => {
                        stored.histograms.insert(append.t, (append.histogram, append.start_t));
                        Ok(())
                    }
                }
            });
            if let Err(reason) = taken {
                rejections.push(Rejection { column: Column::Histograms, index: i as u32, reason });
            }
        }
        for (i, append) in batch.exemplars.into_iter().enumerate() {
            let taken = find(append.series).and_then(|labels| {
                let stored = series.entry((tenant.clone(), labels)).or_default();
                match stored.exemplars.last() {
                    Some(last) if last.t > append.exemplar.t => Err(RejectReason::ExemplarOutOfOrder),
                    Some(last) if *last == append.exemplar => Ok(()),
                    _ => {
                        stored.exemplars.push(append.exemplar);
                        Ok(())
                    }
                }
            });
            if let Err(reason) = taken {
                rejections.push(Rejection { column: Column::Exemplars, index: i as u32, reason });
            }
        }
        for append in batch.metadata {
            state.metadata_appends += 1;
            state.metadata.insert((tenant.clone(), append.metric), append.metadata);
        }
        outcome.rejections = rejections;
        Ok(outcome)
    }
}

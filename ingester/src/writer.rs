//! Takes batches for one group: what waits is merged into one entry of the log.
//!
//! One entry is on its way at a time; meanwhile the next one gathers, so a slow disk makes entries larger
//! instead of more. The queue is bounded: senders wait in it, and are told when it is full for too long.

use std::sync::Arc;
use std::time::Duration;

use cluster::Group;
use model::{GroupId, TenantId};
use proto::{AppendBatch, AppendError, AppendOutcome};
use runtime::{Runtime, Task};
use tokio::sync::{mpsc, oneshot};

use crate::config::LimitsOf;
use crate::entry::{Answer, EntryWriter, decode_answer};

/// Batches that wait for a group.
const QUEUE_BATCHES_MAX: usize = 256;
/// How long a sender waits for a place in the queue.
const QUEUE_WAIT_MAX: Duration = Duration::from_secs(10);
/// An entry is closed once it has so many bytes before compression.
const ENTRY_BYTES: usize = 4 << 20;

struct Waiting {
    tenant: TenantId,
    batch: AppendBatch,
    answer: oneshot::Sender<Result<AppendOutcome, AppendError>>,
}

/// The way into one group's log.
#[derive(Debug)]
pub(crate) struct GroupWriter {
    group: GroupId,
    runtime: Runtime,
    queue: mpsc::Sender<Waiting>,
    _task: Task<()>,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

impl GroupWriter {
    /// Starts the writer's task.
    pub(crate) fn start(runtime: &Runtime, group: Group, limits: LimitsOf) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_BATCHES_MAX);
        let id = group.id();
        let task = runtime.spawn("group-writer", run(runtime.clone(), group, limits, waiting));
        GroupWriter { group: id, runtime: runtime.clone(), queue, _task: task }
    }

    /// Returns once the batch is committed, durable and applied.
    pub(crate) async fn append(
        &self,
        tenant: &TenantId,
        batch: AppendBatch,
    ) -> Result<AppendOutcome, AppendError> {
        let floats = &batch.floats;
        let count = floats.series.len();
        let starts = floats.start_timestamps.len();
        if floats.timestamps.len() != count
            || floats.values.len() != count
            || (starts != 0 && starts != count)
        {
            let reason = "columns of a batch differ in length".to_owned();
            return Err(AppendError::Failed { group: self.group, reason });
        }
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { tenant: tenant.clone(), batch, answer };
        if let Err(mpsc::error::TrySendError::Full(waiting)) = self.queue.try_send(waiting) {
            let sent = self.runtime.timeout(QUEUE_WAIT_MAX, self.queue.send(waiting)).await;
            if sent.is_err() {
                return Err(self.unavailable(format!("{QUEUE_BATCHES_MAX} requests are waiting already")));
            }
        }
        answered.await.unwrap_or_else(|_| Err(self.unavailable("it is shut down".to_owned())))
    }

    fn unavailable(&self, reason: String) -> AppendError {
        AppendError::Unavailable { group: self.group, reason }
    }
}

async fn run(runtime: Runtime, group: Group, limits: LimitsOf, mut queue: mpsc::Receiver<Waiting>) {
    let mut held: Vec<Waiting> = Vec::new();
    while let Some(first) = queue.recv().await {
        held.push(first);
        let mut entry = EntryWriter::new(runtime.now_ms());
        let mut next = 0;
        loop {
            while let Some(waiting) = held.get(next) {
                entry.push(&waiting.tenant, limits(&waiting.tenant), &waiting.batch);
                next += 1;
            }
            if entry.bytes() >= ENTRY_BYTES {
                break;
            }
            match queue.try_recv() {
                Ok(waiting) => held.push(waiting),
                Err(_) => break,
            }
        }
        let count = held.len();
        let result = propose(&group, entry, count).await;
        let mut outcomes = result.map(Vec::into_iter);
        for waiting in held.drain(..) {
            let outcome = match &mut outcomes {
                Ok(outcomes) => Ok(outcomes.next().unwrap_or_default()),
                Err(error) => Err(error.clone()),
            };
            // The sender may have gone; what is committed stays.
            let _gone = waiting.answer.send(outcome).is_err();
        }
    }
}

/// One outcome per batch; none at all when there is nothing to say.
async fn propose(group: &Group, entry: EntryWriter, count: usize) -> Result<Vec<AppendOutcome>, AppendError> {
    let id = group.id();
    let failed = |reason: String| AppendError::Failed { group: id, reason };
    let bytes = entry.finish().ok_or_else(|| failed("the entry is larger than 64 MiB".to_owned()))?;
    let (_, answer) = Box::pin(group.propose(bytes))
        .await
        .map_err(|error| AppendError::Unavailable { group: id, reason: error.to_string() })?;
    match decode_answer(&answer).map_err(|error| failed(error.to_string()))? {
        Answer::AllTaken => Ok(Vec::new()),
        Answer::Outcomes(outcomes) if outcomes.len() == count => Ok(outcomes),
        Answer::Outcomes(_) => Err(failed("an answer for another entry".to_owned())),
        Answer::Refused(reason) => Err(failed(reason)),
    }
}

/// Shared by value: the limits in force for a tenant.
pub(crate) fn default_limits() -> LimitsOf {
    Arc::new(|_| crate::entry::Limits::default())
}

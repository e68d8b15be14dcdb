//! Evaluates what is not known, and puts it together with what is.
//!
//! Steps: 1. the version of the data and what changed; 2. what of the kept is still right; 3. the engine answers
//! for the gaps; 4. all is joined and kept at the version of step 1. Where the parts do not tell what the whole would
//! (an error, a warning at two positions, something storage said) the whole is evaluated.

use std::sync::Arc;
use std::time::Duration;

use model::TimestampMs;
use promql::{Annotations, Answer, AnswerMemory, QueryError, QueryProgress, QueryStats, Reach, Value};
use proto::{DataVersion, Source};
use runtime::Moment;

use super::cache::{Found, Key};
use super::entry::{Entry, Evaluated, Part, Piece, cover};
use super::stitch::{points, stitch};
use super::{Answered, Asked, Front, Times};
use crate::ApiError;

/// Answers of more points are joined on the CPU pool.
const POINTS_INLINE_MAX: usize = 50_000;

/// First and last step.
type Ends = (TimestampMs, TimestampMs);

/// A query that has its place.
struct Work<'a> {
    front: &'a Front,
    source: Arc<dyn Source>,
    asked: &'a Asked,
    waited: Duration,
    began: Moment,
    progress: &'a QueryProgress,
    stats: QueryStats,
    memory: AnswerMemory,
}

/// A run of steps of an answer.
struct Run {
    ends: Ends,
    value: Arc<Value>,
    annotations: Annotations,
    /// Whether the annotations are those of exactly these steps; otherwise of these and others.
    is_whole: bool,
    /// Whether it was known before.
    is_kept: bool,
}

impl Front {
    /// The answer if all of it is known; waits for no place and evaluates nothing.
    pub(super) async fn kept(&self, source: &Arc<dyn Source>, asked: &Asked) -> Option<Answered> {
        let key = Key::of(asked)?;
        let entry = self.cache.get(&key)?;
        let (ends, step) = (asked.times.ends(), asked.times.step());
        let all_kept = |pieces: &[Piece]| -> Option<Vec<Run>> {
            cover(pieces, asked.times).into_iter().map(Run::of_part).collect()
        };
        // is there any hope, before the source is asked
        all_kept(&entry.pieces)?;
        let changes = source.changes(&asked.tenant, Some(&entry.version)).await?;
        let runs = all_kept(&entry.still_right(&changes.changed, step))?;
        let annotations = annotations_of(&runs)?;
        let value = self.joined(runs, ends).await;
        self.cache.note(Found::All, count(ends, step));
        let texts = annotations.to_text(&asked.expr);
        Some(Answered::new(value, texts, QueryStats::default(), Duration::ZERO, AnswerMemory::default()))
    }

    /// The answer, evaluated where it is not known.
    pub(super) async fn evaluate(
        &self,
        source: Arc<dyn Source>,
        asked: &Asked,
        waited: Duration,
        progress: &QueryProgress,
    ) -> Result<Answered, ApiError> {
        let (began, stats) = (self.runtime.monotonic(), QueryStats::default());
        let memory = AnswerMemory::default();
        let mut work = Work { front: self, source, asked, waited, began, progress, stats, memory };
        match asked.times {
            Times::Instant(t) => {
                let request = asked.request(work.time_left(), progress);
                let answer = self.engine.instant(Arc::clone(&work.source), request, t).await?;
                Ok(work.answered(answer))
            }
            Times::Range { .. } if self.cache.is_on() => match Key::of(asked) {
                Some(key) => Box::pin(work.range_with_cache(key)).await,
                None => work.range_without_cache().await,
            },
            Times::Range { .. } => {
                let answer = work.range(work.all()).await?;
                Ok(work.answered(answer))
            }
        }
    }

    /// One matrix of consecutive runs; nothing is copied where there is nothing to join or to cut.
    async fn joined(&self, runs: Vec<Run>, ends: Ends) -> Arc<Value> {
        if let [only] = &runs[..]
            && only.is_whole
            && only.ends == ends
        {
            return Arc::clone(&only.value);
        }
        let count: usize = runs.iter().map(|run| points(&run.value)).sum();
        let join = move || {
            let parts: Vec<_> = runs.iter().map(|run| (run.ends.0..=run.ends.1, &*run.value)).collect();
            Arc::new(stitch(&parts))
        };
        if count > POINTS_INLINE_MAX { self.runtime.cpu(join).await } else { join() }
    }
}

impl Work<'_> {
    fn time_left(&self) -> Duration {
        self.asked.timeout.saturating_sub(self.waited).saturating_sub(self.began.elapsed())
    }

    /// All steps, as the engine is asked for them.
    fn all(&self) -> Ends {
        (self.asked.times.ends().0, self.asked.times.end())
    }

    /// Has the engine answer for some steps.
    async fn range(&mut self, (first, last): Ends) -> Result<Answer, QueryError> {
        let (source, request) =
            (Arc::clone(&self.source), self.asked.request(self.time_left(), self.progress));
        let step = self.asked.times.step();
        let mut answer = self.front.engine.range(source, request, first, last, step).await?;
        let per_step = answer.stats.samples_per_step.take();
        self.memory.join(answer.memory.clone());
        add(&mut self.stats, &answer.stats);
        self.stats.samples_per_step = per_step;
        Ok(answer)
    }

    fn answered(&self, answer: Answer) -> Answered {
        let Answer { value, warnings, infos, stats, memory, .. } = answer;
        let is_range = matches!(self.asked.times, Times::Range { .. });
        let stats = if is_range { self.stats.clone() } else { stats };
        let memory = if is_range { self.memory.clone() } else { memory };
        Answered::new(Arc::new(value), (warnings, infos), stats, self.waited, memory)
    }

    async fn range_without_cache(mut self) -> Result<Answered, ApiError> {
        self.front.cache.note(Found::NotKept, 0);
        let answer = self.range(self.all()).await?;
        Ok(self.answered(answer))
    }

    async fn range_with_cache(mut self, key: Key) -> Result<Answered, ApiError> {
        let (cache, asked) = (&self.front.cache, self.asked);
        let (ends, step) = (asked.times.ends(), asked.times.step());
        let entry = cache.get(&key);
        if entry.as_ref().is_some_and(|entry| entry.is_never_kept) {
            return self.range_without_cache().await;
        }
        let since = entry.as_ref().map(|entry| &entry.version);
        let Some(changes) = self.source.changes(&asked.tenant, since).await else {
            return self.range_without_cache().await;
        };
        let right = entry.map(|entry| entry.still_right(&changes.changed, step)).unwrap_or_default();
        let Some(reach) = self.reach(&right) else {
            cache.put(key, Entry::never(changes.now));
            return self.range_without_cache().await;
        };
        let parts = cover(&right, asked.times);
        if saves_work(&parts, ends, &reach)
            && let Some(runs) = self.runs(parts).await?
            && let Some(annotations) = annotations_of(&runs)
        {
            let kept = runs.iter().filter(|run| run.is_kept).map(|run| count(run.ends, step)).sum();
            cache.note(if kept == count(ends, step) { Found::All } else { Found::Some }, kept);
            let value = self.front.joined(runs, ends).await;
            let texts = annotations.to_text(&asked.expr);
            let new = Evaluated::new(asked.times, Arc::clone(&value), annotations, reach);
            cache.put(key, Entry::with(changes.now, &right, Arc::new(new), step));
            return Ok(Answered::new(value, texts, self.stats, self.waited, self.memory));
        }
        self.range_anew(key, changes.now, &right, reach).await
    }

    /// Evaluates all steps, and keeps what comes.
    async fn range_anew(
        mut self,
        key: Key,
        now: DataVersion,
        right: &[Piece],
        reach: Reach,
    ) -> Result<Answered, ApiError> {
        self.front.cache.note(Found::None, 0);
        let answer = self.range(self.all()).await?;
        let is_plain =
            matches!(answer.value, Value::Matrix(_)) && !has_warnings_of_storage(&answer, self.asked);
        let annotations = answer.annotations.clone();
        let answered = self.answered(answer);
        if is_plain {
            let new = Evaluated::new(self.asked.times, Arc::clone(&answered.value), annotations, reach);
            let entry = Entry::with(now, right, Arc::new(new), self.asked.times.step());
            self.front.cache.put(key, entry);
        }
        Ok(answered)
    }

    /// What the answer hangs on; `None` when nothing of it can be kept.
    fn reach(&self, right: &[Piece]) -> Option<Reach> {
        if let Some(known) = right.iter().find_map(Piece::reach_of_any_steps) {
            return Some(known.clone());
        }
        let (first, last) = self.all();
        let (source, request) =
            (Arc::clone(&self.source), self.asked.request(self.asked.timeout, self.progress));
        self.front.engine.reach(source, request, first, last, self.asked.times.step())
    }

    /// Evaluates the gaps; `None` when the whole has to be evaluated to know.
    async fn runs(&mut self, parts: Vec<Part>) -> Result<Option<Vec<Run>>, ApiError> {
        let mut runs = Vec::with_capacity(parts.len());
        for part in parts {
            let ends = match part {
                Part::Gap(first, last) => (first, last),
                kept @ Part::Kept(_) => {
                    runs.extend(Run::of_part(kept));
                    continue;
                }
            };
            match self.range(ends).await {
                Ok(answer) if !has_warnings_of_storage(&answer, self.asked) => {
                    let Answer { value, annotations, .. } = answer;
                    runs.push(Run {
                        ends,
                        value: Arc::new(value),
                        annotations,
                        is_whole: true,
                        is_kept: false,
                    });
                }
                // which of several errors is told, the whole decides
                Ok(_) | Err(QueryError::Execution(_) | QueryError::BadData(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(runs))
    }
}

impl Run {
    fn of_part(part: Part) -> Option<Self> {
        let Part::Kept(piece) = part else { return None };
        let (value, annotations) = (Arc::clone(&piece.data.value), piece.data.annotations.clone());
        let (ends, is_whole) = ((piece.first, piece.last), piece.is_whole());
        Some(Run { ends, value, annotations, is_whole, is_kept: true })
    }
}

/// The annotations of runs together; `None` when it is not certain.
fn annotations_of(runs: &[Run]) -> Option<Annotations> {
    if let [only] = runs
        && only.is_whole
    {
        return Some(only.annotations.clone());
    }
    let mut certain = Annotations::default();
    let are_joined = runs.iter().filter(|run| run.is_whole).all(|run| certain.join(&run.annotations));
    // those of a run that was cut may be of steps that were cut off, unless others say the same
    let is_certain = |run: &Run| run.is_whole || run.annotations.are_among(&certain);
    (are_joined && runs.iter().all(is_certain)).then_some(certain)
}

/// Whether evaluating the gaps reads less than evaluating all.
fn saves_work(parts: &[Part], ends: Ends, reach: &Reach) -> bool {
    let window = reach.relative.map_or(0, |(from, to)| i128::from(to) - i128::from(from));
    let cost = |(first, last): Ends| i128::from(last) - i128::from(first) + window + 1;
    let gaps = parts.iter().filter_map(|part| match part {
        Part::Gap(first, last) => Some((*first, *last)),
        Part::Kept(_) => None,
    });
    gaps.map(cost).sum::<i128>() < cost(ends)
}

/// Whether storage had something to say, which holds for this read alone.
fn has_warnings_of_storage(answer: &Answer, asked: &Asked) -> bool {
    !answer.warnings.is_empty() && answer.annotations.to_text(&asked.expr).0 != answer.warnings
}

/// Steps of a run.
fn count((first, last): Ends, step: i64) -> u64 {
    ((last - first) / step + 1).unsigned_abs()
}

fn add(all: &mut QueryStats, one: &QueryStats) {
    all.samples_total += one.samples_total;
    all.samples_read += one.samples_read;
    all.samples_peak = all.samples_peak.max(one.samples_peak);
    all.series += one.series;
    all.prepare_time += one.prepare_time;
    all.select_time += one.select_time;
    all.eval_time += one.eval_time;
}

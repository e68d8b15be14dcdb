//! One request, made from the seed and its number alone.

use super::broken::broken;
use super::data::{END, START};
use super::grammar::{Dialect, Grammar};
use super::random::Random;
use crate::http::escape;

/// A request that both servers are sent.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) query: String,
    pub(super) when: When,
    /// Made to fail.
    pub(super) broken: bool,
}

/// Evaluation times, milliseconds; the step in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    Instant(i64),
    Range { start: i64, end: i64, step: i64 },
}

fn seconds(ms: i64) -> String {
    if ms % 1000 == 0 { (ms / 1000).to_string() } else { format!("{}.{:03}", ms / 1000, ms % 1000) }
}

/// The same written otherwise: keywords in capitals, comments, lines.
fn dressed(query: &str, random: &mut Random) -> String {
    const OTHERWISE: &[(&str, &str)] = &[
        (" by (", " BY ("),
        ("without (", "Without("),
        (" offset ", "\tOFFSET "),
        (" and ", " AND "),
        (" or ", "\nOr "),
        (" unless ", " UNLESS "),
        ("sum", "SUM"),
        ("bool ", "BOOL "),
        (" group_left", " Group_Left"),
        ("on (", "ON("),
        (", ", " ,\n\t"),
        (" + ", "+"),
        ("[", " [ "),
        ("(", "( # (\n"),
        (")", " )"),
        ("{", "{ "),
    ];
    let mut out = query.to_owned();
    for _ in 0..random.between(1, 4) {
        let (from, to) = random.pick(OTHERWISE);
        out = out.replacen(from, to, random.index(3) + 1);
    }
    out
}

impl Question {
    /// Number `index` of the run with that seed.
    pub(super) fn generate(seed: u64, index: u64, dialect: Dialect) -> Self {
        let mut random = Random::new(seed, index);
        let when = if random.chance(0.5) {
            let half = if random.chance(0.3) { 500 } else { 0 };
            When::Instant(random.between(START + 60, END) * 1000 + half)
        } else {
            let step = random.pick(&[15, 30, 47, 60, 7, 120]);
            let start = random.between(START - 200, END - 600);
            let half = if random.chance(0.2) { 500 } else { 0 };
            let end = start + random.between(0, (step * 40).min(END + 400 - start));
            When::Range { start: start * 1000 + half, end: end * 1000 + half, step }
        };
        let is_broken = random.chance(0.12);
        let mut grammar = Grammar::new(&mut random, dialect);
        let query = if is_broken {
            broken(&mut grammar)
        } else if matches!(when, When::Instant(_)) && grammar.random().chance(0.06) {
            grammar.instant_only()
        } else {
            grammar.query()
        };
        let query = if random.chance(0.1) { dressed(&query, &mut random) } else { query };
        Question { query, when, broken: is_broken }
    }

    /// Path of the API, and form.
    pub(super) fn request(&self) -> (&'static str, String) {
        let query = escape(&self.query);
        match self.when {
            When::Instant(t) => ("/api/v1/query", format!("query={query}&time={}&timeout=20s", seconds(t))),
            When::Range { start, end, step } => (
                "/api/v1/query_range",
                format!(
                    "query={query}&start={}&end={}&step={step}&timeout=20s",
                    seconds(start),
                    seconds(end)
                ),
            ),
        }
    }

    /// As a line for people.
    pub(super) fn line(&self) -> String {
        let when = match self.when {
            When::Instant(t) => format!("at {}", seconds(t)),
            When::Range { start, end, step } => {
                format!("from {} to {} by {step}", seconds(start), seconds(end))
            }
        };
        format!("{when}: {}", self.query)
    }
}

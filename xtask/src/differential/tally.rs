//! Counts of a run, and the table at its end.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use super::judge::Kind;
use super::rules::RULES;

/// The reason of what today's Prometheus confirms and no rule names.
pub(super) const NO_RULE: &str = "no rule names it";

/// Counts of a run.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) same: u64,
    pub(super) with_data: u64,
    pub(super) failing_alike: u64,
    /// Same, but not in all digits.
    pub(super) rounded: u64,
    pub(super) timed_out: u64,
    pub(super) varying: u64,
    /// By rule.
    pub(super) explained: BTreeMap<&'static str, u64>,
    pub(super) unexplained: BTreeMap<Kind, u64>,
}

impl Tally {
    /// Prints the table; an error when anything is left unexplained. The text counts what was seen.
    pub(super) fn summary(&self, asked: u64, confirmed: bool) -> Result<String> {
        println!("\n{asked:>8} asked");
        println!(
            "{:>8} same, of them {} with data, {} failing alike, {} with other last digits",
            self.same, self.with_data, self.failing_alike, self.rounded
        );
        println!("{:>8} where the peer ran out of time or samples, or failed in itself", self.timed_out);
        println!("{:>8} where the peer's own answers vary, ours among or between them", self.varying);
        let how = if confirmed { "confirmed by today's Prometheus" } else { "explained" };
        for (name, count) in &self.explained {
            match RULES.iter().find(|rule| rule.name == *name) {
                Some(rule) => println!("{count:>8} {how}: {name} ({})", rule.reason),
                None => println!("{count:>8} {how}: {name}"),
            }
        }
        for (kind, count) in &self.unexplained {
            println!("{count:>8} UNEXPLAINED: {kind:?}");
        }
        let left: u64 = self.unexplained.values().sum();
        ensure!(left == 0, "{left} of {asked} answers differ, unexplained");
        Ok(format!(
            "{} of {asked} same ({} with data, {} failing alike), {} {how}, {} where the peer varies, \
             {} beyond its limits",
            self.same,
            self.with_data,
            self.failing_alike,
            self.explained.values().sum::<u64>(),
            self.varying,
            self.timed_out
        ))
    }
}

//! A rule as its file states it.

use std::collections::BTreeMap;

use promql::parse::{ParseOptions, parse};

use crate::Span;
use crate::template::Template;
use crate::yaml::{Decoder, Node, Place};

/// A recording or an alerting rule. Out of a valid file exactly one of `record` and `alert` is not empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rule {
    /// Name of the series that a recording rule makes.
    pub record: String,
    /// Name of an alert.
    pub alert: String,
    /// What is evaluated.
    pub expr: String,
    /// How long the expression must hold before the alert fires.
    pub hold: Span,
    /// How long the alert fires on when the expression holds no more.
    pub keep_firing_for: Span,
    /// Labels set on what comes out; those of alerts are templates.
    pub labels: BTreeMap<String, String>,
    /// Templates of what is said about an alert.
    pub annotations: BTreeMap<String, String>,
    pub(crate) places: RulePlaces,
}

/// Where the parts of a rule stand.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct RulePlaces {
    record: Place,
    alert: Place,
    expr: Place,
}

/// How a file is read: Prometheus reads each twice, the second time for places only, and reports both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    Values,
    Places,
}

impl Rule {
    /// The name of what it makes.
    pub fn name(&self) -> &str {
        if self.alert.is_empty() { &self.record } else { &self.alert }
    }

    pub(crate) fn decode(decoder: &mut Decoder, node: &Node, pass: Pass) -> Option<Rule> {
        let is_named = match pass {
            Pass::Values => "rulefmt.Rule",
            Pass::Places => "rulefmt.RuleNode",
        };
        let mut rule = Rule::default();
        for (name, key, value) in decoder.fields(node, is_named)? {
            let text = |decoder: &mut Decoder| match pass {
                Pass::Values => decoder.text(&value).unwrap_or_default(),
                Pass::Places => String::new(),
            };
            match name.as_str() {
                "record" => (rule.record, rule.places.record) = (text(decoder), value.place),
                "alert" => (rule.alert, rule.places.alert) = (text(decoder), value.place),
                "expr" => (rule.expr, rule.places.expr) = (text(decoder), value.place),
                "for" => rule.hold = decoder.span(&value).unwrap_or_default(),
                "keep_firing_for" => rule.keep_firing_for = decoder.span(&value).unwrap_or_default(),
                "labels" => rule.labels = decoder.texts(&value).unwrap_or_default(),
                "annotations" => rule.annotations = decoder.texts(&value).unwrap_or_default(),
                _ => decoder.unknown(&name, &key, is_named),
            }
        }
        Some(rule)
    }

    /// What is wrong with it; `rule` says which one it is.
    pub(crate) fn faults(&self, rule: &str, options: &ParseOptions) -> Vec<String> {
        let RulePlaces { record, alert, expr } = self.places;
        let mut faults = Vec::new();
        match (self.record.is_empty(), self.alert.is_empty()) {
            (false, false) => {
                faults
                    .push(format!("{record}: {alert}: {rule}: only one of 'record' and 'alert' must be set"));
            }
            (true, true) => {
                faults.push(format!("{record}: {alert}: {rule}: one of 'record' or 'alert' must be set"));
            }
            _ => {}
        }
        let mut at = |place: Place, what: &str| faults.push(format!("{place}: {rule}: {what}"));
        if self.expr.is_empty() {
            at(expr, "field 'expr' must be set in rule");
        } else if let Err(error) = parse(&self.expr, options) {
            at(expr, &format!("could not parse expression: {error}"));
        }
        if !self.record.is_empty() {
            if !self.annotations.is_empty() {
                at(record, "invalid field 'annotations' in recording rule");
            }
            if self.hold != Span(0) {
                at(record, "invalid field 'for' in recording rule");
            }
            if self.keep_firing_for != Span(0) {
                at(record, "invalid field 'keep_firing_for' in recording rule");
            }
            if self.record.contains(['{', '}']) {
                let name = &self.record;
                at(
                    record,
                    &format!("braces present in the recording rule name; should it be in expr?: {name}"),
                );
            }
        }
        for name in self.labels.keys().filter(|name| !is_settable(name)) {
            faults.push(format!("{rule}: invalid label name: {name}"));
        }
        for name in self.annotations.keys().filter(|name| name.is_empty()) {
            faults.push(format!("{rule}: invalid annotation name: {name}"));
        }
        if !self.alert.is_empty() {
            for (what, templates) in [("label", &self.labels), ("annotation", &self.annotations)] {
                for (name, text) in templates {
                    if let Err(error) = Template::parse(&self.alert, text) {
                        faults.push(format!("{rule}: {what} {}: {error}", promql::go_quote(name)));
                    }
                }
            }
        }
        faults
    }
}

/// Whether a rule may set a label of this name.
pub(crate) fn is_settable(name: &str) -> bool {
    !name.is_empty() && name != "__name__"
}

//! Rule files: groups of rules that are evaluated one after the other.

use std::collections::{BTreeMap, BTreeSet};

use promql::parse::ParseOptions;

use crate::Span;
use crate::rule::{Pass, Rule, is_settable};
use crate::yaml::{Decoder, Dialect, Document, Node};

/// Rules that are evaluated together, in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RuleGroup {
    /// Its name, one of its own in its file.
    pub name: String,
    /// How often; zero: as often as the server's rules are.
    pub interval: Span,
    /// How far in the past; `None`: as far as the server's rules are.
    pub query_offset: Option<Span>,
    /// Most alerts or series of a rule; 0: any number.
    pub limit: i64,
    /// Its rules.
    pub rules: Vec<Rule>,
    /// Labels for all of its rules, where these do not set them.
    pub labels: BTreeMap<String, String>,
}

/// What a rule file holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RuleFile {
    /// Its groups.
    pub groups: Vec<RuleGroup>,
    /// Whether it holds more documents, which are not looked at.
    pub has_more_documents: bool,
}

/// A file that cannot be used: every fault, with its place, as Prometheus words it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", faults.join("\n"))]
pub struct RuleFileError {
    /// Never empty.
    pub faults: Vec<String>,
    /// Whether the file holds more documents, or broke off before that was known.
    pub has_more_documents: bool,
}

impl RuleFileError {
    /// What the author should do: repair the file.
    pub fn kind(&self) -> model::ErrorKind {
        model::ErrorKind::Invalid
    }
}

/// How rule files are read.
#[derive(Debug, Clone, Default)]
pub struct RuleFileOptions {
    /// Unknown fields are let pass.
    pub ignore_unknown_fields: bool,
    /// The language of the expressions.
    pub language: ParseOptions,
}

impl RuleFile {
    /// Reads a file and checks it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str, options: &RuleFileOptions) -> Result<Self, RuleFileError> {
        let document = match Document::parse(text) {
            Ok(document) => document,
            // each of the two readings tells
            Err(why) => {
                return Err(RuleFileError { faults: vec![why.clone(), why], has_more_documents: true });
            }
        };
        let has_more_documents = document.more;
        let mut faults = Vec::new();
        let mut groups = Vec::new();
        if let Some(root) = document.root {
            let mut decoder = Decoder::new(Dialect::V3, !options.ignore_unknown_fields);
            groups = decode_groups(&mut decoder, &root, Pass::Values);
            faults.extend(decoder.finish().err());
            let mut decoder = Decoder::new(Dialect::V3, false);
            decode_groups(&mut decoder, &root, Pass::Places);
            faults.extend(decoder.finish().err());
        }
        let file = RuleFile { groups, has_more_documents };
        if faults.is_empty() {
            faults = file.faults(&options.language);
        }
        if faults.is_empty() { Ok(file) } else { Err(RuleFileError { faults, has_more_documents }) }
    }

    fn faults(&self, language: &ParseOptions) -> Vec<String> {
        let mut faults = Vec::new();
        let mut names = BTreeSet::new();
        for group in &self.groups {
            if group.name.is_empty() {
                faults.push("0:0: Groupname must not be empty".to_owned());
            }
            if !names.insert(&group.name) {
                faults.push(format!("0:0: groupname: \"{}\" is repeated in the same file", group.name));
            }
            for name in group.labels.keys().filter(|name| !is_settable(name)) {
                faults.push(format!("invalid label name: {name}"));
            }
            for (rule, number) in group.rules.iter().zip(1..) {
                let (group, name) = (promql::go_quote(&group.name), promql::go_quote(rule.name()));
                faults.extend(rule.faults(&format!("group {group}, rule {number}, {name}"), language));
            }
        }
        faults
    }

    /// How many rules there are.
    pub fn rule_count(&self) -> usize {
        self.groups.iter().map(|group| group.rules.len()).sum()
    }

    /// Rules of one name and labels that there are several of, each named once, sorted.
    pub fn duplicates(&self) -> Vec<(String, BTreeMap<String, String>)> {
        let mut seen = BTreeSet::new();
        let mut twice = BTreeSet::new();
        for group in &self.groups {
            for rule in &group.rules {
                let mut labels = group.labels.clone();
                labels.extend(rule.labels.clone());
                let rule = (rule.name().to_owned(), labels);
                if !seen.insert(rule.clone()) {
                    twice.insert(rule);
                }
            }
        }
        twice.into_iter().collect()
    }
}

fn decode_groups(decoder: &mut Decoder, root: &Node, pass: Pass) -> Vec<RuleGroup> {
    let (file, list) = match pass {
        Pass::Values => ("rulefmt.RuleGroups", "[]rulefmt.RuleGroup"),
        Pass::Places => ("rulefmt.ruleGroups", "[]rulefmt.RuleGroupNode"),
    };
    let mut groups = Vec::new();
    for (name, key, value) in decoder.fields(root, file).unwrap_or_default() {
        match name.as_str() {
            "groups" => {
                let items = decoder.list(&value, list);
                groups = items.iter().filter_map(|node| decode_group(decoder, node, pass)).collect();
            }
            _ => decoder.unknown(&name, &key, file),
        }
    }
    groups
}

fn decode_group(decoder: &mut Decoder, node: &Node, pass: Pass) -> Option<RuleGroup> {
    let (is_named, rules) = match pass {
        Pass::Values => ("rulefmt.RuleGroup", "[]rulefmt.Rule"),
        Pass::Places => ("rulefmt.RuleGroupNode", "[]rulefmt.RuleNode"),
    };
    let mut group = RuleGroup::default();
    for (name, key, value) in decoder.fields(node, is_named)? {
        match name.as_str() {
            "name" => group.name = decoder.text(&value).unwrap_or_default(),
            "interval" => group.interval = decoder.span(&value).unwrap_or_default(),
            "query_offset" => group.query_offset = decoder.span(&value),
            "limit" => group.limit = decoder.int(&value).unwrap_or_default(),
            "labels" => group.labels = decoder.texts(&value).unwrap_or_default(),
            "rules" => {
                let items = decoder.list(&value, rules);
                group.rules = items.iter().filter_map(|node| Rule::decode(decoder, node, pass)).collect();
            }
            _ => decoder.unknown(&name, &key, is_named),
        }
    }
    Some(group)
}

/// Reads bytes as a rule file; must not panic. For fuzz targets.
pub fn fuzz_rule_file(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(file) = RuleFile::parse(&text, &RuleFileOptions::default()) {
        let _twice = file.duplicates();
    }
}

#[cfg(test)]
mod tests;

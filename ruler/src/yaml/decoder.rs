//! Reading typed values out of a tree.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::node::{Kind, Node};
use super::scalar::{Scalar, old_truth};
use crate::Span;

/// Nodes read out of one document; aliases could make it endless.
const NODES_MAX: usize = 1_000_000;

/// The version of Go's package whose habits are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Tests of rules.
    V2,
    /// Rule files.
    V3,
}

/// Reads values and gathers what does not fit. What cannot be read stays as it is.
#[derive(Debug)]
pub(crate) struct Decoder {
    dialect: Dialect,
    /// Unknown fields are faults.
    strict: bool,
    faults: Vec<String>,
    /// The first fault of a kind that ends all reading.
    end: Option<String>,
    nodes: usize,
}

/// A field: its name, where it stands, its value.
type Field = (String, Arc<Node>, Arc<Node>);

impl Decoder {
    pub(crate) fn new(dialect: Dialect, strict: bool) -> Self {
        Decoder { dialect, strict, faults: Vec::new(), end: None, nodes: 0 }
    }

    /// What was wrong.
    pub(crate) fn finish(self) -> Result<(), String> {
        match self.end {
            Some(end) => Err(end),
            None if self.faults.is_empty() => Ok(()),
            None => Err(format!("yaml: unmarshal errors:\n  {}", self.faults.join("\n  "))),
        }
    }

    /// Ends reading with this fault, unless one did before.
    pub(crate) fn stop(&mut self, why: String) {
        self.end.get_or_insert(why);
    }

    fn visit(&mut self) -> bool {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            self.stop("yaml: document contains excessive aliasing".to_owned());
        }
        self.end.is_none()
    }

    fn fault(&mut self, node: &Node, what: &str) {
        self.faults.push(format!("line {}: {what}", node.place.line));
    }

    fn unfit(&mut self, node: &Node, wanted: &str) {
        let found = match &node.kind {
            Kind::List(_) => "!!seq".to_owned(),
            Kind::Map(_) => "!!map".to_owned(),
            Kind::Scalar { value, plain } => {
                let scalar = if *plain { Scalar::of(value, self.dialect) } else { Scalar::Text };
                if value.len() > 10 {
                    let cut = String::from_utf8_lossy(&value.as_bytes()[..7]).into_owned();
                    format!("{} `{cut}...`", scalar.tag())
                } else {
                    format!("{} `{value}`", scalar.tag())
                }
            }
        };
        self.fault(node, &format!("cannot unmarshal {found} into {wanted}"));
    }

    /// A scalar; `None`: it is none, or nothing.
    fn scalar<'n>(&mut self, node: &'n Node, wanted: &str) -> Option<(Scalar, &'n str)> {
        if !self.visit() {
            return None;
        }
        match &node.kind {
            Kind::Scalar { value, plain } => {
                let scalar = if *plain { Scalar::of(value, self.dialect) } else { Scalar::Text };
                (scalar != Scalar::Null).then_some((scalar, value.as_str()))
            }
            _ => {
                self.unfit(node, wanted);
                None
            }
        }
    }

    /// A text; any scalar is one.
    pub(crate) fn text(&mut self, node: &Node) -> Option<String> {
        self.scalar(node, "string").map(|(_, value)| value.to_owned())
    }

    pub(crate) fn int(&mut self, node: &Node) -> Option<i64> {
        let (scalar, _) = self.scalar(node, "int")?;
        let number = match scalar {
            Scalar::Int(number) => i64::try_from(number).ok(),
            Scalar::Float(number) if number <= i64::MAX as f64 => Some(number as i64),
            _ => None,
        };
        if number.is_none() {
            self.unfit(node, "int");
        }
        number
    }

    pub(crate) fn float(&mut self, node: &Node) -> Option<f64> {
        let (scalar, _) = self.scalar(node, "float64")?;
        match scalar {
            Scalar::Int(number) => Some(number as f64),
            Scalar::Float(number) => Some(number),
            _ => {
                self.unfit(node, "float64");
                None
            }
        }
    }

    pub(crate) fn truth(&mut self, node: &Node) -> Option<bool> {
        let (scalar, value) = self.scalar(node, "bool")?;
        match (scalar, old_truth(value)) {
            (Scalar::Bool(truth), _) => Some(truth),
            (Scalar::Text, Some(truth)) if self.dialect == Dialect::V3 => Some(truth),
            _ => {
                self.unfit(node, "bool");
                None
            }
        }
    }

    /// A duration; one that is none ends reading.
    pub(crate) fn span(&mut self, node: &Node) -> Option<Span> {
        let text = match &node.kind {
            // nothing is not even looked at
            Kind::Scalar { value, plain: true } if Scalar::of(value, self.dialect) == Scalar::Null => {
                return None;
            }
            _ => self.text(node)?,
        };
        match Span::parse(&text) {
            Ok(span) => Some(span),
            Err(why) => {
                self.stop(why);
                None
            }
        }
    }

    /// The items of a list.
    pub(crate) fn list(&mut self, node: &Node, wanted: &str) -> Vec<Arc<Node>> {
        if !self.visit() {
            return Vec::new();
        }
        match &node.kind {
            Kind::List(items) => items.clone(),
            Kind::Scalar { value, plain: true } if Scalar::of(value, self.dialect) == Scalar::Null => {
                Vec::new()
            }
            _ => {
                self.unfit(node, wanted);
                Vec::new()
            }
        }
    }

    /// The fields of a structure; `None`: it is none.
    pub(crate) fn fields(&mut self, node: &Node, wanted: &str) -> Option<Vec<Field>> {
        let pairs = self.pairs(node, wanted)?;
        let mut fields: Vec<Field> = Vec::with_capacity(pairs.len());
        let mut seen = HashSet::new();
        for (key, value) in pairs {
            if let Some(name) = self.text(&key) {
                if self.dialect == Dialect::V2 && self.strict && !seen.insert(name.clone()) {
                    self.fault(&key, &format!("field {name} already set in type {wanted}"));
                    continue;
                }
                fields.push((name, key, value));
            }
        }
        Some(fields)
    }

    /// Says that a structure has no such field.
    pub(crate) fn unknown(&mut self, field: &str, key: &Node, of: &str) {
        if self.strict {
            self.fault(key, &format!("field {field} not found in type {of}"));
        }
    }

    /// Texts by name.
    pub(crate) fn texts(&mut self, node: &Node) -> Option<BTreeMap<String, String>> {
        let pairs = self.pairs(node, "map[string]string")?;
        let mut texts = BTreeMap::new();
        for (key, value) in pairs {
            let Some(name) = self.text(&key) else { continue };
            let known = self.faults.len();
            let text = self.text(&value);
            if self.faults.len() > known {
                continue;
            }
            if self.dialect == Dialect::V2 && self.strict && texts.contains_key(&name) {
                self.fault(&value, &format!("key {} already set in map", promql::go_quote(&name)));
                continue;
            }
            texts.insert(name, text.unwrap_or_default());
        }
        Some(texts)
    }

    /// Keys and values; what is merged in stands at the end, as far as it is not there already.
    fn pairs(&mut self, node: &Node, wanted: &str) -> Option<Vec<(Arc<Node>, Arc<Node>)>> {
        if !self.visit() {
            return None;
        }
        let pairs = match &node.kind {
            Kind::Map(pairs) => pairs,
            Kind::Scalar { value, plain: true } if Scalar::of(value, self.dialect) == Scalar::Null => {
                return None;
            }
            _ => {
                self.unfit(node, wanted);
                return None;
            }
        };
        self.nodes += pairs.len();
        if self.dialect == Dialect::V3 && !self.keys_differ(pairs) {
            return None;
        }
        let (merges, mut all): (Vec<_>, Vec<_>) = pairs.iter().cloned().partition(|(key, _)| is_merge(key));
        let mut names: HashSet<String> = match merges.is_empty() {
            true => HashSet::new(),
            false => all.iter().filter_map(|(key, _)| key.as_text().map(str::to_owned)).collect(),
        };
        for (_, merged) in merges {
            let sources: Vec<Arc<Node>> = match &merged.kind {
                Kind::Map(_) => vec![merged],
                Kind::List(items) => items.clone(),
                Kind::Scalar { .. } => Vec::new(),
            };
            if sources.is_empty() || sources.iter().any(|n| !matches!(n.kind, Kind::Map(_))) {
                self.stop("yaml: map merge requires map or sequence of maps as the value".to_owned());
                return None;
            }
            for source in sources {
                for (key, value) in self.pairs(&source, wanted)? {
                    if key.as_text().is_none_or(|name| names.insert(name.to_owned())) {
                        all.push((key, value));
                    }
                }
            }
        }
        Some(all)
    }

    fn keys_differ(&mut self, pairs: &[(Arc<Node>, Arc<Node>)]) -> bool {
        let known = self.faults.len();
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for (key, _) in pairs {
            let Some(value) = key.as_text() else { continue };
            if let Some(first) = seen.get(value) {
                let shown = promql::go_quote(value);
                self.fault(key, &format!("mapping key {shown} already defined at line {first}"));
            } else {
                seen.insert(value, key.place.line);
            }
        }
        self.faults.len() == known
    }
}

fn is_merge(key: &Node) -> bool {
    matches!(&key.kind, Kind::Scalar { value, plain: true } if value == "<<")
}

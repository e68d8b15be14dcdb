//! The tree of a document.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle};

/// Largest file in bytes.
const TEXT_BYTES_MAX: usize = 16 << 20;

/// Where something stands, from 1; 0 for what is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Scalar {
        value: String,
        /// Neither quoted nor tagged as text: may be a number or nothing.
        plain: bool,
    },
    List(Vec<Arc<Node>>),
    Map(Vec<(Arc<Node>, Arc<Node>)>),
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) place: Place,
}

impl Node {
    /// The value of a scalar.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { value, .. } => Some(value),
            _ => None,
        }
    }
}

/// The first document of a file.
#[derive(Debug)]
pub(crate) struct Document {
    /// `None` when there is nothing.
    pub(crate) root: Option<Arc<Node>>,
    /// Whether another document follows.
    pub(crate) more: bool,
}

/// A list or a map under way.
struct Open {
    node: Node,
    /// A key that has no value yet.
    key: Option<Arc<Node>>,
    anchor: usize,
}

impl Document {
    /// Reads the first document.
    ///
    /// # Errors
    /// Text that is no YAML, with its line.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!(
                "yaml: {} bytes are more than the {TEXT_BYTES_MAX} of the largest file",
                text.len()
            ));
        }
        let mut builder = Builder::default();
        let mut documents = 0;
        let options = granit_parser::options! { emit_unresolved_aliases: true };
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = match event {
                Ok(event) => event,
                // what stands behind the first document is not looked at
                Err(_) if documents > 1 => break,
                Err(error) => return Err(message(&error)),
            };
            let place = Place { line: span.start.line(), column: span.start.col() + 1 };
            match event {
                Event::DocumentStart(..) => documents += 1,
                _ if documents > 1 => break,
                event => builder.take(event, place)?,
            }
        }
        Ok(Document { root: builder.root, more: documents > 1 })
    }
}

fn message(error: &granit_parser::ScanError) -> String {
    let info = error.info();
    let what = match info.as_str() {
        "simple key expected ':'" => "could not find expected ':'",
        info => info,
    };
    format!("yaml: line {}: {what}", error.marker().line())
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Arc<Node>>,
    root: Option<Arc<Node>>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), String> {
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                let text_tag = tag.as_ref().and_then(|tag| tag.core_suffix()) == Some("str");
                let plain = style == ScalarStyle::Plain && !text_tag;
                let kind = Kind::Scalar { value: value.into_owned(), plain };
                self.close(Node { kind, place }, anchor);
            }
            Event::SequenceStart(_, anchor, _) => self.begin(Kind::List(Vec::new()), place, anchor),
            Event::MappingStart(_, anchor, _) => self.begin(Kind::Map(Vec::new()), place, anchor),
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(done) = self.open.pop() {
                    self.close(done.node, done.anchor);
                }
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => {
                    let node = Arc::clone(node);
                    self.add(node);
                }
                None => return Err(format!("yaml: line {}: an anchor's value contains itself", place.line)),
            },
            Event::UnresolvedAlias(name) => {
                return Err(format!("yaml: unknown anchor '{name}' referenced"));
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, kind: Kind, place: Place, anchor: usize) {
        self.open.push(Open { node: Node { kind, place }, key: None, anchor });
    }

    fn close(&mut self, node: Node, anchor: usize) {
        let node = Arc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, Arc::clone(&node));
        }
        self.add(node);
    }

    fn add(&mut self, node: Arc<Node>) {
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match &mut parent.node.kind {
            Kind::List(items) => items.push(node),
            Kind::Map(pairs) => match parent.key.take() {
                Some(key) => pairs.push((key, node)),
                None => parent.key = Some(node),
            },
            Kind::Scalar { .. } => {}
        }
    }
}

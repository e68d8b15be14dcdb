//! Label sets as canonical bytes: read, filtered and compared without making objects.

use std::cmp::Ordering;

use model::{LabelsIter, METRIC_NAME};

use crate::ast::is_legacy_label_name;
use crate::go_format::quote;

/// The labels that say what a metric is; dropped when a function changes that.
pub(crate) fn is_metadata(name: &str) -> bool {
    matches!(name, METRIC_NAME | "__type__" | "__unit__")
}

/// The value of a label, or "".
pub(crate) fn get<'a>(bytes: &'a [u8], name: &str) -> &'a str {
    for (n, v) in LabelsIter::over(bytes) {
        match n.cmp(name) {
            Ordering::Less => {}
            Ordering::Equal => return v,
            Ordering::Greater => return "",
        }
    }
    ""
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(text.as_bytes());
}

/// Appends the labels whose name `keep` accepts.
pub(crate) fn filter_into(bytes: &[u8], out: &mut Vec<u8>, mut keep: impl FnMut(&str) -> bool) {
    for (name, value) in LabelsIter::over(bytes) {
        if keep(name) {
            write_string(out, name);
            write_string(out, value);
        }
    }
}

/// Appends a pair; the caller keeps the order.
pub(crate) fn push_pair(out: &mut Vec<u8>, name: &str, value: &str) {
    write_string(out, name);
    write_string(out, value);
}

/// Whether any label is about the metric itself.
pub(crate) fn has_metadata(bytes: &[u8]) -> bool {
    // they all begin with "__": nothing to look for when the first name is beyond
    LabelsIter::over(bytes).take_while(|(n, _)| *n <= "__unit__").any(|(n, _)| is_metadata(n))
}

/// A label set as error messages show it: the name is a label like the others.
pub(crate) fn show(bytes: &[u8]) -> String {
    let mut out = String::from("{");
    for (i, (name, value)) in LabelsIter::over(bytes).enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        if is_legacy_label_name(name) {
            out.push_str(name);
        } else {
            out.push_str(&quote(name));
        }
        out.push('=');
        out.push_str(&quote(value));
    }
    out.push('}');
    out
}

/// What becomes of the metric's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameAction {
    /// Stays.
    Keep,
    /// Goes.
    Drop,
    /// Goes at the end of the query.
    DropLater,
}

/// Appends a label set after `action`; gives the `drop_name` flag of the result.
pub(crate) fn apply_into(bytes: &[u8], action: NameAction, drop_name: bool, out: &mut Vec<u8>) -> bool {
    match action {
        NameAction::Keep => {
            out.extend_from_slice(bytes);
            drop_name
        }
        NameAction::DropLater => {
            out.extend_from_slice(bytes);
            true
        }
        NameAction::Drop => {
            if has_metadata(bytes) {
                filter_into(bytes, out, |n| !is_metadata(n));
            } else {
                out.extend_from_slice(bytes);
            }
            drop_name
        }
    }
}

//! Expressions that are simpler than they could be: sets of literals, literals with anything between them.

use regex_automata::meta;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// Longest list of literals that replaces an expression.
const LITERALS_MAX: usize = 1024;
/// Most alternatives with gaps that are tried one after another; an automaton is faster from there on.
const WILDS_MAX: usize = 16;
/// Most characters that may stand at one place of a `Folded`.
const CHOICES_MAX: usize = 8;

/// An expression, as simple as it can be had.
#[derive(Debug)]
pub(crate) enum Compiled {
    /// `.*`
    Anything,
    /// `.+`
    NotEmpty,
    /// Exactly one of these.
    OneOf(Vec<String>),
    /// A literal whose case does not matter.
    Folded(Folded),
    /// One of these: literals with gaps.
    Wild(Vec<Wild>),
    /// All else, anchored, and what every match begins with.
    Regex(meta::Regex, String),
}

/// A few characters for each place: `(?i)literal`, and lists of classes that would be too many literals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folded(Vec<Box<[char]>>);

impl Folded {
    /// Whether `text` has one of its characters at each place.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let mut chars = text.chars();
        self.0.iter().all(|choices| chars.next().is_some_and(|c| choices.contains(&c)))
            && chars.next().is_none()
    }
}

/// Literals with gaps between: `a.*b`, `.+x.*`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Wild {
    prefix: String,
    /// Whether the gap has at least one character; what follows it.
    rest: Vec<(bool, String)>,
}

impl Wild {
    /// Whether `text` is the literals in order with any text in the gaps.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let Some(mut text) = text.strip_prefix(self.prefix.as_str()) else { return false };
        let Some(((last_gap, suffix), between)) = self.rest.split_last() else { return text.is_empty() };
        for (gap, literal) in between {
            let mut chars = text.chars();
            if *gap && chars.next().is_none() {
                return false;
            }
            // the earliest place leaves most for the others
            let Some((_, behind)) = chars.as_str().split_once(literal.as_str()) else { return false };
            text = behind;
        }
        text.len() >= suffix.len() + usize::from(*last_gap) && text.ends_with(suffix.as_str())
    }

    /// What every match begins with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// This, then `next`; `None` for gaps of two characters and more.
    fn then(&self, next: &Wild) -> Option<Wild> {
        let mut joined = self.clone();
        let mut rest = next.rest.iter();
        match joined.rest.last_mut() {
            None => joined.prefix.push_str(&next.prefix),
            Some((gap, literal)) => {
                literal.push_str(&next.prefix);
                if literal.is_empty()
                    && let Some((next_gap, next_literal)) = rest.next()
                {
                    if *gap && *next_gap {
                        return None;
                    }
                    *gap |= next_gap;
                    literal.push_str(next_literal);
                }
            }
        }
        joined.rest.extend(rest.cloned());
        Some(joined)
    }
}

/// The tree without the anchors that being anchored makes idle.
fn without_anchors(hir: &Hir) -> &[Hir] {
    let mut parts = match hir.kind() {
        HirKind::Concat(parts) => &parts[..],
        _ => std::slice::from_ref(hir),
    };
    while let [first, rest @ ..] = parts
        && matches!(first.kind(), HirKind::Look(Look::Start))
    {
        parts = rest;
    }
    while let [rest @ .., last] = parts
        && matches!(last.kind(), HirKind::Look(Look::End))
    {
        parts = rest;
    }
    parts
}

/// The expression without an automaton, if it can be had.
pub(super) fn simple(hir: &Hir) -> Option<Compiled> {
    let parts = without_anchors(hir);
    if let Some(values) = concatenated(parts) {
        return Some(Compiled::OneOf(values));
    }
    if let Some(folded) = folded(parts) {
        return Some(Compiled::Folded(folded));
    }
    let wilds = joined(parts)?;
    Some(match &wilds[..] {
        [Wild { prefix, rest }] if prefix.is_empty() && *rest == [(false, String::new())] => {
            Compiled::Anything
        }
        [Wild { prefix, rest }] if prefix.is_empty() && *rest == [(true, String::new())] => {
            Compiled::NotEmpty
        }
        _ => Compiled::Wild(wilds),
    })
}

/// What every match begins with.
pub(super) fn prefix(hir: &Hir) -> String {
    let first = without_anchors(hir).first().map(Hir::kind);
    let Some(HirKind::Literal(literal)) = first else { return String::new() };
    std::str::from_utf8(&literal.0).unwrap_or_default().to_owned()
}

/// The strings an expression matches, when they are few and it has no anchors.
fn literals(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Empty => Some(vec![String::new()]),
        HirKind::Literal(literal) => Some(vec![std::str::from_utf8(&literal.0).ok()?.to_owned()]),
        HirKind::Class(Class::Unicode(class)) => {
            let mut out = Vec::new();
            for range in class.ranges() {
                if range.len() > 64 || out.len() > 64 {
                    return None;
                }
                out.extend((range.start()..=range.end()).map(String::from));
            }
            Some(out)
        }
        HirKind::Alternation(parts) => {
            let mut out = Vec::new();
            for part in parts {
                out.extend(literals(part)?);
                if out.len() > LITERALS_MAX {
                    return None;
                }
            }
            Some(out)
        }
        HirKind::Concat(parts) => concatenated(parts),
        HirKind::Repetition(repetition) if repetition.max == Some(1) => {
            let mut out = literals(&repetition.sub)?;
            out.push(String::new());
            Some(out)
        }
        _ => None,
    }
}

fn concatenated(parts: &[Hir]) -> Option<Vec<String>> {
    let mut out = vec![String::new()];
    for part in parts {
        let tails = literals(part)?;
        if out.len() * tails.len() > LITERALS_MAX {
            return None;
        }
        out = out.iter().flat_map(|head| tails.iter().map(move |t| format!("{head}{t}"))).collect();
    }
    Some(out)
}

fn folded(parts: &[Hir]) -> Option<Folded> {
    let mut places: Vec<Box<[char]>> = Vec::new();
    for part in parts {
        match part.kind() {
            HirKind::Literal(literal) => {
                let text = std::str::from_utf8(&literal.0).ok()?;
                places.extend(text.chars().map(|c| Box::from([c])));
            }
            HirKind::Class(Class::Unicode(class)) => {
                if class.ranges().iter().map(|range| range.len()).sum::<usize>() > CHOICES_MAX {
                    return None;
                }
                places.push(class.ranges().iter().flat_map(|range| range.start()..=range.end()).collect());
            }
            _ => return None,
        }
    }
    Some(Folded(places))
}

/// `Some(is one character needed)` for `.*` and `.+` over every character.
fn gap(hir: &Hir) -> Option<bool> {
    let HirKind::Repetition(repetition) = hir.kind() else { return None };
    if repetition.max.is_some() || repetition.min > 1 {
        return None;
    }
    let HirKind::Class(Class::Unicode(class)) = repetition.sub.kind() else { return None };
    let [all] = class.ranges() else { return None };
    (all.start() == '\0' && all.end() == char::MAX).then_some(repetition.min == 1)
}

/// The literals with gaps that an expression is.
fn wilds(hir: &Hir) -> Option<Vec<Wild>> {
    if let Some(gap) = gap(hir) {
        return Some(vec![Wild { prefix: String::new(), rest: vec![(gap, String::new())] }]);
    }
    match hir.kind() {
        HirKind::Concat(parts) => joined(parts),
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(wilds(part)?);
                if all.len() > WILDS_MAX {
                    return None;
                }
            }
            Some(all)
        }
        _ => {
            let literals = literals(hir)?;
            if literals.len() > WILDS_MAX {
                return None;
            }
            Some(literals.into_iter().map(|prefix| Wild { prefix, rest: Vec::new() }).collect())
        }
    }
}

fn joined(parts: &[Hir]) -> Option<Vec<Wild>> {
    let mut all = vec![Wild::default()];
    for part in parts {
        let next = wilds(part)?;
        if all.len() * next.len() > WILDS_MAX {
            return None;
        }
        all = all
            .iter()
            .flat_map(|head| next.iter().map(move |tail| head.then(tail)))
            .collect::<Option<Vec<_>>>()?;
    }
    Some(all)
}

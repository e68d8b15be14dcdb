//! Expected and received alerts in one text, coloured: red what is missing, green what is too much, yellow what is
//! another.

use std::collections::BTreeSet;

use super::file::Pairs;
use super::show::LabelsAndAnnotations;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colour {
    Plain,
    Green,
    Red,
    Yellow,
}

impl Colour {
    fn begin(self) -> &'static str {
        match self {
            Colour::Plain => "",
            Colour::Green => "\u{1b}[0;32m",
            Colour::Red => "\u{1b}[0;31m",
            Colour::Yellow => "\u{1b}[0;33m",
        }
    }

    fn end(self) -> &'static str {
        if self == Colour::Plain { "" } else { "\u{1b}[0m" }
    }
}

struct Writer {
    out: String,
    level: usize,
    colour: Colour,
}

/// Two lists of alerts as one list in the notation of JSON.
pub(super) fn alerts(expected: &[LabelsAndAnnotations], got: &[LabelsAndAnnotations]) -> String {
    // a list of nothing is shown as one alert that has nothing
    let nothing = [(Pairs::new(), Pairs::new())];
    let or_nothing = |alerts| if <[LabelsAndAnnotations]>::is_empty(alerts) { &nothing } else { alerts };
    let (expected, got) = (or_nothing(expected), or_nothing(got));
    let mut writer = Writer { out: String::new(), level: 0, colour: Colour::Plain };
    let count = expected.len().max(got.len());
    writer.open("[", count);
    for i in 0..count {
        match (expected.get(i), got.get(i)) {
            (Some(a), Some(b)) => writer.both(a, b),
            (Some(one), None) => writer.one(one, Colour::Red),
            (None, Some(one)) => writer.one(one, Colour::Green),
            (None, None) => {}
        }
        writer.paint(Colour::Plain);
        writer.close_item(i + 1 == count);
    }
    writer.out.push(']');
    writer.out
}

impl Writer {
    fn paint(&mut self, colour: Colour) {
        if self.colour != colour {
            self.out.push_str(self.colour.end());
            self.out.push_str(colour.begin());
            self.colour = colour;
        }
    }

    fn line(&mut self, end: &str) {
        self.out.push_str(end);
        self.out.push_str(self.colour.end());
        self.out.push('\n');
        self.out.push_str(&"    ".repeat(self.level));
        self.out.push_str(self.colour.begin());
    }

    fn open(&mut self, bracket: &str, items: usize) {
        if items == 0 {
            self.out.push_str(bracket);
        } else {
            self.level += 1;
            self.line(bracket);
        }
    }

    fn close_item(&mut self, is_last: bool) {
        if is_last {
            self.level -= 1;
            self.line("");
        } else {
            self.line(",");
        }
    }

    fn key(&mut self, key: &str) {
        self.out.push_str(&model::go_quote(key));
        self.out.push_str(": ");
    }

    /// An alert that only one side has.
    fn one(&mut self, (labels, annotations): &LabelsAndAnnotations, colour: Colour) {
        self.paint(colour);
        self.open("{", 2);
        for (i, (name, pairs)) in [("Annotations", annotations), ("Labels", labels)].into_iter().enumerate() {
            self.key(name);
            self.open("{", pairs.len());
            for (at, (name, value)) in pairs.iter().enumerate() {
                self.key(name);
                self.out.push_str(&model::go_quote(value));
                self.close_item(at + 1 == pairs.len());
            }
            self.out.push('}');
            self.close_item(i == 1);
        }
        self.out.push('}');
    }

    fn both(&mut self, a: &LabelsAndAnnotations, b: &LabelsAndAnnotations) {
        self.paint(Colour::Plain);
        self.open("{", 2);
        for (i, (name, a, b)) in [("Annotations", &a.1, &b.1), ("Labels", &a.0, &b.0)].into_iter().enumerate()
        {
            self.key(name);
            self.pairs(a, b);
            self.paint(Colour::Plain);
            self.close_item(i == 1);
        }
        self.out.push('}');
    }

    fn pairs(&mut self, a: &Pairs, b: &Pairs) {
        let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        self.paint(Colour::Plain);
        self.open("{", names.len());
        for (i, name) in names.iter().enumerate() {
            let (colour, text) = match (a.get(*name), b.get(*name)) {
                (Some(a), Some(b)) if a == b => (Colour::Plain, model::go_quote(a)),
                (Some(a), Some(b)) => {
                    // the name is the same, so only the values are coloured
                    self.key(name);
                    self.paint(Colour::Yellow);
                    self.out.push_str(&format!("{} => {}", model::go_quote(a), model::go_quote(b)));
                    self.paint(Colour::Plain);
                    self.close_item(i + 1 == names.len());
                    continue;
                }
                (Some(one), None) => (Colour::Red, model::go_quote(one)),
                (None, Some(one)) => (Colour::Green, model::go_quote(one)),
                (None, None) => continue,
            };
            self.paint(colour);
            self.key(name);
            self.out.push_str(&text);
            self.paint(Colour::Plain);
            self.close_item(i + 1 == names.len());
        }
        self.out.push('}');
    }
}

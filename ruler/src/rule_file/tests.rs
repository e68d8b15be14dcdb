use proptest::prelude::*;

use super::*;

fn faults(text: &str) -> Vec<String> {
    match RuleFile::parse(text, &RuleFileOptions::default()) {
        Ok(_) => Vec::new(),
        Err(error) => error.faults,
    }
}

const GOOD: &str = "groups:
- name: g
  interval: 1m
  query_offset: 10s
  limit: 3
  labels: {team: a, zone: x}
  rules:
  - record: a:b
    expr: sum(b)
    labels: {team: b}
  - alert: Down
    expr: up == 0
    for: 5m
    keep_firing_for: 2m
    annotations:
      summary: '{{ $labels.job }} is down'
";

#[test]
fn what_a_file_says_is_read() {
    let file = RuleFile::parse(GOOD, &RuleFileOptions::default()).expect("a good file");
    let [group] = &file.groups[..] else { panic!("one group: {file:?}") };
    assert_eq!((group.name.as_str(), group.interval, group.limit), ("g", Span(60_000), 3));
    assert_eq!(group.query_offset, Some(Span(10_000)));
    assert_eq!(file.rule_count(), 2);
    assert_eq!((group.rules[1].hold, group.rules[1].keep_firing_for), (Span(300_000), Span(120_000)));
    assert_eq!(group.rules[0].name(), "a:b");
    assert_eq!(group.labels["zone"], "x");
    assert!(file.duplicates().is_empty());
}

#[test]
fn rules_of_one_name_and_labels_are_duplicates() {
    let text = "groups:
- {name: a, labels: {x: y}, rules: [{record: r, expr: 1}, {record: r, expr: 2}, {record: r, expr: 2}]}
- {name: b, rules: [{record: r, expr: 3, labels: {x: y}}, {record: r, expr: 3, labels: {x: z}}]}
";
    let file = RuleFile::parse(text, &RuleFileOptions::default()).expect("a good file");
    let labels = BTreeMap::from([("x".to_owned(), "y".to_owned())]);
    assert_eq!(file.duplicates(), [("r".to_owned(), labels)]);
}

#[test]
fn values_of_wrong_types_are_named_with_line_and_type() {
    let text = "groups:
- name: a
  foo: 1
  rules:
  - record: a:b
    expr: 1
    for: [1]
  - alert: [x]
    labels: [a]
  - q
  limit: abcdefghijklm
";
    assert_eq!(
        faults(text),
        [
            "yaml: unmarshal errors:
  line 3: field foo not found in type rulefmt.RuleGroup
  line 7: cannot unmarshal !!seq into string
  line 8: cannot unmarshal !!seq into string
  line 9: cannot unmarshal !!seq into map[string]string
  line 10: cannot unmarshal !!str `q` into rulefmt.Rule
  line 11: cannot unmarshal !!str `abcdefg...` into int",
            "yaml: unmarshal errors:
  line 7: cannot unmarshal !!seq into string
  line 9: cannot unmarshal !!seq into map[string]string
  line 10: cannot unmarshal !!str `q` into rulefmt.RuleNode
  line 11: cannot unmarshal !!str `abcdefg...` into int",
        ]
    );
}

#[test]
fn faults_of_rules_carry_places() {
    let text = "groups:
- name: a
  rules:
  - record: x
    alert: y
    expr: up ==
    annotations: {x: y}
  - expr: 3
  - record: \"a{b}\"
    for: 5m
  - alert: a
    expr: \"1\"
    labels: {a: \"{{ .Foo\", __name__: x}
- name: a
- limit: 1
";
    assert_eq!(
        faults(text),
        [
            "4:13: 5:12: group \"a\", rule 1, \"y\": only one of 'record' and 'alert' must be set",
            "6:11: group \"a\", rule 1, \"y\": could not parse expression: 1:6: parse error: unexpected end of input",
            "4:13: group \"a\", rule 1, \"y\": invalid field 'annotations' in recording rule",
            "0:0: 0:0: group \"a\", rule 2, \"\": one of 'record' or 'alert' must be set",
            "0:0: group \"a\", rule 3, \"a{b}\": field 'expr' must be set in rule",
            "9:13: group \"a\", rule 3, \"a{b}\": invalid field 'for' in recording rule",
            "9:13: group \"a\", rule 3, \"a{b}\": braces present in the recording rule name; should it be in expr?: a{b}",
            "group \"a\", rule 4, \"a\": invalid label name: __name__",
            "group \"a\", rule 4, \"a\": label \"a\": template: __alert_a:1: unclosed action",
            "0:0: groupname: \"a\" is repeated in the same file",
            "0:0: Groupname must not be empty",
        ]
    );
}

#[test]
fn what_ends_reading_is_said_for_both_readings() {
    assert_eq!(
        faults("groups: [{name: a, foo: 1, interval: 5x}]"),
        ["unknown unit \"x\" in duration \"5x\""; 2]
    );
    assert_eq!(faults("groups: *a"), ["yaml: unknown anchor 'a' referenced"; 2]);
    assert_eq!(
        faults("groups:\n- name: a\n  name: b"),
        ["yaml: unmarshal errors:\n  line 3: mapping key \"name\" already defined at line 2"; 2]
    );
    assert!(faults("").is_empty());
    assert!(faults("groups: ~").is_empty());
}

#[test]
fn anchors_and_merges_are_followed() {
    let text = "groups:
- &a {name: a, limit: 3, rules: [{record: r, expr: 1}]}
- <<: *a
  name: b
";
    let file = RuleFile::parse(text, &RuleFileOptions::default()).expect("a good file");
    assert_eq!(file.groups[1].name, "b");
    assert_eq!((file.groups[1].limit, file.rule_count()), (3, 2));
    assert_eq!(faults("groups: &a [*a]").len(), 2);
}

#[test]
fn aliases_that_multiply_come_to_an_end() {
    let mut text = "a0: &a0 [{name: x}, {name: x}]\n".to_owned();
    for i in 1..40 {
        text.push_str(&format!("a{i}: &a{i} {{<<: [*a{}, *a{}]}}\n", i - 1, i - 1));
    }
    text = text.replace("[{name: x}, {name: x}]", "{name: x}");
    text.push_str("groups: [*a39]\n");
    assert_eq!(faults(&text)[0], "yaml: document contains excessive aliasing");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(data: Vec<u8>) {
        fuzz_rule_file(&data);
    }

    #[test]
    fn mutated_files_are_read_or_refused(at in 0..GOOD.len(), byte: u8, cut in 0..GOOD.len()) {
        let mut data = GOOD.as_bytes().to_vec();
        data[at] = byte;
        fuzz_rule_file(&data);
        fuzz_rule_file(&data[..cut]);
    }
}

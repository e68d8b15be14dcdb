//! What Go's text/template and Prometheus's functions give is what is expected here.

use proptest::prelude::*;

use super::*;

fn data() -> AlertData {
    let pairs =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    AlertData {
        labels: pairs(&[("instance", "web-1:9090"), ("job", "api")]),
        external_labels: pairs(&[("region", "eu")]),
        external_url: "http://localhost:9090/prom".to_owned(),
        value: Value::Float(1234.5678),
        now: 1_700_000_000_123,
    }
}

fn answers() -> Answers {
    let sample = |instance: &str, v: f64| {
        let labels = BTreeMap::from([
            ("__name__".to_owned(), "up".to_owned()),
            ("instance".to_owned(), instance.to_owned()),
        ]);
        Arc::new(Sample { labels, value: Value::Float(v) })
    };
    Answers::from([
        ("up".to_owned(), Ok(vec![sample("b", 1.0), sample("a", 0.0)])),
        ("none".to_owned(), Ok(Vec::new())),
        ("bad".to_owned(), Err("boom".to_owned())),
    ])
}

fn expand(text: &str) -> Result<String, String> {
    let template = Template::parse("test", text).map_err(|e| e.to_string())?;
    match template.expand(&data(), &answers()).map_err(|e| e.to_string())? {
        Expansion::Done(text) => Ok(text),
        Expansion::Needs(query) => Err(format!("needs {query}")),
    }
}

#[track_caller]
fn gives(text: &str, wanted: &str) {
    assert_eq!(expand(text).as_deref(), Ok(wanted), "{text}");
}

#[track_caller]
fn fails(text: &str, wanted: &str) {
    assert_eq!(expand(text).as_deref().map_err(String::as_str), Err(wanted), "{text}");
}

#[test]
fn text_variables_and_fields() {
    gives("plain { text } }}", "plain { text } }}");
    gives("{{ $labels.job }} {{ .Labels.instance }} {{ $value }}", "api web-1:9090 1234.5678");
    gives(
        "{{ $labels.none }}|{{ $externalLabels.region }}|{{ $externalURL }}",
        "|eu|http://localhost:9090/prom",
    );
    gives("{{ $x := 3 }}{{ $x = 4 }}{{ $x }}", "4");
    gives("a  {{- 1 -}}  b", "a1b");
    gives("a{{/* no */}}b", "ab");
    gives("{{ \"q\\\"\\n\" }}{{ `raw\\n` }}{{ 'a' }}", "q\"\nraw\\n97");
    gives("{{ 0x1F }} {{ 1e3 }} {{ 1_000 }} {{ -2.5 }} {{ true }}", "31 1000 1000 -2.5 true");
}

#[test]
fn actions() {
    gives("{{ if eq $labels.job \"api\" }}y{{ else }}n{{ end }}", "y");
    gives("{{ if $labels.none }}y{{ else if gt $value 1.0 }}m{{ else }}n{{ end }}", "m");
    gives("{{ with $labels.job }}<{{ . }}>{{ end }}", "<api>");
    gives("{{ with $labels.none }}y{{ else }}n{{ end }}", "n");
    gives("{{ range query \"up\" }}{{ .Labels.instance }}={{ .Value }} {{ end }}", "b=1 a=0 ");
    gives("{{ range $i, $s := query \"up\" }}{{ $i }}{{ $s.Labels.instance }}{{ end }}", "0b1a");
    gives("{{ range query \"none\" }}x{{ else }}empty{{ end }}", "empty");
    gives("{{ range $k, $v := $labels }}{{ $k }}={{ $v }};{{ end }}", "instance=web-1:9090;job=api;");
    gives("{{ range query \"up\" }}{{ .Value }}{{ break }}{{ end }}", "1");
    gives("{{ define \"t\" }}[{{ . }}]{{ end }}{{ template \"t\" 5 }}", "[5]");
    gives("{{ define \"t\" }}{{ .arg0 }}-{{ .arg1 }}{{ end }}{{ template \"t\" (args 1 \"b\") }}", "1-b");
}

#[test]
fn functions_of_the_language() {
    gives("{{ and 1 0 }} {{ or 0 \"x\" }} {{ not 1 }}", "0 x false");
    gives(
        "{{ eq 1 2 1 }} {{ ne 1 2 }} {{ lt 1 2 }} {{ le 2 2 }} {{ gt 1.5 2.5 }} {{ ge \"b\" \"a\" }}",
        "true true true true false true",
    );
    gives("{{ len \"abc\" }} {{ index $labels \"job\" }} {{ slice \"abcd\" 1 3 }}", "3 api bc");
    gives("{{ print 1 2 \"a\" 3 }}|{{ println 1 \"b\" }}", "1 2a3|1 b\n");
    gives(
        "{{ printf \"%.2f %5d|%-5s|%q %v %x %e %g %t %%\" 1.005 42 \"a\" \"b\" 1.5 255 1234.5 0.0001 true }}",
        "1.00    42|a    |\"b\" 1.5 ff 1.234500e+03 0.0001 true %",
    );
    gives("{{ printf \"%d %s\" \"a\" 1 }}", "%!d(string=a) %!s(int=1)");
    gives(
        "{{ html \"<a&'\\\">\" }} {{ js \"it's\" }} {{ urlquery \"a b/c\" }}",
        "&lt;a&amp;&#39;&#34;&gt; it\\'s a+b%2Fc",
    );
}

#[test]
fn functions_of_samples() {
    gives("{{ query \"up\" | first | value }}", "1");
    gives("{{ query \"up\" | first | label \"instance\" }}", "b");
    gives("{{ query \"up\" | sortByLabel \"instance\" | first | label \"instance\" }}", "a");
    fails("{{ query \"other\" }}", "needs other");
    fails(
        "{{ query \"none\" | first }}",
        "template: __alert_test:1:130: executing \"__alert_test\" at <first>: error calling first: first() called on vector with no elements",
    );
    fails(
        "{{ query \"bad\" }}",
        "template: __alert_test:1:115: executing \"__alert_test\" at <query \"bad\">: error calling query: boom",
    );
}

#[test]
fn functions_of_texts_and_numbers() {
    gives(
        "{{ toUpper \"ab\" }} {{ toLower \"AB\" }} {{ title \"ab cd\" }} {{ safeHtml \"<\" }}",
        "AB ab Ab Cd <",
    );
    gives("{{ match \"a.c\" \"xabc\" }} {{ reReplaceAll \"(a)(b)\" \"$2$1\" \"ab\" }}", "true ba");
    gives("{{ graphLink \"up == 0\" }}", "/graph?g0.expr=up+%3D%3D+0&g0.tab=0");
    gives(
        "{{ tableLink \"up\" }} {{ pathPrefix }} {{ externalURL }}",
        "/graph?g0.expr=up&g0.tab=1 /prom http://localhost:9090/prom",
    );
    gives("{{ stripPort \"a:80\" }} {{ stripPort \"[::1]:80\" }} {{ stripPort \"a\" }}", "a ::1 a");
    gives(
        "{{ stripDomain \"a.b.c:80\" }} {{ stripDomain \"1.2.3.4:80\" }} {{ stripDomain \"a.b\" }}",
        "a:80 1.2.3.4:80 a",
    );
    gives(
        "{{ humanize 1234567.0 }} {{ humanize 0.0012 }} {{ humanize 0.0 }} {{ humanize \"1e9\" }}",
        "1.235M 1.2m 0 1G",
    );
    gives("{{ humanize1024 1048576.0 }} {{ humanize1024 0.5 }}", "1Mi 0.5");
    gives("{{ humanizePercentage 0.12345 }} {{ humanizePercentage 1 }}", "12.35% 100%");
    gives(
        "{{ humanizeDuration 0 }} {{ humanizeDuration 0.0123 }} {{ humanizeDuration 1.5 }} {{ humanizeDuration 3661 }} {{ humanizeDuration -90061 }}",
        "0s 12.3ms 1.5s 1h 1m 1s -1d 1h 1m 1s",
    );
    gives("{{ humanizeTimestamp 1435065584.128 }}", "2015-06-23 13:19:44.128 +0000 UTC");
    gives("{{ toTime 1700000000.5 }}", "2023-11-14 22:13:20.5 +0000 UTC");
    gives("{{ toDuration 90 }} {{ parseDuration \"1h30m\" }} {{ now }}", "1m30s 5400 1.700000000123e+09");
    gives("{{ urlQueryEscape \"a b&c\" }}", "a+b%26c");
}

#[test]
fn what_is_no_template_is_refused_as_go_does() {
    fails("{{ .Foo", "template: __alert_test:1: unclosed action");
    fails("{{ bar }}", "template: __alert_test:1: function \"bar\" not defined");
    fails("{{ end }}", "template: __alert_test:1: unexpected {{end}}");
    fails("{{ if 1 }}", "template: __alert_test:1: unexpected EOF");
    fails("{{ $x }}", "template: __alert_test:1: undefined variable \"$x\"");
    fails("{{ \"a }}", "template: __alert_test:1: unterminated quoted string");
    fails(
        "{{ template \"x\" }}",
        "template: __alert_test:1:124: executing \"__alert_test\" at <{{template \"x\"}}>: template \"x\" not defined",
    );
    fails(
        "{{ .Foo }}",
        "template: __alert_test:1:115: executing \"__alert_test\" at <.Foo>: can't evaluate field Foo in type struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }",
    );
}

#[test]
fn loops_and_depth_come_to_an_end() {
    assert!(expand("{{ define \"t\" }}{{ template \"t\" }}{{ end }}{{ template \"t\" }}").is_err());
    assert!(expand("{{ range 999999 }}{{ range 999999 }}{{ end }}{{ end }}").is_err());
    assert!(expand("{{ range 100000 }}0123456789012345{{ end }}").is_err());
    assert!(expand(&format!("{}1{}", "{{ (".repeat(20_000), ") }}".repeat(20_000))).is_err());
    assert!(expand(&format!("{{{{ {}1{} }}}}", "(".repeat(20_000), ")".repeat(20_000))).is_err());
    assert!(expand(&"{{ if 1 }}".repeat(20_000)).is_err());
    assert!(expand("{{ printf \"%999999999d\" 1 }}").is_ok());
}

const GOOD: &str = "{{ range $i, $s := query \"up\" }}{{ if gt $s.Value 0.5 }}{{ $s.Labels.instance | printf \"%-10.3s\" | toUpper }}{{ else }}{{ humanize $value }}{{ end }}{{ end }}";

proptest! {
    #[test]
    fn any_text_is_expanded_or_refused(data: Vec<u8>) {
        fuzz_template(&data);
    }

    #[test]
    fn actions_of_any_words_are_expanded_or_refused(words in proptest::collection::vec("[a-z$.|():=\"' 0-9%_-]{0,6}|printf|range|if|end|else|with|query|humanize|\\{\\{|\\}\\}|\\$value", 0..20)) {
        fuzz_template(format!("{{{{{}}}}}", words.join(" ")).as_bytes());
    }

    #[test]
    fn mutated_templates_are_expanded_or_refused(at in 0..GOOD.len(), byte: u8, cut in 0..GOOD.len()) {
        let mut data = GOOD.as_bytes().to_vec();
        data[at] = byte;
        fuzz_template(&data);
        fuzz_template(&data[..cut]);
    }
}

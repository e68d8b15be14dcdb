use proptest::prelude::*;

use super::*;

fn show(body: &str) -> (String, String) {
    let of = |format| render(body.as_bytes(), format).unwrap().text;
    (of(Format::Promql), of(Format::Json))
}

fn success(data: &str) -> String {
    format!("{{\"status\":\"success\",\"data\":{data}}}")
}

#[test]
fn scalars_and_strings() {
    let (text, json) = show(&success(r#"{"resultType":"scalar","result":[4.5,"1e+30"]}"#));
    assert_eq!(text, "scalar: 1000000000000000000000000000000 @[4.5]\n");
    assert_eq!(json, "[4.5,\"1000000000000000000000000000000\"]\n");
    let (text, json) = show(&success(r#"{"resultType":"string","result":[4,"a\u003cb"]}"#));
    assert_eq!((&*text, &*json), ("a<b\n", "[4,\"a\\u003cb\"]\n"));
}

#[test]
fn vectors_have_a_line_per_sample() {
    let (text, json) = show(&success(
        r#"{"resultType":"vector","result":[{"metric":{"a":"x<\"","__name__":"up","b":"c"},"value":[1.250,"1e-07"]},{"metric":{},"value":[1795229710.805,"+Inf"]}]}"#,
    ));
    assert_eq!(text, "up{a=\"x<\\\"\", b=\"c\"} => 0.0000001 @[1.25]\n{} => +Inf @[1795229710.805]\n");
    assert_eq!(
        json,
        "[{\"metric\":{\"__name__\":\"up\",\"a\":\"x\\u003c\\\"\",\"b\":\"c\"},\"value\":[1.25,\"0.0000001\"]},{\"metric\":{},\"value\":[1795229710.805,\"+Inf\"]}]\n"
    );
    assert_eq!(show(&success(r#"{"resultType":"vector","result":[]}"#)), ("\n".into(), "[]\n".into()));
}

#[test]
fn matrices_have_a_paragraph_per_series() {
    let (text, json) = show(&success(
        r#"{"resultType":"matrix","result":[{"metric":{"__name__":"up"},"values":[[1,"1"],[1.500,"NaN"]]},{"metric":{"a":"b"},"values":[[1,"2"]]}]}"#,
    ));
    assert_eq!(text, "up =>\n1 @[1]\nNaN @[1.5]\n{a=\"b\"} =>\n2 @[1]\n");
    assert_eq!(
        json,
        "[{\"metric\":{\"__name__\":\"up\"},\"values\":[[1,\"1\"],[1.5,\"NaN\"]]},{\"metric\":{\"a\":\"b\"},\"values\":[[1,\"2\"]]}]\n"
    );
}

#[test]
fn histograms_show_their_buckets() {
    let (text, json) = show(&success(
        r#"{"resultType":"vector","result":[{"metric":{},"histogram":[1,{"count":"4","sum":"0.0012216","buckets":[[1,"-2097152","-0.00001","1"],[3,"-0.0002","0.0002","2"],[0,"0.5","+Inf","1e+21"]]}]},{"metric":{},"histogram":[1,{"count":"0","sum":"NaN"}]}]}"#,
    ));
    assert_eq!(
        text,
        "{} => Count: 4.000000, Sum: 0.001222, Buckets: [[-2.097152e+06,-1e-05):1 [-0.0002,0.0002]:2 (0.5,+Inf]:1000000000000000000000] @[1]\n{} => Count: 0.000000, Sum: NaN, Buckets: [] @[1]\n"
    );
    assert_eq!(
        json,
        "[{\"metric\":{},\"histogram\":[1,{\"count\":\"4\",\"sum\":\"0.0012216\",\"buckets\":[[1,\"-2097152\",\"-0.00001\",\"1\"],[3,\"-0.0002\",\"0.0002\",\"2\"],[0,\"0.5\",\"+Inf\",\"1000000000000000000000\"]]}]},{\"metric\":{},\"histogram\":[1,{\"count\":\"0\",\"sum\":\"NaN\",\"buckets\":null}]}]\n"
    );
}

#[test]
fn warnings_are_notes_and_errors_are_errors() {
    let body =
        r#"{"status":"success","data":{"resultType":"vector","result":[]},"warnings":["w"],"infos":["i"]}"#;
    assert_eq!(render(body.as_bytes(), Format::Json).unwrap().notes, ["w", "i"]);
    let body = r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis"}"#;
    assert_eq!(
        render(body.as_bytes(), Format::Promql).unwrap_err().to_string(),
        "query error: bad_data: invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis"
    );
    assert!(matches!(render(b"<html>", Format::Promql), Err(RenderError::Unreadable(_))));
    assert!(matches!(render(b"{\"status\":\"success\"}", Format::Promql), Err(RenderError::Unreadable(_))));
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_rendered(data: Vec<u8>) {
        fuzz_render(&data);
    }

    #[test]
    fn damaged_answers_are_refused_or_rendered(at in 0usize..150, byte: u8) {
        let mut body = success(
            r#"{"resultType":"vector","result":[{"metric":{"a":"b"},"histogram":[1,{"count":"4","sum":"1","buckets":[[1,"-2","1","1"]]}]},{"metric":{},"value":[1,"0"]}]}"#,
        ).into_bytes();
        let at = at % body.len();
        body[at] = byte;
        fuzz_render(&body);
    }
}

#[test]
fn listings_have_a_line_per_entry() {
    let body = br#"{"status":"success","data":[{"b":"x\"","__name__":"up"},{}],"warnings":["w"]}"#;
    let lines = render_listing(body, Format::Promql).unwrap();
    assert_eq!(
        (&*lines.text, &*lines.notes),
        ("{__name__=\"up\", b=\"x\\\"\"}\n{}\n", &["w".to_owned()][..])
    );
    let json = render_listing(body, Format::Json).unwrap();
    assert_eq!(json.text, "[{\"__name__\":\"up\",\"b\":\"x\\\"\"},{}]\n");
    let values = br#"{"status":"success","data":["a","<b>"]}"#;
    assert_eq!(render_listing(values, Format::Promql).unwrap().text, "a\n<b>\n");
    assert_eq!(render_listing(values, Format::Json).unwrap().text, "[\"a\",\"\\u003cb\\u003e\"]\n");
    assert_eq!(render_listing(br#"{"status":"success","data":[]}"#, Format::Json).unwrap().text, "[]\n");
    let error = br#"{"status":"error","errorType":"bad_data","error":"no"}"#;
    assert_eq!(render_listing(error, Format::Json).unwrap_err().to_string(), "query error: bad_data: no");
}

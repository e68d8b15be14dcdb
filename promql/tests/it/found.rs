//! What generated queries found once: the answers are those that Prometheus 3.14 gives.

use promql::EngineTarget;
use promql::test_script::{parse_script, run_script};
use runtime::Runtime;

fn passes(name: &str, script: &str) {
    let runtime = Runtime::real();
    let script = parse_script(name, script).expect("a script");
    let mut target = EngineTarget::new(runtime.clone());
    let report = runtime.block_on(run_script(&script, &mut target));
    let failures: Vec<String> = report.failures.iter().map(ToString::to_string).collect();
    assert!(report.failures.is_empty() && report.passed > 0, "{failures:#?}");
}

#[test]
fn of_equal_values_those_stay_that_a_heap_leaves() {
    passes(
        "equals",
        r#"
load 1m
  x{a="1"} 1 1
  x{a="2"} 1 1
  x{a="3"} 2 2
  x{a="4"} 1 1
  x{a="5"} NaN NaN

eval instant at 0 topk(2, x)
  {__name__="x", a="2"} 1
  {__name__="x", a="3"} 2

eval instant at 0 bottomk(2, x)
  {__name__="x", a="1"} 1
  {__name__="x", a="2"} 1

eval instant at 0 bottomk(3, x)
  {__name__="x", a="1"} 1
  {__name__="x", a="2"} 1
  {__name__="x", a="4"} 1
"#,
    );
}

#[test]
fn durations_are_checked_before_anything_else() {
    passes(
        "durations",
        r#"
load 1m
  x 1 2 3

eval instant at 2m max_over_time(x[step()] anchored)
  expect fail msg:16:22: duration must be greater than 0

eval instant at 2m max_over_time(x[1m] anchored)
  expect fail msg:anchored modifier can only be used with: changes, delta, increase, rate, resets - not with max_over_time
"#,
    );
}

#[test]
fn what_is_asked_for_at_no_time_is_not_evaluated() {
    passes(
        "no time",
        r#"
load 1m
  x 1 2 3

eval range from 2m30s to 2m30s step 1m last_over_time(max_over_time(deriv(x[5m] anchored)[7m:1m])[15s:1m])
"#,
    );
}

#[test]
fn what_only_histograms_do_fails_between_numbers() {
    passes(
        "trim",
        r#"
eval instant at 0 1 </ 2
  expect fail msg:operator "</" not allowed for Scalar operations
"#,
    );
}

#[test]
fn times_of_pinned_samples_forget_the_offset() {
    passes(
        "pinned",
        r#"
load 15s
  x 0+1x80

eval instant at 10m timestamp(x @ 606 offset -20s)
  {} 600

eval instant at 10m timestamp(x @ 606 offset 1m)
  {} 540

eval instant at 10m timestamp(x @ 606 offset 6m)
"#,
    );
}

#[test]
fn sorts_of_one_time_are_not_in_vain() {
    passes(
        "sorts",
        r#"
load 1m
  x{a="1"} 3 3
  x{a="2"} 1 1

eval range from 0 to 1m step 1m sort(x)
  expect warn
  x{a="1"} 3 3
  x{a="2"} 1 1

eval range from 0 to 1m step 1m sort(x @ 0)
  expect no_warn
  x{a="1"} 3 3
  x{a="2"} 1 1
"#,
    );
}

#[test]
fn starts_of_samples_are_not_interpolated() {
    passes(
        "starts",
        r#"
load 1m
  x 1 2 {{schema:0 count:3 sum:3 buckets:[3]}} {{schema:0 count:4 sum:4 buckets:[4]}}

eval instant at 90s x smoothed
  expect warn

eval instant at 90s start_timestamp(x smoothed)
  expect no_warn
  {} 0
"#,
    );
}

#[test]
fn trends_of_very_large_values_do_not_overflow() {
    passes(
        "trends",
        r#"
load 15s
  x 1e300 1+1x240

eval range from 30m to 31m step 15s predict_linear(x[1h], 0) * 0
  {} 0x4

eval range from 30m to 40m step 15s predict_linear(x[1h], 0) * 0
  {} 0x40
"#,
    );
}

#[test]
fn at_an_instant_limits_leave_the_order_of_a_heap() {
    passes(
        "limits",
        r#"
load 1m
  x{a="1"} 2
  x{a="2"} 3
  x{a="3"} 1

eval_ordered instant at 0 limitk(2, limit_ratio(1, x))
  {__name__="x", a="3"} 1
  {__name__="x", a="2"} 3
"#,
    );
}

#[test]
fn of_equal_annotations_the_last_place_is_told() {
    passes(
        "places",
        r#"
load 1m
  x 1 2 3

eval instant at 2m clamp_max(quantile_over_time(2, x[5m]), scalar(quantile_over_time(2, x[5m])))
  expect warn regex:got 2 .1:(67|77).$
  {} +Inf

eval instant at 2m quantile_over_time(2, quantile_over_time(2, x[5m])[5m:1m])
  expect warn regex:got 2 .1:20.$
  {} +Inf
"#,
    );
}

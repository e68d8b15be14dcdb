//! What is kept, for how long, and what it costs.

use futures::FutureExt;

use super::*;

fn gauge() -> Labels {
    labels(&[("__name__", "g")])
}

fn filled() -> World {
    let world = World::usual();
    (0..=240).for_each(|i| world.source.write(&gauge(), i * 15_000, i as f64));
    world
}

fn ask(world: &World, asked: &Asked) -> Arc<Answered> {
    world.runtime.block_on(world.ask(asked)).unwrap()
}

#[test]
fn a_moving_dashboard_evaluates_the_new_steps_alone() {
    let world = filled();
    let first = ask(&world, &range("g", 0, 3_600_000, 15_000));
    assert_eq!(first.stats.samples_total, 241);
    for i in 1..=10 {
        let t = 3_600_000 + i * 15_000;
        world.source.write(&gauge(), t, 1.0);
        let answer = ask(&world, &range("g", i * 15_000, t, 15_000));
        // the piece of time the sample before lies in has changed
        assert!(answer.stats.samples_total <= 3, "{}", answer.stats.samples_total);
    }
    let metrics = world.front.metrics();
    assert_eq!((metrics.misses, metrics.partial, metrics.hits), (1, 10, 0));
    assert!(metrics.steps_kept >= 10 * 238, "{}", metrics.steps_kept);
    assert!(
        (metrics.entries, metrics.bytes > 3_800, metrics.bytes < 30_000) == (1, true, true),
        "{metrics:?}"
    );
}

#[test]
fn an_equal_query_reads_nothing_and_copies_nothing() {
    let world = filled();
    let first = ask(&world, &range("g", 0, 3_600_000, 15_000));
    let selects = world.source.selects();
    let again = ask(&world, &range("g", 0, 3_600_000, 15_000));
    assert_eq!((world.source.selects(), again.stats.samples_total), (selects, 0));
    assert!(Arc::ptr_eq(&first.value, &again.value));
    assert_eq!(world.front.metrics().hits, 1);
}

#[test]
fn what_is_kept_is_answered_while_no_place_is_free() {
    let world = World::new(1 << 20, 1);
    (0..=240).for_each(|i| world.source.write(&gauge(), i * 15_000, i as f64));
    let asked = range("g", 0, 3_600_000, 15_000);
    ask(&world, &asked);
    let runtime = world.runtime.clone();
    runtime.block_on(async {
        let _place = world.front.queries.enter(&asked.tenant).now_or_never().unwrap().unwrap();
        assert!(world.ask(&asked).now_or_never().is_some());
        assert!(world.ask(&range("g", 0, 3_500_000, 15_000)).now_or_never().is_some(), "a part of it, too");
        assert!(world.ask(&range("g + 0", 0, 3_500_000, 15_000)).now_or_never().is_none());
    });
}

#[test]
fn a_late_sample_is_seen_at_once() {
    let world = filled();
    let asked = range("count_over_time(g[2m])", 0, 3_600_000, 60_000);
    let before = ask(&world, &asked);
    world.source.write(&gauge(), 1_801_000, 7.0);
    let after = ask(&world, &asked);
    assert_ne!(before.value, after.value);
    assert_eq!(after.value, world.runtime.block_on(world.evaluated(&asked)).unwrap().value);
    let metrics = world.front.metrics();
    assert_eq!((metrics.partial, metrics.misses), (1, 1));
}

#[test]
fn nothing_is_kept_where_changes_cannot_be_told_or_the_client_refuses() {
    let world = filled();
    let asked = range("g", 0, 3_600_000, 15_000);
    ask(&world, &Asked { may_keep: false, ..asked.clone() });
    world.source.cannot_tell.store(true, Ordering::Relaxed);
    ask(&world, &asked);
    ask(&world, &asked);
    let metrics = world.front.metrics();
    assert_eq!((metrics.bypassed, metrics.entries, metrics.hits), (3, 0, 0));
}

#[test]
fn keys_tell_apart_what_has_different_answers() {
    let world = filled();
    let asked = range("g", 0, 3_600_000, 15_000);
    ask(&world, &asked);
    let others = [
        Asked { lookback_ms: Some(1_000), ..asked.clone() },
        Asked { series_max: 7, ..asked.clone() },
        Asked { tenant: TenantId::new("other").unwrap(), ..asked.clone() },
        range("g", 1, 3_600_000, 15_000),
        range("g", 0, 3_600_000, 30_000),
        range("g ", 0, 3_600_000, 15_000),
    ];
    others.iter().for_each(|other| drop(ask(&world, other)));
    let metrics = world.front.metrics();
    assert_eq!((metrics.hits, metrics.partial, metrics.misses), (0, 0, 7));
}

#[test]
fn memory_is_bounded() {
    let world = World::new(100_000, 4);
    (0..=240).for_each(|i| world.source.write(&gauge(), i * 15_000, i as f64));
    for i in 0..200 {
        ask(&world, &range(&format!("g + {i}"), 0, 3_600_000, 15_000));
    }
    let metrics = world.front.metrics();
    assert!(metrics.bytes <= metrics.bytes_max && metrics.bytes_max == 100_000, "{metrics:?}");
    assert!(metrics.entries >= 1 && metrics.evictions > 100, "{metrics:?}");
    let off = World::new(0, 4);
    ask(&off, &range("g", 0, 3_600_000, 15_000));
    assert_eq!(off.front.metrics(), ResultCacheMetrics::default());
}

/// Asks for the end of a range first, then for all of it: as the engine answers.
fn assert_not_split(world: &World, expr: &str) {
    let (part, whole) = (range(expr, 2_520_000, 3_600_000, 60_000), range(expr, 0, 3_600_000, 60_000));
    ask(world, &part);
    let (found, wanted) =
        world.runtime.block_on(async { (world.ask(&whole).await, world.evaluated(&whole).await) });
    match (found, wanted) {
        (Ok(found), Ok(wanted)) => {
            assert_eq!(format!("{:?}", found.value), format!("{:?}", wanted.value), "{expr}");
            assert_eq!((&found.warnings, &found.infos), (&wanted.warnings, &wanted.infos), "{expr}");
        }
        (found, wanted) => assert_eq!(found.unwrap_err(), wanted.unwrap_err(), "{expr}"),
    }
}

#[test]
fn what_the_whole_alone_tells_is_told() {
    let world = filled();
    for (name, times) in [("era_one", 0..=80), ("era_two", 165..=240)] {
        for i in times {
            world.source.write(&labels(&[("__name__", name), ("a", "1")]), i * 15_000, i as f64);
        }
    }
    for expr in [
        // two names for the same labels: an error, though never at one step
        "rate({__name__=~\"era_.*\"}[2m])",
        "max_over_time(rate({__name__=~\"era_.*\"}[2m])[3m:1m])",
        // the parameter's extremes are told
        "quantile(time() / 1000, g)",
        "topk(scalar(era_two), g)",
        // what hangs on the range
        "g @ start()",
        "sum_over_time(g[range()])",
        "g offset (range() / 2)",
        "sort(g)",
        // what sums up over the steps
        "histogram_quantile(0.5, label_replace(era_two, \"le\", \"+Inf\", \"\", \"\"))",
        "histogram_quantile(0.5, label_replace(-era_two, \"le\", \"1\", \"\", \"\") or label_replace(-era_two - time(), \"le\", \"+Inf\", \"\", \"\"))",
    ] {
        assert_not_split(&world, expr);
    }
}

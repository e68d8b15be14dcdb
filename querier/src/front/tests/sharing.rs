//! Equal queries at the same time.

use std::pin::Pin;

use futures::future::join_all;

use super::*;

type Asking<'a> = Pin<Box<dyn Future<Output = Result<Arc<Answered>, ApiError>> + Send + 'a>>;

fn filled(running_max: usize) -> World {
    let world = World::new(0, running_max);
    let gauge = labels(&[("__name__", "g")]);
    (0..=240).for_each(|i| world.source.write(&gauge, i * 15_000, i as f64));
    world
}

fn run(test: impl Future<Output = ()>) {
    Runtime::simulated(1).block_on(test);
}

fn instant(expr: &str) -> Asked {
    Asked { times: Times::Instant(3_600_000), ..range(expr, 0, 0, 1) }
}

/// Starts to ask; the query hangs in the gate or the queue.
fn begin<'a>(world: &'a World, asked: &'a Asked) -> Asking<'a> {
    let mut asking: Asking<'a> = Box::pin(world.ask(asked));
    assert!(asking.as_mut().now_or_never().is_none());
    asking
}

#[test]
fn equal_queries_under_way_are_evaluated_once() {
    run(async {
        let world = filled(4);
        for asked in [range("g", 0, 3_600_000, 15_000), instant("g")] {
            let before = world.source.selects();
            let shut = world.source.gate.try_lock().unwrap();
            let asking: Vec<_> = (0..5).map(|_| begin(&world, &asked)).collect();
            let other = Asked { timeout: Duration::from_secs(59), ..asked.clone() };
            let other = begin(&world, &other.clone()).now_or_never();
            assert!(other.is_none());
            drop(shut);
            let answers = join_all(asking).await;
            let first = answers[0].as_ref().unwrap();
            assert!(answers.iter().all(|answer| Arc::ptr_eq(answer.as_ref().unwrap(), first)));
            assert!(first.count() && !first.count());
            assert_eq!(
                world.source.selects() - before,
                2,
                "one for the five, one that asked for something else"
            );
            assert_eq!(world.front.flights.count(), 0);
        }
        assert_eq!(world.front.metrics().shared, 8);
    });
}

#[test]
fn who_goes_away_leaves_the_query_to_the_others() {
    run(async {
        let world = filled(4);
        let asked = range("g", 0, 3_600_000, 15_000);
        let shut = world.source.gate.try_lock().unwrap();
        let first = begin(&world, &asked);
        let second = begin(&world, &asked);
        drop(first);
        drop(shut);
        assert!(second.await.is_ok());
        assert_eq!(world.source.selects(), 1);
    });
}

#[test]
fn the_query_ends_when_all_have_gone() {
    run(async {
        let world = filled(1);
        let asked = range("g", 0, 3_600_000, 15_000);
        let shut = world.source.gate.try_lock().unwrap();
        let asking = [begin(&world, &asked), begin(&world, &asked)];
        assert_eq!(world.front.flights.count(), 1);
        drop(asking);
        assert_eq!(world.front.flights.count(), 0);
        assert!(world.front.queries.enter(&asked.tenant).now_or_never().is_some(), "its place is free");
        drop(shut);
    });
}

#[test]
fn a_query_is_not_shared_with_who_knows_of_a_later_sample() {
    run(async {
        let world = filled(4);
        let gauge = labels(&[("__name__", "g")]);
        let asked = range("g", 0, 3_600_000, 15_000);
        let shut = world.source.gate.try_lock().unwrap();
        let first = begin(&world, &asked);
        // what the query does not look at does not matter
        world.source.write(&gauge, 4_000_000, 1.0);
        let second = begin(&world, &asked);
        assert_eq!((world.source.selects(), world.front.metrics().shared), (1, 1));
        world.source.write(&gauge, 1_801_000, 5.0);
        let third = begin(&world, &asked);
        assert_eq!((world.source.selects(), world.front.metrics().shared), (2, 1));
        drop(shut);
        join_all([first, second, third]).await;
    });
}

#[test]
fn a_query_that_waits_is_shared_whatever_is_written() {
    run(async {
        let world = filled(1);
        let gauge = labels(&[("__name__", "g")]);
        let asked = range("count_over_time(g[1h])", 3_000_000, 3_600_000, 15_000);
        let place = world.front.queries.enter(&asked.tenant).now_or_never().unwrap().unwrap();
        let first = begin(&world, &asked);
        world.source.write(&gauge, 1_801_000, 5.0);
        let second = begin(&world, &asked);
        drop(place);
        let answers = join_all([first, second]).await;
        let wanted = world.evaluated(&asked).await.unwrap();
        assert!(answers.iter().all(|answer| answer.as_ref().unwrap().value == wanted.value));
        assert_eq!(world.front.metrics().shared, 1);
    });
}

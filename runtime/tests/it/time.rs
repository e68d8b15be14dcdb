//! Virtual time jumps, in the order of deadlines; equal seeds repeat.

use std::sync::Arc;
use std::time::Duration;

use openraft::AsyncRuntime;
use parking_lot::Mutex;
use runtime::{Elapsed, RaftRuntime, Random, Runtime};

#[test]
fn virtual_time_passes_only_when_nothing_can_run() {
    let runtime = Runtime::simulated(1);
    let clock = runtime.clone();
    runtime.block_on(async {
        let (start, wall) = (clock.monotonic(), clock.now_ms());
        clock.sleep(Duration::from_secs(3600 * 24 * 365)).await;
        assert_eq!(clock.monotonic() - start, Duration::from_secs(3600 * 24 * 365));
        assert_eq!(clock.now_ms() - wall, 3600 * 24 * 365 * 1000);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(clock.monotonic() - start, Duration::from_secs(3600 * 24 * 365));
    });
}

#[test]
fn timers_fire_in_the_order_of_their_deadlines_then_of_their_making() {
    let runtime = Runtime::simulated(1);
    let order = Arc::new(Mutex::new(Vec::new()));
    runtime.block_on(async {
        let tasks: Vec<_> = [30u64, 10, 20, 10, 30, 0]
            .into_iter()
            .enumerate()
            .map(|(i, ms)| {
                let (runtime, order) = (runtime.clone(), Arc::clone(&order));
                runtime.clone().spawn("sleeper", async move {
                    runtime.sleep(Duration::from_millis(ms)).await;
                    order.lock().push(i);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(*order.lock(), [5, 1, 3, 2, 0, 4]);
}

#[test]
fn a_timeout_ends_what_takes_longer_and_nothing_else() {
    let runtime = Runtime::simulated(1);
    runtime.block_on(async {
        let slow = runtime.timeout(Duration::from_secs(1), runtime.sleep(Duration::from_secs(2))).await;
        assert_eq!(slow, Err(Elapsed));
        let quick = runtime.timeout(Duration::from_secs(2), runtime.sleep(Duration::from_secs(1))).await;
        assert_eq!(quick, Ok(()));
        // a timer nobody waits for any more does not hold time back, nor end a wait
        let never_polled = runtime.sleep(Duration::from_millis(1));
        runtime.sleep(Duration::from_secs(1)).await;
        drop(never_polled);
    });
}

/// Tasks that race on random sleeps; what happened, in order.
fn race(seed: u64) -> Vec<(u64, Duration, u64)> {
    let runtime = Runtime::simulated(seed);
    let seen = Arc::new(Mutex::new(Vec::new()));
    runtime.block_on(async {
        let start = runtime.monotonic();
        let tasks: Vec<_> = (0..10u64)
            .map(|i| {
                let (runtime, seen) = (runtime.clone(), Arc::clone(&seen));
                runtime.clone().spawn("racer", async move {
                    for _ in 0..20 {
                        let random = RaftRuntime::thread_rng();
                        let mut random =
                            Random::new(runtime.random_u64() ^ rand_core::Rng::next_u64(&mut { random }));
                        runtime.sleep(Duration::from_micros(random.below(50))).await;
                        seen.lock().push((i, runtime.monotonic() - start, runtime.random_u64()));
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    std::mem::take(&mut *seen.lock())
}

#[test]
fn equal_seeds_give_equal_runs_and_others_do_not() {
    assert_eq!(race(7), race(7));
    assert_ne!(race(7), race(8));
}

#[test]
fn hash_tables_of_equal_seeds_have_equal_order() {
    let order = |seed| {
        Runtime::simulated(seed).block_on(async {
            let mut map = runtime::HashMap::default();
            map.extend((0..100).map(|i| (i, ())));
            map.into_keys().collect::<Vec<i32>>()
        })
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
}

#[test]
fn openraft_accepts_the_runtime() {
    openraft::rt::testing::Suite::<RaftRuntime>::test_all();
}

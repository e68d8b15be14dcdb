//! Tasks end with their owner, loops with their channel; CPU work nobody waits for is skipped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use runtime::{Runtime, Shutdown, TaskError};
use tokio::sync::mpsc;

#[test]
fn a_task_gives_its_result_and_names_itself_when_it_fails() {
    for runtime in [Runtime::real(), Runtime::simulated(1)] {
        runtime.block_on(async {
            assert_eq!(runtime.spawn("sum", async { 1 + 1 }).await, Ok(2));
            let task = runtime.spawn("waits", std::future::pending::<()>());
            task.abort();
            assert_eq!(task.await, Err(TaskError::Cancelled("waits")));
            let panics = runtime.spawn("panics", async { panic!("on purpose") });
            assert_eq!(panics.await, Err::<(), _>(TaskError::Panicked("panics")));
        });
    }
}

#[test]
fn a_dropped_task_is_aborted_and_a_detached_one_is_not() {
    let runtime = Runtime::simulated(1);
    runtime.block_on(async {
        let (sender, mut receiver) = mpsc::channel(2);
        let work = |mark: u8| {
            let (runtime, sender) = (runtime.clone(), sender.clone());
            async move {
                runtime.sleep(Duration::from_secs(1)).await;
                sender.send(mark).await.unwrap();
            }
        };
        drop(runtime.spawn("dropped", work(1)));
        runtime.spawn("detached", work(2)).detach();
        assert_eq!(receiver.recv().await, Some(2));
        runtime.sleep(Duration::from_secs(1)).await;
        assert!(receiver.try_recv().is_err());
    });
}

#[test]
fn a_loop_ends_when_its_channel_closes_and_gives_its_result() {
    for runtime in [Runtime::real(), Runtime::simulated(1)] {
        runtime.block_on(async {
            let (sender, mut receiver) = mpsc::channel(1);
            let sum = runtime.spawn_loop("sum", async move {
                let mut sum = 0;
                while let Some(number) = receiver.recv().await {
                    sum += number;
                }
                sum
            });
            for number in 1..=10 {
                sender.send(number).await.unwrap();
            }
            drop(sender);
            assert_eq!(sum.await, Ok(55));
        });
    }
}

#[test]
fn cpu_work_runs_and_is_skipped_when_nobody_waits() {
    let runtime = Runtime::real();
    runtime.block_on(async {
        assert_eq!(runtime.cpu(|| 6 * 7).await, 42);
        let threads = runtime.cpu_stats().threads;
        assert!(threads > 0);
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(parking_lot::Mutex::new(held));
        let (started, mut starts) = mpsc::channel(threads);
        let busy: Vec<_> = (0..threads)
            .map(|_| {
                let (runtime, held, started) = (runtime.clone(), Arc::clone(&held), started.clone());
                runtime.clone().spawn("busy", async move {
                    let work = move || {
                        started.blocking_send(()).unwrap();
                        held.lock().recv().unwrap();
                    };
                    runtime.cpu(work).await;
                })
            })
            .collect();
        for _ in 0..threads {
            starts.recv().await.unwrap();
        }
        assert_eq!(runtime.cpu_stats().running, threads);
        let ran = Arc::new(AtomicBool::new(false));
        let mark = Arc::clone(&ran);
        let mut unwanted = Box::pin(runtime.cpu(move || mark.store(true, Ordering::SeqCst)));
        assert!(futures::poll!(unwanted.as_mut()).is_pending());
        assert_eq!(runtime.cpu_stats().pending, 1);
        drop(unwanted);
        for _ in 0..threads {
            release.send(()).unwrap();
        }
        for task in busy {
            task.await.unwrap();
        }
        assert_eq!(runtime.cpu(|| 1).await, 1, "the pool goes on");
        assert!(!ran.load(Ordering::SeqCst));
    });
}

#[test]
fn shutdown_wakes_all_who_wait_and_all_who_come_later() {
    let runtime = Runtime::simulated(1);
    runtime.block_on(async {
        let shutdown = Shutdown::new();
        let waiting = runtime.spawn("waits", {
            let shutdown = shutdown.clone();
            async move { shutdown.cancelled().await }
        });
        runtime.sleep(Duration::from_secs(1)).await;
        assert!(!waiting.is_finished() && !shutdown.is_triggered());
        shutdown.trigger();
        waiting.await.unwrap();
        shutdown.cancelled().await;
    });
}

#[test]
fn a_simulation_refuses_sockets_and_the_real_runtime_has_them() {
    let local = "127.0.0.1:0".parse().unwrap();
    let runtime = Runtime::simulated(1);
    assert!(runtime.block_on(async { runtime::net::listen(local).await }).is_err());
    let runtime = Runtime::real();
    runtime.block_on(async {
        let listener = runtime::net::listen(local).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, connected) = tokio::join!(listener.accept(), runtime::net::connect(address));
        assert_eq!(accepted.unwrap().1, connected.unwrap().local_addr().unwrap());
    });
}

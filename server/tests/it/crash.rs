//! `kill -9` at random moments under load: every acknowledged sample is there afterwards, once, unaltered.
//!
//! Writers send and remember what was acknowledged; what broke off is sent again after the restart, as a
//! Prometheus would. Flushes run beside them, so that crashes also hit cuts, uploads and publications.
//! The moment of the kill is a number of acknowledgements drawn at random: no clock, no waiting.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, RwLock};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::process::{Server, free_port, request};
use crate::write::{HEADERS_1, encode, named, snappy};

const WRITERS: usize = 3;
const SERIES_PER_WRITER: usize = 40;
const STEP_MS: i64 = 1000;

/// The value of a sample: a function of where it belongs, so that any mix-up shows.
fn value(writer: usize, series: usize, sequence: i64) -> f64 {
    (writer * 1_000_000 + series * 1000) as f64 + sequence as f64 / 8.0
}

struct Load {
    port: u16,
    start_ms: i64,
    up: RwLock<()>,
    stop: AtomicBool,
    acknowledged: Mutex<u64>,
    progress: Condvar,
    /// Per writer: sequences below are acknowledged.
    done: [Mutex<i64>; WRITERS],
}

impl Load {
    /// Sends sequence after sequence until told to stop.
    fn write(&self, writer: usize) {
        let url = format!("http://127.0.0.1:{}/api/v1/push", self.port);
        while !self.stop.load(Ordering::SeqCst) {
            let sequence = *self.done[writer].lock().unwrap();
            let t = self.start_ms + sequence * STEP_MS;
            let series: Vec<_> = (0..SERIES_PER_WRITER)
                .map(|i| named(&format!("crash_{writer}"), i, vec![(t, value(writer, i, sequence))]))
                .collect();
            let body = snappy(&encode(&series));
            let Ok(answer) = request(&url, "POST", &HEADERS_1, &body) else {
                // Dead: wait until the restart is done (whoever restarts holds the lock).
                drop(self.up.read().unwrap());
                continue;
            };
            match answer.status {
                204 => {
                    *self.done[writer].lock().unwrap() = sequence + 1;
                    *self.acknowledged.lock().unwrap() += 1;
                    self.progress.notify_all();
                }
                503 => {}
                other => {
                    // Nobody would notice a writer that is gone; the join after the round does.
                    self.end();
                    panic!("writer {writer} got {other}: {}", answer.text());
                }
            }
        }
    }

    /// Requests acknowledged so far.
    fn count(&self) -> u64 {
        *self.acknowledged.lock().unwrap()
    }

    /// Waits for so many acknowledged requests, or the end.
    fn wait_for(&self, target: u64) {
        let guard = self.acknowledged.lock().unwrap();
        let waiting = |count: &mut u64| *count < target && !self.stop.load(Ordering::SeqCst);
        drop(self.progress.wait_while(guard, waiting).unwrap());
    }

    /// Ends the load.
    fn end(&self) {
        self.stop.store(true, Ordering::SeqCst);
        // Whoever checks the flag under the lock and then waits is woken.
        drop(self.acknowledged.lock().unwrap());
        self.progress.notify_all();
    }

    /// Cuts blocks at random moments.
    fn flush(&self, mut random: StdRng) {
        while !self.stop.load(Ordering::SeqCst) {
            self.wait_for(self.count() + random.random_range(5..60));
            let url =
                format!("http://127.0.0.1:{}/ingester/flush?drop={}", self.port, random.random_bool(0.5));
            // A crash in the middle is the point.
            let _answer = request(&url, "POST", &[], b"");
        }
    }

    /// Everything acknowledged is there once; everything there was sent.
    fn check(&self, server: &Server) {
        for writer in 0..WRITERS {
            let done = *self.done[writer].lock().unwrap();
            let end = self.start_ms + (done + 2) * STEP_MS;
            let range = (done + 10) * STEP_MS / 1000;
            let result = server.query(&format!("crash_{writer}[{range}s]"), end);
            let mut found: HashMap<usize, Vec<(i64, f64)>> = HashMap::new();
            for series in result.as_array().unwrap() {
                let i = series["metric"]["i"].as_str().unwrap().parse().unwrap();
                let samples = series["values"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|p| {
                        (
                            (p[0].as_f64().unwrap() * 1000.0).round() as i64,
                            p[1].as_str().unwrap().parse().unwrap(),
                        )
                    })
                    .collect();
                assert!(found.insert(i, samples).is_none(), "crash_{writer}{{i=\"{i}\"}} is there twice");
            }
            for i in 0..SERIES_PER_WRITER {
                let samples = found.remove(&i).unwrap_or_default();
                for (k, (t, v)) in samples.iter().enumerate() {
                    let sequence = k as i64;
                    assert_eq!(
                        *t,
                        self.start_ms + sequence * STEP_MS,
                        "writer {writer} series {i}: lost or doubled at {sequence} of {done}"
                    );
                    assert_eq!(
                        *v,
                        value(writer, i, sequence),
                        "writer {writer} series {i}: altered at {sequence}"
                    );
                }
                let present = samples.len() as i64;
                assert!(
                    present >= done,
                    "writer {writer} series {i}: {present} present, {done} acknowledged"
                );
                assert!(
                    present <= done + 1,
                    "writer {writer} series {i}: {present} present, {done} acknowledged"
                );
            }
        }
    }
}

#[test]
fn kill_9_under_load_loses_and_doubles_nothing() {
    let rounds: u32 = std::env::var("CRASH_ROUNDS").map_or(6, |text| text.parse().unwrap());
    let seed: u64 = std::env::var("CRASH_SEED").map_or_else(|_| rand::random(), |text| text.parse().unwrap());
    println!("CRASH_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut server = Server::start_on(port, dir.path(), &[], &[]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let load = Arc::new(Load {
        port,
        // Far enough back that no sequence runs into the future, near enough to be taken.
        start_ms: (now - 10 * 3_600_000) / STEP_MS * STEP_MS,
        up: RwLock::new(()),
        stop: AtomicBool::new(false),
        acknowledged: Mutex::new(0),
        progress: Condvar::new(),
        done: [const { Mutex::new(0) }; WRITERS],
    });
    for round in 0..rounds {
        load.stop.store(false, Ordering::SeqCst);
        let mut threads: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let load = Arc::clone(&load);
                std::thread::spawn(move || load.write(writer))
            })
            .collect();
        let flusher = (Arc::clone(&load), StdRng::seed_from_u64(random.random()));
        threads.push(std::thread::spawn(move || flusher.0.flush(flusher.1)));
        load.wait_for(load.count() + random.random_range(1..150));
        {
            let _restarting = load.up.write().unwrap();
            server.kill();
            load.end();
            server = Server::start_on(port, dir.path(), &[], &[]);
        }
        for thread in threads {
            thread.join().unwrap();
        }
        load.check(&server);
        println!("round {round}: {} requests acknowledged so far, all there", load.count());
    }
    assert!(server.terminate(), "{}", server.log());
}

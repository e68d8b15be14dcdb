//! A real process killed in the middle of its writes: what it said was acknowledged is there.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use runtime::{Random, Runtime};

use crate::ledger::{check, config, open, payload};

/// Tells the child where to write; without it the child test does nothing.
const DIR: &str = "EPIMETHEUS_CLUSTER_KILL_TEST_DIR";
const SEED: &str = "EPIMETHEUS_CLUSTER_KILL_TEST_SEED";

/// The process that is killed: writes for ever, a line for each acknowledgement.
#[test]
fn child_writes_until_killed() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    let seed: u64 = std::env::var(SEED).unwrap().parse().unwrap();
    let runtime = Runtime::real();
    runtime.block_on(async {
        let config = cluster::ClusterConfig { snapshot_log_bytes: 1 << 20, ..config(dir) };
        let (_cluster, group, _) = open(&runtime, &config).await;
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let group = group.clone();
                let mut random = Random::new(seed * 4 + writer);
                runtime.spawn("writer", async move {
                    loop {
                        let number = random.next_u64();
                        let len = usize::try_from(random.below(8000)).unwrap();
                        let (position, _) = group.propose(payload(number, len)).await.unwrap();
                        // one write, so that a kill leaves whole lines or none
                        let line = format!("ack {} {number}\n", position.index);
                        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                    }
                })
            })
            .collect();
        futures::future::join_all(writers).await;
    });
}

/// Starts the child, reads some acknowledgements, kills it, reads what else it had said.
fn kill_after(dir: &std::path::Path, seed: u64, lines: usize) -> Vec<(u64, u64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["kill::child_writes_until_killed", "--exact", "--nocapture"])
        .env(DIR, dir)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while output.read_line(&mut line).unwrap() > 0 {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["ack", index, number] = words[..]
            && line.ends_with('\n')
        {
            acknowledged.push((index.parse().unwrap(), number.parse().unwrap()));
        }
        line.clear();
        if acknowledged.len() == lines {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acknowledged.len() >= lines);
    acknowledged
}

#[test]
fn a_killed_process_loses_nothing_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = Runtime::real();
    let mut acknowledged = Vec::new();
    for round in 0..8u64 {
        let lines = usize::try_from(1 + round * 37).unwrap();
        acknowledged.extend(kill_after(dir.path(), round, lines));
        runtime.block_on(async {
            let (cluster, _group, applied) = open(&runtime, &config(dir.path())).await;
            check(&acknowledged, &applied.lock(), &format!("after kill {round}"));
            cluster.shutdown().await.unwrap();
        });
    }
}

//! Prometheus's own scripts, where `PROMQLTEST_DIR` says they are; nothing is run without it.

use promql::EngineTarget;
use promql::test_script::{Report, parse_script, run_script};
use runtime::Runtime;

#[test]
fn scripts_of_prometheus_pass() {
    let Ok(folder) = std::env::var("PROMQLTEST_DIR") else { return };
    let only = std::env::var("PROMQLTEST_ONLY").unwrap_or_default();
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "test"))
        .filter(|path| path.to_string_lossy().contains(&only))
        .collect();
    paths.sort();
    let runtime = Runtime::real();
    let mut all = Report::default();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let script = parse_script(&name, &std::fs::read_to_string(&path).unwrap()).unwrap();
        let mut target = EngineTarget::new(runtime.clone());
        let report = runtime.block_on(run_script(&script, &mut target));
        println!("{name}: {} passed, {} failed", report.passed, report.failures.len());
        all.merge(report);
    }
    for failure in &all.failures {
        println!("{failure}");
    }
    println!("{} passed, {} failed", all.passed, all.failures.len());
    assert!(all.failures.is_empty());
}

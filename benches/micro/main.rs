//! What single stages cost: `cargo bench -p benches`, or `cargo bench -p benches -- wal/` for a part.
//!
//! One file per subject. Data is made when the first benchmark that needs it runs.

mod block;
mod dashboard;
mod flight;
mod head;
mod json;
mod parse;
mod promql;
mod receive;
mod seams;
mod wal;

use criterion::Criterion;
use tempfile::TempDir;

/// A folder on the disk of the target directory (`/tmp` may be memory, where an fsync costs nothing); removed when
/// it is dropped.
fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target directory can be written")
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    receive::benches(&mut criterion);
    wal::benches(&mut criterion);
    parse::benches(&mut criterion);
    json::benches(&mut criterion);
    block::benches(&mut criterion);
    promql::benches(&mut criterion);
    head::benches(&mut criterion);
    dashboard::benches(&mut criterion);
    flight::benches(&mut criterion);
    seams::benches(&mut criterion);
    criterion.final_summary();
}

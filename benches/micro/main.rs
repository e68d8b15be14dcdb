//! What single stages cost: `cargo bench -p benches`, or `cargo bench -p benches -- wal/` for a part.
//!
//! One file per subject. Data is made when the first benchmark that needs it runs.

mod parse;
mod receive;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    receive::benches(&mut criterion);
    parse::benches(&mut criterion);
    criterion.final_summary();
}

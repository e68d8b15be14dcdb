//! What goes over the wire for `sum by` depends on groups and steps, not on series.

use std::sync::Arc;

use flight::Direction;
use model::Labels;
use promql::{MemorySource, Rewrites};

use crate::nodes::{SAMPLES, STEP, TestNode, engine, range};

const GROUPS: usize = 10;

fn source(series: usize) -> Arc<MemorySource> {
    let source = MemorySource::new();
    for i in 0..series {
        let (group, instance) = (format!("group-{}", i % GROUPS), format!("instance-{i}"));
        let labels = Labels::new([("__name__", "c_total"), ("x", &group), ("instance", &instance)]).unwrap();
        let samples: Vec<_> = (0..SAMPLES).map(|s| (s * STEP, (s * (i as i64 + 1)) as f64, 0)).collect();
        source.add_floats(&labels, &samples);
    }
    Arc::new(source)
}

async fn bytes(series: usize, rewrites: Rewrites) -> u64 {
    let node = TestNode::start(source(series)).await;
    let answer = range(&engine(rewrites), Arc::new(node.remote()), "sum by (x) (rate(c_total[5m]))").await;
    assert_eq!(answer.unwrap().stats.series, series as u64);
    let (sent, received) = (Direction::Sent, Direction::Received);
    let of = |ticket| node.traffic.bytes(sent, ticket) + node.traffic.bytes(received, ticket);
    of("fragment") + of("select")
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_by_group_cost_the_same_bytes_for_any_number_of_series() {
    let (few, many) = (bytes(50, Rewrites::default()).await, bytes(5_000, Rewrites::default()).await);
    assert!(few.abs_diff(many) < 64, "{few} bytes for 50 series, {many} for 5,000");
    let raw = bytes(5_000, Rewrites::NONE).await;
    assert!(raw > 50 * many, "{raw} bytes as samples, {many} as sums");
}

//! Our own metrics, taken in as a scrape would.

use model::{MetricType, TenantId};

use crate::Door;
use crate::store::NOW;

const EXTRA: [(&str, &str); 2] = [("job", "epimetheus"), ("instance", "localhost:9009")];

fn value(door: &Door, pairs: &[(&str, &str)], t: i64) -> f64 {
    let pairs: Vec<_> = pairs.iter().copied().chain(EXTRA).collect();
    f64::from_bits(door.store.series("anonymous", &pairs).unwrap().floats[&t].0)
}

#[test]
fn a_page_is_stored_with_up_and_its_kin() {
    let door = Door::new();
    let tenant = TenantId::anonymous();
    let page = "# HELP requests Requests.\n# TYPE requests counter\nrequests_total{code=\"200\",job=\"x\"} 3\nload 0.5\n# EOF\n";
    for (i, t) in [NOW, NOW + 15_000].into_iter().enumerate() {
        let done = door.runtime.block_on(door.distributor.append_text(&tenant, &EXTRA, t, page)).unwrap();
        assert_eq!((done.written, done.refused.as_str(), done.malformed), (7, "", None));
        let requests: Vec<_> =
            [("__name__", "requests_total"), ("code", "200"), ("exported_job", "x")].to_vec();
        assert_eq!(value(&door, &requests, t), 3.0);
        assert_eq!(value(&door, &[("__name__", "up")], t), 1.0);
        assert_eq!(value(&door, &[("__name__", "scrape_samples_scraped")], t), 2.0);
        assert!(value(&door, &[("__name__", "scrape_duration_seconds")], t) >= 0.0);
        assert_eq!(door.distributor.metrics().lane_misses, 7, "round {i}");
        assert_eq!(door.store.metadata_appends(), 1);
    }
    // what is gone is marked stale, once; a page that cannot be read takes everything with it
    for (t, page, stale) in
        [(NOW + 30_000, "load 0.6\n", 1), (NOW + 45_000, "load 0.7\n", 0), (NOW + 60_000, "{", 1)]
    {
        door.runtime.block_on(door.distributor.append_text(&tenant, &EXTRA, t, page)).unwrap();
        let all = door.store.all(&tenant);
        let marked = all
            .iter()
            .filter(|(_, s)| s.floats.get(&t).is_some_and(|(bits, _)| *bits == model::STALE_NAN_BITS));
        assert_eq!(marked.count(), stale, "{page}");
    }
    assert_eq!(value(&door, &[("__name__", "scrape_series_added")], NOW), 2.0);
    assert_eq!(value(&door, &[("__name__", "scrape_series_added")], NOW + 15_000), 0.0);
    assert_eq!(door.store.metadata("anonymous", "requests").unwrap().metric_type, MetricType::Counter);
}

#[test]
fn a_malformed_page_is_down() {
    let door = Door::new();
    let tenant = TenantId::anonymous();
    let done = door
        .runtime
        .block_on(door.distributor.append_text(&tenant, &EXTRA, NOW, "load 0.5\nload{ 1\n"))
        .unwrap();
    assert_eq!((done.written, done.malformed.unwrap().line), (5, 2));
    assert_eq!(value(&door, &[("__name__", "up")], NOW), 0.0);
    assert_eq!(value(&door, &[("__name__", "scrape_samples_scraped")], NOW), 0.0);
    assert_eq!(door.store.all(&tenant).len(), 5);
}

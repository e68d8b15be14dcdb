//! Tickets: there and back, and any bytes.

use proptest::prelude::*;

use super::*;

fn matcher() -> impl Strategy<Value = Matcher> {
    (0..4usize, "[a-z]{1,6}", "[a-z]{1,6}(\\||\\.\\*)?[a-z]{0,4}").prop_map(|(op, name, value)| {
        let op = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex][op];
        Matcher::new(op, &name, &value).unwrap()
    })
}

fn listing() -> impl Strategy<Value = MetadataRequest> {
    let sets = proptest::collection::vec(proptest::collection::vec(matcher(), 0..4), 0..3);
    (sets, any::<i64>(), any::<i64>(), 0..1000usize).prop_map(|(matchers, start, end, limit)| {
        MetadataRequest { tenant: TenantId::anonymous(), matchers, range: TimeRange { start, end }, limit }
    })
}

fn select() -> impl Strategy<Value = SelectRequest> {
    (listing(), proptest::collection::vec("[a-z]{1,5}", 0..4), 0..3).prop_map(
        |(listing, mut names, wanted)| {
            names.sort();
            let mut matchers: Vec<Matcher> = listing.matchers.into_iter().flatten().collect();
            matchers.push(Matcher::equal("__name__", "up"));
            SelectRequest {
                tenant: listing.tenant,
                matchers,
                range: listing.range,
                labels: match wanted {
                    0 => LabelsWanted::All,
                    1 => LabelsWanted::Only(names),
                    _ => LabelsWanted::Without(names),
                },
                series_max: listing.limit,
            }
        },
    )
}

fn fragment() -> impl Strategy<Value = Fragment> {
    let numbers = (0..1u64 << 40, 0..1_000_000usize, 0..100usize, -1_000_000_000..1_000_000_000i64);
    ("[a-z(){}]{0,60}", any::<bool>(), any::<bool>(), 0..1_000i64, 1..100_000i64, numbers).prop_map(
        |(expr, states, per_step_stats, steps, step, (big, size, offset, start))| Fragment {
            tenant: TenantId::anonymous(),
            text_offset: offset,
            output: match (states, size % 2) {
                (false, 0) => FragmentOutput::WindowStates(TimeRange { start: -5, end: offset as i64 }),
                (false, _) => FragmentOutput::Rows,
                (true, _) => FragmentOutput::AggregationStates,
            },
            grid: (start, start + steps * step, step),
            query: (start, start, 0),
            lookback_ms: start,
            features: vec!["promql-binop-fill-modifiers".to_owned()],
            count_times: big,
            stats_only: vec![(0, expr.len()), (expr.len() / 2, expr.len())],
            per_step_stats,
            series_max: size,
            samples_max: size,
            timeout_ms: big,
            explain: [Explain::No, Explain::Plan, Explain::Analyze][size % 3],
            expr,
        },
    )
}

fn ticket() -> impl Strategy<Value = Ticket> {
    prop_oneof![
        fragment().prop_map(|fragment| Ticket::Fragment(Box::new(fragment))),
        select().prop_map(Ticket::Select),
        listing().prop_map(Ticket::LabelNames),
        (listing(), ".{0,9}").prop_map(|(listing, name)| Ticket::LabelValues(listing, name)),
        listing().prop_map(Ticket::Series),
        proptest::option::of(".{0,9}").prop_map(Ticket::Metadata),
        listing().prop_map(Ticket::Exemplars),
        proptest::option::of(proptest::collection::vec(any::<u64>(), 0..9))
            .prop_map(|numbers| Ticket::Changes(numbers.map(|numbers| DataVersion::new(&numbers)))),
    ]
}

proptest! {
    #[test]
    fn tickets_arrive_as_they_were_sent(ticket in ticket()) {
        let there = Ticket::decode(ticket.encode().unwrap(), &TenantId::anonymous()).unwrap();
        prop_assert_eq!(format!("{ticket:?}"), format!("{there:?}"));
        prop_assert_eq!(ticket.kind(), there.kind());
    }

    #[test]
    fn damaged_tickets_are_read_or_refused(
        ticket in ticket(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index,
    ) {
        let mut bytes = ticket.encode().unwrap().to_vec();
        let position = at.index(bytes.len());
        bytes[position] = byte;
        fuzz_ticket(&bytes);
        fuzz_ticket(&bytes[..cut.index(bytes.len())]);
    }

    #[test]
    fn any_bytes_are_read_or_refused(data: Vec<u8>) {
        fuzz_ticket(&data);
    }
}

#[test]
fn the_tenant_is_the_one_who_asks() {
    let listing = MetadataRequest {
        tenant: TenantId::new("somebody-else").unwrap(),
        matchers: vec![],
        range: TimeRange::all(),
        limit: 0,
    };
    let bytes = Ticket::Series(listing).encode().unwrap();
    let Ok(Ticket::Series(there)) = Ticket::decode(bytes, &TenantId::anonymous()) else {
        panic!("another ticket");
    };
    assert_eq!(there.tenant, TenantId::anonymous());
}

#[test]
fn points_are_counted_before_anything_is_made_of_them() {
    let grid = |start, end, step| get_grid(Some(wire::Grid { start, end, step }));
    assert!(grid(0, 10, 5).is_ok() && grid(7, 7, 0).is_ok());
    assert!(grid(i64::MAX - 1, i64::MAX, 1).is_ok());
    assert!(grid(0, STEPS_MAX, 1).is_err() && grid(i64::MIN, i64::MAX, 1000).is_err());
    assert!(grid(5, 0, 1).is_err() && grid(0, 10, 0).is_err() && grid(0, 10, -1).is_err());
}

#[test]
fn a_ticket_has_a_largest_size() {
    let ticket = Ticket::Metadata(Some("x".repeat(TICKET_BYTES_MAX)));
    assert!(matches!(ticket.encode(), Err(TicketError::TooLong(_))));
    let bytes = Bytes::from(vec![0; TICKET_BYTES_MAX + 1]);
    assert!(matches!(Ticket::decode(bytes, &TenantId::anonymous()), Err(TicketError::TooLong(_))));
}

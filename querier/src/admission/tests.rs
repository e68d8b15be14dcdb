//! Turns, bounds, and what becomes of places.

use std::pin::Pin;

use futures::FutureExt;
use proptest::prelude::*;

use super::*;

/// A request that waits.
type Entering<'a> = Pin<Box<dyn Future<Output = Result<Permit, ApiError>> + Send + 'a>>;

fn bounds(running_max: usize, waiting_max: usize) -> Bounds {
    Bounds {
        what: "queries",
        running_max,
        tenant_running_max: 0,
        waiting_max,
        tenant_waiting_max: 0,
        settings: Some(("query.max_waiting", "query.tenant_max_waiting")),
    }
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

/// Asks for a place and is in the queue, if not in, when this returns.
fn ask<'a>(admission: &'a Admission, tenant: &'a TenantId) -> Result<Permit, Entering<'a>> {
    let mut entering: Entering<'a> = Box::pin(admission.enter(tenant));
    match entering.as_mut().now_or_never() {
        Some(permit) => Ok(permit.unwrap()),
        None => Err(entering),
    }
}

fn enter(admission: &Admission, tenant: &TenantId) -> Permit {
    ask(admission, tenant).ok().expect("there is a place")
}

fn wait<'a>(admission: &'a Admission, tenant: &'a TenantId) -> Entering<'a> {
    ask(admission, tenant).expect_err("no place is free")
}

fn refusal(admission: &Admission, tenant: &TenantId) -> ApiError {
    admission.enter(tenant).now_or_never().unwrap().unwrap_err()
}

#[test]
fn the_queue_is_bounded_and_first_come_first_served() {
    let admission = Admission::new(bounds(1, 2));
    let a = tenant("a");
    let running = enter(&admission, &a);
    let mut second = wait(&admission, &a);
    let mut third = wait(&admission, &a);
    assert_eq!(admission.waiting(), 2);
    let refused = refusal(&admission, &a);
    assert_eq!(
        refused.to_string(),
        "too many queries: 1 are running and 2 are waiting (`query.max_waiting`)"
    );
    assert_eq!((refused.status(), refused.error_type()), (503, "unavailable"));
    drop(running);
    assert!(third.as_mut().now_or_never().is_none());
    let running = second.as_mut().now_or_never().unwrap().unwrap();
    assert!(third.as_mut().now_or_never().is_none());
    drop(running);
    assert!(third.as_mut().now_or_never().unwrap().is_ok());
    assert_eq!(admission.waiting(), 0);
    assert_eq!(admission.refused(), Refused { overall: 1, of_tenant: 0 });
}

#[test]
fn a_tenant_with_a_thousand_waiting_delays_another_by_one_place() {
    let admission = Admission::new(bounds(2, 10_000));
    let (many, few) = (tenant("many"), tenant("few"));
    let mut running = vec![enter(&admission, &many), enter(&admission, &many)];
    let crowd: Vec<_> = (0..1000).map(|_| wait(&admission, &many)).collect();
    let mut one = wait(&admission, &few);
    // the first place that gets free may be that of the tenant whose turn it was; the second is not
    running.pop();
    running.pop();
    let _place = one.as_mut().now_or_never().expect("its turn has come").unwrap();
    assert_eq!(admission.waiting(), 999);
    drop(crowd);
}

#[test]
fn tenants_take_turns() {
    let admission = Admission::new(bounds(1, 100));
    let names = [tenant("a"), tenant("b"), tenant("c")];
    let first = enter(&admission, &names[0]);
    let mut waiting: Vec<(usize, Entering<'_>)> = Vec::new();
    for who in [0, 0, 0, 1, 1, 2] {
        waiting.push((who, wait(&admission, &names[who])));
    }
    let mut order = Vec::new();
    let mut place = Some(first);
    while !waiting.is_empty() {
        drop(place.take());
        let next = waiting.iter_mut().position(|(_, entering)| {
            place = entering.as_mut().now_or_never().map(Result::unwrap);
            place.is_some()
        });
        order.push(waiting.remove(next.unwrap()).0);
    }
    assert_eq!(order, [0, 1, 2, 0, 1, 0]);
}

#[test]
fn a_tenant_at_its_own_limit_waits_while_others_run() {
    let admission = Admission::new(Bounds { tenant_running_max: 1, ..bounds(3, 10) });
    let (a, b) = (tenant("a"), tenant("b"));
    let running = enter(&admission, &a);
    let mut second = wait(&admission, &a);
    let other = enter(&admission, &b);
    assert!(second.as_mut().now_or_never().is_none());
    drop(other);
    assert!(second.as_mut().now_or_never().is_none());
    drop(running);
    assert!(second.as_mut().now_or_never().unwrap().is_ok());
}

#[test]
fn a_tenants_queue_is_bounded_by_itself() {
    let admission = Admission::new(Bounds { tenant_waiting_max: 1, ..bounds(1, 10) });
    let (a, b) = (tenant("a"), tenant("b"));
    let _running = enter(&admission, &a);
    let _second = wait(&admission, &a);
    let refused = refusal(&admission, &a);
    assert_eq!(
        refused.to_string(),
        "too many queries of tenant `a`: 1 are waiting, the limit of a tenant (`query.tenant_max_waiting`)"
    );
    assert_eq!((refused.status(), refused.error_type()), (429, "too_many_requests"));
    assert!(ask(&admission, &b).is_err(), "another tenant may still wait");
    assert_eq!(admission.refused(), Refused { overall: 0, of_tenant: 1 });
}

#[test]
fn who_gives_up_waiting_leaves_the_queue() {
    let admission = Admission::new(bounds(1, 1));
    let a = tenant("a");
    let running = enter(&admission, &a);
    let gone = wait(&admission, &a);
    drop(gone);
    assert_eq!(admission.waiting(), 0);
    // one that goes away when the place is on its way to it gives it back
    let late = wait(&admission, &a);
    drop(running);
    drop(late);
    assert!(ask(&admission, &a).is_ok());
    assert!(admission.0.state.lock().tenants.is_empty());
}

proptest! {
    /// Whatever happens: no more run than may, nobody waits who could run, and at the end nothing is left over.
    #[test]
    fn places_are_neither_lost_nor_made(
        running_max in 1_usize..4,
        tenant_running_max in 0_usize..3,
        steps in proptest::collection::vec((0_usize..3, 0_usize..3, 0_usize..8), 1..120),
    ) {
        let admission = Admission::new(Bounds { tenant_running_max, ..bounds(running_max, 1000) });
        let names = [tenant("a"), tenant("b"), tenant("c")];
        let mut waiting: Vec<(usize, Entering<'_>)> = Vec::new();
        let mut running: Vec<(usize, Permit)> = Vec::new();
        for (action, who, which) in steps {
            match action {
                0 => match ask(&admission, &names[who]) {
                    Ok(permit) => running.push((who, permit)),
                    Err(entering) => waiting.push((who, entering)),
                },
                1 if !waiting.is_empty() => drop(waiting.remove(which % waiting.len())),
                2 if !running.is_empty() => drop(running.remove(which % running.len())),
                _ => {}
            }
            let mut still = Vec::new();
            for (who, mut entering) in waiting {
                match entering.as_mut().now_or_never() {
                    Some(permit) => running.push((who, permit.unwrap())),
                    None => still.push((who, entering)),
                }
            }
            waiting = still;
            let of = |who: usize| running.iter().filter(|(w, _)| *w == who).count();
            let own_max = if tenant_running_max == 0 { running_max } else { tenant_running_max };
            prop_assert!(running.len() <= running_max);
            prop_assert!((0..3).all(|who| of(who) <= own_max));
            prop_assert_eq!(admission.waiting(), waiting.len());
            if running.len() < running_max {
                prop_assert!(waiting.iter().all(|(who, _)| of(*who) == own_max));
            }
        }
        drop(waiting);
        drop(running);
        let state = admission.0.state.lock();
        prop_assert_eq!((state.running, state.waiting, state.tenants.len(), state.turns.len()), (0, 0, 0, 0));
    }
}

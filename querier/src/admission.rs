//! How many requests run at once, whose is next, and how many may wait: beyond that one is refused, not queued.
//!
//! Every tenant has a queue of its own. A place that gets free goes to the queues in turn, so a tenant with a
//! thousand waiting requests delays another's one by one place at most. Within a tenant: first come, first served.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use model::TenantId;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::ApiError;

/// What an [`Admission`] lets in.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// What is let in (plural), for refusals.
    pub(crate) what: &'static str,
    /// Running at a time; at least 1.
    pub(crate) running_max: usize,
    /// Of one tenant; 0: as many as of all.
    pub(crate) tenant_running_max: usize,
    /// Waiting at a time.
    pub(crate) waiting_max: usize,
    /// Of one tenant; 0: as many as of all.
    pub(crate) tenant_waiting_max: usize,
    /// The settings of `waiting_max` and `tenant_waiting_max`, where there are some.
    pub(crate) settings: Option<(&'static str, &'static str)>,
}

/// Requests that were turned away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Because too many of all waited.
    pub(crate) overall: u64,
    /// Because too many of their tenant waited.
    pub(crate) of_tenant: u64,
}

/// The queues.
#[derive(Debug, Clone)]
pub(crate) struct Admission(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bounds: Bounds,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    waiting: usize,
    /// Those that run or wait.
    tenants: HashMap<TenantId, Tenant>,
    /// The tenants that wait, next first; each once.
    turns: VecDeque<TenantId>,
    next_ticket: u64,
    refused: Refused,
}

#[derive(Debug, Default)]
struct Tenant {
    running: usize,
    waiting: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    place: oneshot::Sender<Permit>,
}

/// A place. Free again when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Admission,
    tenant: TenantId,
}

/// Leaves the queue when its request goes away before it got a place.
struct Waiting<'a> {
    admission: &'a Admission,
    tenant: &'a TenantId,
    ticket: u64,
}

impl Admission {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let bounds = Bounds { running_max: bounds.running_max.max(1), ..bounds };
        Admission(Arc::new(Inner { bounds, state: Mutex::default() }))
    }

    /// Waits for a place; refuses at once when a queue is full.
    pub(crate) async fn enter(&self, tenant: &TenantId) -> Result<Permit, ApiError> {
        let (ticket, place) = {
            let mut state = self.0.state.lock();
            if state.has_room(&self.0.bounds, tenant) {
                state.start(tenant);
                return Ok(Permit { admission: self.clone(), tenant: tenant.clone() });
            }
            state.queue(&self.0.bounds, tenant)?
        };
        let _waiting = Waiting { admission: self, tenant, ticket };
        place.await.map_err(|_| ApiError::Unavailable("the server is shutting down".to_owned()))
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.0.state.lock().waiting
    }

    /// How many were turned away.
    pub(crate) fn refused(&self) -> Refused {
        self.0.state.lock().refused
    }

    /// Hands free places to those whose turn it is.
    fn dispatch(&self) {
        loop {
            let next = self.0.state.lock().next(&self.0.bounds);
            let Some((tenant, waiter)) = next else { return };
            // One that has just gone away gives the place back by dropping it, out here: no lock is held.
            let _gone = waiter.place.send(Permit { admission: self.clone(), tenant });
        }
    }
}

impl State {
    /// Whether a tenant's request can start without overtaking one that could too.
    fn has_room(&self, bounds: &Bounds, tenant: &TenantId) -> bool {
        self.running < bounds.running_max
            && self.tenants.get(tenant).is_none_or(|t| t.waiting.is_empty() && t.has_room(bounds))
    }

    fn start(&mut self, tenant: &TenantId) {
        self.running += 1;
        self.tenants.entry_ref(tenant).or_default().running += 1;
    }

    fn queue(
        &mut self,
        bounds: &Bounds,
        tenant: &TenantId,
    ) -> Result<(u64, oneshot::Receiver<Permit>), ApiError> {
        let what = bounds.what;
        let of_tenant = self.tenants.get(tenant).map_or(0, |t| t.waiting.len());
        if bounds.tenant_waiting_max > 0 && of_tenant >= bounds.tenant_waiting_max {
            self.refused.of_tenant += 1;
            let setting = bounds.settings.map_or_else(String::new, |(_, name)| format!(" (`{name}`)"));
            return Err(ApiError::TooManyRequests(format!(
                "too many {what} of tenant `{tenant}`: {of_tenant} are waiting, the limit of a tenant{setting}"
            )));
        }
        if self.waiting >= bounds.waiting_max {
            self.refused.overall += 1;
            let setting = bounds.settings.map_or_else(String::new, |(name, _)| format!(" (`{name}`)"));
            return Err(ApiError::Unavailable(format!(
                "too many {what}: {} are running and {} are waiting{setting}",
                self.running, self.waiting
            )));
        }
        let (sender, receiver) = oneshot::channel();
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let queue = &mut self.tenants.entry_ref(tenant).or_default().waiting;
        if queue.is_empty() {
            self.turns.push_back(tenant.clone());
        }
        queue.push_back(Waiter { ticket, place: sender });
        self.waiting += 1;
        Ok((ticket, receiver))
    }

    /// The request that gets the next free place; it counts as running from here on.
    fn next(&mut self, bounds: &Bounds) -> Option<(TenantId, Waiter)> {
        if self.running >= bounds.running_max {
            return None;
        }
        let can_run = |t: &TenantId| self.tenants.get(t).is_some_and(|t| t.has_room(bounds));
        let turn = self.turns.iter().position(can_run)?;
        let tenant = self.turns.remove(turn)?;
        let queue = self.tenants.get_mut(&tenant)?;
        let waiter = queue.waiting.pop_front()?;
        queue.running += 1;
        if !queue.waiting.is_empty() {
            self.turns.push_back(tenant.clone());
        }
        self.running += 1;
        self.waiting -= 1;
        Some((tenant, waiter))
    }

    fn finish(&mut self, tenant: &TenantId) {
        self.running -= 1;
        if let Some(known) = self.tenants.get_mut(tenant) {
            known.running -= 1;
        }
        self.forget_idle(tenant);
    }

    fn leave(&mut self, tenant: &TenantId, ticket: u64) {
        let Some(known) = self.tenants.get_mut(tenant) else { return };
        let Ok(at) = known.waiting.binary_search_by_key(&ticket, |waiter| waiter.ticket) else { return };
        known.waiting.remove(at);
        self.waiting -= 1;
        if known.waiting.is_empty() {
            self.turns.retain(|other| other != tenant);
        }
        self.forget_idle(tenant);
    }

    fn forget_idle(&mut self, tenant: &TenantId) {
        if self.tenants.get(tenant).is_some_and(|t| t.running == 0 && t.waiting.is_empty()) {
            self.tenants.remove(tenant);
        }
    }
}

impl Tenant {
    fn has_room(&self, bounds: &Bounds) -> bool {
        bounds.tenant_running_max == 0 || self.running < bounds.tenant_running_max
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.0.state.lock().finish(&self.tenant);
        self.admission.dispatch();
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.admission.0.state.lock().leave(self.tenant, self.ticket);
    }
}

#[cfg(test)]
mod tests;

//! Samples per second of each tenant: a token bucket that may be overdrawn by one request.
//!
//! Overdrawing lets a request larger than the burst through once the bucket is full, instead of never.

use model::TenantId;
use parking_lot::Mutex;
use runtime::{HashMap, Moment};

use crate::limits::Limits;
use crate::refusal::Refusal;

/// Most tenants counted at once; when there are more, full buckets are forgotten (they would be made full).
const TENANTS_MAX: usize = 4096;

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Moment,
}

/// The buckets.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<HashMap<TenantId, Bucket>>);

impl Rates {
    /// Takes `samples` out of the tenant's bucket, or says when to come back.
    pub(crate) fn take(
        &self,
        tenant: &TenantId,
        samples: usize,
        limits: &Limits,
        now: Moment,
    ) -> Result<(), Refusal> {
        let Some(limit) = limits.samples_per_second else { return Ok(()) };
        let burst = limits.samples_burst.max(limit);
        let mut buckets = self.0.lock();
        if buckets.len() >= TENANTS_MAX && !buckets.contains_key(tenant) {
            buckets.retain(|_, bucket| bucket.tokens + now.since(bucket.at).as_secs_f64() * limit < burst);
        }
        let bucket = buckets.entry(tenant.clone()).or_insert(Bucket { tokens: burst, at: now });
        bucket.tokens = (bucket.tokens + now.since(bucket.at).as_secs_f64() * limit).min(burst);
        bucket.at = now;
        // in hand: the whole request, or as much as there can ever be
        let needed = (samples as f64).min(burst);
        if bucket.tokens < needed {
            let wait = ((needed - bucket.tokens) / limit.max(f64::MIN_POSITIVE)).ceil().clamp(1.0, 3600.0);
            return Err(Refusal::RateLimited { limit, retry_after_seconds: wait as u64 });
        }
        bucket.tokens -= samples as f64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_tenant_gets_its_rate_and_its_burst_and_no_more() {
        let limits = Limits { samples_per_second: Some(100.0), samples_burst: 300.0, ..Limits::default() };
        let (rates, a, b) = (Rates::default(), TenantId::new("a").unwrap(), TenantId::new("b").unwrap());
        let start = Moment::now();
        assert!(rates.take(&a, 300, &limits, start).is_ok());
        let refused = rates.take(&a, 150, &limits, start);
        assert_eq!(refused, Err(Refusal::RateLimited { limit: 100.0, retry_after_seconds: 2 }));
        assert!(rates.take(&b, 1, &limits, start).is_ok(), "another tenant has its own bucket");
        assert!(rates.take(&a, 150, &limits, start + Duration::from_secs(2)).is_ok());
        assert!(rates.take(&a, 1000, &limits, start + Duration::from_secs(60)).is_ok(), "overdrawn once");
        assert!(rates.take(&a, 1, &limits, start + Duration::from_secs(61)).is_err());
        assert!(rates.take(&a, usize::MAX, &Limits::default(), start).is_ok(), "off by default");
    }
}

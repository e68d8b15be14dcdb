//! Whose request it is: the header `X-Scope-OrgID`, read once at the door.

use http::{HeaderMap, StatusCode};
use model::TenantId;

/// The header that names the tenant.
pub(crate) const TENANT_HEADER: &str = "x-scope-orgid";

/// How requests are told apart by tenant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tenancy {
    /// Off: everything belongs to `anonymous`, whatever the header says.
    pub(crate) enabled: bool,
}

impl Tenancy {
    /// The tenant of a request, or status and text of the refusal.
    pub(crate) fn of(self, headers: &HeaderMap) -> Result<TenantId, (StatusCode, String)> {
        if !self.enabled {
            return Ok(TenantId::anonymous());
        }
        let value = headers
            .get(TENANT_HEADER)
            .ok_or_else(|| (StatusCode::UNAUTHORIZED, "no org id".to_owned()))?
            .to_str()
            .map_err(|_| (StatusCode::BAD_REQUEST, "tenant id is not text".to_owned()))?;
        if value.is_empty() {
            return Err((StatusCode::UNAUTHORIZED, "no org id".to_owned()));
        }
        TenantId::new(value).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
    }

    /// Who our own metrics belong to.
    pub(crate) fn own_metrics(self) -> TenantId {
        if self.enabled { TenantId::own_metrics() } else { TenantId::anonymous() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_counts_only_with_multi_tenancy() {
        let mut headers = HeaderMap::new();
        let off = Tenancy { enabled: false };
        let on = Tenancy { enabled: true };
        assert_eq!(off.of(&headers).unwrap().as_str(), "anonymous");
        assert_eq!(on.of(&headers).unwrap_err(), (StatusCode::UNAUTHORIZED, "no org id".to_owned()));
        headers.insert(TENANT_HEADER, "team-a".parse().unwrap());
        assert_eq!(off.of(&headers).unwrap().as_str(), "anonymous");
        assert_eq!(on.of(&headers).unwrap().as_str(), "team-a");
        headers.insert(TENANT_HEADER, "a/b".parse().unwrap());
        assert_eq!(on.of(&headers).unwrap_err().0, StatusCode::BAD_REQUEST);
    }
}

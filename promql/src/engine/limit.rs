//! Which limits end a query.

/// A limit of queries. Who meets one is told its size and its setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QueryLimit {
    /// Series that one selector matches.
    Series,
    /// Samples held at a time.
    Samples,
    /// Bytes held by one query.
    QueryMemory,
    /// Bytes held by all queries of a tenant.
    TenantMemory,
    /// Bytes held by all queries.
    TotalMemory,
    /// Points of one series of an answer.
    Points,
    /// Time from its coming to its answer.
    Time,
}

impl QueryLimit {
    /// All of them.
    pub const ALL: [QueryLimit; 7] = [
        QueryLimit::Series,
        QueryLimit::Samples,
        QueryLimit::QueryMemory,
        QueryLimit::TenantMemory,
        QueryLimit::TotalMemory,
        QueryLimit::Points,
        QueryLimit::Time,
    ];

    /// As metrics show it.
    pub fn name(self) -> &'static str {
        match self {
            QueryLimit::Series => "series",
            QueryLimit::Samples => "samples",
            QueryLimit::QueryMemory => "query_memory",
            QueryLimit::TenantMemory => "tenant_memory",
            QueryLimit::TotalMemory => "total_memory",
            QueryLimit::Points => "points",
            QueryLimit::Time => "time",
        }
    }
}

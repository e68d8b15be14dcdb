//! Tickets: what one node asks another, and their bytes.
//!
//! The tenant comes from the request's metadata, never from the ticket. Bytes are checked when they are read: what
//! comes out is a question that may be put to a `Source` or a `RunFragment` as it is.

use bytes::Bytes;
use model::{LabelsError, MatchOp, Matcher, TenantId, TimeRange};
use prost::Message;
use proto::{DataVersion, Explain, Fragment, FragmentOutput, LabelsWanted, MetadataRequest, SelectRequest};

use crate::generated::{self as wire, ticket::Kind};
use crate::limits::{STEPS_MAX, TICKET_BYTES_MAX};

/// A question.
#[derive(Debug, Clone)]
pub(crate) enum Ticket {
    Fragment(Box<Fragment>),
    Select(SelectRequest),
    LabelNames(MetadataRequest),
    LabelValues(MetadataRequest, String),
    Series(MetadataRequest),
    Metadata(Option<String>),
    Exemplars(MetadataRequest),
    Changes(Option<DataVersion>),
}

/// Which question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TicketKind {
    Fragment,
    Select,
    LabelNames,
    LabelValues,
    Series,
    Metadata,
    Exemplars,
    Changes,
}

impl TicketKind {
    /// How many there are.
    pub(crate) const COUNT: usize = 8;
    /// All of them.
    pub(crate) const ALL: [TicketKind; Self::COUNT] = [
        TicketKind::Fragment,
        TicketKind::Select,
        TicketKind::LabelNames,
        TicketKind::LabelValues,
        TicketKind::Series,
        TicketKind::Metadata,
        TicketKind::Exemplars,
        TicketKind::Changes,
    ];

    /// As metrics name it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            TicketKind::Fragment => "fragment",
            TicketKind::Select => "select",
            TicketKind::LabelNames => "label_names",
            TicketKind::LabelValues => "label_values",
            TicketKind::Series => "series",
            TicketKind::Metadata => "metadata",
            TicketKind::Exemplars => "exemplars",
            TicketKind::Changes => "changes",
        }
    }
}

/// Why bytes are no ticket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TicketError {
    #[error("a ticket is {0} bytes long, at most {TICKET_BYTES_MAX}")]
    TooLong(usize),
    #[error("malformed ticket: {0}")]
    Malformed(String),
    #[error("the ticket asks for something that this version does not know")]
    Unknown,
}

impl From<prost::DecodeError> for TicketError {
    fn from(error: prost::DecodeError) -> Self {
        TicketError::Malformed(error.to_string())
    }
}

impl From<LabelsError> for TicketError {
    fn from(error: LabelsError) -> Self {
        TicketError::Malformed(error.to_string())
    }
}

fn wrong(what: &str) -> TicketError {
    TicketError::Malformed(what.to_owned())
}

fn size(number: u64) -> Result<usize, TicketError> {
    usize::try_from(number).map_err(|_| wrong("a number is too large"))
}

impl Ticket {
    pub(crate) fn kind(&self) -> TicketKind {
        match self {
            Ticket::Fragment(_) => TicketKind::Fragment,
            Ticket::Select(_) => TicketKind::Select,
            Ticket::LabelNames(_) => TicketKind::LabelNames,
            Ticket::LabelValues(..) => TicketKind::LabelValues,
            Ticket::Series(_) => TicketKind::Series,
            Ticket::Metadata(_) => TicketKind::Metadata,
            Ticket::Exemplars(_) => TicketKind::Exemplars,
            Ticket::Changes(_) => TicketKind::Changes,
        }
    }

    /// The bytes, without the tenant.
    pub(crate) fn encode(&self) -> Result<Bytes, TicketError> {
        let kind = match self {
            Ticket::Fragment(fragment) => Kind::Fragment(put_fragment(fragment)),
            Ticket::Select(request) => Kind::Select(put_select(request)),
            Ticket::LabelNames(request) => Kind::LabelNames(put_listing(request)),
            Ticket::LabelValues(request, name) => Kind::LabelValues(wire::LabelValues {
                listing: Some(put_listing(request)),
                name: name.clone(),
            }),
            Ticket::Series(request) => Kind::Series(put_listing(request)),
            Ticket::Metadata(metric) => Kind::Metadata(wire::Metadata { metric: metric.clone() }),
            Ticket::Exemplars(request) => Kind::Exemplars(put_listing(request)),
            Ticket::Changes(since) => {
                let numbers = |version: &DataVersion| wire::Version { numbers: version.numbers().to_vec() };
                Kind::Changes(wire::Changes { since: since.as_ref().map(numbers) })
            }
        };
        let bytes = wire::Ticket { kind: Some(kind) }.encode_to_vec();
        if bytes.len() > TICKET_BYTES_MAX {
            return Err(TicketError::TooLong(bytes.len()));
        }
        Ok(Bytes::from(bytes))
    }

    /// Reads bytes that `tenant` sent.
    pub(crate) fn decode(bytes: Bytes, tenant: &TenantId) -> Result<Self, TicketError> {
        if bytes.len() > TICKET_BYTES_MAX {
            return Err(TicketError::TooLong(bytes.len()));
        }
        Ok(match wire::Ticket::decode(bytes)?.kind.ok_or(TicketError::Unknown)? {
            Kind::Fragment(fragment) => Ticket::Fragment(Box::new(get_fragment(fragment, tenant)?)),
            Kind::Select(select) => Ticket::Select(get_select(select, tenant)?),
            Kind::LabelNames(listing) => Ticket::LabelNames(get_listing(listing, tenant)?),
            Kind::LabelValues(values) => {
                let listing = values.listing.ok_or_else(|| wrong("label values without what to list"))?;
                Ticket::LabelValues(get_listing(listing, tenant)?, values.name)
            }
            Kind::Series(listing) => Ticket::Series(get_listing(listing, tenant)?),
            Kind::Metadata(metadata) => Ticket::Metadata(metadata.metric),
            Kind::Exemplars(listing) => Ticket::Exemplars(get_listing(listing, tenant)?),
            Kind::Changes(changes) => {
                Ticket::Changes(changes.since.map(|version| DataVersion::new(&version.numbers)))
            }
        })
    }
}

fn put_grid((start, end, step): (i64, i64, i64)) -> Option<wire::Grid> {
    Some(wire::Grid { start, end, step })
}

/// Points that are not too many.
fn get_grid(grid: Option<wire::Grid>) -> Result<(i64, i64, i64), TicketError> {
    let wire::Grid { start, end, step } = grid.ok_or_else(|| wrong("a fragment without its points"))?;
    let length = end.checked_sub(start).filter(|length| *length >= 0);
    let steps = length.and_then(|length| if step == 0 { Some(0) } else { length.checked_div(step) });
    match steps {
        Some(steps) if step >= 0 && (step > 0 || start == end) && steps < STEPS_MAX => Ok((start, end, step)),
        _ => Err(wrong("the points of a fragment are none, or too many")),
    }
}

fn put_explain(explain: Explain) -> wire::Explain {
    match explain {
        Explain::No => wire::Explain::No,
        Explain::Plan => wire::Explain::Plan,
        Explain::Analyze => wire::Explain::Analyze,
    }
}

fn get_explain(number: i32) -> Result<Explain, TicketError> {
    match wire::Explain::try_from(number) {
        Ok(wire::Explain::No) => Ok(Explain::No),
        Ok(wire::Explain::Plan) => Ok(Explain::Plan),
        Ok(wire::Explain::Analyze) => Ok(Explain::Analyze),
        Err(_) => Err(TicketError::Unknown),
    }
}

fn put_fragment(fragment: &Fragment) -> wire::Fragment {
    let span = |(start, end): &(usize, usize)| wire::Bytes { start: *start as u64, end: *end as u64 };
    wire::Fragment {
        expr: fragment.expr.clone(),
        text_offset: fragment.text_offset as u64,
        states: fragment.output == FragmentOutput::AggregationStates,
        grid: put_grid(fragment.grid),
        query: put_grid(fragment.query),
        lookback_ms: fragment.lookback_ms,
        features: fragment.features.clone(),
        count_times: fragment.count_times,
        stats_only: fragment.stats_only.iter().map(span).collect(),
        per_step_stats: fragment.per_step_stats,
        series_max: fragment.series_max as u64,
        samples_max: fragment.samples_max as u64,
        timeout_ms: fragment.timeout_ms,
        explain: put_explain(fragment.explain).into(),
        window_states: match fragment.output {
            FragmentOutput::WindowStates(part) => Some(put_range(part)),
            FragmentOutput::Rows | FragmentOutput::AggregationStates => None,
        },
    }
}

fn get_fragment(fragment: wire::Fragment, tenant: &TenantId) -> Result<Fragment, TicketError> {
    let length = fragment.expr.len();
    let span = |bytes: wire::Bytes| {
        let (start, end) = (size(bytes.start)?, size(bytes.end)?);
        if start > end || end > length {
            return Err(wrong("a position lies outside of the text"));
        }
        Ok((start, end))
    };
    let text_offset = size(fragment.text_offset)?;
    if text_offset.checked_add(length).is_none_or(|end| end > u32::MAX as usize) {
        return Err(wrong("the text begins too far behind"));
    }
    let explain = get_explain(fragment.explain)?;
    Ok(Fragment {
        tenant: tenant.clone(),
        text_offset,
        output: match (fragment.states, fragment.window_states) {
            (false, None) => FragmentOutput::Rows,
            (true, None) => FragmentOutput::AggregationStates,
            (false, part) => FragmentOutput::WindowStates(get_range(part)?),
            (true, Some(_)) => return Err(wrong("states of two kinds are wanted")),
        },
        grid: get_grid(fragment.grid)?,
        query: get_grid(fragment.query)?,
        lookback_ms: fragment.lookback_ms,
        features: fragment.features,
        count_times: fragment.count_times,
        stats_only: fragment.stats_only.into_iter().map(span).collect::<Result<_, _>>()?,
        per_step_stats: fragment.per_step_stats,
        series_max: size(fragment.series_max)?,
        samples_max: size(fragment.samples_max)?,
        timeout_ms: fragment.timeout_ms,
        explain,
        expr: fragment.expr,
    })
}

fn put_matchers(matchers: &[Matcher]) -> wire::Matchers {
    let one = |matcher: &Matcher| {
        let op = match matcher.op() {
            MatchOp::Equal => wire::matcher::Op::Equal,
            MatchOp::NotEqual => wire::matcher::Op::NotEqual,
            MatchOp::Regex => wire::matcher::Op::Regex,
            MatchOp::NotRegex => wire::matcher::Op::NotRegex,
        };
        wire::Matcher { op: op.into(), name: matcher.name().to_owned(), value: matcher.value().to_owned() }
    };
    wire::Matchers { matchers: matchers.iter().map(one).collect() }
}

fn get_matchers(matchers: wire::Matchers) -> Result<Vec<Matcher>, TicketError> {
    let one = |matcher: wire::Matcher| {
        let op = match wire::matcher::Op::try_from(matcher.op) {
            Ok(wire::matcher::Op::Equal) => MatchOp::Equal,
            Ok(wire::matcher::Op::NotEqual) => MatchOp::NotEqual,
            Ok(wire::matcher::Op::Regex) => MatchOp::Regex,
            Ok(wire::matcher::Op::NotRegex) => MatchOp::NotRegex,
            Err(_) => return Err(TicketError::Unknown),
        };
        Matcher::new(op, &matcher.name, &matcher.value).map_err(|e| TicketError::Malformed(e.to_string()))
    };
    matchers.matchers.into_iter().map(one).collect()
}

pub(crate) fn put_range(range: TimeRange) -> wire::Range {
    wire::Range { start: range.start, end: range.end }
}

fn get_range(range: Option<wire::Range>) -> Result<TimeRange, TicketError> {
    let range = range.ok_or_else(|| wrong("a question without a time"))?;
    Ok(TimeRange { start: range.start, end: range.end })
}

fn put_select(request: &SelectRequest) -> wire::Select {
    use wire::select::Wanted;
    let (wanted, labels) = match &request.labels {
        LabelsWanted::All => (Wanted::All, Vec::new()),
        LabelsWanted::Only(names) => (Wanted::Only, names.clone()),
        LabelsWanted::Without(names) => (Wanted::Without, names.clone()),
    };
    wire::Select {
        matchers: Some(put_matchers(&request.matchers)),
        range: Some(put_range(request.range)),
        wanted: wanted.into(),
        labels,
        series_max: request.series_max as u64,
    }
}

fn get_select(select: wire::Select, tenant: &TenantId) -> Result<SelectRequest, TicketError> {
    use wire::select::Wanted;
    if !select.labels.is_sorted() {
        return Err(wrong("names of labels are not sorted"));
    }
    let matchers = get_matchers(select.matchers.unwrap_or_default())?;
    if matchers.iter().all(Matcher::matches_empty) {
        return Err(wrong("a selection needs a matcher that does not match the empty string"));
    }
    Ok(SelectRequest {
        tenant: tenant.clone(),
        matchers,
        range: get_range(select.range)?,
        labels: match Wanted::try_from(select.wanted) {
            Ok(Wanted::All) => LabelsWanted::All,
            Ok(Wanted::Only) => LabelsWanted::Only(select.labels),
            Ok(Wanted::Without) => LabelsWanted::Without(select.labels),
            Err(_) => return Err(TicketError::Unknown),
        },
        series_max: size(select.series_max)?,
    })
}

fn put_listing(request: &MetadataRequest) -> wire::Listing {
    wire::Listing {
        matchers: request.matchers.iter().map(|set| put_matchers(set)).collect(),
        range: Some(put_range(request.range)),
        limit: request.limit as u64,
    }
}

fn get_listing(listing: wire::Listing, tenant: &TenantId) -> Result<MetadataRequest, TicketError> {
    Ok(MetadataRequest {
        tenant: tenant.clone(),
        matchers: listing.matchers.into_iter().map(get_matchers).collect::<Result<_, _>>()?,
        range: get_range(listing.range)?,
        limit: size(listing.limit)?,
    })
}

/// For fuzzing: any bytes are read or refused, and what is read is written and read again.
pub fn fuzz_ticket(data: &[u8]) {
    let tenant = TenantId::anonymous();
    let Ok(ticket) = Ticket::decode(Bytes::copy_from_slice(data), &tenant) else { return };
    // packed numbers may take more room than they came in
    let Ok(bytes) = ticket.encode() else { return };
    let again = Ticket::decode(bytes, &tenant);
    assert_eq!(Ok(format!("{ticket:?}")), again.map(|ticket| format!("{ticket:?}")));
}

#[cfg(test)]
mod tests;

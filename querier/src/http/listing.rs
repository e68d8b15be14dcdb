//! Listings: series, names, values, metadata, exemplars. All bounded, all sorted.

use std::sync::Arc;

use model::{Matcher, Metadata, TimeRange};
use proto::{MetadataRequest, SeriesExemplars};

use super::form::unescape;
use super::query::TRUNCATED;
use super::time::{Time, parse_limit, parse_time_parameter};
use super::{Call, Reply};
use crate::json::{write_float, write_labels, write_string, write_strings, write_timestamp};
use crate::{Api, ApiError, language};

/// `limit`, `start` and `end` of a request.
struct Bounds {
    limit: usize,
    start: Time,
    end: Time,
}

impl Bounds {
    fn of(call: &Call) -> Result<Self, ApiError> {
        let limit = parse_limit(call.form.get("limit")).map_err(|e| ApiError::parameter("limit", e))?;
        let (start, end) = times(call)?;
        Ok(Bounds { limit, start, end })
    }

    /// One entry more than is shown, so that one knows whether there are more.
    fn request(&self, api: &Api, call: &Call, matchers: Vec<Vec<Matcher>>) -> MetadataRequest {
        MetadataRequest {
            tenant: call.tenant.clone(),
            matchers,
            range: TimeRange::inclusive(self.start.ms(), self.end.ms()),
            limit: self.entries_max(api).saturating_add(1),
        }
    }

    fn entries_max(&self, api: &Api) -> usize {
        match self.limit {
            0 => api.limits.entries_max,
            limit => limit.min(api.limits.entries_max),
        }
    }

    /// Cuts `entries`, and says so.
    fn cut<T>(&self, api: &Api, entries: &mut Vec<T>) -> Vec<String> {
        let max = self.entries_max(api);
        if entries.len() <= max {
            return Vec::new();
        }
        entries.truncate(max);
        vec![if self.limit == max { TRUNCATED.to_owned() } else { cut_by_server(max) }]
    }
}

fn cut_by_server(max: usize) -> String {
    format!("results truncated to {max} entries, the most this server lists")
}

fn times(call: &Call) -> Result<(Time, Time), ApiError> {
    let time = |name: &str, default: Time| {
        parse_time_parameter(name, call.form.get(name), default).map_err(|e| ApiError::parameter(name, e))
    };
    Ok((time("start", Time::FIRST)?, time("end", Time::LAST)?))
}

/// The sets of `match[]`; each must have a matcher that does not match the empty string.
pub(super) fn matcher_sets(call: &Call) -> Result<Vec<Vec<Matcher>>, String> {
    let sets: Vec<Vec<Matcher>> =
        call.form.all("match[]").map(language::parse_selector).collect::<Result<_, _>>()?;
    if sets.iter().any(|set| set.iter().all(Matcher::matches_empty)) {
        return Err("match[] must contain at least one non-empty matcher".to_owned());
    }
    Ok(sets)
}

pub(super) async fn label_names(api: Arc<Api>, call: Call) -> Result<Reply, ApiError> {
    let bounds = Bounds::of(&call)?;
    let sets = matcher_sets(&call).map_err(ApiError::BadData)?;
    let request = bounds.request(&api, &call, sets);
    let _running = api.listings.enter(&call.tenant).await?;
    let mut names = (api.source)(&call.tenant).label_names(&request).await?;
    let warnings = bounds.cut(&api, &mut names);
    Ok(strings(&names, warnings))
}

pub(super) async fn label_values(api: Arc<Api>, call: Call) -> Result<Reply, ApiError> {
    let name = label_of(&call.path)?;
    let bounds = Bounds::of(&call)?;
    let sets = matcher_sets(&call).map_err(ApiError::BadData)?;
    let request = bounds.request(&api, &call, sets);
    let _running = api.listings.enter(&call.tenant).await?;
    let mut values = (api.source)(&call.tenant).label_values(&request, &name).await?;
    let warnings = bounds.cut(&api, &mut values);
    Ok(strings(&values, warnings))
}

fn strings(entries: &[String], warnings: Vec<String>) -> Reply {
    let mut data = Vec::with_capacity(entries.iter().map(|e| e.len() + 3).sum::<usize>() + 2);
    write_strings(&mut data, entries);
    Reply::success(data, warnings)
}

/// The label's name in `…/label/{name}/values`, unescaped.
fn label_of(path: &str) -> Result<String, ApiError> {
    let raw = path.strip_suffix("/values").and_then(|p| p.rsplit('/').next()).unwrap_or("");
    let bytes = unescape(raw.as_bytes(), false).unwrap_or_else(|| raw.as_bytes().to_vec());
    let name = match String::from_utf8(bytes) {
        Ok(name) => name,
        Err(error) => {
            let shown: String = error
                .as_bytes()
                .iter()
                .map(
                    |b| if b.is_ascii_graphic() { char::from(*b).to_string() } else { format!("\\x{b:02x}") },
                )
                .collect();
            return Err(ApiError::BadData(format!("invalid label name: \"{shown}\"")));
        }
    };
    let name = unescape_name(&name).unwrap_or(name);
    if name.is_empty() {
        return Err(ApiError::BadData("invalid label name: \"\"".to_owned()));
    }
    Ok(name)
}

/// Resolves `U__`: `__` is one underscore, `_2e_` a character by its number. `None` when it is not that form.
fn unescape_name(name: &str) -> Option<String> {
    let mut rest = name.strip_prefix("U__")?;
    let mut out = String::with_capacity(rest.len());
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest.find('_')?;
        if end == 0 {
            out.push('_');
        } else {
            let digits = &rest[..end];
            if digits.len() > 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return None;
            }
            out.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
        }
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    Some(out)
}

pub(super) async fn series(api: Arc<Api>, call: Call) -> Result<Reply, ApiError> {
    if let Some(fault) = call.form.fault() {
        return Err(ApiError::BadData(format!("error parsing form values: {fault}")));
    }
    if call.form.all("match[]").next().is_none() {
        return Err(ApiError::BadData("no match[] parameter provided".to_owned()));
    }
    let bounds = Bounds::of(&call)?;
    let sets = matcher_sets(&call).map_err(|e| ApiError::parameter("match[]", e))?;
    let request = bounds.request(&api, &call, sets);
    let _running = api.listings.enter(&call.tenant).await?;
    let mut series = (api.source)(&call.tenant).series(&request).await?;
    let warnings = bounds.cut(&api, &mut series);
    let write = move || {
        let mut data = Vec::with_capacity(series.iter().map(|l| l.as_bytes().len() * 2).sum::<usize>() + 2);
        write_list(&mut data, &series, write_labels);
        Reply::success(data, warnings)
    };
    Ok(api.runtime.cpu(write).await)
}

fn write_list<T>(out: &mut Vec<u8>, items: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

pub(super) async fn metadata(api: Arc<Api>, call: Call) -> Result<Reply, ApiError> {
    let number = |name: &str| match call.form.get(name) {
        "" => Ok(-1),
        text => text.parse::<i64>().map_err(|_| ApiError::BadData(format!("{name} must be a number"))),
    };
    let metrics_max = usize::try_from(number("limit")?).unwrap_or(usize::MAX);
    let per_metric = usize::try_from(number("limit_per_metric")?).unwrap_or(0);
    let per_metric = if per_metric == 0 { usize::MAX } else { per_metric };
    let metric = Some(call.form.get("metric")).filter(|m| !m.is_empty());
    let _running = api.listings.enter(&call.tenant).await?;
    let entries = (api.source)(&call.tenant).metadata(&call.tenant, metric).await?;
    let mut data = vec![b'{'];
    let mut warnings = Vec::new();
    for (i, of_metric) in entries.chunk_by(|a, b| a.0 == b.0).enumerate() {
        if i >= metrics_max {
            break;
        }
        if i >= api.limits.entries_max {
            warnings.push(cut_by_server(api.limits.entries_max));
            break;
        }
        if i > 0 {
            data.push(b',');
        }
        write_string(&mut data, &of_metric[0].0);
        data.push(b':');
        let shown = &of_metric[..of_metric.len().min(per_metric)];
        write_list(&mut data, shown, |out, (_, metadata)| write_metadata(out, metadata));
    }
    data.push(b'}');
    Ok(Reply::success(data, warnings))
}

fn write_metadata(out: &mut Vec<u8>, metadata: &Metadata) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(metadata.metric_type.as_str().as_bytes());
    out.extend_from_slice(b"\",\"help\":");
    write_string(out, &metadata.help);
    out.extend_from_slice(b",\"unit\":");
    write_string(out, &metadata.unit);
    out.push(b'}');
}

pub(super) async fn exemplars(api: Arc<Api>, call: Call) -> Result<Reply, ApiError> {
    let (start, end) = times(&call)?;
    if end < start {
        return Err(ApiError::BadData("end timestamp must not be before start timestamp".to_owned()));
    }
    let expr =
        language::parse(call.form.get("query"), api.engine.options().features).map_err(ApiError::BadData)?;
    let matchers: Vec<Vec<Matcher>> = expr.selectors().into_iter().map(<[Matcher]>::to_vec).collect();
    if matchers.is_empty() {
        return Ok(Reply::no_content());
    }
    let bounds = Bounds { limit: 0, start, end };
    let request = bounds.request(&api, &call, matchers);
    let _running = api.listings.enter(&call.tenant).await?;
    let mut found = (api.source)(&call.tenant).exemplars(&request).await?;
    let warnings = bounds.cut(&api, &mut found);
    let mut data = Vec::new();
    write_list(&mut data, &found, write_exemplars);
    Ok(Reply::success(data, warnings))
}

fn write_exemplars(out: &mut Vec<u8>, series: &SeriesExemplars) {
    out.extend_from_slice(b"{\"seriesLabels\":");
    write_labels(out, &series.labels);
    out.extend_from_slice(b",\"exemplars\":");
    write_list(out, &series.exemplars, |out, exemplar| {
        out.extend_from_slice(b"{\"labels\":");
        write_labels(out, &exemplar.labels);
        out.extend_from_slice(b",\"value\":\"");
        write_float(out, exemplar.value);
        out.extend_from_slice(b"\",\"timestamp\":");
        write_timestamp(out, exemplar.t);
        out.push(b'}');
    });
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_names_are_taken_from_the_path() {
        let of = |path: &str| label_of(path).map_err(|e| e.to_string());
        assert_eq!(of("/api/v1/label/job/values"), Ok("job".into()));
        assert_eq!(of("/api/v1/label/a%2Fb/values"), Ok("a/b".into()));
        assert_eq!(of("/api/v1/label/U__a_2e_b__c/values"), Ok("a.b_c".into()));
        assert_eq!(of("/api/v1/label/U__a_2e/values"), Ok("U__a_2e".into()));
        assert_eq!(of("/api/v1/label/U__/values"), Err("invalid label name: \"\"".into()));
        assert_eq!(of("/api/v1/label/U__a_xx_/values"), Ok("U__a_xx_".into()));
        assert_eq!(of("/api/v1/label/U__a_d800_/values"), Ok("U__a_d800_".into()));
        assert_eq!(of("/api/v1/label/%FF/values"), Err("invalid label name: \"\\xff\"".into()));
    }
}

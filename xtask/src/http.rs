//! A small HTTP client: status and body, whatever the status.

use anyhow::{Context, Result};
use serde_json::Value;

/// An answer.
pub(crate) struct Answer {
    /// Status code.
    pub(crate) status: u16,
    /// Body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| {
            format!("not JSON: {}", String::from_utf8_lossy(&self.body[..self.body.len().min(300)]))
        })
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(std::time::Duration::from_secs(120)))
        .build()
        .into()
}

fn finish(response: ureq::http::Response<ureq::Body>) -> Result<Answer> {
    let status = response.status().as_u16();
    let body = response.into_body().into_with_config().limit(1 << 30).read_to_vec()?;
    Ok(Answer { status, body })
}

/// GET.
pub(crate) fn get(url: &str) -> Result<Answer> {
    finish(agent().get(url).call()?)
}

/// POST.
pub(crate) fn post(url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
    let mut request = agent().post(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    finish(request.send(body)?)
}

/// Text made safe for a query string.
pub(crate) fn escape(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => (b as char).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect()
}

//! Answers: merges heads and blocks, evaluates PromQL, speaks Prometheus's HTTP API.

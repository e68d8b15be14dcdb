//! An S3-compatible store as bucket.
//!
//! `s3://name?endpoint=…&region=…`, path style. Credentials: from the options, else the usual AWS environment
//! (keys, web identity, container and instance roles), else `~/.aws/credentials`.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::path::Path;
use object_store::{BackoffConfig, GetOptions, ObjectStore, PutMode, PutOptions, PutPayload, RetryConfig};

use super::{Backend, BucketOptions, ObjectInfo};
use crate::BucketError;

/// How often and how long a request is tried again.
const RETRIES_MAX: usize = 5;
const RETRY_TIME_MAX: Duration = Duration::from_secs(60);

/// A bucket of an S3-compatible store.
#[derive(Debug)]
pub(super) struct S3 {
    store: AmazonS3,
}

pub(super) fn open(address: &str, options: &BucketOptions) -> Result<S3, BucketError> {
    let refuse = |reason: String| BucketError::Address { address: address.to_owned(), reason };
    let url = url::Url::parse(address).map_err(|e| refuse(e.to_string()))?;
    let name = url.host_str().filter(|h| !h.is_empty()).ok_or_else(|| refuse("no bucket name".into()))?;
    if !matches!(url.path(), "" | "/") {
        return Err(refuse("a path in the bucket is not supported; expected s3://name?…".into()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("credentials do not belong into the address; use the AWS environment".into()));
    }
    let retry = RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: RETRIES_MAX,
        retry_timeout: RETRY_TIME_MAX,
    };
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(name)
        .with_virtual_hosted_style_request(false)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_disable_tagging(true)
        .with_retry(retry);
    for (key, value) in url.query_pairs() {
        builder = match &*key {
            "endpoint" => {
                let full =
                    if value.contains("://") { value.into_owned() } else { format!("https://{value}") };
                builder.with_allow_http(full.starts_with("http://")).with_endpoint(full)
            }
            "region" => builder.with_region(value),
            other => return Err(refuse(format!("option `{other}` is not known; expected endpoint, region"))),
        };
    }
    let keys = match (&options.access_key_id, &options.secret_access_key) {
        (Some(id), Some(secret)) => Some((id.clone(), secret.clone(), None)),
        _ if has_environment_credentials() => None,
        _ => shared_credentials(),
    };
    if let Some((id, secret, token)) = keys {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret);
        if let Some(token) = token {
            builder = builder.with_token(token);
        }
    }
    Ok(S3 { store: builder.build().map_err(|e| refuse(e.to_string()))? })
}

fn has_environment_credentials() -> bool {
    ["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]
        .iter()
        .chain(&["AWS_CONTAINER_CREDENTIALS_FULL_URI"])
        .any(|name| std::env::var_os(name).is_some())
}

/// The keys of `AWS_PROFILE` (default `default`) in the shared credentials file.
fn shared_credentials() -> Option<(String, String, Option<String>)> {
    let path = std::env::var_os("AWS_SHARED_CREDENTIALS_FILE")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".aws/credentials")))?;
    let bytes = runtime::Disk::read(&runtime::RealDisk, &path).ok()?;
    let profile = std::env::var("AWS_PROFILE").unwrap_or_else(|_| "default".into());
    parse_credentials(&String::from_utf8_lossy(&bytes), &profile)
}

fn parse_credentials(text: &str, profile: &str) -> Option<(String, String, Option<String>)> {
    let (mut id, mut secret, mut token) = (None, None, None);
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            inside = section.trim() == profile;
        } else if let (true, Some((key, value))) = (inside, line.split_once('=')) {
            let value = Some(value.trim().to_owned());
            match key.trim() {
                "aws_access_key_id" => id = value,
                "aws_secret_access_key" => secret = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    Some((id?, secret?, token))
}

fn failed(path: &str, error: &object_store::Error) -> BucketError {
    use object_store::Error;
    let path = path.to_owned();
    match error {
        Error::NotFound { .. } => BucketError::NotFound(path),
        Error::AlreadyExists { .. } | Error::Precondition { .. } => BucketError::AlreadyExists(path),
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            BucketError::Denied { path, reason: error.to_string() }
        }
        _ => BucketError::Unavailable { path, reason: error.to_string() },
    }
}

fn parse(path: &str) -> Result<Path, BucketError> {
    Path::parse(path).map_err(|e| BucketError::Unavailable { path: path.to_owned(), reason: e.to_string() })
}

#[async_trait]
impl Backend for S3 {
    async fn get(&self, path: &str) -> Result<Bytes, BucketError> {
        let got = self.store.get_opts(&parse(path)?, GetOptions::default()).await;
        let got = got.map_err(|e| failed(path, &e))?;
        got.bytes().await.map_err(|e| failed(path, &e))
    }

    async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Bytes, BucketError> {
        let options = GetOptions { range: Some(range.into()), ..Default::default() };
        let got = self.store.get_opts(&parse(path)?, options).await.map_err(|e| failed(path, &e))?;
        got.bytes().await.map_err(|e| failed(path, &e))
    }

    async fn put_if_absent(&self, path: &str, bytes: Bytes) -> Result<(), BucketError> {
        let options = PutOptions { mode: PutMode::Create, ..Default::default() };
        let put = self.store.put_opts(&parse(path)?, PutPayload::from(bytes), options).await;
        put.map(drop).map_err(|e| failed(path, &e))
    }

    async fn head(&self, path: &str) -> Result<u64, BucketError> {
        let options = GetOptions { head: true, ..Default::default() };
        let got = self.store.get_opts(&parse(path)?, options).await.map_err(|e| failed(path, &e))?;
        Ok(got.meta.size)
    }

    async fn delete(&self, path: &str) -> Result<(), BucketError> {
        let target = parse(path)?;
        let stream = futures::stream::once(async move { Ok(target) });
        let done: Result<Vec<Path>, _> = self.store.delete_stream(Box::pin(stream)).try_collect().await;
        match done {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(path, &error)),
        }
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<ObjectInfo>, BucketError> {
        let folder = if prefix.is_empty() { None } else { Some(parse(prefix)?) };
        let mut stream = match after {
            Some(after) => self.store.list_with_offset(folder.as_ref(), &parse(after)?),
            None => self.store.list(folder.as_ref()),
        };
        let mut out = Vec::new();
        while out.len() < max {
            match stream.try_next().await.map_err(|e| failed(prefix, &e))? {
                Some(meta) => out.push(ObjectInfo { path: meta.location.to_string(), size: meta.size }),
                None => break,
            }
        }
        out.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(out)
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, BucketError> {
        let folder = if prefix.is_empty() { None } else { Some(parse(prefix)?) };
        let listed = self.store.list_with_delimiter(folder.as_ref()).await.map_err(|e| failed(prefix, &e))?;
        let mut names: Vec<String> =
            listed.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned)).collect();
        names.sort();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        let options = BucketOptions::default();
        for bad in ["s3://", "s3://b/path", "s3://b?nope=1", "s3://key:secret@b"] {
            assert!(open(bad, &options).is_err(), "{bad}");
        }
        assert!(open("s3://b?endpoint=http://127.0.0.1:9000&region=eu-1", &options).is_ok());
    }

    #[test]
    fn the_shared_credentials_file_is_read_by_profile() {
        let text = "[default]\naws_access_key_id = a\naws_secret_access_key=b\n[x]\naws_access_key_id=c\n";
        assert_eq!(parse_credentials(text, "default"), Some(("a".into(), "b".into(), None)));
        assert_eq!(parse_credentials(text, "x"), None);
    }
}

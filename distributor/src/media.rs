//! Which message and which compression the headers announce.

use proto::remote_write::WriteVersion;

use crate::refusal::Refusal;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Snappy,
    Zstd,
}

const MEDIA_TYPE: &str = "application/x-protobuf";

/// Chooses the message by the media type's `proto` parameter; nothing said is 1.0.
pub(crate) fn version(content_type: Option<&str>) -> Result<WriteVersion, Refusal> {
    let content_type = content_type.map(str::trim).unwrap_or_default();
    if content_type.is_empty() {
        return Ok(WriteVersion::V1);
    }
    let unsupported = || Refusal::ContentType(clip(content_type));
    let mut parts = content_type.split(';').map(str::trim);
    if !parts.next().is_some_and(|media_type| media_type.eq_ignore_ascii_case(MEDIA_TYPE)) {
        return Err(unsupported());
    }
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        if name.trim().eq_ignore_ascii_case("proto") {
            return match value.trim().trim_matches('"') {
                "prometheus.WriteRequest" => Ok(WriteVersion::V1),
                "io.prometheus.write.v2.Request" => Ok(WriteVersion::V2),
                _ => Err(unsupported()),
            };
        }
    }
    Ok(WriteVersion::V1)
}

/// Snappy unless another one is named.
pub(crate) fn encoding(content_encoding: Option<&str>) -> Result<Encoding, Refusal> {
    let name = content_encoding.map(str::trim).unwrap_or_default();
    if name.is_empty() || name.eq_ignore_ascii_case("snappy") {
        Ok(Encoding::Snappy)
    } else if name.eq_ignore_ascii_case("zstd") {
        Ok(Encoding::Zstd)
    } else {
        Err(Refusal::ContentEncoding(clip(name)))
    }
}

/// A header's value for an error text: not longer than anyone reads.
fn clip(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proto_parameter_chooses_the_message() {
        for v1 in [
            None,
            Some(""),
            Some("application/x-protobuf"),
            Some("Application/X-Protobuf; charset=utf-8"),
            Some("application/x-protobuf;proto=prometheus.WriteRequest"),
            Some(" application/x-protobuf ; proto = \"prometheus.WriteRequest\" "),
        ] {
            assert_eq!(version(v1).ok(), Some(WriteVersion::V1), "{v1:?}");
        }
        for v2 in [
            "application/x-protobuf;proto=io.prometheus.write.v2.Request",
            "application/x-protobuf; proto=io.prometheus.write.v2.Request",
        ] {
            assert_eq!(version(Some(v2)).ok(), Some(WriteVersion::V2), "{v2:?}");
        }
        for bad in [
            "text/plain",
            "application/x-protobuf;proto=io.prometheus.write.v3.Request",
            ";",
            "application/json",
        ] {
            assert!(matches!(version(Some(bad)), Err(Refusal::ContentType(_))), "{bad:?}");
        }
        assert_eq!(encoding(None).ok(), Some(Encoding::Snappy));
        assert_eq!(encoding(Some("Zstd")).ok(), Some(Encoding::Zstd));
        assert!(encoding(Some("gzip")).is_err());
        assert!(encoding(Some("identity")).is_err());
    }
}

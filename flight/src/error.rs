//! Errors on the wire: each kind has a status code of its own, the text is the user's.
//!
//! What the node itself says keeps its text where it speaks of the query, and is preceded by the node's address where
//! it speaks of the node.

use std::error::Error as _;

use proto::{FragmentError, SourceError};
use tonic::{Code, Status};

use crate::limits::ERROR_BYTES_MAX;

/// `text`, not longer than a header may be.
fn short(mut text: String) -> String {
    if text.len() > ERROR_BYTES_MAX {
        let end = (0..=ERROR_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// A source's error for the wire.
pub(crate) fn of_source(error: SourceError) -> Status {
    let code = match &error {
        SourceError::Limit(_) => Code::ResourceExhausted,
        SourceError::Unavailable(_) => Code::Unavailable,
        SourceError::Corrupt(_) => Code::DataLoss,
        SourceError::Moved(_) => Code::Aborted,
        SourceError::Internal(_) => Code::Internal,
    };
    Status::new(code, short(error.to_string()))
}

/// A fragment's error for the wire.
pub(crate) fn of_fragment(error: FragmentError) -> Status {
    let code = match &error {
        FragmentError::BadData(_) => Code::InvalidArgument,
        FragmentError::Execution(_) => Code::FailedPrecondition,
        FragmentError::Timeout(_) => Code::DeadlineExceeded,
        FragmentError::Unavailable(_) => Code::Unavailable,
        FragmentError::Internal(_) => Code::Internal,
    };
    Status::new(code, short(error.to_string()))
}

/// What went wrong on the way, if that is what the status is about.
fn transport(status: &Status) -> Option<String> {
    let mut error = status.source()?;
    while let Some(source) = error.source() {
        error = source;
    }
    Some(error.to_string())
}

/// How the text of a status of `address` is shown.
fn text_of(address: &str, status: &Status) -> String {
    match transport(status) {
        Some(why) => format!("node `{address}` cannot be reached: {why}"),
        None => format!("node `{address}`: {}", status.message()),
    }
}

/// A source's error from the wire.
pub(crate) fn to_source(address: &str, status: &Status) -> SourceError {
    let named = text_of(address, status);
    if transport(status).is_some() {
        return SourceError::Unavailable(named);
    }
    match status.code() {
        Code::ResourceExhausted => SourceError::Limit(status.message().to_owned()),
        Code::Aborted => SourceError::Moved(named),
        Code::DataLoss => SourceError::Corrupt(named),
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => SourceError::Unavailable(named),
        _ => SourceError::Internal(named),
    }
}

/// A fragment's error from the wire.
pub(crate) fn to_fragment(address: &str, status: &Status) -> FragmentError {
    let (own, named) = (status.message().to_owned(), text_of(address, status));
    if transport(status).is_some() {
        return FragmentError::Unavailable(named);
    }
    match status.code() {
        Code::InvalidArgument => FragmentError::BadData(named),
        Code::FailedPrecondition => FragmentError::Execution(own),
        Code::DeadlineExceeded => FragmentError::Timeout(own),
        Code::Unavailable | Code::Cancelled | Code::Aborted | Code::ResourceExhausted => {
            FragmentError::Unavailable(named)
        }
        _ => FragmentError::Internal(named),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_what_arrives() {
        for error in [
            SourceError::Limit("too many".to_owned()),
            SourceError::Unavailable("x".to_owned()),
            SourceError::Corrupt("x".to_owned()),
            SourceError::Moved("x".to_owned()),
            SourceError::Internal("x".to_owned()),
        ] {
            let there = to_source("n:1", &of_source(error.clone()));
            assert_eq!(std::mem::discriminant(&there), std::mem::discriminant(&error));
            let named = !matches!(error, SourceError::Limit(_));
            assert_eq!(there.to_string().contains("node `n:1`"), named, "{there}");
        }
        for error in [
            FragmentError::BadData("x".to_owned()),
            FragmentError::Execution("the user's text".to_owned()),
            FragmentError::Timeout("x".to_owned()),
            FragmentError::Unavailable("x".to_owned()),
            FragmentError::Internal("x".to_owned()),
        ] {
            let there = to_fragment("n:1", &of_fragment(error.clone()));
            assert_eq!(std::mem::discriminant(&there), std::mem::discriminant(&error));
        }
        let text = "the user's text".to_owned();
        let there = to_fragment("n:1", &of_fragment(FragmentError::Execution(text.clone())));
        assert_eq!(there, FragmentError::Execution(text));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let status = of_source(SourceError::Internal("ä".repeat(ERROR_BYTES_MAX)));
        assert!(status.message().len() <= ERROR_BYTES_MAX + '…'.len_utf8());
        assert!(status.message().ends_with("ä…"));
    }
}

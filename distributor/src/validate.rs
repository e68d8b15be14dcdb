//! From raw pairs to a label set: what the fast lane does not have to do again.

use model::{Labels, LabelsError, METRIC_NAME};

use crate::limits::Limits;
use crate::report::Reason;

/// Pairs as sent.
pub(crate) type RawPair<'a> = (&'a [u8], &'a [u8]);

/// Checks a series' pairs and sorts them. An empty value is an absent label.
pub(crate) fn series_labels(pairs: &[RawPair<'_>], limits: &Limits) -> Result<Labels, Reason> {
    let present = pairs.iter().filter(|(_, value)| !value.is_empty()).count();
    if present > limits.labels_per_series_max {
        return Err(Reason::TooManyLabels);
    }
    let labels = label_set(pairs, limits.label_name_bytes_max, limits.label_value_bytes_max)?;
    if labels.get(METRIC_NAME).is_none() {
        return Err(Reason::MissingMetricName);
    }
    Ok(labels)
}

/// Checks an exemplar's pairs and sorts them.
pub(crate) fn exemplar_labels(pairs: &[RawPair<'_>], limits: &Limits) -> Result<Labels, Reason> {
    let bytes: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > limits.exemplar_label_bytes_max {
        return Err(Reason::InvalidExemplar);
    }
    label_set(pairs, usize::MAX, usize::MAX).map_err(|_| Reason::InvalidExemplar)
}

fn label_set(pairs: &[RawPair<'_>], name_max: usize, value_max: usize) -> Result<Labels, Reason> {
    let mut texts = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        if name.len() > name_max {
            return Err(Reason::LabelNameTooLong);
        }
        if value.len() > value_max {
            return Err(Reason::LabelValueTooLong);
        }
        let name = std::str::from_utf8(name).map_err(|_| Reason::NotUtf8)?;
        let value = std::str::from_utf8(value).map_err(|_| Reason::NotUtf8)?;
        texts.push((name, value));
    }
    Labels::new(texts).map_err(|error| match error {
        LabelsError::EmptyName => Reason::EmptyLabelName,
        LabelsError::Duplicate(_) => Reason::DuplicateLabelName,
        LabelsError::Malformed => Reason::NotUtf8,
    })
}

/// Pairs that are not (yet) a label set, for an error text.
pub(crate) fn show(pairs: &[RawPair<'_>]) -> String {
    const PAIRS_SHOWN: usize = 8;
    let mut text = String::from("{");
    for (i, (name, value)) in pairs.iter().take(PAIRS_SHOWN).enumerate() {
        if i > 0 {
            text.push_str(", ");
        }
        let clip = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(100)]).into_owned();
        text.push_str(&format!("{}={:?}", clip(name), clip(value)));
    }
    if pairs.len() > PAIRS_SHOWN {
        text.push_str(", …");
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_refused_for_the_reason_that_is_wrong_with_them() {
        let limits = Limits { labels_per_series_max: 3, label_name_bytes_max: 8, ..Limits::default() };
        let check = |pairs: &[(&[u8], &[u8])]| series_labels(pairs, &limits).map(|l| l.to_string());
        assert_eq!(
            check(&[(b"b", b"2"), (b"__name__", b"m"), (b"a", b"1")]),
            Ok("m{a=\"1\", b=\"2\"}".into())
        );
        assert_eq!(check(&[(b"__name__", b"m"), (b"gone", b"")]), Ok("m".into()));
        assert_eq!(check(&[(b"__name__", "größe.x".as_bytes())]), Ok("{\"größe.x\"}".into()));
        assert_eq!(check(&[]), Err(Reason::MissingMetricName));
        assert_eq!(check(&[(b"__name__", b"")]), Err(Reason::MissingMetricName));
        assert_eq!(check(&[(b"__name__", b"m"), (b"", b"1")]), Err(Reason::EmptyLabelName));
        assert_eq!(
            check(&[(b"__name__", b"m"), (b"a", b"1"), (b"a", b"1")]),
            Err(Reason::DuplicateLabelName)
        );
        assert_eq!(check(&[(b"__name__", b"m"), (b"a", b"\xff")]), Err(Reason::NotUtf8));
        assert_eq!(check(&[(b"__name__", b"m"), (b"123456789", b"1")]), Err(Reason::LabelNameTooLong));
        let four: &[(&[u8], &[u8])] = &[(b"__name__", b"m"), (b"a", b"1"), (b"b", b"1"), (b"c", b"1")];
        assert_eq!(check(four), Err(Reason::TooManyLabels));
    }
}

//! Answers to listings, in pieces of bounded size.

use bytes::Bytes;
use model::{Exemplar, Labels, Metadata, MetricType, TimeRange};
use prost::Message;
use proto::{DataChanges, DataVersion, SelectedSeries, Selection, SeriesExemplars};

use crate::generated as wire;
use crate::limits::PIECE_BYTES;

/// Bytes of an answer that say something else than they should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

impl From<prost::DecodeError> for Malformed {
    fn from(_: prost::DecodeError) -> Self {
        Malformed
    }
}

impl From<model::LabelsError> for Malformed {
    fn from(_: model::LabelsError) -> Self {
        Malformed
    }
}

/// What a listing gave.
#[derive(Debug, Clone)]
pub(crate) enum List {
    Strings(Vec<String>),
    Series(Vec<Labels>),
    Metadata(Vec<(String, Metadata)>),
    Exemplars(Vec<SeriesExemplars>),
    Changes(Option<DataChanges>),
}

/// Divides `items` into pieces of about [`PIECE_BYTES`].
fn pieces<T>(
    items: Vec<T>,
    size: impl Fn(&T) -> usize,
    make: impl Fn(Vec<T>) -> wire::ListPiece,
) -> Vec<Bytes> {
    let (mut out, mut held, mut bytes) = (Vec::new(), Vec::new(), 0);
    for item in items {
        bytes += size(&item) + 8;
        held.push(item);
        if bytes >= PIECE_BYTES {
            out.push(Bytes::from(make(std::mem::take(&mut held)).encode_to_vec()));
            bytes = 0;
        }
    }
    if !held.is_empty() {
        out.push(Bytes::from(make(held).encode_to_vec()));
    }
    out
}

fn labels_bytes(labels: &Labels) -> Bytes {
    Bytes::copy_from_slice(labels.as_bytes())
}

fn put_metadata((metric, metadata): (String, Metadata)) -> wire::MetadataEntry {
    wire::MetadataEntry {
        metric,
        r#type: metadata.metric_type as u32,
        help: metadata.help,
        unit: metadata.unit,
    }
}

fn put_exemplars(series: SeriesExemplars) -> wire::SeriesExemplars {
    let one = |e: Exemplar| wire::Exemplar { labels: labels_bytes(&e.labels), value: e.value, t: e.t };
    wire::SeriesExemplars {
        labels: labels_bytes(&series.labels),
        exemplars: series.exemplars.into_iter().map(one).collect(),
    }
}

fn put_changes(changes: &DataChanges) -> wire::ChangesAnswer {
    wire::ChangesAnswer {
        now: Some(wire::Version { numbers: changes.now.numbers().to_vec() }),
        changed: changes.changed.iter().map(|range| crate::ticket::put_range(*range)).collect(),
    }
}

impl List {
    /// The pieces to send.
    pub(crate) fn encode(self) -> Vec<Bytes> {
        match self {
            List::Strings(all) => {
                pieces(all, String::len, |strings| wire::ListPiece { strings, ..Default::default() })
            }
            List::Series(all) => pieces(
                all,
                |labels| labels.as_bytes().len(),
                |series| wire::ListPiece {
                    series: series.iter().map(labels_bytes).collect(),
                    ..Default::default()
                },
            ),
            List::Metadata(all) => {
                let size = |(name, metadata): &(String, Metadata)| {
                    name.len() + metadata.help.len() + metadata.unit.len()
                };
                pieces(all, size, |metadata| wire::ListPiece {
                    metadata: metadata.into_iter().map(put_metadata).collect(),
                    ..Default::default()
                })
            }
            List::Exemplars(all) => {
                let size = |series: &SeriesExemplars| {
                    let own = series.exemplars.iter().map(|e| e.labels.as_bytes().len() + 24);
                    series.labels.as_bytes().len() + own.sum::<usize>()
                };
                pieces(all, size, |exemplars| wire::ListPiece {
                    exemplars: exemplars.into_iter().map(put_exemplars).collect(),
                    ..Default::default()
                })
            }
            List::Changes(changes) => {
                let piece =
                    wire::ListPiece { changes: changes.as_ref().map(put_changes), ..Default::default() };
                vec![Bytes::from(piece.encode_to_vec())]
            }
        }
    }

    /// Adds what a piece holds, of the kind that the list is.
    pub(crate) fn take(&mut self, piece: Bytes) -> Result<(), Malformed> {
        let piece = wire::ListPiece::decode(piece)?;
        match self {
            List::Strings(all) => all.extend(piece.strings),
            List::Series(all) => {
                for labels in piece.series {
                    all.push(Labels::from_canonical(&labels)?);
                }
            }
            List::Metadata(all) => all.extend(piece.metadata.into_iter().map(|entry| {
                let metric_type = MetricType::from_wire(u64::from(entry.r#type));
                (entry.metric, Metadata { metric_type, help: entry.help, unit: entry.unit })
            })),
            List::Exemplars(all) => {
                for series in piece.exemplars {
                    let one = |e: wire::Exemplar| -> Result<Exemplar, Malformed> {
                        Ok(Exemplar { labels: Labels::from_canonical(&e.labels)?, value: e.value, t: e.t })
                    };
                    all.push(SeriesExemplars {
                        labels: Labels::from_canonical(&series.labels)?,
                        exemplars: series.exemplars.into_iter().map(one).collect::<Result<_, _>>()?,
                    });
                }
            }
            List::Changes(changes) => {
                *changes = piece.changes.map(|changes| DataChanges {
                    now: DataVersion::new(&changes.now.unwrap_or_default().numbers),
                    changed: (changes.changed.into_iter())
                        .map(|range| TimeRange { start: range.start, end: range.end })
                        .collect(),
                });
            }
        }
        Ok(())
    }
}

/// The series of a selection, in pieces; the last one says so.
pub(crate) fn encode_selected(selection: &dyn Selection) -> Vec<Bytes> {
    let (mut out, mut piece, mut bytes) = (Vec::new(), wire::SelectedPiece::default(), 0);
    for series in selection.series() {
        piece.ids.push(series.id.0);
        piece.labels.push(labels_bytes(&series.labels));
        bytes += series.labels.as_bytes().len() + 10;
        if bytes >= PIECE_BYTES {
            out.push(Bytes::from(std::mem::take(&mut piece).encode_to_vec()));
            bytes = 0;
        }
    }
    piece.end = Some(wire::SelectedEnd {
        warnings: selection.warnings(),
        bytes_estimate: selection.bytes_estimate().map(|bytes| bytes as u64),
    });
    out.push(Bytes::from(piece.encode_to_vec()));
    out
}

/// Adds the series of a piece; gives the end with the last one.
pub(crate) fn take_selected(
    piece: Bytes,
    all: &mut Vec<SelectedSeries>,
) -> Result<Option<wire::SelectedEnd>, Malformed> {
    let piece = wire::SelectedPiece::decode(piece)?;
    if piece.ids.len() != piece.labels.len() {
        return Err(Malformed);
    }
    for (id, labels) in piece.ids.into_iter().zip(piece.labels) {
        all.push(SelectedSeries { id: model::SeriesId(id), labels: Labels::from_canonical(&labels)? });
    }
    Ok(piece.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What arrives of a list, and in how many pieces.
    fn there(list: List, mut empty: List) -> (String, usize) {
        let pieces = list.encode();
        let count = pieces.len();
        for piece in pieces {
            empty.take(piece).unwrap();
        }
        (format!("{empty:?}"), count)
    }

    #[test]
    fn lists_arrive_in_pieces() {
        let shown = |list: &List, pieces: usize| (format!("{list:?}"), pieces);
        let long: Vec<String> = (0..3).map(|i| format!("{i}{}", "x".repeat(PIECE_BYTES / 2))).collect();
        let list = List::Strings(long);
        assert_eq!(there(list.clone(), List::Strings(vec![])), shown(&list, 2));
        let labels = Labels::new([("__name__", "up"), ("a", "b")]).unwrap();
        let list = List::Series(vec![labels.clone(), Labels::empty()]);
        assert_eq!(there(list.clone(), List::Series(vec![])), shown(&list, 1));
        let metadata = Metadata {
            metric_type: MetricType::Summary,
            help: "what it is".to_owned(),
            unit: "seconds".to_owned(),
        };
        let list = List::Metadata(vec![("up".to_owned(), metadata)]);
        assert_eq!(there(list.clone(), List::Metadata(vec![])), shown(&list, 1));
        let exemplar = Exemplar { labels: labels.clone(), value: 1.5, t: -7 };
        let list = List::Exemplars(vec![SeriesExemplars { labels, exemplars: vec![exemplar] }]);
        assert_eq!(there(list.clone(), List::Exemplars(vec![])), shown(&list, 1));
        let changes = DataChanges { now: DataVersion::new(&[1, 2]), changed: vec![TimeRange::new(1, 5)] };
        for changes in [Some(changes), None] {
            let list = List::Changes(changes);
            assert_eq!(there(list.clone(), List::Changes(None)), shown(&list, 1));
        }
        assert_eq!(List::Strings(vec![]).encode(), Vec::<Bytes>::new());
    }
}

//! What came in with one request, wherever it came from: series by number, their parts on demand.
//!
//! Labels are read only when somebody asks: on a miss of the fast lane, or to name a series in an error.

use model::{Exemplar, Labels, METRIC_NAME, Metadata, MetricType};
use proto::WireError;
use proto::remote_write::{
    WireHistogram, WriteVersion, decode_exemplar_v1, decode_exemplar_v2, decode_histogram,
    decode_metadata_v1, label_pairs,
};

use crate::decode::Scratch;
use crate::limits::Limits;
use crate::report::Reason;
use crate::validate::{self, RawPair};

/// Where the series' labels are.
#[derive(Debug)]
pub(crate) enum Origin {
    /// In the body of a remote write request.
    Wire(WriteVersion),
    /// Read from text, one per series.
    Text(Vec<Labels>),
}

/// Why a part cannot be read.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The whole request is malformed.
    Wire(WireError),
    /// This part is refused.
    Refused(Reason),
}

impl From<WireError> for Fault {
    fn from(error: WireError) -> Self {
        Fault::Wire(error)
    }
}

impl From<Reason> for Fault {
    fn from(reason: Reason) -> Self {
        Fault::Refused(reason)
    }
}

/// A request that was walked over and hashed.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) origin: Origin,
    pub(crate) scratch: Scratch,
    /// Metadata that comes without a series.
    pub(crate) metadata: Vec<(String, Metadata)>,
}

/// Metadata of a 2.0 series that says something, by symbols.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeriesMetadata {
    /// Hash of type, help and unit; never 0.
    pub(crate) hash: u32,
    metric_type: u32,
    help: u32,
    unit: u32,
}

impl Intake {
    pub(crate) fn is_v2(&self) -> bool {
        matches!(self.origin, Origin::Wire(WriteVersion::V2))
    }

    fn symbol(&self, index: u32) -> Option<&[u8]> {
        self.scratch.walk.symbols.get(index as usize).map(|span| span.of(self.scratch.body()))
    }

    fn pairs_of_refs(&self, refs: &[u32]) -> Result<Vec<RawPair<'_>>, Fault> {
        let (pairs, rest) = refs.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(Reason::BadSymbol.into());
        }
        let pair = |pair: &[u32; 2]| Some((self.symbol(pair[0])?, self.symbol(pair[1])?));
        pairs.iter().map(pair).collect::<Option<_>>().ok_or(Reason::BadSymbol.into())
    }

    fn raw_pairs(&self, series: usize) -> Result<Vec<RawPair<'_>>, Fault> {
        let walked = &self.scratch.walk.series[series];
        match &self.origin {
            Origin::Wire(WriteVersion::V1) => {
                Ok(label_pairs(walked.label_bytes(self.scratch.body())).collect::<Result<_, WireError>>()?)
            }
            Origin::Wire(WriteVersion::V2) => self.pairs_of_refs(walked.label_refs(&self.scratch.walk.refs)),
            Origin::Text(labels) => {
                Ok(labels[series].iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect())
            }
        }
    }

    /// The series' labels, checked and sorted.
    pub(crate) fn labels(&self, series: usize, limits: &Limits) -> Result<Labels, Fault> {
        Ok(validate::series_labels(&self.raw_pairs(series)?, limits)?)
    }

    /// The series as an error text names it, valid or not.
    pub(crate) fn show(&self, series: usize) -> String {
        match self.raw_pairs(series) {
            Ok(pairs) => validate::series_labels(&pairs, &Limits::default())
                .map_or_else(|_| validate::show(&pairs), |labels| labels.to_string()),
            Err(_) => format!("series number {series} of the request"),
        }
    }

    /// A histogram; `created` of its series stands in for a start it does not have.
    pub(crate) fn histogram(&self, series: usize, at: usize) -> Result<WireHistogram, WireError> {
        let mut histogram = decode_histogram(self.scratch.walk.histograms[at].of(self.scratch.body()))?;
        if histogram.start_t == 0 {
            histogram.start_t = self.scratch.walk.series[series].created;
        }
        Ok(histogram)
    }

    /// An exemplar, checked.
    pub(crate) fn exemplar(&self, at: usize, limits: &Limits) -> Result<Exemplar, Fault> {
        let bytes = self.scratch.walk.exemplars[at].of(self.scratch.body());
        let (labels, value, t) = if self.is_v2() {
            let read = decode_exemplar_v2(bytes)?;
            let pairs = self.pairs_of_refs(&read.refs).map_err(|_| Reason::InvalidExemplar)?;
            (validate::exemplar_labels(&pairs, limits)?, read.value, read.t)
        } else {
            let read = decode_exemplar_v1(bytes)?;
            let pairs: Vec<RawPair<'_>> = read.labels.collect::<Result<_, _>>()?;
            (validate::exemplar_labels(&pairs, limits)?, read.value, read.t)
        };
        if t == 0 {
            return Err(Reason::InvalidExemplar.into());
        }
        Ok(Exemplar { labels, value, t })
    }

    /// What a 2.0 series says of its metric, if anything.
    pub(crate) fn series_metadata(&self, series: usize) -> Option<SeriesMetadata> {
        let refs = self.scratch.walk.series[series].metadata;
        if (refs.metric_type, refs.help, refs.unit) == (0, 0, 0) {
            return None;
        }
        let hash = |symbol: u32| self.scratch.symbol_hashes.get(symbol as usize).copied().unwrap_or(0);
        // keyed hashes of the texts, mixed
        let mixed = (hash(refs.help) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ (hash(refs.unit) as u64).rotate_left(29)
            ^ u64::from(refs.metric_type).wrapping_mul(0xff51_afd7_ed55_8ccd);
        Some(SeriesMetadata {
            hash: ((mixed >> 32) as u32).max(1),
            metric_type: refs.metric_type,
            help: refs.help,
            unit: refs.unit,
        })
    }

    /// The name and the metadata in full; `None` when texts are not UTF-8: metadata is never a reason to
    /// fail.
    pub(crate) fn metadata_of(&self, series: usize, metadata: SeriesMetadata) -> Option<(String, Metadata)> {
        let text = |symbol: u32| std::str::from_utf8(self.symbol(symbol)?).ok();
        let refs = self.scratch.walk.series[series].label_refs(&self.scratch.walk.refs);
        let name = refs.as_chunks::<2>().0.iter().find(|pair| text(pair[0]) == Some(METRIC_NAME))?;
        let metadata = Metadata {
            metric_type: MetricType::from_wire(u64::from(metadata.metric_type)),
            help: text(metadata.help)?.to_owned(),
            unit: text(metadata.unit)?.to_owned(),
        };
        Some((text(name[1])?.to_owned(), metadata))
    }

    /// Reads what 1.0 sends as metadata; what is not UTF-8 or has no name is left out.
    pub(crate) fn read_metadata_v1(&mut self) -> Result<(), WireError> {
        let body = self.scratch.body();
        for span in &self.scratch.walk.metadata {
            let read = decode_metadata_v1(span.of(body))?;
            let texts = (std::str::from_utf8(read.family), std::str::from_utf8(read.help));
            let (Ok(family), Ok(help), Ok(unit)) = (texts.0, texts.1, std::str::from_utf8(read.unit)) else {
                continue;
            };
            if family.is_empty() {
                continue;
            }
            self.metadata.push((
                family.to_owned(),
                Metadata {
                    metric_type: MetricType::from_wire(u64::from(read.metric_type)),
                    help: help.to_owned(),
                    unit: unit.to_owned(),
                },
            ));
        }
        Ok(())
    }
}

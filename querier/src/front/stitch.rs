//! Answers for consecutive runs of steps become one.

use std::ops::RangeInclusive;

use model::{Labels, TimestampMs};
use promql::{MatrixSeries, Value};

/// Matrices of consecutive runs of steps as one: of each the samples inside its times, series sorted by labels.
pub(super) fn stitch(runs: &[(RangeInclusive<TimestampMs>, &Value)]) -> Value {
    let mut lists: Vec<(RangeInclusive<TimestampMs>, &[MatrixSeries])> =
        runs.iter().map(|(times, value)| (times.clone(), series_of(value))).collect();
    let mut all = Vec::with_capacity(lists.iter().map(|(_, list)| list.len()).max().unwrap_or(0));
    while let Some(labels) =
        lists.iter().filter_map(|(_, list)| list.first()).map(|s| &s.labels).min().cloned()
    {
        let mut found: Vec<(&RangeInclusive<TimestampMs>, &MatrixSeries)> = Vec::with_capacity(lists.len());
        for (times, list) in &mut lists {
            if let Some((first, rest)) = list.split_first()
                && first.labels == labels
            {
                found.push((times, first));
                *list = rest;
            }
        }
        all.extend(joined(labels, &found));
    }
    Value::Matrix(all)
}

fn joined(labels: Labels, runs: &[(&RangeInclusive<TimestampMs>, &MatrixSeries)]) -> Option<MatrixSeries> {
    let floats = runs.iter().map(|(times, series)| inside(&series.floats, times));
    let histograms = runs.iter().map(|(times, series)| inside(&series.histograms, times));
    let one = MatrixSeries { labels, floats: concat(floats), histograms: concat(histograms) };
    (!one.floats.is_empty() || !one.histograms.is_empty()).then_some(one)
}

fn concat<'a, T: Clone + 'a>(runs: impl Iterator<Item = &'a [T]> + Clone) -> Vec<T> {
    let mut all = Vec::with_capacity(runs.clone().map(<[T]>::len).sum());
    runs.for_each(|run| all.extend_from_slice(run));
    all
}

/// The points at these times.
fn inside<'a, T>(
    points: &'a [(TimestampMs, T)],
    times: &RangeInclusive<TimestampMs>,
) -> &'a [(TimestampMs, T)] {
    let from = points.partition_point(|(t, _)| t < times.start());
    let to = points.partition_point(|(t, _)| t <= times.end());
    &points[from..to.max(from)]
}

fn series_of(value: &Value) -> &[MatrixSeries] {
    match value {
        Value::Matrix(series) => series,
        Value::Scalar { .. } | Value::String { .. } | Value::Vector(_) => &[],
    }
}

/// Points in a matrix, roughly what it costs to copy it.
pub(super) fn points(value: &Value) -> usize {
    series_of(value).iter().map(|s| s.floats.len() + s.histograms.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, floats: &[(i64, f64)]) -> MatrixSeries {
        let labels = Labels::new([("__name__", name)]).unwrap();
        MatrixSeries { labels, floats: floats.to_vec(), histograms: Vec::new() }
    }

    #[test]
    fn runs_become_one_matrix() {
        let one = Value::Matrix(vec![
            series("a", &[(0, 1.0), (10, 2.0), (20, 3.0)]),
            series("c", &[(0, 4.0)]),
            series("d", &[(20, 5.0)]),
        ]);
        let two = Value::Matrix(vec![
            series("a", &[(20, 6.0), (30, 7.0)]),
            series("b", &[(30, 8.0)]),
            series("d", &[(30, 9.0)]),
        ]);
        let all = stitch(&[(0..=10, &one), (20..=30, &two)]);
        let wanted = Value::Matrix(vec![
            series("a", &[(0, 1.0), (10, 2.0), (20, 6.0), (30, 7.0)]),
            series("b", &[(30, 8.0)]),
            series("c", &[(0, 4.0)]),
            series("d", &[(30, 9.0)]),
        ]);
        assert_eq!(all, wanted);
        assert_eq!(points(&all), 7);
        // a series that has nothing in the run is not there
        assert_eq!(stitch(&[(10..=10, &one)]), Value::Matrix(vec![series("a", &[(10, 2.0)])]));
    }
}

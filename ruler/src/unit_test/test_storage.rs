//! Series in memory, growing as a test goes on.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use model::{Histogram, Labels, TenantId, TimestampMs};
use parking_lot::Mutex;
use promql::test_script::LoadedSeries;
use promql::{
    Engine, EngineOptions, Features, MatrixSeries, MemorySource, QueryRequest, SampleValue, Value,
    VectorSample,
};
use runtime::Runtime;

use super::UnitTestOptions;
use crate::{RuleStorage, Span};

/// The newest sample of a series: its time, and its bits when it is a float.
type Newest = (TimestampMs, Option<u64>);

pub(super) struct TestStorage {
    engine: Engine,
    source: Arc<MemorySource>,
    tenant: TenantId,
    newest: Mutex<HashMap<Labels, Newest>>,
}

impl TestStorage {
    pub(super) fn new(runtime: &Runtime, options: &UnitTestOptions, subquery_step: Span) -> Self {
        let language = &options.language;
        let features = Features {
            experimental_functions: language.experimental_functions,
            extended_range_selectors: language.extended_range_selectors,
            fill_modifiers: language.binop_fill_modifiers,
            delayed_name_removal: options.delayed_name_removal,
            ..Features::default()
        };
        let options = EngineOptions {
            features,
            default_subquery_step_ms: subquery_step.0.max(1),
            ..EngineOptions::default()
        };
        TestStorage {
            engine: Engine::new(runtime.clone(), options),
            source: Arc::new(MemorySource::new()),
            tenant: TenantId::anonymous(),
            newest: Mutex::new(HashMap::new()),
        }
    }

    /// Takes over the samples up to `till`; `series` begin `start` after their own times.
    pub(super) fn load(&self, series: &mut [LoadedSeries], start: TimestampMs, till: TimestampMs) {
        for one in series {
            let due = one.samples.iter().take_while(|sample| sample.t + start <= till).count();
            for sample in one.samples.drain(..due) {
                let start_t = sample.start_t.map_or(0, |t| t + start);
                self.put(&one.labels, sample.t + start, &sample.value, start_t);
            }
        }
    }

    /// The value of an expression that is a range of samples.
    pub(super) async fn matrix(&self, query: &str, time: TimestampMs) -> Result<Vec<MatrixSeries>, String> {
        match self.ask(query, time).await? {
            Value::Matrix(series) => Ok(series),
            _ => Err("rule result is not a matrix".to_owned()),
        }
    }

    async fn ask(&self, query: &str, time: TimestampMs) -> Result<Value, String> {
        let request = QueryRequest::new(self.tenant.clone(), query);
        let source = Arc::clone(&self.source);
        Ok(self.engine.instant(source, request, time).await.map_err(|e| e.to_string())?.value)
    }

    fn put(&self, labels: &Labels, t: TimestampMs, value: &SampleValue, start_t: TimestampMs) {
        let bits = match value {
            SampleValue::Float(v) => {
                self.source.add_floats(labels, &[(t, *v, start_t)]);
                Some(v.to_bits())
            }
            SampleValue::Histogram(h) => {
                let histogram = Histogram::Float(Box::new((**h).clone()));
                self.source.add_histograms(labels, &[(t, histogram, start_t)]);
                None
            }
        };
        self.newest.lock().insert(labels.clone(), (t, bits));
    }
}

#[async_trait]
impl RuleStorage for TestStorage {
    async fn query(&self, query: &str, time: TimestampMs) -> Result<Vec<VectorSample>, String> {
        match self.ask(query, time).await? {
            Value::Vector(samples) => Ok(samples),
            Value::Scalar { t, v } => {
                Ok(vec![VectorSample { labels: Labels::empty(), t, value: SampleValue::Float(v) }])
            }
            _ => Err("rule result is not a vector or scalar".to_owned()),
        }
    }

    async fn append(&self, samples: &[VectorSample]) -> Vec<Result<(), String>> {
        let append = |sample: &VectorSample| {
            let newest = self.newest.lock().get(&sample.labels).copied();
            let bits = match &sample.value {
                SampleValue::Float(v) => Some(v.to_bits()),
                SampleValue::Histogram(_) => None,
            };
            match newest {
                Some((t, _)) if t > sample.t => Err("out of order sample".to_owned()),
                Some((t, known)) if t == sample.t && known != bits => {
                    Err("duplicate sample for timestamp".to_owned())
                }
                Some((t, _)) if t == sample.t => Ok(()),
                _ => {
                    self.put(&sample.labels, sample.t, &sample.value, 0);
                    Ok(())
                }
            }
        };
        samples.iter().map(append).collect()
    }
}

//! The engine over series in memory, as something scripts run against.

use std::sync::Arc;

use async_trait::async_trait;
use model::{Histogram, TenantId, TimestampMs};
use runtime::Runtime;

use crate::test_script::{LoadedSeries, ScriptTarget};
use crate::{Answer, Engine, EngineOptions, Features, MemorySource, QueryRequest, SampleValue};

/// Runs scripts with the features Prometheus runs them with.
#[derive(Debug)]
pub struct EngineTarget {
    engine: Engine,
    source: Arc<MemorySource>,
    tenant: TenantId,
}

impl EngineTarget {
    /// Without series.
    pub fn new(runtime: Runtime) -> Self {
        let options = EngineOptions { features: Features::of_test_scripts(), ..EngineOptions::default() };
        EngineTarget {
            engine: Engine::new(runtime, options),
            source: Arc::new(MemorySource::new()),
            tenant: TenantId::anonymous(),
        }
    }

    fn request(&self, query: &str) -> QueryRequest {
        QueryRequest::new(self.tenant.clone(), query)
    }
}

#[async_trait]
impl ScriptTarget for EngineTarget {
    async fn load(&mut self, series: &[LoadedSeries]) -> Result<(), String> {
        for loaded in series {
            let (mut floats, mut histograms) = (Vec::new(), Vec::new());
            for sample in &loaded.samples {
                let start_t = sample.start_t.unwrap_or(0);
                match &sample.value {
                    SampleValue::Float(v) => floats.push((sample.t, *v, start_t)),
                    SampleValue::Histogram(h) => {
                        histograms.push((sample.t, Histogram::Float(Box::new((**h).clone())), start_t));
                    }
                }
            }
            self.source.add_floats(&loaded.labels, &floats);
            self.source.add_histograms(&loaded.labels, &histograms);
        }
        Ok(())
    }

    async fn clear(&mut self) -> Result<(), String> {
        self.source.clear();
        Ok(())
    }

    async fn instant(&mut self, query: &str, time_ms: TimestampMs) -> Result<Answer, String> {
        let source = Arc::clone(&self.source);
        self.engine.instant(source, self.request(query), time_ms).await.map_err(|e| e.to_string())
    }

    async fn range(
        &mut self,
        query: &str,
        start_ms: TimestampMs,
        end_ms: TimestampMs,
        step_ms: i64,
    ) -> Result<Answer, String> {
        let source = Arc::clone(&self.source);
        let request = self.request(query);
        self.engine.range(source, request, start_ms, end_ms, step_ms).await.map_err(|e| e.to_string())
    }
}

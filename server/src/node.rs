//! A node: the roles of one process, wired together. The only place that knows all of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use flight::{RemoteNode, Traffic};
use model::TenantId;
use promql::{Engine, EngineOptions, Features, Rewrite, Rewrites};
use proto::Source;
use querier::{Api, ApiConfig, ApiLimits, QueryLog, SpreadSource};
use runtime::{Runtime, Shutdown, Task};
use tokio::net::TcpListener;

use crate::config::Config;
use crate::config::millis;
use crate::data::{DataRoles, listen_for_nodes};
use crate::metrics::Metrics;
use crate::readings;
use crate::self_scrape;
use crate::status::Status;
use crate::target::Target;
use crate::tenant::Tenancy;

/// Everything that runs in this process.
pub(crate) struct Node {
    /// What it was started with.
    pub(crate) config: Arc<Config>,
    /// Clock, tasks, disk.
    pub(crate) runtime: Runtime,
    /// Raised when the process ends.
    pub(crate) shutdown: Shutdown,
    /// Whose requests are whose.
    pub(crate) tenancy: Tenancy,
    /// Our own metrics.
    pub(crate) metrics: Metrics,
    /// The query API.
    pub(crate) api: Arc<Api>,
    /// What holds series, where this process does.
    pub(crate) data: Option<DataRoles>,
    /// Where other nodes read this one.
    pub(crate) grpc_address: Option<SocketAddr>,
    source: Arc<dyn Source>,
    background: parking_lot::Mutex<Vec<Task<()>>>,
}

/// The series of other nodes as one source.
pub(crate) fn source_of_nodes(nodes: &[String], traffic: &Arc<Traffic>) -> Result<Arc<dyn Source>> {
    let mut sources: Vec<Arc<dyn Source>> = Vec::with_capacity(nodes.len());
    for address in nodes {
        let node = RemoteNode::new(address, Arc::clone(traffic)).context("--querier.nodes")?;
        sources.push(Arc::new(node));
    }
    Ok(Arc::new(SpreadSource::new(sources)))
}

impl Node {
    /// Recovers what the data directory holds and starts every role; takes reads and writes when it returns.
    pub(crate) async fn start(config: Config, runtime: Runtime, shutdown: Shutdown) -> Result<Arc<Self>> {
        let config = Arc::new(config);
        let start_ms = runtime.now_ms();
        let tenancy = Tenancy { enabled: config.multi_tenancy };
        let engine = Engine::new(runtime.clone(), engine_options(&config)?);
        let traffic = Arc::new(Traffic::default());
        let (data, source) = match &config.target {
            Target::Querier { nodes } => (None, source_of_nodes(nodes, &traffic)?),
            Target::All => {
                let data = DataRoles::start(&config, &runtime, &engine, Arc::clone(&traffic)).await?;
                let source = Arc::clone(&data.source);
                (Some(data), source)
            }
        };
        let listener = match &data {
            Some(_) => listen_for_nodes(&config).await?,
            None => None,
        };

        let grpc_address = listener.as_ref().map(TcpListener::local_addr).transpose()?;

        let status = Status {
            config: Arc::clone(&config),
            runtime: runtime.clone(),
            shutdown: shutdown.clone(),
            start_ms,
            ingester: data.as_ref().map(|data| data.ingester.clone()),
        };
        let of_tenant = Arc::clone(&source);
        let api = Api::new(ApiConfig {
            runtime: runtime.clone(),
            engine,
            source: Box::new(move |_tenant| Arc::clone(&of_tenant)),
            tenant: Box::new(move |headers| tenancy.of(headers)),
            status: Arc::new(status),
            limits: ApiLimits {
                queries_running_max: config.query_max_concurrency,
                series_max: config.query_max_series,
                points_max: config.query_max_points_per_series,
                queries_waiting_max: config.query_max_waiting,
                tenant_queries_running_max: config.query_tenant_max_concurrency,
                tenant_queries_waiting_max: config.query_tenant_max_waiting,
                result_cache_bytes: config.query_result_cache_bytes,
                ..ApiLimits::default()
            },
        });

        if let Some(path) = &config.query_log_file {
            let log = QueryLog::start(&runtime, path, config.query_log_max_bytes).with_context(|| {
                format!("cannot open the query log `{}` (--query.log-file)", path.display())
            })?;
            api.log_queries(log);
        }
        let metrics = Metrics::new();
        metrics.read_from(readings::of_every_node(&runtime, &api, &traffic, start_ms));
        let mut tasks = Vec::new();
        if let Some(data) = &data {
            metrics.read_from(data.readers());
            tasks = data.background(&config, &runtime, &shutdown, listener);
        }
        let node = Arc::new(Node {
            config,
            runtime,
            shutdown,
            tenancy,
            metrics,
            api,
            data,
            grpc_address,
            source,
            background: parking_lot::Mutex::new(tasks),
        });
        if let (Some(data), Some(interval)) = (&node.data, node.config.self_scrape_interval) {
            let scrape = self_scrape::run(Arc::clone(&node), data.distributor.clone(), interval);
            node.background.lock().push(node.runtime.spawn("self-scrape", scrape));
        }
        Ok(node)
    }

    /// What a tenant's queries read.
    pub(crate) fn source(&self, _tenant: &TenantId) -> Arc<dyn Source> {
        Arc::clone(&self.source)
    }

    /// Why reads or writes do not work now; `None` when they do.
    pub(crate) fn not_ready(&self) -> Option<String> {
        if self.shutdown.is_triggered() {
            return Some("stopping".to_owned());
        }
        self.data.as_ref().and_then(DataRoles::trouble)
    }

    /// Our own metrics as text.
    pub(crate) fn metrics_text(&self) -> Result<String, String> {
        self.metrics.text().map_err(|error| error.to_string())
    }

    /// Ends every role.
    pub(crate) async fn stop(self: Arc<Self>) {
        self.shutdown.trigger();
        let tasks = std::mem::take(&mut *self.background.lock());
        for task in tasks {
            if let Err(error) = task.await {
                tracing::warn!(%error, "a background task did not end cleanly");
            }
        }
        if let Some(data) = &self.data {
            data.stop().await;
        }
        if !self.api.flush_query_log(QUERY_LOG_LIMIT).await {
            tracing::warn!("the last queries are missing in the query log");
        }
    }
}

/// How long the last lines of the query log may take.
const QUERY_LOG_LIMIT: Duration = Duration::from_secs(5);

/// What the engine is built with.
fn engine_options(config: &Config) -> Result<EngineOptions> {
    let mut features = Features::default();
    for name in &config.features {
        match name.as_str() {
            "promql-experimental-functions" => features.experimental_functions = true,
            "promql-extended-range-selectors" => features.extended_range_selectors = true,
            "promql-binop-fill-modifiers" => features.fill_modifiers = true,
            "promql-delayed-name-removal" => features.delayed_name_removal = true,
            "type-and-unit-labels" => features.type_and_unit_labels = true,
            "use-start-timestamps" => features.start_timestamps = true,
            // always on
            "exemplar-storage" | "native-histograms" | "promql-duration-expr" | "promql-per-step-stats" => {}
            other => anyhow::bail!(
                "--enable-feature: `{other}` is not known; expected promql-experimental-functions, \
                 promql-extended-range-selectors, promql-binop-fill-modifiers, \
                 promql-delayed-name-removal, type-and-unit-labels or use-start-timestamps"
            ),
        }
    }
    let rewrites = Rewrites::all_but(&config.rewrites_off).map_err(|name| {
        let known: Vec<&str> = Rewrite::ALL.into_iter().map(Rewrite::name).collect();
        anyhow::anyhow!("--query.disable-rewrites: `{name}` is not known; expected {}", known.join(", "))
    })?;
    Ok(EngineOptions {
        lookback_delta_ms: millis(config.lookback_delta),
        max_samples: config.query_max_samples,
        memory: config.query_memory,
        timeout: config.query_timeout,
        features,
        rewrites,
        ..EngineOptions::default()
    })
}

//! A node: the roles of one process, wired together. The only place that knows all of them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use block::{Bucket, BucketOptions, Catalogs};
use cluster::{Cluster, ClusterConfig, Member, Meta};
use compactor::Compactor;
use distributor::Distributor;
use ingester::{Ingester, IngesterConfig};
use model::{NodeId, TenantId};
use promql::{Engine, EngineOptions, Features, Rewrite, Rewrites};
use proto::Source;
use querier::{Api, ApiConfig, ApiLimits, HeadsAndBlocks};
use runtime::{Runtime, Shutdown, Task};
use store_gateway::{BlockSource, BlockSourceOptions};

use crate::config::Config;
use crate::metrics::Metrics;
use crate::readings;
use crate::self_scrape;
use crate::status::Status;
use crate::tenant::Tenancy;

/// How often blocks past the retention are looked for.
const RETENTION_CHECK: Duration = Duration::from_secs(60);
/// How often the catalogs are read again, in case somebody else committed.
const CATALOG_REFRESH: Duration = Duration::from_secs(30);

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
    /// The write door.
    pub(crate) distributor: Distributor,
    /// The query API.
    pub(crate) api: Arc<Api>,
    cluster: Cluster,
    ingester: Ingester,
    sources: Sources,
    background: parking_lot::Mutex<Vec<Task<()>>>,
}

/// What queries read: heads and blocks, joined.
#[derive(Clone)]
struct Sources(Arc<dyn Source>);

impl Node {
    /// Recovers what the data directory holds and starts every role; takes reads and writes when it returns.
    pub(crate) async fn start(config: Config, runtime: Runtime, shutdown: Shutdown) -> Result<Arc<Self>> {
        let config = Arc::new(config);
        let start_ms = runtime.now_ms();
        let tenancy = Tenancy { enabled: config.multi_tenancy };
        let bucket = Bucket::open(&runtime, &config.bucket, &BucketOptions::default())
            .with_context(|| format!("cannot open the bucket `{}` (--bucket)", config.bucket))?;
        bucket.remove_leftovers().await.context("cannot clear what a crash left in the bucket")?;
        let catalogs = Arc::new(Catalogs::new(bucket));

        let node_id = NodeId(1);
        let cluster = Cluster::open(runtime.clone(), ClusterConfig::new(&config.data_dir, node_id)).await?;
        let meta = Meta::start(&cluster).await?;
        let member = Member { address: config.grpc_listen.to_string(), zone: String::new() };
        meta.bootstrap(node_id, member).await?;

        let ingester = Ingester::start(
            runtime.clone(),
            &cluster,
            Arc::clone(&catalogs),
            IngesterConfig {
                groups: config.data_groups,
                query_overlap: config.query_overlap,
                limits: readings::limits_of(&config),
                ..IngesterConfig::default()
            },
        )
        .await?;
        let distributor =
            Distributor::new(runtime.clone(), Arc::new(ingester.clone()), config.limits.of_door());

        let blocks = Arc::new(BlockSource::new(
            runtime.clone(),
            Arc::clone(&catalogs),
            &BlockSourceOptions::default(),
        ));
        let (holder, selected) = (ingester.clone(), Arc::clone(&blocks));
        let (heads_from, blocks_until, others) = (ingester.clone(), ingester.clone(), Arc::clone(&blocks));
        let both = HeadsAndBlocks::new(
            Arc::new(ingester.source()),
            blocks,
            move |tenant| holder.held_blocks(tenant),
            move |request, held| {
                let blocks = Arc::clone(&selected);
                Box::pin(async move { blocks.select_except(&request, &held).await })
            },
        );
        let sources = Sources(Arc::new(both.with_seams(
            move |tenant| {
                // what heads hold now they held when they were asked
                let (floor, held) = (heads_from.head_min_time(&tenant), heads_from.held_blocks(&tenant));
                let blocks = Arc::clone(&others);
                Box::pin(async move { Ok(floor.max(blocks.end_except(&tenant, &held).await?)) })
            },
            move |tenant| blocks_until.blocks_until(tenant),
        )));

        let engine = Engine::new(runtime.clone(), engine_options(&config)?);
        let status = Status {
            config: Arc::clone(&config),
            runtime: runtime.clone(),
            shutdown: shutdown.clone(),
            start_ms,
            ingester: ingester.clone(),
        };
        let of_tenant = sources.clone();
        let api = Api::new(ApiConfig {
            runtime: runtime.clone(),
            engine,
            source: Box::new(move |_tenant| Arc::clone(&of_tenant.0)),
            tenant: Box::new(move |headers| tenancy.of(headers)),
            status: Arc::new(status),
            limits: ApiLimits {
                queries_running_max: config.query_max_concurrency,
                series_max: config.query_max_series,
                queries_waiting_max: config.query_max_waiting,
                tenant_queries_running_max: config.query_tenant_max_concurrency,
                tenant_queries_waiting_max: config.query_tenant_max_waiting,
                result_cache_bytes: config.query_result_cache_bytes,
                ..ApiLimits::default()
            },
        });

        let metrics = Metrics::new();
        metrics.read_from(readings::readers(
            &runtime,
            &cluster,
            &ingester,
            &distributor,
            &api,
            &catalogs,
            start_ms,
        ));
        let node = Arc::new(Node {
            config,
            runtime,
            shutdown,
            tenancy,
            metrics,
            distributor,
            api,
            cluster,
            ingester,
            sources,
            background: parking_lot::Mutex::new(Vec::new()),
        });
        node.start_background(catalogs);
        Ok(node)
    }

    fn start_background(self: &Arc<Self>, catalogs: Arc<Catalogs>) {
        let mut tasks = Vec::new();
        if let Some(interval) = self.config.self_scrape_interval {
            tasks.push(self.runtime.spawn("self-scrape", self_scrape::run(Arc::clone(self), interval)));
        }
        let (runtime, shutdown) = (self.runtime.clone(), self.shutdown.clone());
        let refreshed = Arc::clone(&catalogs);
        tasks.push(self.runtime.spawn("catalog-refresh", async move {
            while sleep(&runtime, &shutdown, CATALOG_REFRESH).await {
                if let Err(error) = refreshed.refresh().await {
                    tracing::warn!(%error, "catalogs not refreshed");
                }
            }
        }));
        let keep_ms = self.config.retention.map(millis);
        let retention = compactor::Retention { keep_ms, ..compactor::Retention::default() };
        let compactor = Compactor::new(self.runtime.clone(), catalogs, move |_tenant| retention);
        let (runtime, shutdown) = (self.runtime.clone(), self.shutdown.clone());
        tasks.push(self.runtime.spawn("retention", async move {
            loop {
                if let Err(error) = Box::pin(compactor.run_once()).await {
                    tracing::warn!(%error, "retention not applied everywhere, will be tried again");
                }
                if !sleep(&runtime, &shutdown, RETENTION_CHECK).await {
                    return;
                }
            }
        }));
        *self.background.lock() = tasks;
    }

    /// What a tenant's queries read.
    pub(crate) fn source(&self, _tenant: &TenantId) -> Arc<dyn Source> {
        Arc::clone(&self.sources.0)
    }

    /// Why reads or writes do not work now; `None` when they do.
    pub(crate) fn not_ready(&self) -> Option<String> {
        if self.shutdown.is_triggered() {
            return Some("stopping".to_owned());
        }
        self.cluster.stats().trouble
    }

    /// Our own metrics as text.
    pub(crate) fn metrics_text(&self) -> Result<String, String> {
        self.metrics.text().map_err(|error| error.to_string())
    }

    /// Cuts everything into blocks now; with `drop`, heads let go of it at once.
    pub(crate) async fn flush(&self, drop: bool) -> Result<()> {
        let report = Box::pin(self.ingester.flush(drop)).await?;
        tracing::info!(
            blocks = report.blocks,
            series = report.series,
            samples = report.samples,
            drop,
            "flushed"
        );
        Ok(())
    }

    /// Ends every role; what was acknowledged is on disk already.
    pub(crate) async fn stop(self: Arc<Self>) {
        self.shutdown.trigger();
        let tasks = std::mem::take(&mut *self.background.lock());
        for task in tasks {
            if let Err(error) = task.await {
                tracing::warn!(%error, "a background task did not end cleanly");
            }
        }
        Box::pin(self.ingester.shutdown()).await;
        if let Err(error) = self.cluster.shutdown().await {
            tracing::warn!(%error, "the write-ahead log did not close cleanly");
        }
    }
}

/// Sleeps; false when the process ends.
async fn sleep(runtime: &Runtime, shutdown: &Shutdown, time: Duration) -> bool {
    tokio::select! { biased;
        () = shutdown.cancelled() => false,
        () = runtime.sleep(time) => true,
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// What the engine is built with.
fn engine_options(config: &Config) -> Result<EngineOptions> {
    let mut features = Features::default();
    for name in &config.features {
        match name.as_str() {
            "promql-experimental-functions" => features.experimental_functions = true,
            "promql-duration-expr" => features.duration_expressions = true,
            "promql-extended-range-selectors" => features.extended_range_selectors = true,
            "promql-binop-fill-modifiers" => features.fill_modifiers = true,
            "promql-delayed-name-removal" => features.delayed_name_removal = true,
            "type-and-unit-labels" => features.type_and_unit_labels = true,
            "use-start-timestamps" => features.start_timestamps = true,
            "exemplar-storage" | "native-histograms" => {} // always on
            other => anyhow::bail!(
                "--enable-feature: `{other}` is not known; expected promql-experimental-functions, \
                 promql-duration-expr, promql-extended-range-selectors, promql-binop-fill-modifiers, \
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

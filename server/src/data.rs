//! The roles of a process that holds series: log, heads, blocks, the write door, and the service for other nodes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use block::{Bucket, BucketOptions, Catalogs};
use cluster::{Cluster, ClusterConfig, Member, Meta};
use compactor::Compactor;
use distributor::Distributor;
use flight::{NodeServer, Traffic};
use ingester::{Ingester, IngesterConfig};
use model::NodeId;
use promql::{Engine, LocalFragments};
use proto::Source;
use querier::HeadsAndBlocks;
use runtime::{Runtime, Shutdown, Task};
use store_gateway::{BlockSource, BlockSourceOptions};
use tokio::net::TcpListener;

use crate::config::Config;
use crate::readings;

/// How often blocks past the retention are looked for.
const RETENTION_CHECK: Duration = Duration::from_secs(60);
/// How often the catalogs are read again, in case somebody else committed.
const CATALOG_REFRESH: Duration = Duration::from_secs(30);

/// The roles.
pub(crate) struct DataRoles {
    /// The write door.
    pub(crate) distributor: Distributor,
    /// The heads.
    pub(crate) ingester: Ingester,
    /// Heads and blocks, joined.
    pub(crate) source: Arc<dyn Source>,
    cluster: Cluster,
    catalogs: Arc<Catalogs>,
    server: NodeServer,
}

impl DataRoles {
    /// Recovers what the data directory holds; `engine` evaluates what other nodes ask for.
    pub(crate) async fn start(
        config: &Config,
        runtime: &Runtime,
        engine: &Engine,
        traffic: Arc<Traffic>,
    ) -> Result<Self> {
        let bucket = Bucket::open(runtime, &config.bucket, &BucketOptions::default())
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
                limits: readings::limits_of(config),
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
        let source: Arc<dyn Source> = Arc::new(both.with_seams(
            move |tenant| {
                // what heads hold now they held when they were asked
                let (floor, held) = (heads_from.head_min_time(&tenant), heads_from.held_blocks(&tenant));
                let blocks = Arc::clone(&others);
                Box::pin(async move { Ok(floor.max(blocks.end_except(&tenant, &held).await?)) })
            },
            move |tenant| blocks_until.blocks_until(tenant),
        ));

        let fragments = Arc::new(LocalFragments::new(engine.clone(), Arc::clone(&source)));
        let server = NodeServer::new(runtime.clone(), Arc::clone(&source), fragments, traffic);
        Ok(DataRoles { distributor, ingester, source, cluster, catalogs, server })
    }

    /// What is read of the roles at a scrape.
    pub(crate) fn readers(&self) -> Vec<readings::Reader> {
        readings::of_data(&self.cluster, &self.ingester, &self.distributor, &self.catalogs, &self.server)
    }

    /// Why writes do not work now; `None` when they do.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.cluster.stats().trouble
    }

    /// The work that goes on beside requests.
    pub(crate) fn background(
        &self,
        config: &Config,
        runtime: &Runtime,
        shutdown: &Shutdown,
        listener: Option<TcpListener>,
    ) -> Vec<Task<()>> {
        let mut tasks = Vec::new();
        if let Some(listener) = listener {
            let (server, shutdown) = (self.server.clone(), shutdown.clone());
            tasks.push(runtime.spawn("nodes", async move {
                if let Err(error) = server.serve(listener, shutdown).await {
                    tracing::error!(%error, "other nodes cannot read this one until it is restarted");
                }
            }));
        }
        let (clock, stop, refreshed) = (runtime.clone(), shutdown.clone(), Arc::clone(&self.catalogs));
        tasks.push(runtime.spawn("catalog-refresh", async move {
            while sleep(&clock, &stop, CATALOG_REFRESH).await {
                if let Err(error) = refreshed.refresh().await {
                    tracing::warn!(%error, "catalogs not refreshed");
                }
            }
        }));
        let keep_ms = config.retention.map(crate::config::millis);
        let retention = compactor::Retention { keep_ms, ..compactor::Retention::default() };
        let compactor = Compactor::new(runtime.clone(), Arc::clone(&self.catalogs), move |_tenant| retention);
        let (clock, stop) = (runtime.clone(), shutdown.clone());
        tasks.push(runtime.spawn("retention", async move {
            loop {
                if let Err(error) = Box::pin(compactor.run_once()).await {
                    tracing::warn!(%error, "retention not applied everywhere, will be tried again");
                }
                if !sleep(&clock, &stop, RETENTION_CHECK).await {
                    return;
                }
            }
        }));
        tasks
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

    /// Ends the roles; what was acknowledged is on disk already.
    pub(crate) async fn stop(&self) {
        Box::pin(self.ingester.shutdown()).await;
        if let Err(error) = self.cluster.shutdown().await {
            tracing::warn!(%error, "the write-ahead log did not close cleanly");
        }
    }
}

/// Opens the address for other nodes. One that nobody chose may be in use: then this process serves none.
pub(crate) async fn listen_for_nodes(config: &Config) -> Result<Option<TcpListener>> {
    let address = config.grpc_listen;
    match runtime::net::listen(address).await {
        Ok(listener) => {
            tracing::info!(grpc = %listener.local_addr()?, "other nodes can read this one");
            Ok(Some(listener))
        }
        Err(error) if config.is_grpc_listen_given => {
            Err(error).with_context(|| format!("cannot listen on {address} (--grpc.listen)"))
        }
        Err(error) => {
            tracing::warn!(%error, %address, "other nodes cannot read this one; choose another address by --grpc.listen");
            Ok(None)
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

//! `epimetheus serve`: everything in one process, until SIGTERM.
//!
//! Order of the start: configuration, listener, recovery, roles, ready. Order of the end: no new requests,
//! those under way finish, the log is closed.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::serve::ListenerExt;
use runtime::{Runtime, Shutdown};

use crate::cli::{LogLevel, ServeArgs};
use crate::config::Config;
use crate::door::Door;
use crate::landing;
use crate::node::Node;

/// Runs until told to end.
pub(crate) fn run(args: &ServeArgs) -> Result<ExitCode> {
    let config = Config::load(args)?;
    start_log(config.log_level);
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    tokio.block_on(serve(config))?;
    Ok(ExitCode::SUCCESS)
}

/// Logs go to standard error; openraft talks too much below `warn`.
fn start_log(level: LogLevel) {
    let level = match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        tracing_subscriber::EnvFilter::new(format!("{level},openraft=warn,hyper=warn,object_store=warn"))
    });
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}

async fn serve(config: Config) -> Result<()> {
    // One provider for every TLS client in the process; a second installation is refused and harmless.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let runtime = Runtime::real();
    let shutdown = Shutdown::new();
    let listener = runtime::net::listen(config.http_listen)
        .await
        .with_context(|| format!("cannot listen on {} (--http.listen)", config.http_listen))?;
    let address = listener.local_addr()?;
    let mut config = config;
    config.http_listen = address;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), http = %address, data = %config.data_dir.display(), bucket = %config.bucket, "starting");

    let door = Door::new();
    let app = door.router();
    // Without this the last packet of a long answer waits for the client's delayed acknowledgement.
    let listener = listener.tap_io(|socket| {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps delaying small packets");
        }
    });
    let stop = shutdown.clone();
    let server = runtime.spawn("http", async move {
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, app).with_graceful_shutdown(async move { stop.cancelled().await }).await
    });

    let node = tokio::select! { biased;
        ended = Shutdown::signal() => {
            ended?;
            return Ok(());
        }
        node = Node::start(config, runtime.clone(), shutdown.clone()) => node?,
    };
    door.open(crate::http::router(&node));
    if node.data.is_some() {
        tracing::info!("to write, add to prometheus.yml:\n{}", landing::remote_write_snippet(&node.config));
    }
    tracing::info!(
        "to read, use http://{address} as a Prometheus data source in Grafana, or open it in a browser"
    );
    tracing::info!("server is ready to receive web requests");

    Shutdown::signal().await?;
    tracing::info!("stopping");
    shutdown.trigger();
    match server.await {
        Ok(served) => served?,
        Err(error) => tracing::warn!(%error, "the HTTP server did not end cleanly"),
    }
    Arc::clone(&node).stop().await;
    tracing::info!("stopped");
    Ok(())
}

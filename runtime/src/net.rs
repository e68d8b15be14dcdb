//! Sockets. A simulation has none yet: both functions then refuse.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};

use crate::simulation;

fn refuse_in_simulation() -> io::Result<()> {
    match simulation::current() {
        Some(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "a simulation has no sockets")),
        None => Ok(()),
    }
}

/// Listens on `address`; port 0 takes any free one.
#[expect(clippy::disallowed_methods, reason = "the one place that opens listening sockets")]
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    refuse_in_simulation()?;
    TcpListener::bind(address).await
}

/// Connects to `address`, without delaying small writes.
#[expect(clippy::disallowed_methods, reason = "the one place that opens connections")]
pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    refuse_in_simulation()?;
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Connects to `host:port`; of several addresses of a name the first that answers is taken.
pub async fn connect_to(address: &str) -> io::Result<TcpStream> {
    refuse_in_simulation()?;
    let mut error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in tokio::net::lookup_host(address).await? {
        match connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(failed) => error = failed,
        }
    }
    Err(error)
}

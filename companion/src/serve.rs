//! Serves HTTP/1.1 on a listener, with limits that keep a slow or greedy client from holding it up, and drains.

use crate::listen::Listener;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, warn};

/// Connections at a time; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 256;
/// How long headers may take to arrive, and how long a connection may idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest request line and headers together.
const MAX_HEADERS: usize = 8 * 1024;
/// How long open requests may take to finish once it is time to go.
const DRAIN: Duration = Duration::from_secs(5);
/// When no connection can be accepted, files have run out: some must close first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` is done; then takes no new connections and lets open requests finish.
pub(crate) async fn serve(listener: Listener, router: Router, stop: impl Future<Output = ()>) {
    let connections = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        match accepted {
            Ok((Stream::Tcp(stream), permit)) => spawn(stream, permit, router.clone(), connections.watcher()),
            Ok((Stream::Unix(stream), permit)) => spawn(stream, permit, router.clone(), connections.watcher()),
            Err(error) => {
                warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, connections.shutdown()).await.is_err() {
        warn!("connections were cut that did not finish in time");
    }
}

enum Stream {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

async fn accept(listener: &Listener, permits: &Arc<Semaphore>) -> io::Result<(Stream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
    let stream = match listener {
        Listener::Tcp(listener) => {
            let stream = listener.accept().await?.0;
            stream.set_nodelay(true)?;
            Stream::Tcp(stream)
        }
        Listener::Unix(listener, _) => Stream::Unix(listener.accept().await?.0),
    };
    Ok((stream, permit))
}

fn spawn<S>(stream: S, permit: OwnedSemaphorePermit, router: Router, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_header_size(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::spawn(async move {
        let _permit = permit;
        if let Err(error) = watcher.watch(connection).await {
            debug!(%error, "a connection ended early");
        }
    });
}

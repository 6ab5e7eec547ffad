//! The pages' own listener: a bounded number of connections, none of which the daemon waits for.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use nix::sys::socket::{setsockopt, sockopt::TcpUserTimeout};
use rrm_store::Store;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Live;
use crate::site::{Audience, Site, router};

/// Connections at once; more wait until one ends. Browsers have up to six each.
const CONNECTIONS: usize = 256;

/// A peer that takes nothing for so long is gone (`TCP_USER_TIMEOUT`, tcp(7)).
const PATIENCE_MS: u32 = 60_000;

/// Answers that have not ended so long after the daemon began to stop are cut.
const GRACE: Duration = Duration::from_secs(2);

/// Serves the pages until `shutdown` completes.
///
/// # Errors
/// Where the socket fails.
pub async fn serve(
    listener: TcpListener,
    audience: Audience,
    store: Store,
    live: Arc<dyn Live>,
    version: &'static str,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let stopping = live.stopping();
    let router = router(Site::new(store, live, version), audience);
    let bounded = Bounded { listener, room: Arc::new(Semaphore::new(CONNECTIONS)) };
    let serving = axum::serve(bounded, router).with_graceful_shutdown(shutdown);
    let overdue = async {
        stopping.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = serving => served,
        () = overdue => Ok(()),
    }
}

struct Bounded {
    listener: TcpListener,
    room: Arc<Semaphore>,
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let permit = self.room.clone().acquire_owned().await.expect("nobody closes the semaphore");
        // Retries by itself after errors such as too many open files.
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // A connection without it is served as well, and ends later where its peer is gone.
        let _ = setsockopt(&stream, TcpUserTimeout, &PATIENCE_MS);
        let _ = stream.set_nodelay(true);
        (Connection { stream, _permit: permit }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection with its place.
struct Connection {
    stream: TcpStream,
    _permit: OwnedSemaphorePermit,
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

//! The daemon's life, from its lock to its last commit.

use std::future::Future;
use std::sync::Arc;

use rrm_api::{Token, Tokens, VERSION};
use tokio::net::TcpListener;

use crate::{Config, Daemon, Http, StartError, StateDir};

/// Serves until `shutdown` completes, then answers what is in flight and closes the database.
///
/// # Errors
/// [`StartError`] where it cannot start, where the socket fails, or where a task ends without which it cannot go on.
pub async fn serve(config: &Config, shutdown: impl Future<Output = ()> + Send) -> Result<(), StartError> {
    // Before anything is touched, and before anybody could find the daemon.
    if let Some(tls) = &config.tls {
        tls.check().map_err(|why| StartError::Tls { why })?;
    }
    let state = StateDir::open(&config.state_dir)?;
    let tokens = Tokens {
        user: Token::load_or_create(&state.user_token())?,
        worker: Token::load_or_create(&state.worker_token())?,
    };
    let daemon =
        Daemon::open(&state, config.terms, config.retry_backoff, config.keep).await?.with_limits(config.open_jobs);
    let served = listen_and_serve(config, &state, &daemon, tokens, shutdown).await;
    daemon.close().await;
    tracing::info!("stopped");
    served
}

async fn listen_and_serve(
    config: &Config,
    state: &StateDir,
    daemon: &Daemon,
    tokens: Tokens,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), StartError> {
    let failed = |source| StartError::Listen { listen: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    if !address.ip().is_loopback() && config.tls.is_none() {
        tracing::warn!(%address, "others can reach this daemon, and tokens travel unencrypted: configure TLS");
    }
    // Before anybody could find the daemon: an address that is taken ends it.
    let pages = pages(config, state, daemon).await?;
    let announced = state.announce(address, config.tls.as_ref());
    announced.map_err(|source| StartError::Folder { path: config.state_dir.clone(), source })?;
    tracing::info!(%address, state = %config.state_dir.display(), version = VERSION, "listening");
    let mut fallen = None;
    let shutdown = async {
        fallen = first_end(daemon, shutdown).await;
        tracing::info!("stopping");
        daemon.stop();
    };
    let served = rrm_api::serve(listener, config.tls.as_ref(), Arc::new(daemon.clone()), tokens, shutdown).await;
    state.withdraw();
    daemon.stop();
    if let Some(pages) = pages {
        end_of_pages(pages.await);
    }
    served?;
    match fallen {
        None => Ok(()),
        Some(task) => Err(StartError::Fallen { task }),
    }
}

/// Begins to serve the pages, where they are asked for; they end when the daemon stops.
async fn pages(config: &Config, state: &StateDir, daemon: &Daemon) -> Result<Option<Pages>, StartError> {
    let Some(Http { listen, audience }) = config.http else { return Ok(None) };
    let failed = |source| StartError::Http { listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "whoever reaches the pages can read all results and logs: they ask for no token");
    }
    let announced = state.announce_pages(address);
    announced.map_err(|source| StartError::Folder { path: config.state_dir.clone(), source })?;
    tracing::info!("pages are at http://{address}/");
    let stopping = daemon.stopping.clone().cancelled_owned();
    let live = Arc::new(daemon.clone());
    let serving = rrm_dashboard::serve(listener, audience, daemon.store.clone(), live, VERSION, stopping);
    Ok(Some(tokio::spawn(serving)))
}

type Pages = tokio::task::JoinHandle<std::io::Result<()>>;

/// The daemon goes on without pages: nothing that is acknowledged depends on them.
fn end_of_pages(ended: Result<std::io::Result<()>, tokio::task::JoinError>) {
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the pages could not be served to the end"),
        Err(error) => tracing::error!(%error, "the pages have failed"),
    }
}

/// Sweeps until it is time to stop: because that was asked for, or because a task has ended without which the daemon would
/// refuse every change or keep silent workers' jobs for ever. Names that task.
async fn first_end(daemon: &Daemon, shutdown: impl Future<Output = ()> + Send) -> Option<&'static str> {
    let mut sweeper = tokio::spawn(daemon.clone().sweep());
    let fallen = tokio::select! {
        () = shutdown => None,
        () = daemon.store.closed() => Some("the database's writer"),
        _ = &mut sweeper => return Some("the sweeper"),
    };
    // It holds the database, and ends at once now.
    daemon.stop();
    sweeper.await.err().map_or(fallen, |_| Some("the sweeper"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rrm_api::Token;
    use rrm_store::{StoreError, Tx, Write};

    use super::*;
    use crate::{ServeFlags, Terms};

    /// A fault of our own.
    struct Faint;

    impl Write for Faint {
        type Output = ();

        fn apply(self, _: &mut Tx<'_>) -> Result<(), StoreError> {
            panic!("a test makes the writer panic")
        }
    }

    /// Serves without end, does something to the daemon meanwhile, and tells how serving ended.
    async fn serve_while(act: impl AsyncFnOnce(Daemon)) -> Result<(), StartError> {
        let folder = tempfile::tempdir().unwrap();
        let listen = Some("127.0.0.1:0".parse().unwrap());
        let flags = ServeFlags { state_dir: Some(folder.path().to_owned()), listen, ..ServeFlags::default() };
        let config = Config::resolve(flags).unwrap();
        let state = StateDir::open(&config.state_dir).unwrap();
        let token = |path: std::path::PathBuf| Token::load_or_create(&path).unwrap();
        let tokens = Tokens { user: token(state.user_token()), worker: token(state.worker_token()) };
        let terms = Terms::new(Duration::from_millis(100));
        let daemon = Daemon::open(&state, terms, config.retry_backoff, config.keep).await.unwrap();
        let serving = listen_and_serve(&config, &state, &daemon, tokens, std::future::pending());
        tokio::join!(serving, act(daemon.clone())).0
    }

    #[tokio::test]
    async fn a_daemon_whose_writer_has_fallen_ends_with_an_error() {
        let ended = serve_while(async |daemon| drop(daemon.store.write(1, Faint).await)).await;
        assert!(matches!(&ended, Err(StartError::Fallen { task }) if task.contains("writer")), "{ended:?}");
    }

    #[tokio::test]
    async fn a_daemon_whose_sweeper_has_fallen_ends_with_an_error() {
        let poison = async |daemon: Daemon| {
            let holder = std::thread::spawn(move || {
                let _leases = daemon.leases();
                panic!("a test leaves the leases in an unknown state")
            });
            assert!(holder.join().is_err());
        };
        let ended = serve_while(poison).await;
        assert!(matches!(&ended, Err(StartError::Fallen { task }) if task.contains("sweeper")), "{ended:?}");
    }
}

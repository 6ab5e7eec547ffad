//! The daemon's life, from its lock to its last commit.

use std::future::Future;
use std::sync::Arc;

use rrm_api::{Token, Tokens, VERSION};
use tokio::net::TcpListener;

use crate::{Config, Daemon, StartError, StateDir};

/// Serves until `shutdown` completes, then answers what is in flight and closes the database.
///
/// # Errors
/// [`StartError`] where it cannot start, or where the socket fails.
pub async fn serve(config: &Config, shutdown: impl Future<Output = ()> + Send) -> Result<(), StartError> {
    let state = StateDir::open(&config.state_dir)?;
    let tokens = Tokens {
        user: Token::load_or_create(&state.user_token())?,
        worker: Token::load_or_create(&state.worker_token())?,
    };
    let daemon = Daemon::open(&state, config.terms, config.retry_backoff).await?;
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
    let announced = state.announce(address, config.tls.as_ref());
    announced.map_err(|source| StartError::Folder { path: config.state_dir.clone(), source })?;
    tracing::info!(%address, state = %config.state_dir.display(), version = VERSION, "listening");
    let sweeper = tokio::spawn(daemon.clone().sweep());
    let shutdown = async {
        shutdown.await;
        tracing::info!("stopping");
        daemon.stop();
    };
    let served = rrm_api::serve(listener, config.tls.as_ref(), Arc::new(daemon.clone()), tokens, shutdown).await;
    state.withdraw();
    daemon.stop();
    if let Err(error) = sweeper.await {
        tracing::error!(%error, "the sweeper has failed");
    }
    Ok(served?)
}

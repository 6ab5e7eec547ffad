//! The client's side: calls in domain types.

mod access;
mod backoff;
mod connection;
mod control;
mod follow;
mod jobs;
mod transfer;
mod workers;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tonic::{Request, Response, Status, service::interceptor::InterceptedService, transport::Channel};

use crate::{
    ApiError, MESSAGE_BYTES,
    status::{is_no_grpc, read_status},
    wire::{
        access_client::AccessClient, artifacts_client::ArtifactsClient, control_client::ControlClient,
        jobs_client::JobsClient, workers_client::WorkersClient,
    },
};
use backoff::Backoff;
use connection::Credentials;
pub use connection::Endpoint;

/// For how long a call that gets no answer is repeated, unless told otherwise.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(10);

/// For how long one try of an ordinary call may take.
const ORDINARY: Duration = Duration::from_secs(30);

type Stub = InterceptedService<Channel, Credentials>;

/// A connection to a daemon. Clones share it.
///
/// It connects with the first call, and again whenever the connection is lost. Every call is repeated while no answer
/// comes, for as long as its [patience](Self::with_patience) lasts: all of them are idempotent.
#[derive(Clone)]
pub struct Client {
    url: Arc<str>,
    stub: Stub,
    patience: Duration,
}

impl Client {
    /// A client of the daemon at `endpoint`; must be called inside of a tokio runtime.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] for an address or TLS files that cannot be used. Nothing is sent yet.
    pub fn new(endpoint: &Endpoint) -> Result<Self, ApiError> {
        let stub = InterceptedService::new(endpoint.channel()?, Credentials::new(&endpoint.token));
        Ok(Self { url: endpoint.url.as_str().into(), stub, patience: DEFAULT_PATIENCE })
    }

    /// The daemon's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same connection, on which calls are repeated for so long while no answer comes; zero = one try.
    #[must_use]
    pub fn with_patience(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    fn access_stub(&self) -> AccessClient<Stub> {
        AccessClient::new(self.stub.clone()).max_decoding_message_size(MESSAGE_BYTES)
    }

    fn jobs_stub(&self) -> JobsClient<Stub> {
        JobsClient::new(self.stub.clone()).max_decoding_message_size(MESSAGE_BYTES)
    }

    fn control_stub(&self) -> ControlClient<Stub> {
        ControlClient::new(self.stub.clone()).max_decoding_message_size(MESSAGE_BYTES)
    }

    fn workers_stub(&self) -> WorkersClient<Stub> {
        WorkersClient::new(self.stub.clone()).max_decoding_message_size(MESSAGE_BYTES)
    }

    fn artifacts_stub(&self) -> ArtifactsClient<Stub> {
        ArtifactsClient::new(self.stub.clone()).max_decoding_message_size(MESSAGE_BYTES)
    }

    /// Sends a request until it is answered or patience ends; each try may take `limit`.
    async fn call<Q, R, F>(
        &self,
        limit: Duration,
        message: Q,
        send: impl Fn(Self, Request<Q>) -> F,
    ) -> Result<R, ApiError>
    where
        Q: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let attempt = || {
            let sent = send(self.clone(), Request::new(message.clone()));
            async move {
                let answer = tokio::time::timeout(limit, sent).await.map_err(|_| self.silence(limit))?;
                answer.map(Response::into_inner).map_err(|status| self.failure(&status))
            }
        };
        self.persist(attempt).await
    }

    /// Tries until something else than unavailability comes out, or patience ends.
    async fn persist<R, F>(&self, attempt: impl Fn() -> F) -> Result<R, ApiError>
    where
        F: Future<Output = Result<R, ApiError>>,
    {
        let begun = Instant::now();
        let mut backoff = Backoff::new();
        loop {
            let error = match attempt().await {
                Err(error) if error.is_transient() => error,
                settled => return settled,
            };
            let delay = backoff.next_delay(backoff::random());
            if begun.elapsed() + delay >= self.patience {
                return Err(error);
            }
            tracing::debug!(%error, ?delay, "no answer, trying again");
            tokio::time::sleep(delay).await;
        }
    }

    fn silence(&self, limit: Duration) -> ApiError {
        ApiError::Unavailable { what: format!("{} did not answer within {} s", self.url, limit.as_secs()) }
    }

    fn failure(&self, status: &Status) -> ApiError {
        if is_no_grpc(status) {
            let what = format!("{} does not speak gRPC: is it the port of the pages?", self.url);
            return ApiError::Unavailable { what };
        }
        match read_status(status) {
            ApiError::Unavailable { what } => ApiError::Unavailable { what: format!("{}: {what}", self.url) },
            other => other,
        }
    }
}

/// A daemon's answer that makes no sense: versions agree, so it is a bug.
fn unreadable(faults: rrm_spec::Violations) -> ApiError {
    ApiError::Internal { what: format!("the daemon's answer cannot be read: {faults}") }
}

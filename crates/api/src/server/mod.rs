//! The daemon's side: from requests to [`Service`] calls.

mod access;
mod artifacts;
mod control;
mod gate;
mod health;
mod jobs;
mod permission;
mod reflection;
mod stopwatch;
mod while_valid;
mod workers;

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::oneshot};
use tokio_stream::StreamExt;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

use crate::{
    ApiError, MESSAGE_BYTES, Replies, ServerTls, Service, Tokens,
    convert::OnWire,
    status::HEADER_BYTES,
    wire::{
        access_server::AccessServer, artifacts_server::ArtifactsServer, control_server::ControlServer,
        jobs_server::JobsServer, workers_server::WorkersServer,
    },
};
use gate::{Gate, Granted};
use stopwatch::StopwatchLayer;
use while_valid::{TokenEnd, while_valid};

/// Streams and long polls that have not ended so long after the shutdown began are cut; clients resume them.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);

/// Pings find out that a peer is gone whose connection never closed.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Calls at once on one connection; more wait until one of them has ended. Every watcher and every long poll is one.
const STREAMS: u32 = 256;

/// A [`Service`] as the generated code wants it.
struct Adapter<S> {
    service: Arc<S>,
}

impl<S> Clone for Adapter<S> {
    fn clone(&self) -> Self {
        Self { service: Arc::clone(&self.service) }
    }
}

impl<S: Service> Adapter<S> {
    /// Completes when the token that was shown with a request is no longer valid. Those that the daemon has from its start are
    /// valid until its end.
    fn end_of_token<T>(&self, request: &Request<T>) -> TokenEnd {
        match request.extensions().get::<Granted>() {
            Some(&Granted(token)) => {
                let service = Arc::clone(&self.service);
                Box::pin(async move { service.token_ended(token).await })
            }
            None => Box::pin(std::future::pending()),
        }
    }
}

/// Serves until `shutdown` completes, then answers what is in flight and returns.
///
/// # Errors
/// [`ApiError::Invalid`] for TLS files that cannot be used, [`ApiError::Internal`] where the socket fails.
pub async fn serve<S: Service>(
    listener: TcpListener,
    tls: Option<&ServerTls>,
    service: Arc<S>,
    tokens: Tokens,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ApiError> {
    let mut server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .max_concurrent_streams(STREAMS)
        .http2_max_header_list_size(HEADER_BYTES);
    if let Some(tls) = tls {
        let unusable = |e| ApiError::Internal { what: format!("the TLS files cannot be used: {}", chain(&e)) };
        server = server.tls_config(tls.load()?).map_err(unusable)?;
    }
    let mut server = server.layer(StopwatchLayer::new(Arc::clone(&service)));
    let gate = Gate::new(Arc::clone(&service), tokens);
    let health = health::server(Arc::clone(&service));
    let undescribed = |e| ApiError::Internal { what: format!("the protocol cannot be described: {}", chain(&e)) };
    let (current, older) = (reflection::current().map_err(undescribed)?, reflection::older().map_err(undescribed)?);
    let adapter = Adapter { service };
    let access = AccessServer::new(adapter.clone()).max_decoding_message_size(MESSAGE_BYTES);
    let jobs = JobsServer::new(adapter.clone()).max_decoding_message_size(MESSAGE_BYTES);
    let control = ControlServer::new(adapter.clone()).max_decoding_message_size(MESSAGE_BYTES);
    let workers = WorkersServer::new(adapter.clone()).max_decoding_message_size(MESSAGE_BYTES);
    let artifacts = ArtifactsServer::new(adapter).max_decoding_message_size(MESSAGE_BYTES);
    let router = server
        .add_service(gate.before(access))
        .add_service(gate.before(jobs))
        .add_service(gate.before(control))
        .add_service(gate.before(workers))
        .add_service(gate.before(artifacts))
        .add_service(gate.before(health))
        .add_service(gate.before(current))
        .add_service(gate.before(older));
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let (begun, shutdown_began) = oneshot::channel();
    let shutdown = async {
        shutdown.await;
        // The receiver is there until this function returns.
        let _ = begun.send(());
    };
    let overdue = async {
        match shutdown_began.await {
            Ok(()) => tokio::time::sleep(SHUTDOWN_GRACE).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        served = router.serve_with_incoming_shutdown(incoming, shutdown) => {
            served.map_err(|e| ApiError::Internal { what: format!("serving failed: {}", chain(&e)) })
        }
        () = overdue => Ok(()),
    }
}

/// An error with all its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// A call's outcome as a reply.
fn reply<T: OnWire>(outcome: Result<T, ApiError>) -> Result<Response<T::Wire>, Status> {
    Ok(Response::new(outcome?.to_wire()))
}

/// A stream of outcomes as replies, for as long as the caller's token is valid.
fn replies<T: OnWire + 'static>(stream: Replies<T>, end: TokenEnd) -> Response<Outgoing<T::Wire>> {
    Response::new(Box::pin(while_valid(stream, end).map(|item| item.map(T::to_wire).map_err(Status::from))))
}

/// A stream as the generated code wants it.
type Outgoing<W> = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<W, Status>> + Send>>;

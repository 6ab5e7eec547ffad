//! How long calls take, from the request's head to the answer's.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use tonic::codegen::{BoxFuture, Service as HttpService, http};
use tower_layer::Layer;

use crate::Service;

/// Every call by its path, and what it is called. Whoever asks for other paths makes no new name.
const METHODS: [(&str, &str); 20] = [
    ("/rrm.v1.Artifacts/Download", "Artifacts.Download"),
    ("/rrm.v1.Artifacts/Import", "Artifacts.Import"),
    ("/rrm.v1.Artifacts/Imports", "Artifacts.Imports"),
    ("/rrm.v1.Artifacts/Stored", "Artifacts.Stored"),
    ("/rrm.v1.Artifacts/Upload", "Artifacts.Upload"),
    ("/rrm.v1.Jobs/Cancel", "Jobs.Cancel"),
    ("/rrm.v1.Jobs/Get", "Jobs.Get"),
    ("/rrm.v1.Jobs/Images", "Jobs.Images"),
    ("/rrm.v1.Jobs/List", "Jobs.List"),
    ("/rrm.v1.Jobs/ListWorkers", "Jobs.ListWorkers"),
    ("/rrm.v1.Jobs/Logs", "Jobs.Logs"),
    ("/rrm.v1.Jobs/Submit", "Jobs.Submit"),
    ("/rrm.v1.Jobs/Watch", "Jobs.Watch"),
    ("/rrm.v1.Workers/Deregister", "Workers.Deregister"),
    ("/rrm.v1.Workers/Heartbeat", "Workers.Heartbeat"),
    ("/rrm.v1.Workers/Lease", "Workers.Lease"),
    ("/rrm.v1.Workers/PushLog", "Workers.PushLog"),
    ("/rrm.v1.Workers/Register", "Workers.Register"),
    ("/rrm.v1.Workers/Report", "Workers.Report"),
    ("/rrm.v1.Workers/Settle", "Workers.Settle"),
];

fn name(path: &str) -> &'static str {
    METHODS.iter().find(|(known, _)| *known == path).map_or("other", |(_, name)| name)
}

/// Puts a [`Stopwatch`] around every call.
pub(super) struct StopwatchLayer<S> {
    service: Arc<S>,
}

impl<S> StopwatchLayer<S> {
    pub(super) fn new(service: Arc<S>) -> Self {
        Self { service }
    }
}

impl<S> Clone for StopwatchLayer<S> {
    fn clone(&self) -> Self {
        Self { service: Arc::clone(&self.service) }
    }
}

impl<S, I> Layer<I> for StopwatchLayer<S> {
    type Service = Stopwatch<S, I>;

    fn layer(&self, inner: I) -> Self::Service {
        Stopwatch { service: Arc::clone(&self.service), inner }
    }
}

/// Tells the daemon how long an answer took.
pub(super) struct Stopwatch<S, I> {
    service: Arc<S>,
    inner: I,
}

impl<S, I: Clone> Clone for Stopwatch<S, I> {
    fn clone(&self) -> Self {
        Self { service: Arc::clone(&self.service), inner: self.inner.clone() }
    }
}

impl<S, I, B> HttpService<http::Request<B>> for Stopwatch<S, I>
where
    S: Service,
    I: HttpService<http::Request<B>>,
    I::Future: Send + 'static,
    I::Response: Send,
    I::Error: Send,
{
    type Response = I::Response;
    type Error = I::Error;
    type Future = BoxFuture<I::Response, I::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let (begun, method) = (Instant::now(), name(request.uri().path()));
        let service = Arc::clone(&self.service);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            service.answered(method, begun.elapsed());
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_of_the_wire_has_its_name_and_whatever_else_has_one() {
        let files = [
            include_str!("../../../../proto/rrm/v1/artifacts.proto"),
            include_str!("../../../../proto/rrm/v1/jobs.proto"),
            include_str!("../../../../proto/rrm/v1/workers.proto"),
        ];
        let mut paths = Vec::new();
        for file in files {
            let after = |line: &str, word: &str| {
                let rest = line.trim().strip_prefix(word)?;
                Some(rest.split(['(', ' ', '{']).next().unwrap_or_default().to_owned())
            };
            let service = file.lines().find_map(|line| after(line, "service ")).expect("each file has a service");
            let calls = file.lines().filter_map(|line| after(line, "rpc "));
            paths.extend(calls.map(|call| format!("/rrm.v1.{service}/{call}")));
        }
        paths.sort_unstable();
        assert_eq!(METHODS.map(|(path, _)| path.to_owned()).to_vec(), paths);
        assert_eq!(name("/rrm.v1.Jobs/Submit"), "Jobs.Submit");
        assert_eq!(name("/rrm.v1.Jobs/Anything"), "other");
    }
}

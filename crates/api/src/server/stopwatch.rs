//! How long calls take, from the request's head to the answer's.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use tonic::codegen::{BoxFuture, Service as HttpService, http};
use tower_layer::Layer;

use super::permission;
use crate::Service;

/// What a call is named, such as `Jobs/Submit`. Whoever asks for other paths makes no new name.
fn name(path: &str) -> &'static str {
    let Some(call) = permission::call(path) else { return "other" };
    call.path.strip_prefix("/rrm.v1.").unwrap_or(call.path)
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
    fn a_call_is_named_by_its_path_and_whatever_is_no_call_has_one_name() {
        assert_eq!(name("/rrm.v1.Jobs/Submit"), "Jobs/Submit");
        assert_eq!(name("/grpc.health.v1.Health/Check"), "/grpc.health.v1.Health/Check");
        assert_eq!(name("/rrm.v1.Jobs/Anything"), "other");
    }
}

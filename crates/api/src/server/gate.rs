//! Before any call: the token, its role, and the version.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rrm_spec::TokenHash;
use sha2::{Digest, Sha256};
use tonic::{
    Request, Status,
    body::Body,
    codegen::{BoxFuture, Service as HttpService, http, http::HeaderMap},
    server::NamedService,
};

use super::permission::{Call, Need, allows, call, roles};
use crate::{ApiError, Caller, Service, Tokens, VERSION, VERSION_KEY, status::for_foreigners};

/// Lets in who may come in. It stands before each service, so that no service has to think of it.
pub(super) struct Gate<S> {
    service: Arc<S>,
    tokens: Arc<Tokens>,
}

impl<S> Clone for Gate<S> {
    fn clone(&self) -> Self {
        Self { service: Arc::clone(&self.service), tokens: Arc::clone(&self.tokens) }
    }
}

/// A service behind the gate.
pub(super) struct Gated<S, I> {
    gate: Gate<S>,
    inner: I,
}

impl<S, I: Clone> Clone for Gated<S, I> {
    fn clone(&self) -> Self {
        Self { gate: self.gate.clone(), inner: self.inner.clone() }
    }
}

/// What is known of who has been let in.
struct Admitted {
    call: &'static Call,
    /// Absent where a call needs no token.
    caller: Option<Caller>,
    granted: Option<Granted>,
}

/// The token that was shown with a request, where it is one that can be taken back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Granted(pub(super) TokenHash);

impl<S: Service> Gate<S> {
    pub(super) fn new(service: Arc<S>, tokens: Tokens) -> Self {
        Self { service, tokens: Arc::new(tokens) }
    }

    /// Puts a service behind the gate.
    pub(super) fn before<I>(&self, inner: I) -> Gated<S, I> {
        Gated { gate: self.clone(), inner }
    }

    fn admit(&self, path: &str, headers: &HeaderMap) -> Result<Admitted, Status> {
        let Some(call) = call(path) else {
            return Err(Status::unimplemented("there is no such call"));
        };
        if call.need == Need::Nothing {
            return Ok(Admitted { call, caller: None, granted: None });
        }
        let (caller, granted) = self.identify(headers).ok_or(ApiError::Unauthenticated)?;
        if let Some(client) = version(headers).filter(|client| client != VERSION) {
            return Err(ApiError::Version { server: VERSION.to_owned(), client }.into());
        }
        match allows(caller.role, call.need) {
            true => Ok(Admitted { call, caller: Some(caller), granted }),
            false => Err(not_allowed(&caller, call.need).into()),
        }
    }

    /// `None` for every fault: the refusal never says which part was wrong.
    fn identify(&self, headers: &HeaderMap) -> Option<(Caller, Option<Granted>)> {
        let shown = headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")?;
        let hash = TokenHash::new(Sha256::digest(shown).into());
        // Both are always asked.
        let (bootstrap, granted) = (self.tokens.caller(hash), self.service.caller(hash));
        let granted = granted.map(|caller| (caller, Some(Granted(hash))));
        bootstrap.map(|caller| (caller, None)).or(granted)
    }
}

/// Says what the token is for and what it would have to be for: its holder may know both.
fn not_allowed(Caller { user, role, .. }: &Caller, need: Need) -> ApiError {
    let what = format!("{user}'s token has the role {role}; this call needs {}", roles(need));
    ApiError::PermissionDenied { what }
}

/// The client's version, if it says one: clients of other languages are not of a version.
fn version(headers: &HeaderMap) -> Option<String> {
    headers.get(VERSION_KEY).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

impl<S, I> HttpService<http::Request<Body>> for Gated<S, I>
where
    S: Service,
    I: HttpService<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    I::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let foreign = version(request.headers()).is_none();
        let answer = match self.gate.admit(request.uri().path(), request.headers()) {
            Err(refusal) => return Box::pin(std::future::ready(Ok(refused(refusal, foreign)))),
            Ok(Admitted { call, caller, granted }) => {
                if let Some(caller) = caller {
                    request.extensions_mut().insert(caller);
                }
                if let Some(granted) = granted {
                    request.extensions_mut().insert(granted);
                }
                within(call.deadline, self.inner.call(request))
            }
        };
        if !foreign {
            return answer;
        }
        Box::pin(async move {
            let response = answer.await?;
            Ok(match Status::from_header_map(response.headers()) {
                Some(refusal) if refusal.code() != tonic::Code::Ok => refused(refusal, foreign),
                // A stream's refusals come later and name no fields: they are small.
                Some(_) | None => response,
            })
        })
    }
}

impl<S, I: NamedService> NamedService for Gated<S, I> {
    const NAME: &'static str = I::NAME;
}

fn refused(refusal: Status, foreign: bool) -> http::Response<Body> {
    if foreign { for_foreigners(refusal) } else { refusal }.into_http()
}

/// The answer, or word that it takes too long. What it was working at may still happen.
fn within<F>(limit: Option<Duration>, answer: F) -> BoxFuture<http::Response<Body>, Infallible>
where
    F: Future<Output = Result<http::Response<Body>, Infallible>> + Send + 'static,
{
    let Some(limit) = limit else { return Box::pin(answer) };
    Box::pin(async move {
        tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| {
            let what = format!("no answer within {} s", limit.as_secs());
            Ok(Status::from(ApiError::Unavailable { what }).into_http())
        })
    })
}

/// Takes a request apart that has come through the gate.
pub(super) fn open<T>(request: Request<T>) -> Result<(Caller, T), ApiError> {
    let caller = request.extensions().get::<Caller>().cloned().ok_or(ApiError::Unauthenticated)?;
    Ok((caller, request.into_inner()))
}

#[cfg(test)]
mod tests {
    use rrm_spec::Role;

    use super::*;

    #[tokio::test]
    async fn an_answer_that_takes_too_long_is_given_up_as_unavailable() {
        let never = || std::future::pending::<Result<http::Response<Body>, Infallible>>();
        let Ok(response) = within(Some(Duration::from_millis(1)), never()).await;
        let refusal = Status::from_header_map(response.headers()).unwrap();
        assert!(crate::status::read_status(&refusal).is_transient(), "{refusal:?}");
        let at_once = std::future::ready(Ok(http::Response::new(Body::empty())));
        let Ok(response) = within(Some(Duration::from_secs(60)), at_once).await;
        assert!(Status::from_header_map(response.headers()).is_none());
    }

    #[test]
    fn a_refused_role_is_told_with_those_that_may() {
        let caller = |role| Caller { user: "rita".parse().unwrap(), role, expires_at: None };
        let refused = |role, need| not_allowed(&caller(role), need).to_string();
        let text = refused(Role::Read, Need::Submit);
        assert_eq!(text, "not allowed: rita's token has the role read; this call needs submit or admin");
        assert!(refused(Role::Work, Need::Read).ends_with("has the role work; this call needs read, submit or admin"));
        assert!(refused(Role::Admin, Need::Work).ends_with("has the role admin; this call needs work"));
    }

    #[test]
    fn a_version_may_be_absent_but_not_hidden() {
        let mut headers = HeaderMap::new();
        assert_eq!(version(&headers), None);
        headers.insert(VERSION_KEY, http::HeaderValue::from_bytes(b"\xff").unwrap());
        assert!(version(&headers).is_some_and(|version| version != VERSION));
    }
}

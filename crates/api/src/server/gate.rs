//! Who may come in: token, then version, then role.

use std::sync::Arc;

use tonic::{Request, Status, metadata::MetadataMap, service::Interceptor};

use crate::{ApiError, Caller, Role, Tokens, VERSION, VERSION_KEY};

/// Looks at a request's metadata before its message is read.
#[derive(Clone)]
pub(super) struct Gate {
    tokens: Arc<Tokens>,
}

impl Gate {
    pub(super) fn new(tokens: Tokens) -> Self {
        Self { tokens: Arc::new(tokens) }
    }

    fn admit(&self, metadata: &MetadataMap) -> Result<Caller, ApiError> {
        let text = |key: &str| metadata.get(key).and_then(|value| value.to_str().ok());
        // The same refusal for every fault: it never says which part was wrong.
        let shown = text("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let role = shown.and_then(|token| self.tokens.role_of(token)).ok_or(ApiError::Unauthenticated)?;
        match text(VERSION_KEY) {
            Some(VERSION) => Ok(Caller { role }),
            other => {
                let client = other.unwrap_or("unknown").to_owned();
                Err(ApiError::Version { server: VERSION.to_owned(), client })
            }
        }
    }
}

impl Interceptor for Gate {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let caller = self.admit(request.metadata())?;
        request.extensions_mut().insert(caller);
        Ok(request)
    }
}

/// Takes a request apart, if the caller's role is one of those that may make it.
pub(super) fn open<T>(request: Request<T>, roles: &[Role]) -> Result<(Caller, T), ApiError> {
    let caller = *request.extensions().get::<Caller>().ok_or(ApiError::Unauthenticated)?;
    match roles.contains(&caller.role) {
        true => Ok((caller, request.into_inner())),
        false => Err(ApiError::PermissionDenied),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Token;

    fn admit(authorization: Option<&str>, version: Option<&str>) -> Result<Caller, ApiError> {
        let token = |letter: &str| Token::new(&letter.repeat(32)).unwrap();
        let mut metadata = MetadataMap::new();
        authorization.map(|value| metadata.insert("authorization", value.parse().unwrap()));
        version.map(|value| metadata.insert(VERSION_KEY, value.parse().unwrap()));
        Gate::new(Tokens { user: token("u"), worker: token("w") }).admit(&metadata)
    }

    #[test]
    fn a_token_gives_its_role() {
        let shown = format!("Bearer {}", "w".repeat(32));
        assert_eq!(admit(Some(&shown), Some(VERSION)), Ok(Caller { role: Role::Worker }));
    }

    #[test]
    fn whatever_is_wrong_with_a_token_the_answer_is_the_same() {
        let bare = "u".repeat(32);
        let wrong = format!("Bearer {}", "x".repeat(32));
        for shown in [None, Some(""), Some("Bearer "), Some(bare.as_str()), Some(wrong.as_str())] {
            assert_eq!(admit(shown, Some(VERSION)), Err(ApiError::Unauthenticated), "{shown:?}");
        }
    }

    #[test]
    fn another_version_is_refused_naming_both() {
        let shown = format!("Bearer {}", "u".repeat(32));
        let client = "9.9.9".to_owned();
        let refusal = ApiError::Version { server: VERSION.to_owned(), client };
        assert_eq!(admit(Some(&shown), Some("9.9.9")), Err(refusal));
        assert!(admit(Some(&shown), None).unwrap_err().to_string().contains("unknown"));
    }

    #[test]
    fn a_stranger_does_not_learn_the_version() {
        assert_eq!(admit(None, Some("9.9.9")), Err(ApiError::Unauthenticated));
    }
}

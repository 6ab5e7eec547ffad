//! Calls about tokens.

use rrm_spec::{Grant, GrantView, TokenHash};

use super::{Client, ORDINARY, unreadable};
use crate::{
    About, ApiError,
    convert::{OnWire, read, read_with},
    wire,
};

impl Client {
    /// What the daemon is, and what the caller is to it.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn about(&self) -> Result<About, ApiError> {
        let message = wire::AboutRequest {};
        let reply = self
            .call(ORDINARY, message, |client, request| async move { client.access_stub().about(request).await })
            .await?;
        read(reply).map_err(unreadable)
    }

    /// Makes a token valid; only its hash is sent.
    ///
    /// # Errors
    /// [`ApiError::Conflict`] where the token stands for something else, [`ApiError::PermissionDenied`] for all but administrators.
    pub async fn add_token(&self, grant: Grant) -> Result<(), ApiError> {
        let message = wire::AddTokenRequest { grant: Some(grant.to_wire()) };
        let wire::AddTokenReply {} = self
            .call(ORDINARY, message, |client, request| async move { client.access_stub().add_token(request).await })
            .await?;
        Ok(())
    }

    /// What was granted and not revoked, oldest first.
    ///
    /// # Errors
    /// [`ApiError::PermissionDenied`] for all but administrators.
    pub async fn tokens(&self) -> Result<Vec<GrantView>, ApiError> {
        let message = wire::ListTokensRequest {};
        let wire::ListTokensReply { tokens } = self
            .call(ORDINARY, message, |client, request| async move { client.access_stub().list_tokens(request).await })
            .await?;
        read_with(|reader| reader.list("tokens", tokens)).map_err(unreadable)
    }

    /// Takes a token back.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] where there is none, [`ApiError::PermissionDenied`] for all but administrators.
    pub async fn revoke_token(&self, token: TokenHash) -> Result<(), ApiError> {
        let message = wire::RevokeTokenRequest { sha256: token.to_wire() };
        let wire::RevokeTokenReply {} = self
            .call(ORDINARY, message, |client, request| async move { client.access_stub().revoke_token(request).await })
            .await?;
        Ok(())
    }
}

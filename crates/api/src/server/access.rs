//! Calls about tokens.

use tonic::{Request, Response, Status};

use super::{Adapter, gate::open, jobs::valid, reply};
use crate::{
    Service,
    convert::{list, read_with},
    wire,
};

#[tonic::async_trait]
impl<S: Service> wire::access_server::Access for Adapter<S> {
    async fn about(&self, request: Request<wire::AboutRequest>) -> Result<Response<wire::AboutReply>, Status> {
        let (caller, wire::AboutRequest {}) = open(request)?;
        reply(self.service.about(caller).await)
    }

    async fn add_token(
        &self,
        request: Request<wire::AddTokenRequest>,
    ) -> Result<Response<wire::AddTokenReply>, Status> {
        let (caller, wire::AddTokenRequest { grant }) = open(request)?;
        let grant = valid(read_with(|reader| reader.required("grant", grant)))?;
        self.service.add_token(caller, grant).await?;
        Ok(Response::new(wire::AddTokenReply {}))
    }

    async fn list_tokens(
        &self,
        request: Request<wire::ListTokensRequest>,
    ) -> Result<Response<wire::ListTokensReply>, Status> {
        let (caller, wire::ListTokensRequest {}) = open(request)?;
        let tokens = list(self.service.tokens(caller).await?);
        Ok(Response::new(wire::ListTokensReply { tokens }))
    }

    async fn revoke_token(
        &self,
        request: Request<wire::RevokeTokenRequest>,
    ) -> Result<Response<wire::RevokeTokenReply>, Status> {
        let (caller, wire::RevokeTokenRequest { sha256 }) = open(request)?;
        let sha256 = valid(read_with(|reader| reader.field("sha256", sha256)))?;
        self.service.revoke_token(caller, sha256).await?;
        Ok(Response::new(wire::RevokeTokenReply {}))
    }
}

//! Artifacts in and out.

use bytes::Bytes;
use rrm_spec::{ArtifactHash, ImportedNetwork, Violations};
use tokio_stream::StreamExt;
use tonic::{Request, Response, Status, Streaming};

use super::{Adapter, Outgoing, gate::open, jobs::valid};
use crate::{
    ApiError, Replies, Service, Upload,
    convert::{list, read_with},
    status::read_status,
    transfer::{Expected, Verified, pieces},
    wire,
};

#[tonic::async_trait]
impl<S: Service> wire::artifacts_server::Artifacts for Adapter<S> {
    type DownloadStream = Outgoing<wire::DownloadReply>;

    async fn download(
        &self,
        request: Request<wire::DownloadRequest>,
    ) -> Result<Response<Self::DownloadStream>, Status> {
        let (caller, wire::DownloadRequest { sha256 }) = open(request)?;
        let sha256: ArtifactHash = valid(read_with(|reader| reader.field("sha256", sha256)))?;
        let artifact = self.service.download(caller, sha256.clone()).await?;
        let total = artifact.bytes;
        // What has rotted on disk must not leave as if it were sound.
        let expected = Expected { sha256: sha256.clone(), bytes: Some(total) };
        let content = Verified::new(pieces(artifact.content), expected);
        let service = self.service.clone();
        let replies = content.then(move |piece| {
            let (service, sha256) = (service.clone(), sha256.clone());
            async move {
                match piece {
                    Ok(content) => Ok(wire::DownloadReply { total, content }),
                    Err(ApiError::Invalid(faults)) => {
                        service.damaged(sha256).await;
                        Err(ApiError::Internal { what: format!("a stored artifact is damaged: {faults}") }.into())
                    }
                    Err(other) => Err(other.into()),
                }
            }
        });
        Ok(Response::new(Box::pin(replies)))
    }

    async fn stored(&self, request: Request<wire::StoredRequest>) -> Result<Response<wire::StoredReply>, Status> {
        let (caller, wire::StoredRequest { sha256 }) = open(request)?;
        let sha256 = valid(read_with(|reader| reader.field("sha256", sha256)))?;
        let stored = self.service.stored(caller, sha256).await?;
        Ok(Response::new(wire::StoredReply { stored }))
    }

    async fn upload(
        &self,
        request: Request<Streaming<wire::UploadRequest>>,
    ) -> Result<Response<wire::UploadReply>, Status> {
        let (caller, mut steps) = open(request)?;
        let upload = header(&mut steps).await?;
        let expected = Expected { sha256: upload.sha256.clone(), bytes: Some(upload.bytes) };
        let body: Replies<Bytes> = Box::pin(steps.map(content));
        let body = Box::pin(Verified::new(body, expected));
        self.service.upload(caller, upload, body).await?;
        Ok(Response::new(wire::UploadReply {}))
    }

    async fn import(
        &self,
        request: Request<Streaming<wire::ImportRequest>>,
    ) -> Result<Response<wire::ImportReply>, Status> {
        use wire::import_request::Step;
        let (caller, mut steps) = open(request)?;
        let first = steps.message().await.map_err(|e| read_status(&e))?;
        let Some(Step::Header(header)) = first.and_then(|request| request.step) else {
            return Err(header_missing().into());
        };
        let import: ImportedNetwork = valid(read_with(|reader| reader.field("header", header)))?;
        let expected = Expected { sha256: import.sha256.clone(), bytes: Some(import.bytes) };
        let content = |step: Result<wire::ImportRequest, Status>| match step.map_err(|e| read_status(&e))?.step {
            Some(Step::Content(content)) => Ok(content),
            Some(Step::Header(_)) | None => Err(content_missing()),
        };
        let body = Box::pin(Verified::new(Box::pin(steps.map(content)), expected));
        self.service.import(caller, import, body).await?;
        Ok(Response::new(wire::ImportReply {}))
    }

    async fn imports(&self, request: Request<wire::ImportsRequest>) -> Result<Response<wire::ImportsReply>, Status> {
        let (caller, wire::ImportsRequest {}) = open(request)?;
        let networks = list(self.service.imports(caller).await?);
        Ok(Response::new(wire::ImportsReply { networks }))
    }
}

async fn header(steps: &mut Streaming<wire::UploadRequest>) -> Result<Upload, ApiError> {
    use wire::upload_request::Step;
    let first = steps.message().await.map_err(|e| read_status(&e))?;
    match first.and_then(|request| request.step) {
        Some(Step::Header(header)) => valid(read_with(|reader| reader.field("header", header))),
        Some(Step::Content(_)) | None => Err(header_missing()),
    }
}

fn content(step: Result<wire::UploadRequest, Status>) -> Result<Bytes, ApiError> {
    use wire::upload_request::Step;
    match step.map_err(|e| read_status(&e))?.step {
        Some(Step::Content(content)) => Ok(content),
        Some(Step::Header(_)) | None => Err(content_missing()),
    }
}

fn header_missing() -> ApiError {
    Violations::one("header", "", "must come first").into()
}

fn content_missing() -> ApiError {
    Violations::one("content", "", "must be present in every step after the header").into()
}

//! Calls of users.

use rrm_spec::Violations;
use tonic::{Request, Response, Status};

use super::{Adapter, Outgoing, gate::open, replies, reply};
use crate::{
    ApiError, ImagesFrom, Service,
    convert::{OnWire, list, read, read_with},
    wire,
};

#[tonic::async_trait]
impl<S: Service> wire::jobs_server::Jobs for Adapter<S> {
    async fn submit(&self, request: Request<wire::SubmitRequest>) -> Result<Response<wire::SubmitReply>, Status> {
        let (caller, message) = open(request)?;
        let (request_id, plan, source, wishes) = valid(read(message))?;
        reply(self.service.submit(caller, request_id, plan, source, wishes).await)
    }

    async fn list(&self, request: Request<wire::ListRequest>) -> Result<Response<wire::ListReply>, Status> {
        let (caller, message) = open(request)?;
        let jobs = self.service.list(caller, valid(read(message))?).await?;
        Ok(Response::new(wire::ListReply { jobs: list(jobs) }))
    }

    async fn get(&self, request: Request<wire::GetRequest>) -> Result<Response<wire::GetReply>, Status> {
        let (caller, wire::GetRequest { id }) = open(request)?;
        let id = valid(read_with(|reader| reader.field("id", id)))?;
        let job = self.service.job(caller, id).await?;
        Ok(Response::new(wire::GetReply { job: Some(job.to_wire()) }))
    }

    async fn cancel(&self, request: Request<wire::CancelRequest>) -> Result<Response<wire::CancelReply>, Status> {
        let (caller, wire::CancelRequest { ids }) = open(request)?;
        let ids = valid(read_with(|reader| reader.list("ids", ids)))?;
        let jobs = self.service.cancel(caller, ids).await?;
        Ok(Response::new(wire::CancelReply { jobs: list(jobs) }))
    }

    type WatchStream = Outgoing<wire::WatchReply>;

    async fn watch(&self, request: Request<wire::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let end = self.end_of_token(&request);
        let (caller, wire::WatchRequest { after_seq, submission }) = open(request)?;
        let submission = valid(read_with(|reader| reader.optional("submission", submission)))?;
        Ok(replies(self.service.watch(caller, after_seq, submission).await?, end))
    }

    type LogsStream = Outgoing<wire::LogsReply>;

    async fn logs(&self, request: Request<wire::LogsRequest>) -> Result<Response<Self::LogsStream>, Status> {
        let end = self.end_of_token(&request);
        let (caller, wire::LogsRequest { job, attempt, offset, follow }) = open(request)?;
        let (job, attempt, follow) = valid(read_with(|reader| {
            let job = reader.field("job", job);
            let attempt = reader.optional("attempt", attempt);
            Some((job?, attempt?, reader.field("follow", follow)?))
        }))?;
        Ok(replies(self.service.logs(caller, job, attempt, offset, follow).await?, end))
    }

    async fn list_workers(
        &self,
        request: Request<wire::ListWorkersRequest>,
    ) -> Result<Response<wire::ListWorkersReply>, Status> {
        let (caller, wire::ListWorkersRequest {}) = open(request)?;
        let workers = self.service.workers(caller).await?;
        Ok(Response::new(wire::ListWorkersReply { workers: list(workers) }))
    }

    async fn last_plan(
        &self,
        request: Request<wire::LastPlanRequest>,
    ) -> Result<Response<wire::LastPlanReply>, Status> {
        let (caller, wire::LastPlanRequest {}) = open(request)?;
        reply(self.service.last_plan(caller).await)
    }

    async fn explain(&self, request: Request<wire::ExplainRequest>) -> Result<Response<wire::ExplainReply>, Status> {
        let (caller, wire::ExplainRequest { job }) = open(request)?;
        let job = valid(read_with(|reader| reader.field("job", job)))?;
        let explanation = self.service.explain(caller, job).await?;
        Ok(Response::new(wire::ExplainReply { explanation: Some(explanation.to_wire()) }))
    }

    async fn restore_device(
        &self,
        request: Request<wire::RestoreDeviceRequest>,
    ) -> Result<Response<wire::RestoreDeviceReply>, Status> {
        let (caller, wire::RestoreDeviceRequest { node, device }) = open(request)?;
        let device = valid(read_with(|reader| {
            if node.is_empty() {
                reader.at("node").missing::<()>();
            }
            reader.at("device").parse(&device).filter(|_| !node.is_empty())
        }))?;
        let was_out = self.service.restore_device(caller, node, device).await?;
        Ok(Response::new(wire::RestoreDeviceReply { was_out }))
    }

    type ImagesStream = Outgoing<wire::ImagesReply>;

    async fn images(&self, request: Request<wire::ImagesRequest>) -> Result<Response<Self::ImagesStream>, Status> {
        let end = self.end_of_token(&request);
        let (caller, wire::ImagesRequest { job, evaluation, after }) = open(request)?;
        let job = valid(read_with(|reader| reader.field("job", job)))?;
        Ok(replies(self.service.images(caller, job, ImagesFrom { evaluation, after }).await?, end))
    }
}

/// A message's faults as a refusal.
pub(super) fn valid<T>(read: Result<T, Violations>) -> Result<T, ApiError> {
    read.map_err(ApiError::Invalid)
}

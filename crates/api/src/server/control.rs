//! Calls by which users steer jobs and workers.

use tonic::{Request, Response, Status};

use super::{Adapter, gate::open, jobs::valid};
use crate::{
    Service,
    convert::{list, read, read_with},
    wire,
};

#[tonic::async_trait]
impl<S: Service> wire::control_server::Control for Adapter<S> {
    async fn change(&self, request: Request<wire::ChangeRequest>) -> Result<Response<wire::ChangeReply>, Status> {
        let (caller, message) = open(request)?;
        let (ids, change) = valid(read(message))?;
        let jobs = self.service.change(caller, ids, change).await?;
        Ok(Response::new(wire::ChangeReply { jobs: list(jobs) }))
    }

    async fn preempt(&self, request: Request<wire::PreemptRequest>) -> Result<Response<wire::PreemptReply>, Status> {
        let (caller, message) = open(request)?;
        let (request_id, ids, then) = valid(read(message))?;
        let jobs = self.service.preempt(caller, request_id, ids, then).await?;
        Ok(Response::new(wire::PreemptReply { jobs: list(jobs) }))
    }

    async fn retry(&self, request: Request<wire::RetryRequest>) -> Result<Response<wire::RetryReply>, Status> {
        let (caller, message) = open(request)?;
        let (request_id, ids, wish) = valid(read(message))?;
        let jobs = self.service.retry(caller, request_id, ids, wish).await?;
        Ok(Response::new(wire::RetryReply { jobs: list(jobs) }))
    }

    async fn drain(&self, request: Request<wire::DrainRequest>) -> Result<Response<wire::DrainReply>, Status> {
        let (caller, wire::DrainRequest { target, how }) = open(request)?;
        let (target, how) = valid(read_with(|reader| {
            let target = reader.required("target", target);
            let how = reader.field("how", how);
            Some((target?, how?))
        }))?;
        let giving_way = self.service.drain(caller, target, how).await?;
        Ok(Response::new(wire::DrainReply { giving_way: list(giving_way) }))
    }

    async fn undrain(&self, request: Request<wire::UndrainRequest>) -> Result<Response<wire::UndrainReply>, Status> {
        let (caller, wire::UndrainRequest { target }) = open(request)?;
        let target = valid(read_with(|reader| reader.required("target", target)))?;
        self.service.undrain(caller, target).await?;
        Ok(Response::new(wire::UndrainReply {}))
    }

    async fn list_drains(
        &self,
        request: Request<wire::ListDrainsRequest>,
    ) -> Result<Response<wire::ListDrainsReply>, Status> {
        let (caller, wire::ListDrainsRequest {}) = open(request)?;
        let drains = self.service.drains(caller).await?;
        Ok(Response::new(wire::ListDrainsReply { drains: list(drains) }))
    }
}

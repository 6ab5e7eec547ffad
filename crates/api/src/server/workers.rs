//! Calls of workers.

use tonic::{Request, Response, Status};

use super::{Adapter, gate::open, jobs::valid, reply};
use crate::{
    Service,
    convert::{list, read, read_with},
    wire,
};

#[tonic::async_trait]
impl<S: Service> wire::workers_server::Workers for Adapter<S> {
    async fn register(&self, request: Request<wire::RegisterRequest>) -> Result<Response<wire::RegisterReply>, Status> {
        let (caller, message) = open(request)?;
        reply(self.service.register(caller, valid(read(message))?).await)
    }

    async fn lease(&self, request: Request<wire::LeaseRequest>) -> Result<Response<wire::LeaseReply>, Status> {
        let (caller, wire::LeaseRequest { worker, request_id, free, held }) = open(request)?;
        let (worker, request_id, free, held) = valid(read_with(|reader| {
            let worker = reader.field("worker", worker);
            let request_id = reader.field("request_id", request_id);
            let free = reader.list("free", free);
            let held = reader.list("held", held);
            Some((worker?, request_id?, free?, held?))
        }))?;
        let assignments = self.service.lease(caller, worker, request_id, free, held).await?;
        Ok(Response::new(wire::LeaseReply { assignments: list(assignments) }))
    }

    async fn heartbeat(
        &self,
        request: Request<wire::HeartbeatRequest>,
    ) -> Result<Response<wire::HeartbeatReply>, Status> {
        let (caller, wire::HeartbeatRequest { worker, held }) = open(request)?;
        let (worker, held) = valid(read_with(|reader| {
            let worker = reader.field("worker", worker);
            let held = reader.list("held", held);
            Some((worker?, held?))
        }))?;
        reply(self.service.heartbeat(caller, worker, held).await)
    }

    async fn report(&self, request: Request<wire::ReportRequest>) -> Result<Response<wire::ReportReply>, Status> {
        let (caller, wire::ReportRequest { attempt, first_seq, records }) = open(request)?;
        let (attempt, records) = valid(read_with(|reader| {
            let attempt = reader.field("attempt", attempt);
            if first_seq == 0 {
                reader.at("first_seq").refuse::<()>(0, "must be 1 or more");
            }
            let records = reader.list("records", records);
            Some((attempt?, records?))
        }))?;
        let durable_seq = self.service.report(caller, attempt, first_seq, records).await?;
        Ok(Response::new(wire::ReportReply { durable_seq }))
    }

    async fn settle(&self, request: Request<wire::SettleRequest>) -> Result<Response<wire::SettleReply>, Status> {
        let (caller, message) = open(request)?;
        let (attempt, records_seq, end) = valid(read(message))?;
        self.service.settle(caller, attempt, records_seq, end).await?;
        Ok(Response::new(wire::SettleReply {}))
    }

    async fn push_log(&self, request: Request<wire::PushLogRequest>) -> Result<Response<wire::PushLogReply>, Status> {
        let (caller, wire::PushLogRequest { attempt, offset, content }) = open(request)?;
        let attempt = valid(read_with(|reader| reader.field("attempt", attempt)))?;
        let next_offset = self.service.push_log(caller, attempt, offset, content).await?;
        Ok(Response::new(wire::PushLogReply { next_offset }))
    }

    async fn deregister(
        &self,
        request: Request<wire::DeregisterRequest>,
    ) -> Result<Response<wire::DeregisterReply>, Status> {
        let (caller, wire::DeregisterRequest { worker }) = open(request)?;
        let worker = valid(read_with(|reader| reader.field("worker", worker)))?;
        self.service.deregister(caller, worker).await?;
        Ok(Response::new(wire::DeregisterReply {}))
    }
}

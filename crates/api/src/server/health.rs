//! grpc.health.v1: whether the daemon can answer, for balancers and supervisors that know nothing else of it.

use std::{sync::Arc, time::Duration};

use tokio_stream::StreamExt;
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer},
};

use super::Outgoing;
use crate::Service;

/// A watcher hears of a change after so long at the latest.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What can be asked about; the empty name stands for the whole. All of them stand and fall together: with the database.
const SERVICES: [&str; 6] =
    ["", "rrm.v1.Access", "rrm.v1.Artifacts", "rrm.v1.Control", "rrm.v1.Jobs", "rrm.v1.Workers"];

/// Asks the service itself, every time: an answer is never older than its question.
pub(super) struct Checks<S> {
    service: Arc<S>,
}

pub(super) fn server<S: Service>(service: Arc<S>) -> HealthServer<Checks<S>> {
    HealthServer::new(Checks { service })
}

async fn status<S: Service>(service: &S) -> ServingStatus {
    if service.is_healthy().await { ServingStatus::Serving } else { ServingStatus::NotServing }
}

fn reply(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl<S: Service> Health for Checks<S> {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        match SERVICES.contains(&request.get_ref().service.as_str()) {
            true => Ok(Response::new(reply(status(&*self.service).await))),
            // As the protocol has it.
            false => Err(Status::not_found("unknown service")),
        }
    }

    type WatchStream = Outgoing<HealthCheckResponse>;

    /// The present status, and every change of it. The stream of an unknown service says so and stays: it might come to be.
    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let known = SERVICES.contains(&request.get_ref().service.as_str());
        let service = Arc::clone(&self.service);
        let ticks = tokio_stream::wrappers::IntervalStream::new(tokio::time::interval(LOOK_AGAIN));
        let statuses = ticks.then(move |_| {
            let service = Arc::clone(&service);
            async move { if known { status(&*service).await } else { ServingStatus::ServiceUnknown } }
        });
        let mut last = None;
        let changes = statuses.filter_map(move |status| {
            let changed = last.replace(status) != Some(status);
            changed.then(|| Ok(reply(status)))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    fn every_service_of_the_project_can_be_asked_about() {
        let mut own =
            prost::Message::decode(wire::DESCRIPTORS).map(|set: prost_types::FileDescriptorSet| set.file).unwrap();
        own.retain(|file| !file.service.is_empty());
        let names = own.iter().flat_map(|file| &file.service).map(|service| format!("rrm.v1.{}", service.name()));
        let mut names: Vec<String> = names.collect();
        names.sort();
        assert_eq!(names, SERVICES[1..]);
    }
}

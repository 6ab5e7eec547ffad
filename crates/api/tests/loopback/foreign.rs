//! What clients see that are not ours: they show no version, and know the standard services alone.

use std::sync::atomic::Ordering;

use rrm_spec::JobId;
use tokio_stream::StreamExt;
use tonic::{Code, Request, Status, metadata::MetadataValue, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use tonic_types::StatusExt;

use super::{Daemon, GRANTED};

async fn channel(daemon: &Daemon) -> Channel {
    Channel::from_shared(format!("http://{}", daemon.address)).unwrap().connect().await.unwrap()
}

fn shown<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let bearer: MetadataValue<_> = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    request
}

/// A call by its path alone, with a message of no fields; what it is refused with.
async fn refusal(daemon: &Daemon, path: &'static str, request: Request<()>) -> Status {
    let mut grpc = tonic::client::Grpc::new(channel(daemon).await);
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    grpc.unary(request, path.parse().unwrap(), codec).await.unwrap_err()
}

#[tokio::test]
async fn health_is_told_without_a_token_and_follows_the_service() {
    let daemon = Daemon::start();
    let mut health = HealthClient::new(channel(&daemon).await);
    let about = |service: &str| HealthCheckRequest { service: service.to_owned() };
    let mut watched = health.watch(about("rrm.v1.Jobs")).await.unwrap().into_inner();
    assert_eq!(watched.next().await.unwrap().unwrap().status(), ServingStatus::Serving);
    assert_eq!(health.check(about("")).await.unwrap().into_inner().status(), ServingStatus::Serving);
    daemon.memory.unwell.store(true, Ordering::SeqCst);
    assert_eq!(health.check(about("")).await.unwrap().into_inner().status(), ServingStatus::NotServing);
    assert_eq!(watched.next().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert_eq!(health.check(about("rrm.v1.Nothing")).await.unwrap_err().code(), Code::NotFound);
    let mut unknown = health.watch(about("rrm.v1.Nothing")).await.unwrap().into_inner();
    assert_eq!(unknown.next().await.unwrap().unwrap().status(), ServingStatus::ServiceUnknown);
}

#[tokio::test]
async fn the_protocol_describes_itself_to_whoever_has_a_token() {
    let daemon = Daemon::start();
    let mut reflection = ServerReflectionClient::new(channel(&daemon).await);
    let ask = |question| ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let list = || tokio_stream::once(ask(MessageRequest::ListServices(String::new())));
    let refused = reflection.server_reflection_info(list()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let mut answers = reflection.server_reflection_info(shown(list(), GRANTED)).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(listed)) = answers.next().await.unwrap().unwrap().message_response
    else {
        panic!("must be a list")
    };
    let names: Vec<String> = listed.service.into_iter().map(|service| service.name).collect();
    for name in ["rrm.v1.Access", "rrm.v1.Artifacts", "rrm.v1.Jobs", "rrm.v1.Workers", "grpc.health.v1.Health"] {
        assert!(names.iter().any(|listed| listed == name), "{name} is not among {names:?}");
    }
}

#[tokio::test]
async fn without_a_version_a_call_is_answered_and_a_refusal_says_why_in_standard_words() {
    let daemon = Daemon::start();
    // GetRequest without its id.
    let refused = refusal(&daemon, "/rrm.v1.Jobs/Get", shown((), GRANTED)).await;
    assert_eq!(refused.code(), Code::InvalidArgument);
    let fault = refused.get_details_bad_request().unwrap().field_violations.swap_remove(0);
    assert_eq!((fault.field.as_str(), fault.description.as_str()), ("id", "`0`: must be a positive id"));
    assert_eq!(refused.get_details_error_info().unwrap().reason, "INVALID");
    assert!(refused.get_details_help().unwrap().links[0].description.contains("correct the named fields"));
    // A thousand faults do not come as a trailer that other libraries refuse.
    let many = refusal(&daemon, "/rrm.v1.Jobs/Cancel", shown((), "user-0123456789abcdef")).await;
    assert!(many.details().len() < 4096 && many.get_details_bad_request().is_some(), "{}", many.details().len());
    let Err(rrm_api::ApiError::Invalid(all)) = daemon.user().cancel(vec![JobId(1)]).await else { panic!("invalid") };
    assert_eq!(all.iter().count(), 1000, "our own client gets them all");
}

#[tokio::test]
async fn another_version_is_refused_naming_both_but_not_to_strangers() {
    let daemon = Daemon::start();
    let of_version = |token| {
        let mut request = shown((), token);
        request.metadata_mut().insert("rrm-version", "9.9.9".parse().unwrap());
        request
    };
    let refused = refusal(&daemon, "/rrm.v1.Jobs/ListWorkers", of_version(GRANTED)).await;
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let info = refused.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.metadata["client_version"].as_str()), ("VERSION", "9.9.9"));
    assert_eq!(info.metadata["server_version"], rrm_api::VERSION);
    let stranger = refusal(&daemon, "/rrm.v1.Jobs/ListWorkers", of_version("stranger-0123456789abcdef")).await;
    assert_eq!(stranger.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn whatever_is_wrong_with_a_token_the_answer_is_the_same() {
    let daemon = Daemon::start();
    let mut answers = Vec::new();
    for shown in [None, Some(""), Some("Bearer "), Some(GRANTED), Some("Bearer wrong"), Some("Basic dTpw")] {
        let mut request = Request::new(());
        shown.map(|value| request.metadata_mut().insert("authorization", value.parse().unwrap()));
        let refused = refusal(&daemon, "/rrm.v1.Jobs/ListWorkers", request).await;
        answers.push((refused.code(), refused.message().to_owned(), refused.details().to_vec()));
    }
    assert_eq!(answers[0].0, Code::Unauthenticated);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[tokio::test]
async fn a_call_that_is_not_in_the_table_is_refused_whoever_makes_it() {
    let daemon = Daemon::start();
    for path in ["/rrm.v1.Jobs/Delete", "/rrm.v2.Jobs/List", "/"] {
        let refused = refusal(&daemon, path, shown((), "user-0123456789abcdef")).await;
        assert_eq!(refused.code(), Code::Unimplemented, "{path}");
    }
}

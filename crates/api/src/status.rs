//! Errors on the wire: a gRPC status whose details say everything again, typed: in standard messages, and in ours without loss.

mod standard;

use prost::Message;
use prost_types::Any;
use rrm_spec::{Violation, Violations};
use tonic::{Code, Status};
use tonic_types::pb;

use crate::{ApiError, wire};

const DETAIL_URL: &str = "type.googleapis.com/rrm.v1.ErrorDetail";

/// Details travel in one trailer, for which receivers allow a limited size (see [`HEADER_BYTES`]).
const DETAIL_BYTES: usize = 256 * 1024;

/// Details of this size fit, in base64 and together with the message, into the 8 KiB that other libraries take.
const FOREIGN_BYTES: usize = 4096;

/// For people; the details have more.
const MESSAGE_LENGTH: usize = 600;

/// Headers and trailers up to this size are taken: base64 makes 4 of 3 bytes, and there is some room.
pub(crate) const HEADER_BYTES: u32 = 512 * 1024;

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let (code, message) = (code_of(&error), message_of(&error));
        let mut details = standard::details(&error);
        details.push(Any { type_url: DETAIL_URL.to_owned(), value: detail_of(error).encode_to_vec() });
        with_details(code, message, details)
    }
}

fn with_details(code: Code, message: String, details: Vec<Any>) -> Status {
    let status = pb::Status { code: code.into(), message: message.clone(), details };
    Status::with_details(code, message, status.encode_to_vec().into())
}

/// The same status without our own detail, where that makes it too large for clients that are not ours.
pub(crate) fn for_foreigners(status: Status) -> Status {
    if status.details().len() <= FOREIGN_BYTES {
        return status;
    }
    let mut details = pb::Status::decode(status.details()).map(|status| status.details).unwrap_or_default();
    details.retain(|detail| detail.type_url != DETAIL_URL);
    with_details(status.code(), status.message().to_owned(), details)
}

/// Reads a status. One without our details was not made by a daemon, but by the connection or a proxy in between.
pub(crate) fn read_status(status: &Status) -> ApiError {
    let details = pb::Status::decode(status.details()).map(|status| status.details).unwrap_or_default();
    let ours = details.into_iter().find(|detail| detail.type_url == DETAIL_URL);
    match ours.and_then(|any| wire::ErrorDetail::decode(any.value.as_slice()).ok()) {
        Some(detail) => read_detail(detail),
        None => foreign(status),
    }
}

fn code_of(error: &ApiError) -> Code {
    match error {
        ApiError::Invalid(_) => Code::InvalidArgument,
        ApiError::NotFound { .. } => Code::NotFound,
        ApiError::Conflict { .. } => Code::AlreadyExists,
        ApiError::LeaseLost | ApiError::Precondition { .. } | ApiError::Version { .. } => Code::FailedPrecondition,
        ApiError::Exhausted { .. } => Code::ResourceExhausted,
        ApiError::TooLarge { .. } => Code::OutOfRange,
        ApiError::Unauthenticated => Code::Unauthenticated,
        ApiError::PermissionDenied { .. } | ApiError::NotOwner { .. } => Code::PermissionDenied,
        ApiError::Unavailable { .. } => Code::Unavailable,
        ApiError::Internal { .. } => Code::Internal,
    }
}

/// For clients that know nothing of our details.
fn message_of(error: &ApiError) -> String {
    let mut text = error.to_string();
    if text.len() > MESSAGE_LENGTH {
        text.truncate(text.floor_char_boundary(MESSAGE_LENGTH));
        text.push('…');
    }
    format!("{text}; {}", error.next_step())
}

fn detail_of(error: ApiError) -> wire::ErrorDetail {
    use wire::Reason;
    let empty = wire::ErrorDetail { next_step: error.next_step().to_owned(), ..Default::default() };
    let plain = |reason: Reason, what: String| wire::ErrorDetail { reason: reason.into(), what, ..empty.clone() };
    match error {
        ApiError::Invalid(violations) => {
            let violations = write_violations(&violations);
            wire::ErrorDetail { violations, ..plain(Reason::Invalid, String::new()) }
        }
        ApiError::NotFound { what } => plain(Reason::NotFound, what),
        ApiError::Conflict { what } => plain(Reason::Conflict, what),
        ApiError::LeaseLost => plain(Reason::LeaseLost, String::new()),
        ApiError::Precondition { what } => plain(Reason::Precondition, what),
        ApiError::Exhausted { what } => plain(Reason::Exhausted, what),
        ApiError::TooLarge { what } => plain(Reason::TooLarge, what),
        ApiError::Unauthenticated => plain(Reason::Unauthenticated, String::new()),
        ApiError::PermissionDenied { what } => plain(Reason::PermissionDenied, what),
        ApiError::NotOwner { what } => plain(Reason::NotOwner, what),
        ApiError::Version { server, client } => wire::ErrorDetail {
            server_version: server,
            client_version: client,
            ..plain(Reason::Version, String::new())
        },
        ApiError::Unavailable { what } => plain(Reason::Unavailable, what),
        ApiError::Internal { what } => plain(Reason::Internal, what),
    }
}

fn write_violations(violations: &Violations) -> Vec<wire::FieldViolation> {
    let mut written = Vec::new();
    let mut bytes = 0;
    for (i, Violation { field, value, allowed }) in violations.iter().enumerate() {
        // 16 bytes frame the three texts.
        bytes += field.len() + value.len() + allowed.len() + 16;
        if bytes > DETAIL_BYTES {
            written.push(rest(violations.iter().count() - i));
            break;
        }
        written.push(wire::FieldViolation { field: field.clone(), value: value.clone(), allowed: allowed.clone() });
    }
    written
}

fn rest(count: usize) -> wire::FieldViolation {
    let allowed = format!("{count} more faults do not fit into one answer: correct these first");
    wire::FieldViolation { field: "…".to_owned(), value: String::new(), allowed }
}

fn read_detail(detail: wire::ErrorDetail) -> ApiError {
    use wire::Reason;
    // The next step follows from the reason; it is sent for clients of other languages.
    let wire::ErrorDetail { reason, what, violations, server_version, client_version, next_step: _ } = detail;
    match Reason::try_from(reason) {
        Ok(Reason::Invalid) => read_violations(violations),
        Ok(Reason::NotFound) => ApiError::NotFound { what },
        Ok(Reason::Conflict) => ApiError::Conflict { what },
        Ok(Reason::LeaseLost) => ApiError::LeaseLost,
        Ok(Reason::Precondition) => ApiError::Precondition { what },
        Ok(Reason::Exhausted) => ApiError::Exhausted { what },
        Ok(Reason::TooLarge) => ApiError::TooLarge { what },
        Ok(Reason::Unauthenticated) => ApiError::Unauthenticated,
        Ok(Reason::PermissionDenied) => ApiError::PermissionDenied { what },
        Ok(Reason::NotOwner) => ApiError::NotOwner { what },
        Ok(Reason::Version) => ApiError::Version { server: server_version, client: client_version },
        Ok(Reason::Unavailable) => ApiError::Unavailable { what },
        Ok(Reason::Internal | Reason::Unspecified) | Err(_) => ApiError::Internal { what },
    }
}

fn read_violations(violations: Vec<wire::FieldViolation>) -> ApiError {
    let read = |wire::FieldViolation { field, value, allowed }| Violation { field, value, allowed };
    match Violations::check(violations.into_iter().map(read).collect()) {
        Err(violations) => ApiError::Invalid(violations),
        Ok(()) => ApiError::Internal { what: "the daemon refused the request without naming a fault".to_owned() },
    }
}

/// Whether what answered was a server of something else, such as of web pages.
pub(crate) fn is_no_grpc(status: &Status) -> bool {
    // What the libraries below say of an answer of HTTP alone: to a call, in its body, and to the begin of HTTP/2 by a server of
    // HTTP/1, whose first words are no frame's length.
    const WORDS: [&str; 3] = [
        "grpc-status header missing, mapped from HTTP",
        "invalid compression flag",
        "detected: frame with invalid size",
    ];
    // A proxy's, whose daemon is away.
    let is_gateway = ["502", "503", "504"].iter().any(|code| status.message().ends_with(code));
    let text = with_causes(status);
    WORDS.iter().any(|words| text.contains(words)) && !is_gateway
}

fn with_causes(status: &Status) -> String {
    let mut what = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !what.contains(&cause_text) {
            what = format!("{what}: {cause_text}");
        }
        source = cause.source();
    }
    what
}

fn foreign(status: &Status) -> ApiError {
    let what = with_causes(status);
    if is_no_grpc(status) {
        return ApiError::Unavailable { what };
    }
    match status.code() {
        // A connection that breaks shows as one of these, depending on the moment.
        Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded | Code::Aborted => {
            ApiError::Unavailable { what }
        }
        Code::Internal if status.message().contains("h2 protocol error") => ApiError::Unavailable { what },
        // tonic's answer to a message over the limit.
        Code::OutOfRange => ApiError::TooLarge { what },
        Code::ResourceExhausted => ApiError::Exhausted { what },
        Code::Unauthenticated => ApiError::Unauthenticated,
        Code::PermissionDenied => ApiError::PermissionDenied { what },
        Code::Unimplemented => {
            ApiError::Internal { what: format!("whoever answers at this address is no rrmd of this version: {what}") }
        }
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Internal
        | Code::DataLoss => ApiError::Internal { what },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through_the_wire(error: ApiError) -> ApiError {
        read_status(&Status::from(error))
    }

    fn every_error() -> Vec<ApiError> {
        let what = || "job 12".to_owned();
        vec![
            ApiError::Invalid(Violations::check(faults(3)).unwrap_err()),
            ApiError::NotFound { what: what() },
            ApiError::Conflict { what: what() },
            ApiError::LeaseLost,
            ApiError::Precondition { what: what() },
            ApiError::Exhausted { what: what() },
            ApiError::TooLarge { what: what() },
            ApiError::Unauthenticated,
            ApiError::PermissionDenied { what: what() },
            ApiError::NotOwner { what: what() },
            ApiError::Version { server: "0.2.0".into(), client: "0.1.0".into() },
            ApiError::Unavailable { what: what() },
            ApiError::Internal { what: what() },
        ]
    }

    fn faults(count: usize) -> Vec<Violation> {
        let fault =
            |i| Violation { field: format!("job.j{i}.epochs"), value: "0".into(), allowed: "must be 1 or more".into() };
        (0..count).map(fault).collect()
    }

    #[test]
    fn every_error_arrives_as_it_was_sent() {
        for error in every_error() {
            assert_eq!(through_the_wire(error.clone()), error);
            assert!(!Status::from(error).message().is_empty());
        }
    }

    #[test]
    fn standard_details_say_reason_next_step_and_when_to_try_again() {
        use tonic_types::StatusExt;
        for error in every_error() {
            let status = Status::from(error.clone());
            let details = status.get_error_details();
            let info = details.error_info().unwrap();
            let number = wire::Reason::from_str_name(&format!("REASON_{}", info.reason));
            assert_eq!(number, Some(detail_of(error.clone()).reason()), "{error}");
            assert_eq!(details.help().unwrap().links[0].description, error.next_step());
            assert_eq!(details.bad_request().is_some(), matches!(error, ApiError::Invalid(_)), "{error}");
            let again = matches!(error, ApiError::Unavailable { .. } | ApiError::Exhausted { .. });
            assert_eq!(details.retry_info().is_some(), again, "{error}");
        }
        let status = Status::from(ApiError::Invalid(Violations::check(faults(3)).unwrap_err()));
        let first = status.get_details_bad_request().unwrap().field_violations.swap_remove(0);
        assert_eq!((first.field.as_str(), first.description.as_str()), ("job.j0.epochs", "`0`: must be 1 or more"));
    }

    #[test]
    fn a_foreign_client_gets_no_more_than_its_library_takes() {
        let large = Violations::check(faults(20_000)).unwrap_err();
        let ours = Status::from(ApiError::Invalid(large));
        assert!(ours.details().len() > 8 * 1024);
        let theirs = for_foreigners(ours);
        let headers = theirs.clone().into_http::<()>().into_parts().0.headers;
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
        assert!(bytes < 8 * 1024, "{bytes}");
        let faults = tonic_types::StatusExt::get_details_bad_request(&theirs).unwrap().field_violations;
        assert!(faults.last().unwrap().description.contains("more faults"), "{faults:?}");
        let small = Status::from(ApiError::LeaseLost);
        assert_eq!(read_status(&for_foreigners(small)), ApiError::LeaseLost, "nothing is lost where there is room");
    }

    #[test]
    fn faults_beyond_the_size_of_an_answer_are_counted() {
        let ApiError::Invalid(read) = through_the_wire(Violations::check(faults(20_000)).unwrap_err().into()) else {
            panic!("must stay an invalid request");
        };
        let read: Vec<_> = read.iter().collect();
        let more: usize = read[read.len() - 1].allowed.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(read.len() - 1 + more, 20_000);
    }

    #[test]
    fn an_answer_that_is_no_grpc_is_unavailability_whatever_the_code() {
        let of_http = |code: u16| format!("grpc-status header missing, mapped from HTTP status code {code}");
        let answers = [
            Status::unimplemented(of_http(404)),
            Status::internal(of_http(400)),
            Status::permission_denied(of_http(403)),
            Status::unauthenticated(of_http(401)),
            Status::unknown(of_http(405)),
            Status::internal("protocol error: received message with invalid compression flag: 60"),
        ];
        for status in answers {
            assert!(is_no_grpc(&status) && read_status(&status).is_transient(), "{status:?}");
        }
        let proxy = Status::unavailable(of_http(503));
        assert!(!is_no_grpc(&proxy) && read_status(&proxy).is_transient(), "its daemon may come back");
        let other = Status::unimplemented("there is no such call");
        assert!(!is_no_grpc(&other) && !read_status(&other).is_transient());
    }

    #[test]
    fn a_broken_connection_is_unavailability() {
        assert!(read_status(&Status::unknown("transport error")).is_transient());
        assert!(!read_status(&Status::internal("our own bug")).is_transient());
    }
}

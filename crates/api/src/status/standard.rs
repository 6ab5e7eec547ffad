//! The same in Google's standard messages, for clients that know nothing of ours.
//!
//! Trailers of more than 8 KiB are refused by gRPC's libraries of C++, Python and Java unless they are told otherwise: these details
//! stay well below, and for clients that are not ours the one that could be larger is left out.

use std::collections::HashMap;

use prost::Message;
use prost_types::{Any, Duration};
use rrm_spec::{Violation, Violations};
use tonic_types::pb;

use crate::ApiError;

/// Says whose reasons they are.
const DOMAIN: &str = "rrm";

/// Where every error is described, relative to the repository and to the installed documentation.
const MANUAL: &str = "docs/api.md#errors";

/// Faults beyond so many bytes are counted.
const FAULT_BYTES: usize = 2048;

/// So many bytes of a text are enough here: the message has more of it.
const TEXT_BYTES: usize = 256;

/// An unavailable daemon is restarting, mostly.
const RESTART: Duration = Duration { seconds: 1, nanos: 0 };

/// Jobs end and disks are cleared in minutes rather than seconds.
const ROOM: Duration = Duration { seconds: 60, nanos: 0 };

pub(super) fn details(error: &ApiError) -> Vec<Any> {
    let mut details = vec![any("ErrorInfo", &info(error))];
    if let ApiError::Invalid(faults) = error {
        details.push(any("BadRequest", &pb::BadRequest { field_violations: field_violations(faults) }));
    }
    if let Some(delay) = retry_delay(error) {
        details.push(any("RetryInfo", &pb::RetryInfo { retry_delay: Some(delay) }));
    }
    let link = pb::help::Link { description: error.next_step().to_owned(), url: MANUAL.to_owned() };
    details.push(any("Help", &pb::Help { links: vec![link] }));
    details
}

fn any(name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("type.googleapis.com/google.rpc.{name}"), value: message.encode_to_vec() }
}

fn info(error: &ApiError) -> pb::ErrorInfo {
    let pair = |name: &str, value: &str| (name.to_owned(), clipped(value).to_owned());
    let metadata: HashMap<String, String> = match error {
        ApiError::NotFound { what }
        | ApiError::Conflict { what }
        | ApiError::Precondition { what }
        | ApiError::Exhausted { what }
        | ApiError::TooLarge { what }
        | ApiError::PermissionDenied { what }
        | ApiError::NotOwner { what }
        | ApiError::Unavailable { what }
        | ApiError::Internal { what } => HashMap::from([pair("what", what)]),
        ApiError::Version { server, client } => {
            HashMap::from([pair("server_version", server), pair("client_version", client)])
        }
        ApiError::Invalid(_) | ApiError::LeaseLost | ApiError::Unauthenticated => HashMap::new(),
    };
    pb::ErrorInfo { reason: reason(error).to_owned(), domain: DOMAIN.to_owned(), metadata }
}

/// The names of `Reason` in error.proto, without their prefix.
fn reason(error: &ApiError) -> &'static str {
    match error {
        ApiError::Invalid(_) => "INVALID",
        ApiError::NotFound { .. } => "NOT_FOUND",
        ApiError::Conflict { .. } => "CONFLICT",
        ApiError::LeaseLost => "LEASE_LOST",
        ApiError::Precondition { .. } => "PRECONDITION",
        ApiError::Exhausted { .. } => "EXHAUSTED",
        ApiError::TooLarge { .. } => "TOO_LARGE",
        ApiError::Unauthenticated => "UNAUTHENTICATED",
        ApiError::PermissionDenied { .. } => "PERMISSION_DENIED",
        ApiError::NotOwner { .. } => "NOT_OWNER",
        ApiError::Version { .. } => "VERSION",
        ApiError::Unavailable { .. } => "UNAVAILABLE",
        ApiError::Internal { .. } => "INTERNAL",
    }
}

/// When to try the same again, where that may help.
fn retry_delay(error: &ApiError) -> Option<Duration> {
    match error {
        ApiError::Unavailable { .. } => Some(RESTART),
        ApiError::Exhausted { .. } => Some(ROOM),
        ApiError::Invalid(_)
        | ApiError::NotFound { .. }
        | ApiError::Conflict { .. }
        | ApiError::LeaseLost
        | ApiError::Precondition { .. }
        | ApiError::TooLarge { .. }
        | ApiError::Unauthenticated
        | ApiError::PermissionDenied { .. }
        | ApiError::NotOwner { .. }
        | ApiError::Version { .. }
        | ApiError::Internal { .. } => None,
    }
}

fn field_violations(faults: &Violations) -> Vec<pb::bad_request::FieldViolation> {
    let mut written = Vec::new();
    let mut bytes = 0;
    for (i, Violation { field, value, allowed }) in faults.iter().enumerate() {
        let given = if value.is_empty() { "missing".to_owned() } else { format!("`{}`", clipped(value)) };
        let (field, description) = (clipped(field).to_owned(), clipped(&format!("{given}: {allowed}")).to_owned());
        bytes += field.len() + description.len();
        if bytes > FAULT_BYTES {
            let description = format!("{} more faults: correct these first", faults.iter().count() - i);
            written.push(violation("…".to_owned(), description));
            break;
        }
        written.push(violation(field, description));
    }
    written
}

fn violation(field: String, description: String) -> pb::bad_request::FieldViolation {
    pb::bad_request::FieldViolation { field, description, ..Default::default() }
}

fn clipped(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES)]
}

//! What a job asks of the machine that runs it.

use toml::Value;

use super::{Fields, text_of};
use crate::{Label, ResourceRequest};

pub(super) fn resources(fields: &mut Fields<'_>) -> ResourceRequest {
    ResourceRequest {
        devices: fields.optional("devices").unwrap_or_default(),
        memory_gib: fields.optional("memory_gib"),
        labels: labels(fields),
    }
}

/// One by one, so that each faulty one is named.
fn labels(fields: &mut Fields<'_>) -> Vec<Label> {
    let mut labels = Vec::new();
    for value in fields.optional::<Vec<Value>>("labels").unwrap_or_default() {
        match value.as_str().map(str::parse) {
            Some(Ok(label)) => labels.push(label),
            Some(Err(_)) | None => {
                fields.fault("labels", text_of(&value), "must be texts of 1 to 64 letters, digits and -_.");
            }
        }
    }
    labels
}

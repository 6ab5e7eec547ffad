//! `rrm version`.

use serde_json::json;

use crate::{
    exit::{Exit, Failure},
    output::{Format, Output},
};

pub(crate) fn run(output: Output) -> Result<Exit, Failure> {
    match output.format() {
        Format::Json => output.document(json!({"version": rrm_api::VERSION}))?,
        Format::Ids => output.line(rrm_api::VERSION)?,
        Format::Human => output.line(&format!("rrm {}", rrm_api::VERSION))?,
    }
    Ok(Exit::Done)
}

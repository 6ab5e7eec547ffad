//! `rrm data check`: what a folder holds.

use rrm_data::{Description, Split};
use serde_json::{Value, json};

use crate::{
    arguments::CheckArguments,
    exit::{Exit, Failure},
    output::{Format, Output},
};

pub(super) fn run(arguments: &CheckArguments, output: Output) -> Result<Exit, Failure> {
    if !arguments.path.exists() {
        return Err(Failure::new(Exit::NotFound, format!("there is no folder {}", arguments.path.display())));
    }
    let description = rrm_data::check(&arguments.path).map_err(|error| Failure::from(error).context("check images"))?;
    show(&description, output)?;
    Ok(Exit::Done)
}

/// Prints what a folder holds.
pub(super) fn show(description: &Description, output: Output) -> Result<(), Failure> {
    match output.format() {
        Format::Json => output.document(document(description)),
        Format::Ids => output.line(&description.path.display().to_string()),
        Format::Human => output.line(&description.to_string()),
    }
}

/// A folder's description as a JSON object.
pub(super) fn document(description: &Description) -> Value {
    let Description { path, format, shape, class_names, train, test } = description;
    let classes = class_names.iter().zip(train.iter().zip(test));
    let classes = classes.map(|(name, (train, test))| json!({"name": name, "train": train, "test": test}));
    json!({
        "path": path,
        "format": format.to_string(),
        "shape": [shape.channels, shape.height, shape.width],
        "train": description.count(Split::Train),
        "test": description.count(Split::Test),
        "classes": classes.collect::<Vec<_>>(),
        "passed_over": description.passed_over(),
    })
}

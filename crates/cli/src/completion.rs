//! `rrm completion`: scripts by which shells complete command lines.

use clap::CommandFactory;

use crate::{
    arguments::{Arguments, CompletionArguments},
    exit::{Exit, Failure},
    output::Output,
};

pub(crate) fn run(arguments: &CompletionArguments, output: Output) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "rrm", &mut script);
    output.bytes(&script)?;
    Ok(Exit::Done)
}

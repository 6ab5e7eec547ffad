//! `rrm data`: images on this machine.

mod check;
mod debian;
mod download;
mod fetch;

use crate::{
    arguments::DataCommand,
    exit::{Exit, Failure},
    output::Output,
};

/// Runs one of the commands; blocking.
pub(crate) fn run(command: DataCommand, output: Output) -> Result<Exit, Failure> {
    match command {
        DataCommand::Fetch(arguments) => fetch::run(&arguments, output),
        DataCommand::Check(arguments) => check::run(&arguments, output),
    }
}

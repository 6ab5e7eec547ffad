//! `rrm export`: what an evaluation found, as files for other programs.

mod adversarial;
mod images;
mod row;

use crate::{
    arguments::ExportCommand,
    daemon::Daemon,
    exit::{Exit, Failure},
    output::Output,
};

/// Runs one of the commands.
pub(crate) async fn run(command: &ExportCommand, daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    match command {
        ExportCommand::Images(arguments) => images::run(arguments, daemon, output).await,
        ExportCommand::Adversarial(arguments) => adversarial::run(arguments, daemon, output).await,
    }
}

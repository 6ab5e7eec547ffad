//! What is said about workers.

use clap::Subcommand;

use super::{WorkerDrainArguments, WorkerUndrainArguments};

#[derive(Debug, Subcommand)]
pub(crate) enum WorkerCommand {
    /// List workers with their devices and what runs there
    #[command(after_help = "\
Examples:
  rrm worker list
  rrm --json worker list | jq '.workers[] | select(.online)'")]
    List,
    /// Give a machine or a worker no new jobs
    Drain(WorkerDrainArguments),
    /// Give a machine or a worker jobs again
    Undrain(WorkerUndrainArguments),
}

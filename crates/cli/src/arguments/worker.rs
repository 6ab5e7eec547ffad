//! What is said about workers.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum WorkerCommand {
    /// List workers with their devices and what runs there
    #[command(after_help = "\
Examples:
  rrm worker list
  rrm --json worker list | jq '.workers[] | select(.online)'")]
    List,
}

//! What is said about workers.

use clap::{Args, Subcommand};
use rrm_spec::Device;

use super::{WorkerDrainArguments, WorkerUndrainArguments};

#[derive(Debug, Subcommand)]
pub(crate) enum WorkerCommand {
    /// List workers with their devices and what runs there
    #[command(after_help = "\
Devices that are out of service say so, and since when; why is told below the table.

Examples:
  rrm worker list
  rrm --json worker list | jq '.workers[] | select(.online)'
  rrm --json worker list | jq '.workers[].devices[] | select(.out_of_service)'")]
    List,
    /// Give a machine or a worker no new jobs
    Drain(WorkerDrainArguments),
    /// Give a machine or a worker jobs again
    Undrain(WorkerUndrainArguments),
    /// Give a device jobs again that was taken out of service
    Restore(RestoreArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "\
A device on which three different jobs failed one after the other as soon as they began is given no more, so that a sick GPU or a \
missing dataset does not eat the queue. Mend what is wrong there first; rrm worker list says what the jobs said.

Examples:
  rrm worker restore gpu-1 cuda:0")]
pub(crate) struct RestoreArguments {
    /// The worker's machine, as rrm worker list calls it
    #[arg(value_name = "NODE")]
    pub(crate) node: String,

    /// The device: cpu or cuda:N
    #[arg(value_name = "DEVICE")]
    pub(crate) device: Device,
}

//! What is said about the installation as a whole.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use crate::time::parse_duration;

#[derive(Debug, Args)]
#[command(after_help = "\
On a terminal the picture stays and is renewed, and q ends it; elsewhere it is printed again and again.

Examples:
  rrm top
  rrm top --once
  rrm --json top --once | jq '.queue'")]
pub(crate) struct TopArguments {
    /// Show it once and end
    #[arg(long)]
    pub(crate) once: bool,

    /// Time between two pictures
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_duration)]
    pub(crate) interval: Duration,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Every line is ok, a warning or a problem, the last two with what to do. Exit codes: 0 no problem, 1 some.

Examples:
  rrm doctor
  rrm doctor --server https://lab.example:7600 --ca-file ca.pem
  rrm --json doctor | jq '.checks[] | select(.result != \"ok\")'")]
pub(crate) struct DoctorArguments {
    /// Folder with the datasets [default: $XDG_DATA_HOME/rrm, or ~/.local/share/rrm]
    #[arg(long, env = "RRM_DATA_DIR", value_name = "FOLDER", hide_env_values = true)]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ManualArguments {
    /// The folder, in which man/ and completions/ are made
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
}

//! The command line, as types. Help texts are written here and below, and nowhere else.

mod admin;
mod control;
mod data;
mod export;
mod installation;
mod job;
mod model;
mod recipe;
mod report;
mod worker;

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
    time::Duration,
};

use clap::{
    ArgAction, Args, Parser, Subcommand,
    builder::{FalseyValueParser, TypedValueParser},
};
use clap_complete::Shell;

pub(crate) use self::{
    admin::{AdminCommand, TokenAddArguments, TokenCommand, TokenRevokeArguments},
    control::{
        DrainArguments, HoldArguments, JobsArguments, PreemptArguments, PriorityArguments, ReleaseArguments,
        RetryArguments, UndrainArguments, WorkerDrainArguments, WorkerUndrainArguments,
    },
    data::{CheckArguments, DataCommand, FetchArguments},
    export::{ExportAdversarialArguments, ExportCommand, ExportImagesArguments, RowFormat},
    installation::{DoctorArguments, ManualArguments, TopArguments},
    job::{
        CancelArguments, ExplainArguments, ListArguments, LogsArguments, ShowArguments, SubmitArguments, WaitArguments,
        WatchArguments,
    },
    model::{Adapter, ModelCommand, ModelExportArguments, ModelImportArguments, ModelShowArguments},
    recipe::{RecipeChanges, RecipeCommand, RecipeShowArguments},
    report::{ReportArguments, ReportKind, SuspicionArguments, TableFormat},
    worker::{RestoreArguments, WorkerCommand},
};
use crate::{output::Format, time::parse_duration};

const AFTER_HELP: &str = "\
Examples:
  rrm data fetch fashion-mnist          load a dataset into the data folder
  rrm submit plan.toml                  submit a plan's jobs; print their ids
  rrm watch --plan last                 follow its progress until it is done
  rrm report last --figure report.svg   show what came out, and draw it

Jobs are named by id (12), by range (12-20), by name in the last plan (@student), or all of a plan (plan:3).
The last plan is the newest that you have submitted.

Exit codes:
  0  done; every job succeeded        5    the time limit ran out
  1  a job failed or was skipped      6    the server does not answer
  2  wrong usage or an invalid plan   7    no valid token
  3  not found                        8    conflict with what is stored
  4  a job was cancelled              130  interrupted (jobs go on)

Data goes to standard output, everything else to standard error. RRM_LOG=debug tells what the connection does.";

/// Trains robust image classifiers and transfers their robustness: submits jobs, follows them, reports results.
#[derive(Debug, Parser)]
#[command(name = "rrm", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// The daemon's address, such as http://127.0.0.1:7600 [default: what the daemon of this machine wrote down]
    #[arg(long, global = true, env = "RRM_SERVER", value_name = "URL", hide_env_values = true)]
    pub(crate) server: Option<String>,

    /// File with your token [default: token-user in the state folder]
    #[arg(long, global = true, env = "RRM_TOKEN_FILE", value_name = "FILE", hide_env_values = true)]
    pub(crate) token_file: Option<PathBuf>,

    /// File with the certificate (PEM) of the authority that signed the daemon's, for https addresses
    #[arg(long, global = true, env = "RRM_CA_FILE", value_name = "FILE", hide_env_values = true)]
    pub(crate) ca_file: Option<PathBuf>,

    /// Name in the daemon's certificate, where it is not the address's host
    #[arg(
        long,
        global = true,
        env = "RRM_TLS_DOMAIN",
        value_name = "NAME",
        requires = "ca_file",
        hide_env_values = true
    )]
    pub(crate) tls_domain: Option<String>,

    /// File with this client's certificate (PEM), for daemons that ask for one
    #[arg(
        long,
        global = true,
        env = "RRM_CLIENT_CERT",
        value_name = "FILE",
        hide_env_values = true,
        requires = "client_key",
        requires = "ca_file"
    )]
    pub(crate) client_cert: Option<PathBuf>,

    /// File with that certificate's private key (PEM)
    #[arg(
        long,
        global = true,
        env = "RRM_CLIENT_KEY",
        value_name = "FILE",
        hide_env_values = true,
        requires = "client_cert"
    )]
    pub(crate) client_key: Option<PathBuf>,

    /// The state folder of this machine's daemon [default: $XDG_STATE_HOME/rrm, or ~/.local/state/rrm]
    #[arg(long, global = true, env = "RRM_STATE_DIR", value_name = "FOLDER", hide_env_values = true)]
    pub(crate) state_dir: Option<PathBuf>,

    /// Print one JSON document with "schema": 1 (streams: one per line); times are microseconds since 1970, UTC
    #[arg(long, global = true, env = "RRM_JSON", conflicts_with = "quiet", hide_env_values = true,
        action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,

    /// Print ids alone, one per line, and no remarks
    #[arg(long, short, global = true, env = "RRM_QUIET", hide_env_values = true,
        action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub(crate) quiet: bool,

    /// Give up after this time (seconds, or such as 90s, 5m, 1h 30m, 1d 12h) with exit code 5
    #[arg(long, global = true, env = "RRM_TIMEOUT", value_name = "TIME", value_parser = parse_duration, hide_env_values = true)]
    pub(crate) timeout: Option<Duration>,
}

impl Global {
    pub(crate) fn format(&self) -> Format {
        match (self.json, self.quiet) {
            (true, _) => Format::Json,
            (false, true) => Format::Ids,
            (false, false) => Format::Human,
        }
    }
}

/// Whether a command line that cannot be read asks for JSON: flags after the fault count, too.
pub(crate) fn json_asked(mut words: impl Iterator<Item = OsString>, variable: Option<&OsStr>) -> bool {
    let command = clap::Command::new("rrm");
    let truthy = |value| FalseyValueParser::new().parse_ref(&command, None, value).unwrap_or(false);
    words.by_ref().take_while(|word| word != "--").any(|word| word == "--json") || variable.is_some_and(truthy)
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Submit a plan's jobs and print their ids
    Submit(SubmitArguments),
    /// List jobs, newest first
    List(ListArguments),
    /// Show everything that is recorded of jobs
    Show(ShowArguments),
    /// Say why a job does not run
    Explain(ExplainArguments),
    /// Follow jobs live
    Watch(WatchArguments),
    /// Print a job's log
    Logs(LogsArguments),
    /// Wait until jobs have ended; the exit code says how
    Wait(WaitArguments),
    /// Cancel jobs
    Cancel(CancelArguments),
    /// Keep jobs from being handed out
    Hold(HoldArguments),
    /// Let held jobs be handed out
    Release(ReleaseArguments),
    /// Change the order in which jobs are handed out
    Priority(PriorityArguments),
    /// Stop running jobs and queue them again
    Preempt(PreemptArguments),
    /// Do jobs again that failed, were cancelled or skipped
    Retry(RetryArguments),
    /// Hand out no jobs
    Drain(DrainArguments),
    /// Hand out jobs again
    Undrain(UndrainArguments),
    /// Show a plan's results as a table and as a figure
    Report(ReportArguments),
    /// See how the paper's tables and figures are made
    #[command(subcommand)]
    Recipe(RecipeCommand),
    /// Write what evaluations found of every image, and their adversarial images, to files
    #[command(subcommand)]
    Export(ExportCommand),
    /// Show workers, running jobs and the queue, live
    Top(TopArguments),
    /// See the machines that train; take them out of service
    #[command(subcommand)]
    Worker(WorkerCommand),
    /// See the networks; take in and give out trained ones
    #[command(subcommand)]
    Model(ModelCommand),
    /// Fetch and check images
    #[command(subcommand)]
    Data(DataCommand),
    /// Say who may call the daemon
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Check the installation, line by line
    Doctor(DoctorArguments),
    /// Print a completion script for a shell
    Completion(CompletionArguments),
    /// Write manual pages and completion scripts into a folder
    #[command(hide = true)]
    Manual(ManualArguments),
    /// Print this software's version
    Version,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rrm completion bash > ~/.local/share/bash-completion/completions/rrm
  rrm completion zsh > ~/.zfunc/_rrm
  rrm completion fish > ~/.config/fish/completions/rrm.fish")]
pub(crate) struct CompletionArguments {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: Shell,
}

#[cfg(test)]
mod tests;

//! The command line.

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use tracing_subscriber::{EnvFilter, fmt};

use crate::{bench::BenchArgs, config::ServeArgs, exec::ExecArgs};

/// `EX_USAGE` of sysexits.h: the command line, the configuration or the job is at fault.
pub(crate) const USAGE: u8 = 64;

const EXIT_CODES: &str = "\
Exit codes:
  0   done; serve: told to stop, and what could not be handed over in time waits in the work folder for the next start
  1   failed
  3   exec: stopped when told to; the last checkpoint holds, where one was made
  64  the command line, the configuration or the job is faulty; every fault is named

Environment:
  RRM_LOG  what is logged to standard error: error, warn, info (the default), debug, trace, or a filter of tracing's";

/// Trains and attacks networks for an rrmd, or alone.
#[derive(Parser)]
#[command(name = "rrm-worker", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take jobs from a daemon and run them, one at a time on each device
    Serve(Box<ServeArgs>),
    /// Run one job: its spec comes as JSON on standard input, its events go as JSON lines to standard output
    Exec(ExecArgs),
    /// Time a network on random images
    Bench(BenchArgs),
    /// Write manual pages and completion scripts into a folder
    #[command(hide = true, after_help = "Examples:\n  rrm-worker manual target")]
    Manual(ManualArgs),
}

/// Runs the program with the process's arguments.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to tell if the terminal is gone.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let filter = EnvFilter::try_from_env("RRM_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // https://no-color.org: set to anything but nothing.
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let coloured = io::stderr().is_terminal() && !refused;
    fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(coloured).with_target(false).init();
    match cli.command {
        Command::Serve(args) => crate::serve::main(*args),
        Command::Exec(args) => crate::exec::main(args),
        Command::Bench(args) => crate::bench::main(&args),
        Command::Manual(args) => manual(&args),
    }
}

/// Where the manual goes.
#[derive(Args)]
struct ManualArgs {
    /// The folder, in which man/ and completions/ are made
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// What an installation has beside the program. Not shown among the commands: `make man` calls it.
fn manual(args: &ManualArgs) -> ExitCode {
    let write = || {
        let (pages, scripts) = (args.folder.join("man"), args.folder.join("completions"));
        fs::create_dir_all(&pages)?;
        fs::create_dir_all(&scripts)?;
        clap_mangen::generate_to(Cli::command(), &pages)?;
        for shell in Shell::value_variants() {
            clap_complete::generate_to(*shell, &mut Cli::command(), "rrm-worker", &scripts)?;
        }
        Ok::<(), io::Error>(())
    };
    match write() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format!("the manual cannot be written into {}: {error}", args.folder.display()));
            ExitCode::FAILURE
        }
    }
}

/// Says on standard error what is wrong; a log line would bury it.
pub(crate) fn complain(what: impl std::fmt::Display) {
    // Nobody is left to tell if the terminal is gone.
    let _ = writeln!(io::stderr(), "rrm-worker: {what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_shows_an_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("rrm-worker "), "{} shows none", command.get_name());
        }
    }
}

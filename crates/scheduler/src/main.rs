//! `rrmd`: the daemon.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use nix::sys::stat::{Mode, umask};
use rrm_scheduler::{Config, ServeFlags, serve};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// sysexits.h: the command line or the configuration is wrong; nothing has been touched.
const EX_USAGE: u8 = 64;

/// Keeps the queue, hands jobs to workers and remembers every result.
#[derive(Parser)]
#[command(name = "rrmd", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the daemon until it gets SIGTERM or SIGINT.
    Serve(ServeFlags),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Where standard error is closed there is nobody to tell.
            let _ = error.print();
            return if error.use_stderr() { EX_USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    log_to_standard_error();
    // Database, weights and logs are the owner's alone, as are the tokens.
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    let Command::Serve(flags) = arguments.command;
    let config = match Config::resolve(flags) {
        Ok(config) => config,
        Err(error) => {
            tracing::error!("{:#}", anyhow::Error::new(error));
            return EX_USAGE.into();
        }
    };
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `RRM_LOG` chooses what is logged, in tracing's filter language; `info` by default.
fn log_to_standard_error() {
    let filter = EnvFilter::try_from_env("RRM_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colour = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).with_writer(std::io::stderr).init();
}

#[tokio::main]
async fn run(config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be awaited")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be awaited")?;
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    serve(&config, shutdown).await.context("rrmd cannot serve")
}

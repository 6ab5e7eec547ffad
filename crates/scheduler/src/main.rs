//! `rrmd`: the daemon.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
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
    Serve(Box<ServeFlags>),
    /// Writes manual pages and completion scripts into a folder
    #[command(hide = true)]
    Manual {
        /// The folder, in which man/ and completions/ are made
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
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
    match arguments.command {
        Command::Serve(flags) => start(*flags),
        Command::Manual { folder } => ended(manual(&folder)),
    }
}

fn ended(how: anyhow::Result<()>) -> ExitCode {
    match how {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(flags: ServeFlags) -> ExitCode {
    // Database, weights and logs are the owner's alone, as are the tokens.
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    match Config::resolve(flags) {
        Ok(config) => ended(run(config)),
        Err(error) => {
            tracing::error!("{:#}", anyhow::Error::new(error));
            EX_USAGE.into()
        }
    }
}

/// What an installation has beside the program. Not shown among the commands: `make man` calls it.
fn manual(folder: &Path) -> anyhow::Result<()> {
    let (pages, scripts) = (folder.join("man"), folder.join("completions"));
    for folder in [&pages, &scripts] {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    clap_mangen::generate_to(Arguments::command(), &pages).context("the manual pages cannot be written")?;
    for shell in Shell::value_variants() {
        clap_complete::generate_to(*shell, &mut Arguments::command(), "rrmd", &scripts)
            .context("the completion scripts cannot be written")?;
    }
    Ok(())
}

/// `RRM_LOG` chooses what is logged, in tracing's filter language; `info` by default.
fn log_to_standard_error() {
    let filter = EnvFilter::try_from_env("RRM_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // https://no-color.org: set to anything but nothing.
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = std::io::stderr().is_terminal() && !refused;
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

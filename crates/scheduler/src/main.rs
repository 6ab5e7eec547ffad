//! `rrmd`: the daemon.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use nix::sys::stat::{Mode, umask};
use rrm_scheduler::{Checked, Config, Inventory, ServeFlags, back_up, restore, serve, state_dir_or_default, verify};
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
    /// Copies database and artifacts into a new folder, also while a daemon runs
    ///
    /// The copy is of one moment. The structure of every page of its database and every artifact's hash are checked before it appears
    /// under its name; the SHA-256 of its database lies beside it, in rrm.db.sha256. Artifacts are hard links where both folders lie on one file system: for a copy that survives the disk's loss,
    /// TARGET must lie on another one. Tokens and logs are not copied.
    #[command(after_help = BACKUP_EXAMPLES)]
    Backup {
        /// The daemon's folder [default: $XDG_STATE_HOME/rrm or ~/.local/state/rrm]
        #[arg(long, env = "RRM_STATE_DIR", value_name = "DIR", hide_env_values = true)]
        state_dir: Option<PathBuf>,
        /// Folder to make; must not exist, or be empty. The one that it lies in must exist, and be outside of the daemon's folder
        target: PathBuf,
    },
    /// Checks a backup or a state directory: the database, every artifact's hash; changes nothing
    ///
    /// Of a backup all bytes of the database are compared with rrm.db.sha256. Of a state directory, and of a backup by a version
    /// that did not write that file, only the structure of the database is checked, since SQLite's pages have no checksums.
    ///
    /// Exits with 0 where all is well, and 1 where the database or an artifact is damaged, or an artifact is missing.
    Verify {
        /// A backup, or a state directory, also one on which a daemon runs
        folder: PathBuf,
    },
    /// Makes a new state directory of a backup
    ///
    /// Jobs that ran when the backup was made are queued again after the new daemon's first lease term. Numbers of jobs,
    /// attempts and workers go on a million higher, so that what a worker still does for the lost daemon is refused. The new
    /// daemon makes new tokens, unless token-user and token-worker are copied into its folder before its start.
    Restore {
        /// A backup, or a state directory on which no daemon runs
        backup: PathBuf,
        /// Folder to make; must not exist, or be empty
        #[arg(long, value_name = "DIR")]
        state_dir: PathBuf,
    },
    /// Writes manual pages and completion scripts into a folder
    #[command(hide = true)]
    Manual {
        /// The folder, in which man/ and completions/ are made
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
}

const BACKUP_EXAMPLES: &str = "\
Examples:
  rrmd backup /backup/rrm-$(date +%F)      every night, from cron or a systemd timer
  rrmd verify /backup/rrm-2026-01-31
  rrmd restore /backup/rrm-2026-01-31 --state-dir ~/.local/state/rrm";

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
        Command::Backup { state_dir, target } => {
            let Some(state_dir) = state_dir_or_default(state_dir) else {
                tracing::error!("no state directory: give --state-dir, or set RRM_STATE_DIR, XDG_STATE_HOME or HOME");
                return EX_USAGE.into();
            };
            told(copying(async || back_up(&state_dir, &target).await.context("no backup was made")), "copied")
        }
        Command::Verify { folder } => {
            told(copying(async || verify(&folder).await.context("it is not well")), "checked")
        }
        Command::Restore { backup, state_dir } => {
            told(copying(async || restore(&backup, &state_dir).await.context("nothing was restored")), "restored")
        }
        Command::Manual { folder } => ended(manual(&folder)),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn copying(work: impl AsyncFnOnce() -> anyhow::Result<Inventory>) -> anyhow::Result<Inventory> {
    private();
    work().await
}

/// Database, weights and logs are the owner's alone, as are the tokens.
fn private() {
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
}

/// Says what there is; what is lost of it makes the whole a failure.
fn told(found: anyhow::Result<Inventory>, done: &str) -> ExitCode {
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            tracing::error!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    // Where standard output is closed there is nobody to tell.
    let _ = writeln!(std::io::stdout(), "{done}: {}", described(&found));
    for sha256 in &found.lost {
        tracing::error!(%sha256, "this artifact is missing or damaged there");
    }
    if found.lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What there is, and no more praise of it than was checked.
fn described(found: &Inventory) -> String {
    let Inventory { checked, schema, submissions, jobs, artifacts, bytes, lost } = found;
    let how = match (lost.len(), checked) {
        (0, Checked::Bytes) => "sound".to_owned(),
        (0, Checked::Structure) => {
            "sound as far as can be told: only the structure of the database was checked, no rrm.db.sha256 was there to compare \
             its bytes with"
                .to_owned()
        }
        (1, _) => "1 artifact is missing or damaged".to_owned(),
        (lost, _) => format!("{lost} artifacts are missing or damaged"),
    };
    format!("{submissions} plans, {jobs} jobs, {artifacts} artifacts of {bytes} bytes, schema {schema}: {how}")
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
    private();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_checked_to_the_last_byte_is_called_sound_without_more_words() {
        let found = |checked, lost: &[&str]| {
            let lost = lost.iter().map(|digit| digit.repeat(64).parse().unwrap()).collect();
            described(&Inventory { checked, schema: 1, submissions: 2, jobs: 3, artifacts: 4, bytes: 5, lost })
        };
        let whole = found(Checked::Bytes, &[]);
        assert_eq!(whole, "2 plans, 3 jobs, 4 artifacts of 5 bytes, schema 1: sound");
        assert!(found(Checked::Structure, &[]).contains("only the structure"));
        for (checked, lost) in [(Checked::Bytes, &["a"][..]), (Checked::Structure, &["a", "b"])] {
            let text = found(checked, lost);
            assert!(!text.contains("sound") && text.contains(&format!("{} artifact", lost.len())), "{text}");
        }
    }
}

//! A serving worker, from its configuration to its end.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use rrm_api::{Client, Endpoint, Token};
use rrm_spec::Device;
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::{
    cache::Cache,
    cli::{USAGE, complain},
    config::{Config, Machine, ServeArgs},
    node::{Gpus, describe, host_name},
    places::Places,
    recover::recover,
    session::{Drain, work},
    workshop::Workshop,
};

/// Calls of a worker are repeated for so long before it logs that the daemon is away, and goes on repeating them.
const PATIENCE: Duration = Duration::from_secs(10);

/// Trainers need the processors more than their supervisor does.
const RUNTIME_THREADS: usize = 2;

/// `rrm-worker serve`.
pub(crate) fn main(args: ServeArgs) -> ExitCode {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let machine = Machine { places: Places::of_user(), processors, name: host_name() };
    let config = match Config::read(args, &machine) {
        Ok(config) => config,
        Err(faults) => {
            complain(format_args!("the configuration has {faults}\nsee `rrm-worker serve --help`"));
            return ExitCode::from(USAGE);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(RUNTIME_THREADS).enable_all().build();
    let served = runtime.context("no runtime").and_then(|runtime| runtime.block_on(serve(config)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let program = own_program()?;
    let _lock = lock(&config.work_dir)?;
    let token = Token::load(&config.token_file)?;
    let endpoint = Endpoint { url: config.server.clone(), token, tls: config.tls.clone() };
    let client = Client::new(&endpoint).map_err(|e| anyhow!("{e}; {}", e.next_step()))?.with_patience(PATIENCE);
    for device in &config.devices {
        probe(&program, *device).await?;
    }
    let gpus = Gpus::ask(&config.devices).await;
    let devices = config.devices.iter().map(|device| describe(*device, config.share, &gpus)).collect();
    let cache_dir = config.work_dir.join("cache");
    let cache = Cache::open(cache_dir.clone(), config.cache_bytes).with_context(|| cache_dir.display().to_string())?;
    let mut drain = listen_to_signals()?;
    tokio::select! {
        recovered = recover(&client, &config.work_dir) => {
            recovered.with_context(|| format!("cleaning up {}", config.work_dir.display()))?;
        }
        _ = drain.wait_for(|drain| *drain > Drain::No) => return Ok(()),
    }
    work(Arc::new(Workshop { config, devices, client, cache, program }), drain).await
}

/// This very program, also after another version has been installed in its place: a supervisor and its trainers must be of one.
fn own_program() -> anyhow::Result<PathBuf> {
    // As long as this process lives the kernel keeps its file, whatever becomes of the file's name.
    let running = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
    match File::open(&running) {
        Ok(_) => Ok(running),
        Err(_) => std::env::current_exe().context("this program's own path is not known"),
    }
}

/// Makes the folder this worker's own: two on one would hand over each other's attempts.
fn lock(work_dir: &Path) -> anyhow::Result<File> {
    fs::create_dir_all(work_dir).with_context(|| format!("work folder {}", work_dir.display()))?;
    let path = work_dir.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| path.display().to_string())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            bail!("another worker uses {}: give this one another --work-dir", work_dir.display())
        }
        Err(fs::TryLockError::Error(error)) => Err(error).context(path.display().to_string()),
    }
}

/// Whether trainers can use a device, found out by one: this process never opens a device itself.
async fn probe(program: &PathBuf, device: Device) -> anyhow::Result<()> {
    if device == Device::Cpu {
        return Ok(());
    }
    let output = Command::new(program).args(["exec", "--probe-device", "--device", &device.to_string()]).output().await;
    let output = output.with_context(|| format!("cannot probe {device}"))?;
    match output.status.success() {
        true => Ok(()),
        false => bail!("{}", String::from_utf8_lossy(&output.stderr).trim().trim_start_matches("rrm-worker: ")),
    }
}

/// The first SIGTERM or SIGINT drains, the second kills.
fn listen_to_signals() -> anyhow::Result<watch::Receiver<Drain>> {
    let (sender, receiver) = watch::channel(Drain::No);
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen to SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen to SIGINT")?;
    tokio::spawn(async move {
        for step in [Drain::Gentle, Drain::Hard] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            sender.send_replace(step);
        }
        sender.closed().await;
    });
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn trainers_run_the_file_that_this_process_runs() {
        let program = own_program().unwrap();
        assert!(program.starts_with("/proc"), "{}", program.display());
        let running = fs::metadata(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(fs::metadata(program).unwrap().ino(), running.ino());
    }
}

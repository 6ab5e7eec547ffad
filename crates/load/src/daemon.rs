//! A daemon of the release profile, in a folder of its own.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, SysconfVar, sysconf},
};
use rrm_api::{Client, Endpoint, JobFilter, Token};
use tempfile::TempDir;

use crate::latencies::Latencies;

/// For how long a daemon may take to begin.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where databases are made.
pub(crate) struct Disk {
    folder: PathBuf,
}

impl Disk {
    pub(crate) fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn fresh(&self) -> anyhow::Result<TempDir> {
        fs::create_dir_all(&self.folder)?;
        tempfile::Builder::new().prefix("load-").tempdir_in(&self.folder).context("a folder for a database")
    }

    /// The time that 4 KiB take to be durable: less than this no durable answer can take.
    pub(crate) fn sync_time(&self, times: usize) -> anyhow::Result<Latencies> {
        let folder = self.fresh()?;
        let mut file = OpenOptions::new().create(true).append(true).open(folder.path().join("probe"))?;
        let mut once = || -> std::io::Result<Duration> {
            let begun = Instant::now();
            file.write_all(&[1; 4096])?;
            file.sync_data()?;
            Ok(begun.elapsed())
        };
        Ok(Latencies::new((0..times).map(|_| once()).collect::<Result<_, _>>()?))
    }
}

/// A running daemon; it ends, and its folder goes, when dropped.
pub(crate) struct Daemon {
    state: TempDir,
    child: Child,
}

impl Daemon {
    pub(crate) async fn start(disk: &Disk) -> anyhow::Result<Self> {
        let state = disk.fresh()?;
        let child = spawn(state.path())?;
        let daemon = Self { state, child };
        daemon.ready().await?;
        Ok(daemon)
    }

    /// Kills it, as a power cut would, and starts it anew on what it left; how long that took until its first answer.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<Duration> {
        self.child.kill()?;
        self.child.wait()?;
        // Of the one before.
        fs::remove_file(self.state.path().join("address"))?;
        let begun = Instant::now();
        self.child = spawn(self.state.path())?;
        self.ready().await?;
        Ok(begun.elapsed())
    }

    async fn ready(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while fs::metadata(self.state.path().join("address")).is_err() {
            ensure!(Instant::now() < deadline, "rrmd does not begin: see {}", self.state.path().join("log").display());
            tokio::time::sleep(Duration::from_millis(2)).await; // The interval of asking.
        }
        let filter = JobFilter { states: Vec::new(), submission: None, needs: None, before: None, limit: 1 };
        self.user()?.with_patience(PATIENCE).list(filter).await?;
        Ok(())
    }

    /// A connection of its own with the users' token.
    pub(crate) fn user(&self) -> anyhow::Result<Client> {
        self.client("token-user")
    }

    /// A connection of its own with the workers' token.
    pub(crate) fn worker(&self) -> anyhow::Result<Client> {
        self.client("token-worker")
    }

    fn client(&self, token: &str) -> anyhow::Result<Client> {
        let address = fs::read_to_string(self.state.path().join("address")).context("the daemon's address")?;
        let token = Token::load(&self.state.path().join(token))?;
        Ok(Client::new(&Endpoint { url: Endpoint::url_of(address.trim(), None), token, tls: None })?)
    }

    /// Memory that it holds, in MiB.
    pub(crate) fn resident_mib(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("/proc tells no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib / 1024.0)
    }

    /// Processor time that it has taken, of all its threads.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Behind the command's name in parentheses, proc_pid_stat(5): utime and stime are fields 14 and 15, the state is 3.
        let fields: Vec<_> = stat.rsplit_once(')').context("/proc tells no stat")?.1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        let per_second = sysconf(SysconfVar::CLK_TCK)?.context("the kernel has no clock tick")?;
        Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Fails where it has ended already, which is as good.
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

fn spawn(state: &Path) -> anyhow::Result<Child> {
    let binary = binary()?;
    let log = File::options().create(true).append(true).open(state.join("log"))?;
    Command::new(&binary)
        .args(["serve", "--listen", "127.0.0.1:0", "--state-dir"])
        .arg(state)
        // One user fills the queue here.
        .args(["--max-open-jobs", "10000000", "--max-open-jobs-per-user", "10000000"])
        .env("RRM_LOG", "warn")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .with_context(|| binary.display().to_string())
}

/// `rrmd` of the release profile, whose folder is two above this benchmark's.
fn binary() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let binary = own.ancestors().nth(2).context("the benchmark lies in target/release/deps")?.join("rrmd");
    ensure!(binary.exists(), "{} is not built: run `make build` first", binary.display());
    Ok(binary)
}

//! A round's daemon, workers and folders.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use rrm_api::{Client, Endpoint, Token};
use tokio::runtime::Handle;

use crate::clock::WallClock;
use crate::disk::Disk;
use crate::namespace::Namespace;
use crate::pictures;
use crate::process::{Process, binary};
use crate::proxy::Proxy;

/// Silence after which the daemon takes a worker's jobs away.
pub(crate) const LEASE_TTL: Duration = Duration::from_millis(1500);
const RETRY_BACKOFF: Duration = Duration::from_millis(50);

/// A start takes so long at most, on a busy machine.
const START: Duration = Duration::from_secs(60);

const UNPOISONED: &str = "nothing panics while it holds this";

pub(crate) struct Site {
    daemon: Mutex<Option<Process>>,
    /// Kept over restarts, as an installation's address is.
    listens: Mutex<SocketAddr>,
    pub(crate) proxy: Proxy,
    /// Where users and workers call.
    pub(crate) near: SocketAddr,
    /// Where workers in the namespace call.
    far: Option<SocketAddr>,
    workers: Mutex<Vec<Process>>,
    /// Dropped after the processes that use them.
    pub(crate) wall_clock: Option<WallClock>,
    pub(crate) namespace: Option<Namespace>,
    pub(crate) disk: Option<Disk>,
    state: PathBuf,
    /// Dropped last: the disk is mounted in it.
    folder: tempfile::TempDir,
}

impl Site {
    pub(crate) fn open(handle: &Handle) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        pictures::write_bars(&folder.path().join("data"), "bars", 12, 8);
        std::fs::create_dir(folder.path().join("simulated")).expect("the folder is new");
        let disk = Disk::mount(&folder.path().join("disk"));
        let state = folder.path().join("disk/state");
        let proxy = Proxy::new();
        let near = handle.block_on(proxy.listen("127.0.0.1:0")).expect("a port is free");
        let namespace = Namespace::make();
        let far = namespace.as_ref().and_then(|it| handle.block_on(proxy.listen(&format!("{}:0", it.here))).ok());
        let wall_clock = WallClock::find(folder.path());
        let site = Self {
            folder,
            state,
            daemon: Mutex::new(None),
            listens: Mutex::new("127.0.0.1:0".parse().expect("it is an address")),
            proxy,
            near,
            namespace: if far.is_some() { namespace } else { None },
            far,
            workers: Mutex::new(vec![]),
            wall_clock,
            disk,
        };
        site.start_daemon();
        // So that no log begins with the making of the schema, of which a part would be no database to ask anything.
        site.take_daemon().terminate();
        site.start_daemon();
        site.workers().extend((0..2).map(|number| site.start_worker(number)));
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.state.join("rrm.db")
    }

    /// Starts it, and waits until it listens. One that ends at once is started anew, as a supervisor would do it.
    pub(crate) fn start_daemon(&self) {
        let address = self.state.join("address");
        let until = Instant::now() + START;
        while !self.starts(&address, until) {
            assert!(Instant::now() < until, "rrmd does not start: {}", self.log_of("rrmd"));
        }
        let url = std::fs::read_to_string(&address).expect("it was announced");
        let listens = url.trim().trim_start_matches("http://").parse().expect("an address is announced");
        *self.listens.lock().expect(UNPOISONED) = listens;
        self.proxy.leads_to(listens);
    }

    /// Whether a new daemon listens before it ends.
    fn starts(&self, address: &Path, until: Instant) -> bool {
        let _ = std::fs::remove_file(address); // Absent on the first start.
        let mut daemon = self.spawn_daemon();
        while !address.exists() && daemon.is_alive() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5)); // The interval of asking.
        }
        *self.daemon.lock().expect(UNPOISONED) = Some(daemon);
        address.exists()
    }

    fn spawn_daemon(&self) -> Process {
        let mut command = Command::new(binary("rrmd"));
        command.args(["serve", "--listen", &self.listens.lock().expect(UNPOISONED).to_string()]);
        command.args(["--lease-ttl-ms", &LEASE_TTL.as_millis().to_string()]);
        command.args(["--retry-backoff-ms", &RETRY_BACKOFF.as_millis().to_string()]);
        command.arg("--state-dir").arg(&self.state).env("RRM_LOG", "warn");
        if let Some(clock) = &self.wall_clock {
            clock.give(&mut command);
        }
        Process::spawn(&mut command, self.path("rrmd.log"))
    }

    pub(crate) fn signal_daemon(&self, signal: Signal) {
        self.daemon.lock().expect(UNPOISONED).as_ref().expect("the daemon runs between its deaths").signal(signal);
    }

    pub(crate) fn take_daemon(&self) -> Process {
        self.daemon.lock().expect(UNPOISONED).take().expect("the daemon runs between its deaths")
    }

    fn workers(&self) -> MutexGuard<'_, Vec<Process>> {
        self.workers.lock().expect(UNPOISONED)
    }

    pub(crate) fn worker_count(&self) -> usize {
        self.workers().len()
    }

    pub(crate) fn with_worker<T>(&self, number: usize, act: impl FnOnce(&mut Process) -> T) -> T {
        act(&mut self.workers()[number])
    }

    /// The second one lives in the namespace, where there is one.
    pub(crate) fn start_worker(&self, number: usize) -> Process {
        let (program, name) = (binary("rrm-worker"), format!("worker-{number}"));
        let (mut command, address) = match (&self.namespace, self.far, number) {
            (Some(namespace), Some(far), 1) => (namespace.command(&program), far),
            _ => (Command::new(program), self.near),
        };
        command.args(["serve", "--device", "cpu", "--threads", "1", "--server", &format!("http://{address}")]);
        command.arg("--token-file").arg(self.state.join("token-worker")).args(["--node", &name]);
        command.arg("--work-dir").arg(self.path(&name)).arg("--data-dir").arg(self.path("data"));
        Process::spawn(&mut command, self.path(&format!("{name}.log")))
    }

    /// Calls through the proxy, with that token.
    pub(crate) fn client(&self, token: &str) -> Client {
        let token = Token::load(&self.state.join(token)).expect("the daemon wrote its tokens");
        let endpoint = Endpoint { url: format!("http://{}", self.near), token, tls: None };
        Client::new(&endpoint).expect("the address is one").with_patience(Duration::from_secs(2))
    }

    /// `rrmd` with these arguments, beside the daemon.
    pub(crate) fn rrmd(&self, arguments: &[&str]) -> Output {
        Command::new(binary("rrmd")).args(arguments).output().expect("rrmd starts")
    }

    pub(crate) fn log_of(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default()
    }

    /// Everybody is told to end; how the daemon did: its exit code.
    pub(crate) fn stop(&self) -> Option<i32> {
        for worker in self.workers().drain(..) {
            // One that cannot say good-bye is none of the checker's business.
            worker.terminate();
        }
        self.take_daemon().terminate()
    }

    /// Copies what the checker has looked at, since the disk in memory goes, and keeps the folder; where.
    pub(crate) fn keep(self) -> PathBuf {
        let Self { mut folder, disk, workers, daemon, namespace, .. } = self;
        drop((workers, daemon, namespace));
        folder.disable_cleanup(true);
        let kept = folder.path().to_owned();
        if disk.is_some() {
            let _ = Command::new("cp").arg("-a").arg(kept.join("disk")).arg(kept.join("kept")).status();
        }
        drop(disk);
        kept
    }
}

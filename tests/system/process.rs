//! Child processes that never outlive their test.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long anything that must happen may take on a busy two-core machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// A binary of this workspace, beside the one that cargo built for this test.
pub(crate) fn binary(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_rrm")).with_file_name(name);
    assert!(path.exists(), "{} is not built: run `make test`, which builds every binary first", path.display());
    path
}

/// A running daemon or worker; killed when dropped.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts it, its standard error appended to `log`.
    pub(crate) fn spawn(command: &mut Command, log: PathBuf) -> Self {
        Self::start(command.stdout(Stdio::null()), &log)
    }

    /// The same, its standard output written to a file.
    pub(crate) fn spawn_telling(command: &mut Command, output: &Path, log: &Path) -> Self {
        let output = File::create(output).unwrap_or_else(|e| panic!("{}: {e}", output.display()));
        Self::start(command.stdout(output), log)
    }

    fn start(command: &mut Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).expect("a log file can be opened");
        let child = command.stdin(Stdio::null()).stderr(file).spawn();
        Self { child: child.unwrap_or_else(|e| panic!("{command:?} starts: {e}")) }
    }

    /// Waits until it ends by itself; the exit code.
    pub(crate) fn wait(mut self) -> Option<i32> {
        self.child.wait().expect("the process is ours").code()
    }

    /// Whether it has not ended yet.
    #[allow(dead_code, reason = "the system tests know when theirs end")]
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("the process is ours").is_none()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the process is ours and not yet reaped");
    }

    /// `kill -9`, and waits until the kernel has buried it.
    pub(crate) fn kill_nine(mut self) {
        self.child.kill().expect("the process is ours");
        self.child.wait().expect("a killed process ends");
    }

    /// The same, of one that will be replaced.
    #[allow(dead_code, reason = "the system tests let go of theirs")]
    pub(crate) fn kill_now(&mut self) {
        self.child.kill().expect("the process is ours");
        self.child.wait().expect("a killed process ends");
    }

    /// SIGTERM; the exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        self.child.wait().expect("a terminated process ends").code()
    }

    /// Processes whose parent this is.
    pub(crate) fn children(&self) -> Vec<Pid> {
        let stat = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent_of = |pid: i32| -> Option<i32> {
            // The command's name, in parentheses, may itself hold spaces.
            stat(pid).rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
        };
        let pids = std::fs::read_dir("/proc").expect("Linux has /proc").flatten();
        pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| parent_of(*pid) == Some(self.pid().as_raw()))
            .map(Pid::from_raw)
            .collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail where it has ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks until there is an answer.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20)); // The interval of asking, not a guess at when it is done.
    }
}

//! A trainer as a child process.

use std::{
    ffi::{CStr, OsStr, OsString},
    io,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    process::{ExitStatus, Stdio},
};

use nix::{
    sys::{
        prctl,
        signal::{Signal, killpg},
    },
    unistd::{Pid, getpid, getppid},
};
use rrm_spec::{Device, InputName, JobSpec};
use tokio::{
    io::AsyncWriteExt,
    process::{ChildStderr, ChildStdin, ChildStdout, Command},
};

/// What a trainer is called in lists of processes.
pub(crate) const NAME: &CStr = c"rrm-worker";

/// What a trainer is started with.
pub(crate) struct Start<'a> {
    /// Its program: this one, but for tests.
    pub(crate) program: &'a PathBuf,
    pub(crate) spec: &'a JobSpec,
    pub(crate) device: Device,
    pub(crate) threads: usize,
    pub(crate) data_dir: &'a PathBuf,
    pub(crate) work_dir: PathBuf,
    pub(crate) inputs: Vec<(InputName, PathBuf)>,
    pub(crate) resume: Option<PathBuf>,
}

impl Start<'_> {
    fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["exec".into(), "--supervised".into()];
        let mut flag = |name: &str, value: OsString| arguments.extend([name.into(), value]);
        flag("--device", self.device.to_string().into());
        flag("--threads", self.threads.to_string().into());
        flag("--data-dir", self.data_dir.into());
        flag("--work-dir", self.work_dir.clone().into());
        for (name, path) in &self.inputs {
            let mut value = OsString::from(format!("{name}="));
            value.push(path);
            flag("--input", value);
        }
        if let Some(path) = &self.resume {
            flag("--resume", path.into());
        }
        arguments
    }
}

/// A running trainer. It ends with this process, however that ends: the kernel kills it, and it sees its standard input
/// close.
pub(crate) struct Child {
    process: tokio::process::Child,
    /// Kept open for as long as the trainer is to live.
    _stdin: Option<ChildStdin>,
}

/// What a trainer says.
pub(crate) struct Pipes {
    pub(crate) stdout: ChildStdout,
    pub(crate) stderr: ChildStderr,
}

impl Child {
    /// Starts a trainer in a process group of its own and tells it its job.
    ///
    /// To be called from a thread that lives as long as the trainer, such as one of the runtime's workers: the kernel
    /// takes the end of the thread that started a process for its parent's.
    pub(crate) async fn start(start: &Start<'_>) -> io::Result<(Self, Pipes)> {
        let mut command = Command::new(start.program);
        // A name for people: the path may be one below /proc.
        command.arg0(OsStr::from_bytes(NAME.to_bytes())).args(start.arguments()).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let parent = getpid();
        // SAFETY: between fork and exec only prctl and getppid are called, which are async-signal-safe.
        unsafe { command.pre_exec(move || die_with(parent)) };
        let mut process = command.spawn()?;
        let (stdout, stderr) = (process.stdout.take(), process.stderr.take());
        let mut stdin = process.stdin.take();
        let mut line = serde_json::to_vec(start.spec)?;
        line.push(b'\n');
        if let Some(stdin) = &mut stdin
            && let Err(error) = stdin.write_all(&line).await
        {
            // It has ended already; its exit status says why.
            tracing::debug!(%error, "the trainer does not take its job");
        }
        let pipes =
            Pipes { stdout: stdout.expect("its output is piped"), stderr: stderr.expect("its errors are piped") };
        Ok((Self { process, _stdin: stdin }, pipes))
    }

    /// Asks it to stop at its next step.
    pub(crate) fn stop(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Ends it and what it started.
    pub(crate) fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// Waits for its end.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.process.wait().await
    }

    fn signal(&self, signal: Signal) {
        // No id once it has been waited for: the number may be another's by then.
        let Some(group) = self.process.id().and_then(|id| i32::try_from(id).ok()) else { return };
        if let Err(error) = killpg(Pid::from_raw(group), signal) {
            tracing::debug!(%error, %signal, "the trainer cannot be signalled");
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

fn die_with(parent: Pid) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // The parent may have died before the kernel was told.
    match getppid() == parent {
        true => Ok(()),
        false => Err(io::Error::from_raw_os_error(nix::libc::ESRCH)),
    }
}

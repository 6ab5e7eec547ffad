//! A child process that does the work of one library.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use crate::protocol::{Hello, Order, Reply, Setup};

/// A library in a process of its own: its threads and its memory are its own, and between orders it sleeps.
pub struct Peer {
    child: Child,
    /// Open until the peer shall end.
    orders: Option<ChildStdin>,
    replies: BufReader<ChildStdout>,
    hello: Hello,
}

impl Peer {
    /// Starts `command` and waits for its first line.
    ///
    /// # Errors
    /// When the program does not start, or does not say [`Reply::Hello`].
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("failed to start {command:?}"))?;
        let orders = child.stdin.take();
        let replies = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let hello = Hello { name: String::new(), version: String::new() };
        let mut peer = Self { child, orders, replies, hello };
        match peer.reply().with_context(|| format!("{command:?} said nothing"))? {
            Reply::Hello(hello) => peer.hello = hello,
            other => bail!("{command:?} began with {other:?}"),
        }
        Ok(peer)
    }

    /// What the peer calls itself.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Makes work ready.
    ///
    /// # Errors
    /// When the peer refuses, or is gone.
    pub fn set_up(&mut self, setup: &Setup) -> anyhow::Result<()> {
        match self.order(&Order::SetUp(setup.clone()))? {
            Reply::Ready {} => Ok(()),
            other => bail!("{} answered {other:?} to {setup:?}", self.hello.name),
        }
    }

    /// Does the work `count` times; returns the milliseconds of each.
    ///
    /// # Errors
    /// When the work fails, or the peer is gone.
    pub fn steps(&mut self, count: u32) -> anyhow::Result<Vec<f64>> {
        match self.order(&Order::Steps(count))? {
            Reply::Milliseconds(times) if times.len() == count as usize => Ok(times),
            other => bail!("{} answered {other:?} to {count} steps", self.hello.name),
        }
    }

    /// The process, for whoever reads its memory.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    fn order(&mut self, order: &Order) -> anyhow::Result<Reply> {
        let gone = || format!("{} is gone", self.hello.name);
        let orders = self.orders.as_mut().expect("it is open as long as the peer is held");
        writeln!(orders, "{}", serde_json::to_string(order)?).with_context(gone)?;
        match self.reply().with_context(|| format!("{} is gone", self.hello.name))? {
            Reply::Failed(why) => bail!("{}: {why}", self.hello.name),
            reply => Ok(reply),
        }
    }

    fn reply(&mut self) -> anyhow::Result<Reply> {
        let mut line = String::new();
        if self.replies.read_line(&mut line)? == 0 {
            bail!("its output ended");
        }
        serde_json::from_str(&line).with_context(|| format!("not a reply: {line}"))
    }
}

/// How long a peer may take to end by itself: PyTorch has the processes to stop that compiled for it.
const FAREWELL: Duration = Duration::from_secs(10);

impl Drop for Peer {
    fn drop(&mut self) {
        // The end of its orders is a peer's order to end.
        self.orders = None;
        let asked = Instant::now();
        while asked.elapsed() < FAREWELL && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(10));
        }
        // Both fail only where the process has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use rrm_spec::Precision;

    use super::*;
    use crate::protocol::Variant;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    const HELLO: &str = r#"echo '{"hello": {"name": "fake", "version": "1"}}';"#;

    fn setup() -> Setup {
        let (arch, workload) = ("dnn".to_owned(), "train".to_owned());
        Setup { arch, workload, batch: 1, precision: Precision::F32, variant: Variant::PLAIN }
    }

    #[test]
    fn a_peer_is_set_up_and_steps() {
        let script =
            r#"read order; echo '{"ready": {}}'; read order; echo "{\"milliseconds\": [1.5, 2.5]}"; read order"#;
        let mut peer = Peer::start(shell(&format!("{HELLO} {script}"))).unwrap();
        assert_eq!((peer.hello().name.as_str(), peer.hello().version.as_str()), ("fake", "1"));
        peer.set_up(&setup()).unwrap();
        assert_eq!(peer.steps(2).unwrap(), [1.5, 2.5]);
    }

    #[test]
    fn a_peer_that_refuses_says_why_and_goes_on() {
        let script =
            r#"read order; echo '{"failed": "no such network"}'; read order; echo '{"ready": {}}'; read order"#;
        let mut peer = Peer::start(shell(&format!("{HELLO} {script}"))).unwrap();
        assert!(format!("{:#}", peer.set_up(&setup()).unwrap_err()).contains("no such network"));
        peer.set_up(&setup()).unwrap();
    }

    #[test]
    fn a_peer_that_steps_too_rarely_is_not_believed() {
        let mut peer = Peer::start(shell(&format!("{HELLO} read order; echo '{{\"milliseconds\": [1.0]}}'"))).unwrap();
        assert!(peer.steps(2).is_err());
    }

    #[test]
    fn a_peer_that_is_no_longer_needed_is_asked_to_end() {
        let file = std::env::temp_dir().join(format!("rrm-bench-peer-{}", std::process::id()));
        let script = format!("{HELLO} read order; echo ended > {}", file.display());
        drop(Peer::start(shell(&script)).unwrap());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "ended\n");
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn a_peer_that_dies_is_an_error() {
        let mut peer = Peer::start(shell(&format!("{HELLO} read order"))).unwrap();
        assert!(format!("{:#}", peer.steps(1).unwrap_err()).contains("is gone"));
        assert!(Peer::start(shell("exit 3")).is_err());
        assert!(Peer::start(Command::new("/no/such/program")).is_err());
    }
}

//! A laboratory of its own for each test: daemon, workers, data and database in one temporary folder.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use rrm_api::{Client, Endpoint, Token};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    database, pictures,
    process::{Process, binary, eventually},
};

/// Silence after which the daemon takes a worker's jobs away. Short, so that tests of loss are short.
const LEASE_TTL_MS: u64 = 2_000;

pub(crate) struct Lab {
    folder: TempDir,
    daemon: Option<Process>,
    /// Kept over restarts of the daemon, as an installation's address is.
    listen: String,
}

impl Lab {
    /// A laboratory with a running daemon and no worker.
    pub(crate) fn open() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        pictures::write_bars(&folder.path().join("data"), "bars", 24, 8);
        let mut lab = Self { folder, daemon: None, listen: "127.0.0.1:0".into() };
        lab.start_daemon();
        let url = lab.read("state/address");
        lab.listen = url.trim().trim_start_matches("http://").into();
        lab
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the file says.
    #[track_caller]
    pub(crate) fn read(&self, name: &str) -> String {
        let path = self.path(name);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// Where the daemon listens: host and port.
    pub(crate) fn address(&self) -> &str {
        &self.listen
    }

    fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    pub(crate) fn start_daemon(&mut self) {
        let address = self.path("state/address");
        let _ = std::fs::remove_file(&address); // Absent on the first start.
        let mut command = Command::new(binary("rrmd"));
        command.args(["serve", "--listen", &self.listen, "--lease-ttl-ms", &LEASE_TTL_MS.to_string()]);
        command.args(["--http", "127.0.0.1:0"]).arg("--state-dir").arg(self.path("state"));
        self.daemon = Some(Process::spawn(&mut command, self.path("rrmd.log")));
        eventually("the daemon listens", || address.exists().then_some(()));
    }

    /// The address of one of the daemon's pages.
    pub(crate) fn page(&self, path: &str) -> String {
        format!("{}{path}", self.read("state/http-address").trim())
    }

    pub(crate) fn daemon(&mut self) -> Process {
        self.daemon.take().expect("the daemon runs")
    }

    /// A worker with one CPU slot and folders of its own, as on another node.
    pub(crate) fn start_worker(&self, name: &str) -> Process {
        self.start_worker_with(name, "data", &[])
    }

    /// The same with another data folder and more arguments.
    pub(crate) fn start_worker_with(&self, name: &str, data: &str, arguments: &[&str]) -> Process {
        let mut command = Command::new(binary("rrm-worker"));
        command.args(["serve", "--device", "cpu", "--threads", "1", "--server", &self.url()]);
        command.arg("--token-file").arg(self.path("state/token-worker"));
        command.arg("--work-dir").arg(self.path(name));
        command.arg("--data-dir").arg(self.path(data)).args(arguments);
        Process::spawn(&mut command, self.path(&format!("{name}.log")))
    }

    /// `rrm` with these arguments.
    pub(crate) fn rrm(&self, arguments: &[&str]) -> Output {
        self.rrm_as(&self.path("state/token-user"), arguments)
    }

    /// The same, with another token.
    pub(crate) fn rrm_as(&self, token_file: &Path, arguments: &[&str]) -> Output {
        self.command(token_file, arguments).output().expect("rrm starts")
    }

    fn command(&self, token_file: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("rrm"));
        command.arg("--server").arg(self.url()).arg("--token-file").arg(token_file).args(arguments);
        command
    }

    /// `rrm` with these arguments, going on beside the test; what it prints goes to the file `NAME.out`.
    pub(crate) fn start_rrm(&self, name: &str, arguments: &[&str]) -> Process {
        let mut command = self.command(&self.path("state/token-user"), arguments);
        Process::spawn_telling(&mut command, &self.path(&format!("{name}.out")), &self.path(&format!("{name}.log")))
    }

    /// Calls the daemon as a worker does.
    pub(crate) fn as_worker<T>(&self, call: impl AsyncFnOnce(Client) -> T) -> T {
        let token = Token::load(&self.path("state/token-worker")).expect("the daemon wrote the workers' token");
        let runtime = Runtime::new().expect("a runtime can be had");
        runtime.block_on(async {
            let endpoint = Endpoint { url: self.url(), token, tls: None };
            call(Client::new(&endpoint).expect("the address is one")).await
        })
    }

    /// The first column of a query: the tables themselves, beside all that the daemon tells of them.
    pub(crate) fn column(&self, query: &'static str) -> Vec<String> {
        database::column(&self.path("state/rrm.db"), query)
    }

    /// The document that `rrm --json` prints; `None` where it fails, as it does while the daemon is down.
    pub(crate) fn try_json(&self, arguments: &[&str]) -> Option<Value> {
        let output = self.rrm(&[&["--json"], arguments].concat());
        output.status.success().then(|| serde_json::from_slice(&output.stdout).expect("--json prints one document"))
    }

    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.rrm(&[&["--json"], arguments].concat());
        assert!(output.status.success(), "rrm {arguments:?}: {}\n{}", text(&output.stderr), self.logs());
        serde_json::from_slice(&output.stdout).expect("--json prints one document")
    }

    /// Writes a plan into the laboratory's folder.
    pub(crate) fn plan(&self, toml: &str) -> String {
        let path = self.path("plan.toml");
        std::fs::write(&path, toml).expect("the plan can be written");
        path.to_str().expect("temporary folders have plain names").to_owned()
    }

    /// Submits a plan; the ids of its jobs.
    #[track_caller]
    pub(crate) fn submit(&self, toml: &str) -> Vec<i64> {
        let answer = self.json(&["submit", &self.plan(toml)]);
        let jobs = answer["jobs"].as_array().expect("the answer lists the jobs");
        jobs.iter().map(|job| job["id"].as_i64().expect("a job has an id")).collect()
    }

    pub(crate) fn job(&self, id: i64) -> Value {
        self.json(&["show", &id.to_string()])["job"].clone()
    }

    fn state(&self, id: i64) -> Option<String> {
        let shown = self.try_json(&["show", &id.to_string()])?;
        Some(shown["job"]["summary"]["state"].as_str().expect("a job has a state").to_owned())
    }

    /// Whether the daemon says that the job is in one of these states.
    pub(crate) fn is_in(&self, id: i64, states: &[&str]) -> bool {
        self.state(id).is_some_and(|state| states.contains(&state.as_str()))
    }

    /// Waits until the job is in one of these states; which.
    #[track_caller]
    pub(crate) fn until(&self, id: i64, states: &[&str]) -> String {
        eventually(&format!("job {id} is {states:?}"), || {
            let state = self.state(id)?;
            states.contains(&state.as_str()).then_some(state)
        })
    }

    /// Waits until the job has ended; panics with all logs unless it succeeded.
    #[track_caller]
    pub(crate) fn success(&self, id: i64) {
        let state = self.until(id, &["succeeded", "failed", "cancelled", "skipped"]);
        assert_eq!(state, "succeeded", "job {id}: {:#}\n{}", self.job(id), self.logs());
    }

    /// Everything that the laboratory's processes wrote to standard error.
    pub(crate) fn logs(&self) -> String {
        let entries = std::fs::read_dir(self.folder.path()).expect("the folder is there").flatten();
        let logs = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "log"));
        logs.map(|path| format!("--- {}\n{}", path.display(), std::fs::read_to_string(&path).unwrap_or_default()))
            .collect()
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Teacher, student and the student's evaluation, small enough for seconds.
pub(crate) const MAIN_JOB: &str = r#"
    name = "bars"
    [defaults.train]
    dataset = { name = "folder:bars" }
    augmentation = "none"
    epochs = 3
    batch_size = 16
    seed = 1
    optimizer = { learning_rate = 0.05, weight_decay = 5e-4, schedule = { kind = "cosine" } }

    [[job]]
    name = "teacher"
    kind = "train"
    arch = "dnn/16"
    [job.method]
    kind = "adversarial-training"
    attack_mode = "train"
    attack = { kind = "pgd", threat = { norm = "linf", epsilon = "8/255" }, steps = 2, step_size = "6/255", start = "uniform", selection = "last" }

    [[job]]
    name = "student"
    kind = "train"
    arch = "vgg11/16"
    method = { kind = "rrm", teacher = { job = "teacher" }, representation_loss = "cosine", lambda = 0.005 }

    [[job]]
    name = "evaluation"
    kind = "evaluate"
    model = { job = "student" }
    dataset = { name = "folder:bars" }
    attack = { kind = "apgd", threat = { norm = "linf", epsilon = "8/255" }, iterations = 5, restarts = 2 }
    batch_size = 8
    seed = 0
"#;

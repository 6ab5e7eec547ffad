//! `make demo`'s script with a small plan.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::{
    database,
    lab::{MAIN_JOB, text},
    pictures,
    process::{Process, binary, eventually},
};

/// A folder with a plan and its images, in which the demo runs.
struct Stage {
    folder: TempDir,
}

impl Stage {
    fn with(plan: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        pictures::write_bars(&folder.path().join("data"), "bars", 24, 8);
        let stage = Self { folder };
        stage.write(plan);
        stage
    }

    fn write(&self, plan: &str) {
        std::fs::write(self.path("plan.toml"), plan).expect("the plan can be written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo/demo.sh");
        let mut command = Command::new("bash");
        command.arg(script).arg(binary("rrm").parent().expect("a binary lies in a folder"));
        command.env("RRM_DEMO_PLAN", self.path("plan.toml")).env("RRM_DEMO_RUN", self.path("run"));
        command.env("RRM_DATA_DIR", self.path("data"));
        command
    }

    fn run(&self) -> Output {
        self.command().output().expect("bash starts")
    }

    fn column(&self, query: &'static str) -> Vec<String> {
        database::column(&self.path("run/state/rrm.db"), query)
    }

    fn logs(&self) -> String {
        let logs = ["demo.out", "demo.log", "run/rrmd.log", "run/worker.log"];
        logs.map(|log| format!("--- {log}\n{}", std::fs::read_to_string(self.path(log)).unwrap_or_default())).concat()
    }

    /// The daemon has gone and has said so.
    fn is_left_tidy(&self) -> bool {
        !self.path("run/state/address").exists()
    }
}

impl Drop for Stage {
    /// What a demo left when its test failed, which lives in sessions of its own.
    fn drop(&mut self) {
        if self.is_left_tidy() {
            return;
        }
        let pids = std::fs::read_to_string(self.path("run/pids")).unwrap_or_default();
        for pid in pids.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL); // One of both may have ended.
        }
    }
}

#[track_caller]
fn shows_a_report(stage: &Stage, output: &Output) {
    let shown = text(&output.stdout);
    let report = shown.split("5. What it gave").nth(1).unwrap_or_else(|| panic!("no report in:\n{shown}"));
    assert!(report.contains("teacher") && report.contains("student") && report.contains("RRM"), "{report}");
    assert!(std::fs::read_to_string(stage.path("run/report.svg")).expect("the figure was drawn").starts_with("<svg"));
}

#[test]
fn the_demo_goes_from_nothing_to_a_report_and_leaves_nothing_running() {
    let stage = Stage::with(MAIN_JOB);
    let output = stage.run();
    assert_eq!(output.status.code(), Some(0), "{}\n{}", text(&output.stderr), stage.logs());
    shows_a_report(&stage, &output);
    assert!(stage.is_left_tidy());
}

#[test]
fn the_demo_goes_on_where_it_was_interrupted() {
    let stage = Stage::with(&MAIN_JOB.replace("epochs = 3", "epochs = 12"));
    let mut command = stage.command();
    // A group of its own, as a terminal gives it: Ctrl-C reaches all of it.
    command.process_group(0);
    let demo = Process::spawn_telling(&mut command, &stage.path("demo.out"), &stage.path("demo.log"));
    let told = || std::fs::read_to_string(stage.path("demo.out")).unwrap_or_default();
    eventually("the demo trains", || told().contains("epoch 1/12").then_some(()));
    killpg(demo.pid(), Signal::SIGINT).expect("the demo runs");
    assert_eq!(demo.wait(), Some(130), "{}", stage.logs());
    assert!(told().contains("Interrupted"), "{}", stage.logs());
    assert!(stage.is_left_tidy(), "{}", stage.logs());
    let outcomes = "select outcome || ' ' || coalesce(signal, '') from attempt order by attempt_id";
    assert_eq!(stage.column(outcomes), ["stopped "], "the trainer was let stop by itself\n{}", stage.logs());

    let output = stage.run();
    assert_eq!(output.status.code(), Some(0), "{}\n{}", text(&output.stderr), stage.logs());
    shows_a_report(&stage, &output);
    assert_eq!(stage.column(outcomes), ["stopped ", "ok ", "ok ", "ok "], "{}", stage.logs());
    let begun = stage.column("select cast(first_epoch as text) from attempt order by attempt_id limit 2");
    assert!(begun[0] == "1" && begun[1] != "1", "the second attempt begins where the first was: {begun:?}");
}

#[test]
fn a_failed_job_takes_no_result_away_and_another_plan_needs_another_run() {
    let plan = MAIN_JOB.replace("epochs = 3", "epochs = 1")
        + "[[job]]\nname = \"lost\"\nkind = \"evaluate\"\nmodel = { checkpoint = \"/no/such/file\" }\ndataset = { name = \"folder:bars\" }\nattack = { kind = \"apgd\", threat = { norm = \"linf\", epsilon = \"8/255\" }, iterations = 1 }\nbatch_size = 8\nseed = 0\n";
    let stage = Stage::with(&plan);
    let output = stage.run();
    assert_eq!(output.status.code(), Some(1), "{}\n{}", text(&output.stderr), stage.logs());
    shows_a_report(&stage, &output);

    stage.write(&plan.replace("epochs = 1", "epochs = 2"));
    let output = stage.run();
    assert_eq!(output.status.code(), Some(8), "{}\n{}", text(&output.stderr), stage.logs());
    assert!(text(&output.stderr).contains("make clean-demo"), "{}", text(&output.stderr));
    assert!(stage.is_left_tidy());
}

#[test]
fn a_second_demo_in_the_same_place_says_what_is_in_its_way() {
    let stage = Stage::with(&MAIN_JOB.replace("epochs = 3", "epochs = 500"));
    let mut command = stage.command();
    command.process_group(0);
    let first = Process::spawn_telling(&mut command, &stage.path("demo.out"), &stage.path("demo.log"));
    eventually("the first one works", || stage.path("run/request-id").exists().then_some(()));
    let output = stage.run();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("another run"), "{}", text(&output.stderr));
    assert!(!stage.is_left_tidy(), "the first one's daemon still says where it is");
    killpg(first.pid(), Signal::SIGINT).expect("the first one runs");
    assert_eq!(first.wait(), Some(130), "{}", stage.logs());
}

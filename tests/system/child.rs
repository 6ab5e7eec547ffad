//! The trainer's process alone: `rrm-worker exec`, without daemon and supervisor.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{lab::text, pictures, process::binary};

/// A folder with images, in which trainers run one after the other.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        pictures::write_bars(&folder.path().join("data"), "bars", 24, 8);
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A trainer that is given `spec`, works in the folder `work` and gets further arguments.
    fn command(&self, spec: &Value, work: &str, arguments: &[&str]) -> Command {
        let input = self.path("spec.json");
        std::fs::write(&input, spec.to_string()).expect("the spec can be written");
        let mut command = Command::new(binary("rrm-worker"));
        command.args(["exec", "--device", "cpu", "--data-dir"]).arg(self.path("data"));
        command.arg("--work-dir").arg(self.path(work)).args(arguments);
        command.stdin(File::open(input).expect("the spec was just written"));
        command
    }

    /// Runs it to a good end; its events.
    #[track_caller]
    fn run(&self, spec: &Value, work: &str, arguments: &[&str]) -> Vec<Value> {
        let output = self.command(spec, work, arguments).output().expect("rrm-worker starts");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout).lines().map(event).collect()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        let path = self.path(name);
        std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }
}

fn event(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))
}

fn training(arch: &str, epochs: u32) -> Value {
    json!({
        "kind": "train", "dataset": {"name": "folder:bars"}, "augmentation": "light", "arch": arch,
        "method": {"kind": "natural"}, "optimizer": {"learning_rate": 0.05, "schedule": {"kind": "cosine"}},
        "epochs": epochs, "batch_size": 16, "seed": 3,
    })
}

fn attack(model: &Path) -> Value {
    json!({
        "kind": "evaluate", "dataset": {"name": "folder:bars"}, "model": {"checkpoint": model},
        "attack": {
            "kind": "apgd", "threat": {"norm": "linf", "epsilon": "8/255"}, "iterations": 5, "restarts": 2,
        },
        "batch_size": 7, "seed": 5,
    })
}

#[test]
fn a_child_alone_prints_the_events_that_the_daemon_would_store() {
    let desk = Desk::new();
    let events = desk.run(&training("dnn/16", 2), "work", &[]);
    let records = |kind: &str| events.iter().filter(|event| event["record"] == kind).count();
    assert_eq!((records("started"), records("epoch"), records("checkpoint")), (1, 2, 3), "{events:?}");
    assert_eq!(events.last().unwrap()["event"], "finished");
    assert!(desk.path("work/final.safetensors").exists());
}

#[test]
fn neither_weights_nor_outcomes_depend_on_the_number_of_threads() {
    let desk = Desk::new();
    let [one, three] = ["1", "3"].map(|threads| {
        desk.run(&training("resnet18/16", 2), threads, &["--threads", threads]);
        let model = format!("{threads}/final.safetensors");
        let events = desk.run(&attack(&desk.path(&model)), threads, &["--threads", threads]);
        let evaluation = events.into_iter().find(|event| event["record"] == "evaluation").expect("it was evaluated");
        assert_eq!(evaluation["images"].as_array().expect("a list of images").len(), 24, "{evaluation}");
        (desk.bytes(&model), evaluation["images"].clone(), evaluation["weights"].clone())
    });
    assert!(one.0 == three.0, "the weights differ");
    assert_eq!(one, three);
}

/// Starts the trainer, kills it as soon as it has told of a checkpoint; whether it lived long enough for one.
fn killed_at_its_next_checkpoint(command: &mut Command) -> bool {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("rrm-worker starts");
    let lines = BufReader::new(child.stdout.take().expect("its output is a pipe")).lines();
    let told = lines.map(|line| event(&line.expect("events are texts"))).find(|event| event["role"] == "resume");
    kill_nine(child);
    told.is_some()
}

/// Starts the trainer and tells it to stop as soon as it attacks; whether it said that it did stop.
fn stopped_in_the_middle(command: &mut Command) -> bool {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("rrm-worker starts");
    let mut events = BufReader::new(child.stdout.take().expect("its output is a pipe"))
        .lines()
        .map(|line| event(&line.expect("a text")));
    let attacks = events.find(|event| event["phase"].as_str().is_some_and(|phase| phase.starts_with("APGD")));
    assert!(attacks.is_some(), "it ended before it attacked");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).expect("the process is ours");
    let last = events.last().expect("a last word");
    child.wait().expect("a stopped process ends");
    last["event"] == "stopped"
}

/// What an evaluation found, without its time.
fn found(events: Vec<Value>) -> [Value; 5] {
    let evaluation = events.into_iter().find(|event| event["record"] == "evaluation").expect("it was evaluated");
    ["natural", "robust", "images", "audit", "weights"].map(|field| evaluation[field].clone())
}

#[test]
fn an_evaluation_that_is_killed_and_then_told_to_stop_goes_on_in_the_middle_to_the_same_result() {
    let desk = Desk::new();
    desk.run(&training("vgg11/16", 2), "network", &[]);
    let model = desk.path("network/final.safetensors");
    let spec = |iterations: u32| {
        let mut spec = attack(&model);
        spec["attack"]["threat"]["epsilon"] = "1/255".into();
        spec["attack"]["iterations"] = iterations.into();
        spec["keep_images"] = true.into();
        spec
    };
    // The first checkpoint comes after a few seconds: the attack must last much longer, however fast the machine is.
    let dies = |work: &str, iterations| killed_at_its_next_checkpoint(&mut desk.command(&spec(iterations), work, &[]));
    let enough = (0..8).map(|n| 100 << n).find(|&iterations| dies("trial", iterations));
    let iterations = 3 * enough.expect("some effort takes longer than a checkpoint's pause");
    assert!(dies("killed", iterations), "three times the effort takes no less time");
    let spec = spec(iterations);
    let checkpoint = desk.path("killed/resume.safetensors");
    let resume = ["--resume", checkpoint.to_str().expect("temporary folders have plain names")];
    let was_stopped = stopped_in_the_middle(&mut desk.command(&spec, "killed", &resume));
    let resumed = desk.run(&spec, "killed", &resume);
    let started = resumed.iter().find(|event| event["record"] == "started").expect("it began");
    assert!(started["first_epoch"].as_u64() > Some(1), "it began anew: {started}");
    let whole = desk.run(&spec, "whole", &[]);
    assert_eq!(found(resumed), found(whole), "told to stop in the middle: {was_stopped}");
    let [kept, expected] = ["killed", "whole"].map(|work| desk.bytes(&format!("{work}/adversarial.safetensors")));
    assert!(kept == expected, "the adversarial images differ");
}

fn kill_nine(mut child: Child) {
    child.kill().expect("the process is ours");
    child.wait().expect("a killed process ends");
}

#[test]
fn a_child_killed_at_every_checkpoint_in_turn_ends_with_the_same_weights() {
    let desk = Desk::new();
    let spec = training("resnet18/16", 6);
    desk.run(&spec, "whole", &[]);
    let checkpoint = desk.path("killed/resume.safetensors");
    let resume = ["--resume", checkpoint.to_str().expect("temporary folders have plain names")];
    let mut deaths = 0;
    // Each life tells of at least one checkpoint more than the one before, or has none left to tell of.
    while killed_at_its_next_checkpoint(&mut desk.command(&spec, "killed", if deaths == 0 { &[] } else { &resume })) {
        deaths += 1;
    }
    assert!((2..=6).contains(&deaths), "{deaths} deaths");
    desk.run(&spec, "killed", &resume);
    assert!(desk.bytes("killed/final.safetensors") == desk.bytes("whole/final.safetensors"), "the weights differ");
}

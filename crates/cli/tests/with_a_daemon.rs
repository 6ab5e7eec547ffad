//! The commands against a daemon that answers what we tell it to.

#[allow(dead_code, reason = "each test target uses its own part")]
mod fake;

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
    sync::atomic::Ordering,
    time::Duration,
};

use fake::Fake;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rrm_spec::{
    Accuracy, Audit, ClosestPoint, Diagnostic, DiagnosticsRecord, EpochRecord, EvaluationRecord, ImageOutcome, JobSpec,
    JobState, Norm, Outcome, ThreatModel,
};
use serde_json::{Value, json};

const PLAN: &str = r#"
    name = "demo"
    [[job]]
    name = "control"
    kind = "train"
    dataset = { name = "cifar10" }
    arch = "resnet18/4"
    epochs = 2
    batch_size = 64
    seed = 0
    optimizer = { learning_rate = 0.1, schedule = { kind = "cosine" } }
    method = { kind = "natural" }

    [[job]]
    name = "attack control"
    kind = "evaluate"
    model = { job = "control" }
    dataset = { name = "cifar10" }
    attack = { kind = "apgd", threat = { norm = "linf", epsilon = "8/255" }, iterations = 20, restarts = 5 }
    batch_size = 100
    seed = 0

    [[job]]
    name = "third"
    kind = "train"
    dataset = { name = "cifar10" }
    arch = "dnn"
    epochs = 1
    batch_size = 64
    seed = 0
    optimizer = { learning_rate = 0.1, schedule = { kind = "cosine" } }
    method = { kind = "natural" }
"#;

impl Fake {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rrm"));
        command.args(arguments).env_clear().env("RRM_STATE_DIR", self.folder.path());
        command
    }

    fn rrm(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.rrm(&[&["--json"], arguments].concat());
        let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        assert_eq!(document["schema"], 1, "{document}");
        document
    }

    fn plan_file(&self) -> String {
        let path = self.folder.path().join("plan.toml");
        std::fs::write(&path, PLAN).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A daemon with the plan's three jobs.
    fn with_plan() -> Self {
        let fake = Self::start();
        let output = fake.rrm(&["submit", &fake.plan_file()]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        fake
    }

    fn end_all(&self, state: JobState) {
        (1..=3).for_each(|id| self.memory.set_state(id, state, None));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_submission_prints_ids_and_warnings_apart() {
    let fake = Fake::start();
    let output = fake.rrm(&["submit", &fake.plan_file()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let table = text(&output.stdout);
    assert!(table.contains("demo submitted as plan 1") && table.contains(" 2  attack control"), "{table}");
    assert_eq!(text(&output.stderr), "warning: no worker\n");
    assert_eq!(text(&fake.rrm(&["-q", "submit", &fake.plan_file()]).stdout), "4\n5\n6\n");
    let document = fake.json(&["submit", &fake.plan_file()]);
    assert_eq!((&document["submission"], &document["jobs"][2]["name"]), (&3.into(), &"third".into()));
}

#[test]
fn what_was_done_before_is_told_in_the_receipt() {
    let fake = Fake::start();
    let table = text(&fake.rrm(&["submit", &fake.plan_file(), "--reuse"]).stdout);
    assert!(table.contains(" 1  control         reused #1\n 2  attack control\n"), "{table}");
    let jobs = fake.json(&["submit", &fake.plan_file(), "--reuse"])["jobs"].clone();
    assert_eq!((&jobs[0]["reused"], &jobs[1]["reused"]), (&true.into(), &false.into()));
}

#[test]
fn a_lost_answer_does_not_submit_twice() {
    let fake = Fake::start();
    fake.memory.submissions_to_lose.store(1, Ordering::SeqCst);
    let document = fake.json(&["submit", &fake.plan_file()]);
    assert_eq!((&document["already"], &document["submission"]), (&true.into(), &1.into()));
    assert_eq!(fake.memory.submissions(), 1);
}

#[test]
fn the_same_request_id_finds_the_first_submission() {
    let fake = Fake::start();
    for _ in 0..2 {
        let output = fake.rrm(&["submit", &fake.plan_file(), "--request-id", "demo-0001"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    assert_eq!(fake.memory.submissions(), 1);
    let again = fake.rrm(&["submit", &fake.plan_file(), "--request-id", "demo-0001"]);
    assert!(text(&again.stdout).contains("had been submitted before, as plan 1"), "{again:?}");
}

#[test]
fn lists_turn_pages_and_filter() {
    let fake = Fake::with_plan();
    fake.memory.set_state(2, JobState::Failed, Some("no images"));
    let ids = |arguments: &[&str]| text(&fake.rrm(arguments).stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(ids(&["-q", "list"]), "3 2 1");
    assert_eq!(ids(&["-q", "list", "--limit", "1"]), "3");
    assert_eq!(ids(&["-q", "list", "--state", "failed"]), "2");
    assert_eq!(ids(&["-q", "list", "--plan", "last", "--limit", "0"]), "3 2 1");
    let table = text(&fake.rrm(&["list"]).stdout);
    assert!(table.contains("failed") && table.contains("no images"), "{table}");
    assert_eq!(fake.json(&["list"])["jobs"].as_array().unwrap().len(), 3);
}

#[test]
fn an_empty_list_is_no_error() {
    let fake = Fake::start();
    let output = fake.rrm(&["list"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), String::new()));
    assert_eq!(fake.json(&["list"])["jobs"], json!([]));
    assert_eq!(fake.rrm(&["report"]).status.code(), Some(3), "there is no last plan");
}

#[test]
fn a_job_is_shown_by_id_and_by_name() {
    let fake = Fake::with_plan();
    let shown = text(&fake.rrm(&["show", "@attack control"]).stdout);
    assert!(shown.contains("APGD-CE 20x5, linf 8/255 of #1 on all test images of cifar10"), "{shown}");
    assert_eq!(fake.json(&["show", "1"])["job"]["summary"]["name"], "control");
    assert_eq!(fake.rrm(&["show", "99"]).status.code(), Some(3));
    assert_eq!(fake.rrm(&["show", "@nobody"]).status.code(), Some(3));
    assert_eq!(fake.rrm(&["show", "1-2"]).status.code(), Some(2));
}

#[test]
fn waiting_ends_with_the_jobs_and_says_how() {
    for (state, code) in
        [(JobState::Succeeded, 0), (JobState::Failed, 1), (JobState::Cancelled, 4), (JobState::Skipped, 1)]
    {
        let fake = Fake::with_plan();
        let child = spawn(&mut fake.command(&["wait", "--plan", "last"]));
        fake.end_all(state);
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(code), "{state}");
    }
}

#[test]
fn ranges_and_names_are_waited_for() {
    let fake = Fake::with_plan();
    fake.memory.set_state(1, JobState::Succeeded, None);
    fake.memory.set_state(3, JobState::Succeeded, None);
    let output = fake.rrm(&["wait", "1", "@third"]);
    assert_eq!(output.status.code(), Some(0), "job 2 is not waited for: {output:?}");
    fake.memory.set_state(2, JobState::Failed, None);
    assert_eq!(fake.rrm(&["wait", "1-3"]).status.code(), Some(1));
    assert_eq!(fake.json(&["wait", "1-3"])["jobs"].as_array().unwrap().len(), 3);
}

#[test]
fn a_time_limit_ends_the_wait_and_nothing_else() {
    let fake = Fake::with_plan();
    let output = fake.rrm(&["wait", "1", "--timeout", "0.2"]);
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert_eq!(fake.json(&["show", "1"])["job"]["summary"]["state"], "queued");
}

#[test]
fn interrupting_a_wait_cancels_nothing_and_says_so() {
    let fake = Fake::with_plan();
    let mut child = spawn(&mut fake.command(&["--json", "watch", "--plan", "last"]));
    // Its first line tells that it is at work, and so listens to signals.
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(fake.json(&["show", "1"])["job"]["summary"]["state"], "queued");
}

#[test]
fn a_watched_plan_is_told_line_by_line() {
    let fake = Fake::with_plan();
    fake.memory.set_state(1, JobState::Running, None);
    fake.memory.tell("epoch", 1, &serde_json::to_value(epoch(1)).unwrap());
    fake.end_all(JobState::Succeeded);
    let output = fake.rrm(&["watch", "--plan", "last"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines = text(&output.stdout);
    for part in
        ["control  queued", "control  running", "epoch 1/2: loss 1.500, natural 70.0 %, 12.0 s", "demo: 3 succeeded"]
    {
        assert!(lines.contains(part), "{part} is missing in:\n{lines}");
    }
}

#[test]
fn a_watcher_outlives_the_daemons_restart_and_misses_nothing() {
    let mut fake = Fake::with_plan();
    let mut child = spawn(&mut fake.command(&["--json", "watch", "--plan", "1"]));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    let first: Vec<Value> = lines.by_ref().take(4).map(|line| serde_json::from_str(&line).unwrap()).collect();
    fake.restart(Duration::from_millis(300));
    fake.end_all(JobState::Succeeded);
    let rest = lines.map(|line| serde_json::from_str(&line).unwrap());
    let documents: Vec<Value> = first.into_iter().chain(rest).collect();
    assert!(documents.iter().all(|document| document["schema"] == 1));
    let seqs: Vec<i64> = documents.iter().filter_map(|document| document["event"]["seq"].as_i64()).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6], "each event once, in order");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_submission_can_be_waited_for() {
    let fake = Fake::start();
    let mut child = spawn(&mut fake.command(&["submit", "--wait", &fake.plan_file()]));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    assert_eq!(lines.next().as_deref(), Some("demo submitted as plan 1"));
    fake.end_all(JobState::Failed);
    assert!(lines.any(|line| line == "demo: 3 failed"));
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_program_that_waits_for_its_submission_learns_the_ids_first() {
    let fake = Fake::start();
    let mut child = spawn(&mut fake.command(&["--json", "submit", "--wait", &fake.plan_file()]));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    let receipt: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    assert_eq!((&receipt["submission"], &receipt["jobs"][1]["id"]), (&1.into(), &2.into()));
    let next: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    assert!(next["event"].is_object() || next["progress"].is_object(), "{next}");
    fake.end_all(JobState::Succeeded);
    assert!(lines.all(|line| line.contains("\"schema\":1")));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn logs_are_printed_byte_by_byte() {
    let fake = Fake::with_plan();
    fake.memory.append_log("training begins\nänderung\n");
    assert_eq!(text(&fake.rrm(&["logs", "1"]).stdout), "training begins\nänderung\n");
    let output = fake.rrm(&["--json", "logs", "1"]);
    let first: Value = serde_json::from_str(text(&output.stdout).lines().next().unwrap()).unwrap();
    assert_eq!((&first["schema"], &first["attempt"], &first["text"]), (&1.into(), &10.into(), &"train".into()));
}

#[test]
fn following_a_log_ends_with_the_job() {
    let fake = Fake::with_plan();
    fake.memory.append_log("all of it\n");
    fake.memory.set_state(1, JobState::Running, None);
    fake.memory.set_state(1, JobState::Failed, Some("no images"));
    let output = fake.rrm(&["logs", "@control", "-f"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "all of it\n".to_owned()));
    assert!(text(&output.stderr).contains("job 1 failed: no images"), "{output:?}");
}

#[test]
fn cancelling_names_what_it_cancelled() {
    let fake = Fake::with_plan();
    let output = fake.rrm(&["cancel", "1", "@third"]);
    assert_eq!((output.status.code(), text(&output.stdout).lines().count()), (Some(0), 2), "{output:?}");
    assert_eq!(fake.json(&["cancel", "2-2"])["jobs"][0]["state"], "cancelled");
    assert_eq!(fake.rrm(&["cancel", "90-99"]).status.code(), Some(3));
}

#[test]
fn cancelling_a_plan_leaves_what_has_ended_and_says_so() {
    let fake = Fake::with_plan();
    fake.memory.set_state(1, JobState::Succeeded, None);
    let output = fake.rrm(&["cancel", "--plan", "last"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines = text(&output.stdout);
    assert!(lines.contains("1  control  had ended already: succeeded"), "{lines}");
    assert!(lines.contains("3  third  cancelled"), "{lines}");
    let again = fake.json(&["cancel", "1-3"]);
    assert_eq!((&again["cancelled"], &again["had_ended"]), (&json!([]), &json!([1, 2, 3])));
    assert_eq!(fake.rrm(&["cancel", "1"]).status.code(), Some(8), "nothing could be cancelled");
    assert_eq!(fake.rrm(&["cancel"]).status.code(), Some(2));
}

#[test]
fn unknown_ids_are_named_whether_few_or_many_were_asked_for() {
    let fake = Fake::with_plan();
    for ids in ["4", "2-5", "1-40"] {
        let output = fake.rrm(&["wait", ids]);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        assert!(text(&output.stderr).contains("no job 4"), "{output:?}");
    }
    let many = text(&fake.rrm(&["cancel", "1-40"]).stderr);
    assert!(many.contains("and 27 more"), "{many}");
    assert_eq!(fake.json(&["show", "1"])["job"]["summary"]["state"], "queued", "nothing was cancelled");
}

#[test]
fn a_plan_that_does_not_exist_is_not_found() {
    let fake = Fake::with_plan();
    for arguments in
        [&["list", "--plan", "99"][..], &["list", "--plan", "99", "--state", "failed"], &["wait", "--plan", "99"]]
    {
        assert_eq!(fake.rrm(arguments).status.code(), Some(3), "{arguments:?}");
    }
    assert_eq!(fake.rrm(&["list", "--plan", "1", "--state", "failed"]).status.code(), Some(0), "it has no such job");
}

#[test]
fn workers_are_listed() {
    let fake = Fake::with_plan();
    let table = text(&fake.rrm(&["worker", "list"]).stdout);
    assert!(table.contains("node1  online  cpu (job 1)"), "{table}");
    assert_eq!(fake.json(&["worker", "list"])["workers"][0]["devices"][0]["job"], 1);
}

#[test]
fn why_a_job_does_not_run_is_told_to_people_and_programs() {
    let fake = Fake::with_plan();
    let why = text(&fake.rrm(&["explain", "2"]).stdout);
    for part in
        ["2 queued jobs come before it: 2 of lab of higher priority", "cpu is of another kind", "runs job 9 other"]
    {
        assert!(why.contains(part), "{part} is missing in:\n{why}");
    }
    let document = fake.json(&["explain", "2"])["explanation"].clone();
    assert_eq!(document["workers"][0]["devices"][1]["standing"]["is"], "busy", "{document:#}");
    assert_eq!(fake.rrm(&["explain", "99"]).status.code(), Some(3));
}

#[test]
fn a_device_is_restored_once() {
    let fake = Fake::with_plan();
    let restore = |node: &str, device: &str| fake.rrm(&["worker", "restore", node, device]);
    assert_eq!(text(&restore("node1", "cuda:0").stdout), "cuda:0 of node1 is given jobs again\n");
    assert_eq!(text(&restore("node1", "cpu").stdout), "cpu of node1 was in service\n");
    assert_eq!(restore("node2", "cpu").status.code(), Some(3));
    assert_eq!(restore("node1", "gpu").status.code(), Some(2));
    assert_eq!(fake.json(&["worker", "restore", "node1", "cuda:0"])["was_out_of_service"], true);
}

#[test]
fn a_report_has_every_format_and_a_figure() {
    let fake = Fake::with_plan();
    train_and_attack(&fake);
    let figure = fake.folder.path().join("report.svg");
    let output = fake.rrm(&["report", "last", "--figure", figure.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).contains("45.00") && text(&output.stdout).contains("4500/10000"), "{output:?}");
    assert!(std::fs::read_to_string(figure).unwrap().starts_with("<svg"));
    for (format, part) in [
        ("text", "network"),
        ("markdown", "| name | method |"),
        ("csv", "job,submission,name"),
        ("latex", "\\toprule"),
        ("json", "\"schema\":1"),
    ] {
        let report = text(&fake.rrm(&["report", "1", "--format", format]).stdout);
        assert!(report.contains(part), "{format}:\n{report}");
    }
    assert_eq!(fake.json(&["report"])["rows"][0]["robust"][0]["correct"], 4500);
    assert_eq!(fake.rrm(&["--json", "report", "--format", "csv"]).status.code(), Some(2));
    assert_eq!(fake.rrm(&["report", "77"]).status.code(), Some(3));
}

#[test]
fn an_encrypted_daemon_is_not_called_in_clear_text() {
    let fake = Fake::with_plan();
    std::fs::write(fake.folder.path().join("address"), "https://127.0.0.1:9\n").unwrap();
    let output = fake.rrm(&["list"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).contains("--ca-file"), "{output:?}");
    assert_eq!(fake.rrm(&["list", "--tls-domain", "lab1"]).status.code(), Some(2), "a domain needs a certificate");
}

#[test]
fn an_address_may_be_written_down_with_and_without_its_scheme() {
    let fake = Fake::with_plan();
    let file = fake.folder.path().join("address");
    let bare = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("http://{bare}\n")).unwrap();
    assert_eq!(fake.rrm(&["list"]).status.code(), Some(0));
}

#[test]
fn a_wrong_token_is_refused_and_not_repeated() {
    let fake = Fake::with_plan();
    let path = fake.folder.path().join("token-worker");
    let output = fake.rrm(&["--token-file", path.to_str().unwrap(), "list"]);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert!(!text(&output.stderr).contains("worker-0123"), "{output:?}");
    assert!(text(&output.stderr).contains("next:"), "{output:?}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let fake = Fake::with_plan();
    let command = format!("{} list | true", env!("CARGO_BIN_EXE_rrm"));
    let output = Command::new("sh").args(["-c", &command]).env("RRM_STATE_DIR", fake.folder.path()).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn epoch(epoch: u32) -> EpochRecord {
    EpochRecord {
        epoch,
        train_us: 12_000_000,
        validation_us: 1,
        images: 50_000,
        learning_rate: 0.1,
        loss: 1.5,
        train: Accuracy { correct: 1, total: 2 },
        natural: Accuracy { correct: 7, total: 10 },
        robust: None,
    }
}

fn train_and_attack(fake: &Fake) {
    fake.memory.with_job(1, |job| job.epochs = vec![epoch(1), epoch(2)]);
    fake.memory.with_job(2, |job| {
        let JobSpec::Evaluate(spec) = &job.spec else { panic!("an evaluation") };
        job.evaluations = vec![EvaluationRecord {
            attack: spec.attack.clone(),
            natural: Accuracy { correct: 8000, total: 10_000 },
            robust: Accuracy { correct: 4500, total: 10_000 },
            elapsed_us: 1,
            weights: "0".repeat(64).parse().unwrap(),
            images: images(),
            classes: Vec::new(),
            audit: Some(Audit {
                largest_change: 0.031,
                outside_box: 0,
                not_finite: 0,
                recounted: Accuracy { correct: 4500, total: 10_000 },
                rounded: Accuracy { correct: 4510, total: 10_000 },
            }),
        }];
    });
    fake.end_all(JobState::Succeeded);
}

/// Diagnostics of 100 images, most of which nothing but a factor on the logits breaks.
fn masked() -> DiagnosticsRecord {
    let numbers = [("images", 100.0), ("ladder.x1.robust", 90.0), ("ladder.x0.001.robust", 2.0)];
    DiagnosticsRecord {
        weights: "0".repeat(64).parse().unwrap(),
        threat: ThreatModel { norm: Norm::Linf, epsilon: "8/255".parse().unwrap() },
        elapsed_us: 1,
        numbers: numbers.map(|(name, value)| Diagnostic::new(name, value, "")).to_vec(),
    }
}

#[test]
fn a_network_of_hidden_gradients_is_suspicious_and_the_report_says_why() {
    let fake = Fake::with_plan();
    train_and_attack(&fake);
    fake.memory.with_job(2, |job| job.diagnostics = Some(masked()));
    for job in ["1", "2"] {
        let output = fake.rrm(&["report", "suspicion", job]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let told = text(&output.stdout);
        for part in
            ["evaluations: 2", "SUSPICIOUS    logit-scale", "×0.001 2", "why ", "DLR", "not measured  gradients"]
        {
            assert!(told.contains(part), "{part} is missing in:\n{told}");
        }
        let suspicion = &fake.json(&["report", "suspicion", job])["suspicion"];
        let findings = suspicion["findings"].as_array().unwrap();
        let suspicious: Vec<_> = findings.iter().filter(|finding| finding["level"] == "suspicious").collect();
        assert_eq!((suspicious.len(), &suspicious[0]["check"]), (1, &serde_json::json!("logit-scale")));
    }
    let shown = fake.rrm(&["show", "2"]);
    assert!(text(&shown.stdout).contains("ladder.x0.001.robust"), "{shown:?}");
    assert_eq!(fake.rrm(&["report", "suspicion", "99"]).status.code(), Some(3));
}

fn images() -> Vec<ImageOutcome> {
    let closest = Some(ClosestPoint { part: 0, iteration: Some(7), loss: 2.5, margin: -1.25 });
    let broken = ImageOutcome { image: 0, label: 3, prediction: 3, outcome: Outcome::Broken { restart: 2 }, closest };
    let wrong = ImageOutcome { image: 1, prediction: 4, outcome: Outcome::Misclassified, closest: None, ..broken };
    vec![broken, wrong]
}

#[test]
fn outcomes_of_images_are_exported_as_rows() {
    let fake = Fake::with_plan();
    train_and_attack(&fake);
    let csv = text(&fake.rrm(&["export", "images", "2"]).stdout);
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0].starts_with("job,name,model,attack,norm,epsilon,image,label"), "{csv}");
    let of = "2,attack control,#1,APGD-CE 20x5,linf,8/255";
    let rows = [format!("{of},0,3,3,broken,2,0,APGD-CE 20x5,7,2.5,-1.25"), format!("{of},1,3,4,misclassified,,,,,,")];
    assert_eq!(lines[1..], rows);
    let path = fake.folder.path().join("images.jsonl");
    let file = path.to_str().unwrap();
    let written = fake.rrm(&["export", "images", "--plan", "last", "--format", "jsonl", "-o", file]);
    assert_eq!((written.status.code(), text(&written.stdout)), (Some(0), String::new()), "{written:?}");
    let rows: Vec<Value> =
        std::fs::read_to_string(&path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((rows.len(), &rows[0]["margin"], &rows[1]["margin"]), (2, &json!(-1.25), &Value::Null));
    assert_eq!(fake.json(&["export", "images", "2"])["images"], json!(rows));
}

#[test]
fn only_evaluations_have_outcomes_and_only_those_that_kept_them_adversarial_images() {
    let fake = Fake::with_plan();
    let refused = fake.rrm(&["export", "images", "1"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(text(&refused.stderr).contains("job 1 is of kind train"), "{refused:?}");
    let refused = fake.rrm(&["export", "adversarial", "2", "-o", "nowhere.safetensors"]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    assert!(text(&refused.stderr).contains("keep_images = true"), "{refused:?}");
}

#[test]
fn a_network_is_imported_once_under_its_name_and_listed() {
    let fake = Fake::start();
    let file = format!("{}/../../tests/checkpoints/data/madry.pt", env!("CARGO_MANIFEST_DIR"));
    let import = |file: &str, name: &str| fake.rrm(&["model", "import", file, "--arch", "dnn/16", "--name", name]);
    let output = import(&file, "madry");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stderr).contains(r#"{ artifact = "madry" }"#), "{output:?}");
    let (import_of_it, content) = fake.memory.imports.lock().unwrap()[0].clone();
    assert_eq!((import_of_it.name.as_str(), import_of_it.bytes), ("madry", content.len() as u64));
    assert!(import_of_it.origin.starts_with("madry.pt sha256:"), "{}", import_of_it.origin);
    let listed = fake.json(&["model", "list", "--imported"]);
    assert_eq!(listed["imports"][0]["network"]["arch"], "dnn/16");
    // The same name for another network.
    let other = file.replace("madry.pt", "authors_legacy.pt");
    let arguments =
        ["model", "import", &other, "--arch", "dnn/16", "--name", "madry", "--normalization", "cifar10-fast"];
    let refused = fake.rrm(&arguments);
    assert_eq!(refused.status.code(), Some(8), "{refused:?}");
    assert!(text(&refused.stderr).contains("choose another --name"), "{refused:?}");
    let unknown = fake.rrm(&["model", "export", "nobody", "-o", "x.safetensors"]);
    assert_eq!(unknown.status.code(), Some(3), "{unknown:?}");
}

#[test]
fn jobs_are_held_released_and_given_another_priority() {
    let fake = Fake::with_plan();
    assert_eq!(
        text(&fake.rrm(&["hold", "2", "@control"]).stdout),
        "1  control  queued, held\n2  attack control  queued, held\n"
    );
    assert_eq!(text(&fake.rrm(&["release", "2"]).stdout), "2  attack control  queued\n");
    assert_eq!(text(&fake.rrm(&["priority", "-5", "3"]).stdout), "3  third  priority -5\n");
    assert_eq!(fake.json(&["show", "1"])["job"]["summary"]["held"], true);
    assert!(text(&fake.rrm(&["list"]).stdout).contains("queued, held"));
}

#[test]
fn of_a_whole_plan_only_those_jobs_are_changed_that_can_be() {
    let fake = Fake::with_plan();
    fake.memory.set_state(1, JobState::Succeeded, None);
    assert_eq!(text(&fake.rrm(&["-q", "hold", "--plan", "last"]).stdout), "2\n3\n");
    fake.end_all(JobState::Succeeded);
    let output = fake.rrm(&["hold", "--plan", "last"]);
    assert_eq!(output.status.code(), Some(8), "{output:?}");
    assert!(text(&output.stderr).contains("3 succeeded"), "{output:?}");
}

#[test]
fn a_submission_can_be_held_from_the_start() {
    let fake = Fake::start();
    fake.rrm(&["submit", &fake.plan_file(), "--hold"]);
    let jobs = fake.json(&["list", "--limit", "0"])["jobs"].clone();
    assert!(jobs.as_array().unwrap().iter().all(|job| job["held"] == true), "{jobs}");
}

#[test]
fn a_preempted_job_is_queued_and_held_where_that_was_wished() {
    let fake = Fake::with_plan();
    fake.memory.set_state(1, JobState::Running, None);
    assert_eq!(text(&fake.rrm(&["preempt", "--plan", "last", "--hold"]).stdout), "1  control  queued, held\n");
}

#[test]
fn after_a_retry_its_name_and_its_plan_mean_the_new_job() {
    let fake = Fake::with_plan();
    fake.end_all(JobState::Succeeded);
    fake.memory.set_state(3, JobState::Failed, Some("out of luck"));
    let receipt = text(&fake.rrm(&["retry", "--plan", "last"]).stdout);
    assert!(receipt.contains(" 4  third         3  at the beginning"), "{receipt}");
    assert_eq!(fake.json(&["show", "@third"])["job"]["summary"]["id"], 4);
    let listed = text(&fake.rrm(&["list", "--limit", "0"]).stdout);
    assert!(listed.contains("retried as 4; out of luck") && listed.contains("retry of 3"), "{listed}");
    fake.memory.set_state(4, JobState::Succeeded, None);
    let waited = fake.rrm(&["-q", "wait", "--plan", "last"]);
    assert_eq!(waited.status.code(), Some(0), "the failed try does not count: {waited:?}");
}

#[test]
fn drains_are_told_where_people_look() {
    let fake = Fake::with_plan();
    assert_eq!(
        text(&fake.rrm(&["worker", "drain", "node1"]).stdout),
        "node node1 gets no new jobs; what runs goes on to its end\n"
    );
    let table = text(&fake.rrm(&["worker", "list"]).stdout);
    assert!(table.contains("node1  draining"), "{table}");
    assert_eq!(text(&fake.rrm(&["drain", "--now"]).stdout), "no jobs are handed out; nothing runs\n");
    let listed = fake.rrm(&["list"]);
    assert!(text(&listed.stderr).contains("rrm undrain"), "{listed:?}");
    assert_eq!(fake.json(&["list"])["drained"], true);
    let drains = fake.json(&["worker", "list"])["drains"].clone();
    assert_eq!(drains[0]["target"], json!({"node": "node1"}), "{drains}");
    assert!(fake.rrm(&["undrain"]).status.success() && fake.rrm(&["worker", "undrain", "node1"]).status.success());
    assert_eq!(fake.json(&["list"])["drained"], false);
    assert!(text(&fake.rrm(&["worker", "list"]).stdout).contains("node1  online"));
}

/// The commands that a help text lists.
fn commands_of(help: &str) -> Vec<String> {
    let listed = help.split("Commands:\n").nth(1).unwrap_or_default();
    let lines = listed.lines().take_while(|line| line.starts_with("  "));
    // A line that goes on from the one before is indented further.
    let lines = lines.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    lines.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

/// Every command without commands of its own, such as `worker list`.
fn leaves(fake: &Fake, above: &[&str]) -> Vec<String> {
    let help = fake.rrm(&[above, &["-h"]].concat());
    let commands = commands_of(&text(&help.stdout));
    if commands.is_empty() {
        return vec![above.join(" ")];
    }
    commands.iter().flat_map(|command| leaves(fake, &[above, &[command]].concat())).collect()
}

#[test]
fn every_command_prints_json_documents_of_schema_1() {
    let fake = Fake::with_plan();
    train_and_attack(&fake);
    fake.memory.append_log("epoch 1\n");
    let folder = fake.folder.path().to_str().unwrap().to_owned();
    let (plan, network) = (fake.plan_file(), format!("{folder}/network.safetensors"));
    let checkpoint = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/checkpoints/data/bare.pt");
    let pictures = format!("{folder}/pictures");
    for split in ["train", "test"] {
        for class in ["one", "two"] {
            let class = format!("{pictures}/{split}/{class}");
            std::fs::create_dir_all(&class).unwrap();
            image::RgbImage::new(32, 32).save(format!("{class}/black.png")).unwrap();
        }
    }
    // Each command as a program would call it. What ends with a failure says so in a document on standard error.
    let lines: Vec<Vec<&str>> = vec![
        vec!["submit", &plan],
        vec!["list"],
        vec!["show", "1"],
        vec!["watch", "--timeout", "1"],
        vec!["logs", "1"],
        vec!["wait", "plan:1", "--timeout", "1"],
        vec!["cancel", "999"],
        vec!["hold", "999"],
        vec!["release", "999"],
        vec!["priority", "1", "999"],
        vec!["preempt", "999"],
        vec!["retry", "999"],
        vec!["drain"],
        vec!["undrain"],
        vec!["explain", "1"],
        vec!["worker", "drain", "node1"],
        vec!["worker", "undrain", "node1"],
        vec!["worker", "restore", "node1", "cpu"],
        vec!["report", "1"],
        vec!["report", "suspicion", "2"],
        vec!["recipe", "list"],
        vec!["recipe", "show", "cpu/table1"],
        vec!["export", "images", "2"],
        vec!["export", "adversarial", "2", "-o", &network],
        vec!["top", "--once"],
        vec!["worker", "list"],
        vec!["model", "list"],
        vec!["model", "show", "resnet18"],
        vec!["model", "import", checkpoint, "--arch", "dnn/16", "--output", &network],
        vec!["model", "export", "nobody", "-o", &network],
        vec!["data", "fetch", "cifar10", "--data-dir", &folder, "--mirror", "http://127.0.0.1:9"],
        vec!["data", "check", &pictures],
        vec!["admin", "token", "add", "--user", "ada", "--role", "read"],
        vec!["admin", "token", "list"],
        vec!["admin", "token", "revoke", "--user", "ada"],
        vec!["doctor", "--data-dir", &folder],
        vec!["version"],
    ];
    // Whose output is not JSON by nature: a shell's script.
    let others = ["completion"];
    for leaf in leaves(&fake, &[]) {
        let tried = lines.iter().any(|line| format!("{} ", line.join(" ")).starts_with(&format!("{leaf} ")));
        assert!(tried || others.contains(&leaf.as_str()), "`rrm {leaf}` is not tried here");
    }
    for line in lines {
        let output = fake.rrm(&[&["--json"], &line[..]].concat());
        let said = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
        let documents: Vec<Value> = serde_json::Deserializer::from_slice(said)
            .into_iter()
            .collect::<Result<_, _>>()
            .unwrap_or_else(|e| panic!("{line:?}: {e}\n{}\n{}", text(&output.stdout), text(&output.stderr)));
        assert!(!documents.is_empty(), "{line:?} says nothing: {output:?}");
        for document in documents {
            assert_eq!(document["schema"], 1, "{line:?}: {document}");
        }
    }
}

#[test]
fn a_token_is_shown_once_and_works_until_it_is_revoked() {
    let fake = Fake::with_plan();
    let added = fake.json(&["admin", "token", "add", "--user", "ada", "--role", "read", "--expires", "90d"]);
    let file = fake.folder.path().join("token-ada");
    let output =
        fake.rrm(&["admin", "token", "add", "--user", "bob", "--role", "submit", "-o", file.to_str().unwrap()]);
    assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("bob may submit\n", Some(0)));
    let taken = fake.rrm(&["admin", "token", "add", "--user", "eve", "--role", "read", "-o", file.to_str().unwrap()]);
    assert!(text(&taken.stderr).contains("next:  name a file that does not exist yet"), "{taken:?}");
    let listed = fake.json(&["admin", "token", "list"]);
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 2, "{listed}");
    assert!(!listed.to_string().contains(added["token"].as_str().unwrap()));
    assert!(added["expires_at"].as_i64().unwrap() > added["created_at"].as_i64().unwrap());
    let list_as_bob = || fake.rrm(&["--token-file", file.to_str().unwrap(), "list"]).status.code();
    assert_eq!(list_as_bob(), Some(0));
    let submitted = fake.rrm(&["--token-file", file.to_str().unwrap(), "admin", "token", "list"]);
    assert_eq!(submitted.status.code(), Some(7), "a submitter gives out no tokens");
    assert_eq!(fake.rrm(&["admin", "token", "revoke", "abc"]).status.code(), Some(3), "too short an id names none");
    assert_eq!(fake.rrm(&["admin", "token", "revoke", "--user", "bob"]).status.code(), Some(0));
    assert_eq!(list_as_bob(), Some(7));
}

#[test]
fn a_plan_selects_all_of_its_jobs_wherever_jobs_are_taken() {
    let fake = Fake::with_plan();
    fake.end_all(JobState::Succeeded);
    for plan in ["plan:1", "plan:last"] {
        assert_eq!(fake.json(&["wait", plan])["jobs"].as_array().unwrap().len(), 3, "{plan}");
    }
    let refused = fake.rrm(&["show", "plan:1"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("takes one job"), "{refused:?}");
    assert_eq!(fake.rrm(&["wait", "plan:9"]).status.code(), Some(3));
}

//! What jobs ask of machines, why they do not run, and machines that fail every job.

use serde_json::Value;

use crate::{
    lab::{Lab, text},
    pictures,
    process::eventually,
};

/// One training of seconds; `more` are further fields.
fn plan(epochs: u32, more: &str) -> String {
    format!(
        r#"
        name = "bars"
        [[job]]
        name = "net"
        kind = "train"
        arch = "dnn/16"
        method = {{ kind = "natural" }}
        dataset = {{ name = "folder:bars" }}
        augmentation = "none"
        epochs = {epochs}
        batch_size = 16
        seed = 1
        optimizer = {{ learning_rate = 0.05, schedule = {{ kind = "cosine" }} }}
        {more}
        "#
    )
}

/// What `rrm explain` tells people.
fn explained(lab: &Lab, job: i64) -> String {
    text(&lab.rrm(&["explain", &job.to_string()]).stdout)
}

/// What `rrm worker list` tells of the only worker.
fn worker(lab: &Lab) -> Option<Value> {
    let workers = lab.json(&["worker", "list"])["workers"].clone();
    workers.as_array()?.first().cloned()
}

#[test]
fn a_job_goes_to_the_worker_that_has_what_it_asks_for_and_says_until_then_what_is_lacking() {
    let lab = Lab::open();
    let _plain = lab.start_worker_with("plain", "data", &["--node", "plain"]);
    eventually("the worker is there", || worker(&lab));
    let toml = plan(1, "request = { labels = ['bars-lab'], memory_gib = 1 }");

    let refused = lab.rrm(&["submit", &lab.plan(&toml), "--strict"]);
    assert_eq!(refused.status.code(), Some(8), "{refused:?}");
    assert!(text(&refused.stderr).contains("no registered worker could ever run `net`"), "{refused:?}");
    let accepted = lab.rrm(&["submit", &lab.plan(&toml)]);
    let warning = "warning: no registered worker could ever run jobs that ask for any device with 1 GiB on a worker labelled bars-lab";
    assert!(text(&accepted.stderr).contains(warning), "{accepted:?}");

    let why = explained(&lab, 1);
    assert!(
        why.contains("no connected worker could ever run it") && why.contains("on plain: has not the label"),
        "{why}"
    );
    let document = lab.json(&["explain", "1"])["explanation"].clone();
    assert_eq!(document["workers"][0]["lacks_labels"][0], "bars-lab", "{document:#}");
    assert_eq!(document["ahead"]["jobs"], 0, "{document:#}");

    let _labelled = lab.start_worker_with("labelled", "data", &["--node", "labelled", "--label", "bars-lab"]);
    lab.success(1);
    assert_eq!(lab.job(1)["attempts"][0]["node"], "labelled");
    let faulty = lab.rrm(&["submit", &lab.plan(&plan(1, "request = { devices = 1.5, memory_gib = 0 }"))]);
    assert_eq!(faulty.status.code(), Some(2));
    let faults = text(&faulty.stderr);
    assert!(faults.contains("request.devices = 1.5") && faults.contains("request.memory_gib = 0"), "{faults}");
}

#[test]
fn a_waiting_job_names_its_parent_and_a_queued_one_what_runs_in_its_place() {
    let lab = Lab::open();
    let _worker = lab.start_worker("worker");
    let running = lab.submit(&plan(4000, ""))[0];
    lab.until(running, &["running"]);
    let student = r#"
        [[job]]
        name = "student"
        kind = "train"
        arch = "dnn/16"
        method = { kind = "rrm", teacher = { job = "net" }, representation_loss = "cosine", lambda = 0.005 }
        dataset = { name = "folder:bars" }
        augmentation = "none"
        epochs = 1
        batch_size = 16
        seed = 1
        optimizer = { learning_rate = 0.05, schedule = { kind = "cosine" } }
    "#;
    let jobs = lab.submit(&plan(1, student));
    let why = explained(&lab, jobs[1]);
    assert!(why.contains(&format!("it waits for job {} net, which is queued", jobs[0])), "{why}");
    let why = explained(&lab, jobs[0]);
    assert!(why.contains(&format!("cpu runs job {running} net since")), "{why}");
    let urgent = lab.submit(&plan(1, "priority = 1"))[0];
    let why = explained(&lab, jobs[0]);
    assert!(why.contains("1 queued jobs come before it: 1 of lab of higher priority"), "{why}");
    lab.rrm(&["cancel", &running.to_string()]);
    for job in [urgent, jobs[0], jobs[1]] {
        lab.success(job);
    }
}

#[test]
fn jobs_that_ask_for_half_a_device_run_side_by_side_on_a_shared_one() {
    let lab = Lab::open();
    let _worker = lab.start_worker_with("worker", "data", &["--share", "2"]);
    let toml = plan(4000, "request = { devices = 0.5 }");
    let jobs = [lab.submit(&toml)[0], lab.submit(&toml)[0], lab.submit(&toml)[0]];
    for job in &jobs[..2] {
        lab.until(*job, &["running"]);
    }
    assert!(lab.is_in(jobs[0], &["running"]) && lab.is_in(jobs[2], &["queued"]));
    let device = worker(&lab).unwrap()["devices"][0].clone();
    assert_eq!((&device["job"], &device["more_jobs"][0]), (&jobs[0].into(), &jobs[1].into()), "{device:#}");
    lab.rrm(&["cancel", &jobs[0].to_string()]);
    lab.until(jobs[2], &["running"]);
}

#[test]
fn a_machine_that_fails_every_job_is_given_no_more_until_it_is_restored() {
    let lab = Lab::open();
    // Nobody has fetched the images there.
    let _worker = lab.start_worker_with("worker", "empty", &["--node", "sick"]);
    let jobs: Vec<i64> = (0..4).map(|_| lab.submit(&plan(1, ""))[0]).collect();
    let out = eventually("the device is out of service", || {
        let out = worker(&lab)?["devices"][0]["out_of_service"].clone();
        out.is_object().then_some(out)
    });
    assert!(out["reason"].as_str().unwrap().contains("failed one after the other"), "{out:#}");
    assert!(lab.is_in(jobs[3], &["queued"]), "it was eaten: {}", lab.job(jobs[3]));
    let list = text(&lab.rrm(&["worker", "list"]).stdout);
    assert!(list.contains("(out of service)") && list.contains("rrm worker restore sick cpu"), "{list}");
    let why = explained(&lab, jobs[3]);
    assert!(why.contains("cpu is out of service since"), "{why}");
    assert_eq!(lab.column("select count(*) || '' from event where kind = 'device.out-of-service'"), ["1"]);

    assert_eq!(lab.rrm(&["worker", "restore", "elsewhere", "cpu"]).status.code(), Some(3));
    pictures::write_bars(&lab.path("empty"), "bars", 24, 8);
    let restored = lab.rrm(&["worker", "restore", "sick", "cpu"]);
    assert!(text(&restored.stdout).contains("cpu of sick is given jobs again"), "{restored:?}");
    for job in jobs {
        lab.success(job);
    }
}

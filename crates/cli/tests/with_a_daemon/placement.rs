//! Workers and devices.

use crate::fake::Fake;
use crate::text;

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

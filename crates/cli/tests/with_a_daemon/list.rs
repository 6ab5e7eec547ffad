//! Finding jobs and plans.

use rrm_spec::JobState;
use serde_json::json;

use crate::fake::Fake;
use crate::text;

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
    let report = fake.rrm(&["report"]);
    assert_eq!(report.status.code(), Some(3), "{report:?}");
    assert!(text(&report.stderr).contains("there is no last plan: you have submitted none yet"), "{report:?}");
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

#[test]
fn the_last_plan_stays_the_one_that_was_submitted_last_when_an_older_one_is_retried() {
    let fake = Fake::with_plan();
    fake.rrm(&["submit", &fake.plan_file()]);
    fake.memory.set_state(3, JobState::Failed, None);
    let retried = fake.rrm(&["-q", "retry", "3"]);
    assert_eq!(text(&retried.stdout), "7\n", "{retried:?}");
    assert_eq!(text(&fake.rrm(&["-q", "list", "--plan", "last"]).stdout), "6\n5\n4\n");
    assert_eq!(fake.json(&["show", "@third"])["job"]["summary"]["id"], 6);
}

#[test]
fn the_last_plan_is_the_users_own() {
    let fake = Fake::with_plan();
    let token_of = |user: &str, role: &str| {
        let path = fake.folder.path().join(format!("token-{user}"));
        let path = path.to_str().unwrap().to_owned();
        let added = fake.rrm(&["admin", "token", "add", "--user", user, "--role", role, "--output", &path]);
        assert_eq!(added.status.code(), Some(0), "{added:?}");
        path
    };
    let (bob, ada, eve) = (token_of("bob", "submit"), token_of("ada", "submit"), token_of("eve", "read"));
    assert_eq!(fake.rrm(&["--token-file", &bob, "submit", &fake.plan_file()]).status.code(), Some(0));
    let list = |token: &[&str]| fake.rrm(&[token, &["-q", "list", "--plan", "last"]].concat());
    assert_eq!(text(&list(&[]).stdout), "3\n2\n1\n");
    assert_eq!(text(&list(&["--token-file", &bob]).stdout), "6\n5\n4\n");
    assert_eq!(text(&list(&["--token-file", &eve]).stdout), "6\n5\n4\n", "who may only look has none of her own");
    assert_eq!(list(&["--token-file", &ada]).status.code(), Some(3), "ada has submitted none");
}

//! Who may do what, and what an installation says of itself.

use std::process::Command;

use crate::{
    lab::{Lab, MAIN_JOB, text},
    process::{Process, binary, eventually},
};

impl Lab {
    /// A token of the role, in a file; its id.
    fn grant(&self, user: &str, role: &str, more: &[&str]) -> String {
        let file = self.path(&format!("token-{user}"));
        let file = file.to_str().expect("temporary folders have plain names");
        let arguments = ["admin", "token", "add", "--user", user, "--role", role, "--output", file];
        let added = self.json(&[&arguments[..], more].concat());
        assert!(added["token"].is_null(), "what is in the file is not shown: {added}");
        added["id"].as_str().expect("a token has an id").to_owned()
    }

    /// The exit code of a command with the user's token.
    fn code(&self, user: &str, arguments: &[&str]) -> Option<i32> {
        self.rrm_as(&self.path(&format!("token-{user}")), arguments).status.code()
    }
}

#[test]
fn each_role_does_what_it_may_over_restarts_and_until_it_is_revoked() {
    const REFUSED: Option<i32> = Some(7);
    let mut lab = Lab::open();
    let plan = lab.plan(MAIN_JOB);
    let ids = [("ada", "read"), ("bob", "submit"), ("eve", "admin")].map(|(user, role)| lab.grant(user, role, &[]));
    lab.grant("late", "read", &["--expires", "90d"]);
    assert_eq!(lab.daemon().terminate(), Some(0));
    lab.start_daemon();
    for (user, reads, submits, administers) in
        [("ada", Some(0), REFUSED, REFUSED), ("bob", Some(0), Some(0), REFUSED), ("eve", Some(0), Some(0), Some(0))]
    {
        assert_eq!(lab.code(user, &["list"]), reads, "{user} reads");
        assert_eq!(lab.code(user, &["submit", &plan]), submits, "{user} submits");
        assert_eq!(lab.code(user, &["admin", "token", "list"]), administers, "{user} administers");
    }
    assert_eq!(lab.code("late", &["list"]), Some(0));
    let listed = lab.json(&["admin", "token", "list"]);
    let roles: Vec<_> = listed["tokens"].as_array().unwrap().iter().map(|token| token["role"].clone()).collect();
    assert_eq!(roles, ["read", "submit", "admin", "read"]);
    let revoked = lab.json(&["admin", "token", "revoke", &ids[1]]);
    assert_eq!(revoked["revoked"][0], ids[1].as_str());
    assert_eq!((lab.code("bob", &["list"]), lab.code("ada", &["list"])), (REFUSED, Some(0)));
    let audit =
        lab.column("select user || ' ' || role || ' ' || kind from audit where kind <> 'job.state' order by seq");
    let granted = ["lab admin token.add"; 4];
    let done = ["bob submit submission", "eve admin submission", "lab admin token.revoke"];
    assert_eq!(audit, [&granted[..], &done].concat());
}

#[test]
fn nothing_that_is_logged_holds_a_token() {
    let mut lab = Lab::open();
    lab.grant("ada", "admin", &[]);
    assert_eq!(lab.daemon().terminate(), Some(0));
    let mut command = Command::new(binary("rrmd"));
    command.args(["serve", "--listen", lab.address(), "--state-dir"]).arg(lab.path("state")).env("RRM_LOG", "trace");
    let daemon = Process::spawn(&mut command, lab.path("loud.log"));
    eventually("the daemon listens", || lab.path("state/address").exists().then_some(()));
    let loud = |token: &str, arguments: &[&str]| {
        let mut command = Command::new(binary("rrm"));
        command.args(["--server", lab.address(), "--token-file"]).arg(lab.path(token)).args(arguments);
        let output = command.env("RRM_LOG", "trace").output().expect("rrm starts");
        assert!(output.status.success(), "{}", text(&output.stderr));
        output
    };
    let shown = loud("token-ada", &["-q", "admin", "token", "add", "--user", "bob", "--role", "read"]);
    std::fs::write(lab.path("token-bob"), &shown.stdout).unwrap();
    std::fs::set_permissions(lab.path("token-bob"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let told =
        [shown.stderr, loud("token-bob", &["list"]).stderr, loud("token-ada", &["admin", "token", "list"]).stderr];
    assert_eq!(daemon.terminate(), Some(0));
    let log = lab.read("loud.log") + &told.map(|said| text(&said)).concat();
    assert!(log.contains("TRACE") && log.contains("token added"), "everything is logged");
    for name in ["state/token-user", "state/token-worker", "token-ada", "token-bob"] {
        assert!(!log.contains(lab.read(name).trim()), "{name} is in the log");
    }
}

#[test]
fn a_plan_beyond_the_limit_is_refused_with_limit_and_use() {
    let mut lab = Lab::open();
    assert_eq!(lab.daemon().terminate(), Some(0));
    let mut command = Command::new(binary("rrmd"));
    command.args(["serve", "--listen", lab.address(), "--max-open-jobs-per-user", "4", "--state-dir"]);
    let _daemon = Process::spawn(command.arg(lab.path("state")), lab.path("rrmd.log"));
    eventually("the daemon listens", || lab.path("state/address").exists().then_some(()));
    lab.submit(MAIN_JOB);
    let refused = lab.rrm(&["submit", &lab.plan(MAIN_JOB)]);
    assert_eq!(refused.status.code(), Some(8));
    let said = text(&refused.stderr);
    assert!(said.contains("open jobs of lab: 6 with this plan, at most 4") && said.contains("next:"), "{said}");
    assert_eq!(lab.json(&["list"])["jobs"].as_array().unwrap().len(), 3);
}

#[test]
fn a_sound_installation_has_no_problem_and_a_daemon_that_is_away_is_one() {
    let mut lab = Lab::open();
    let _worker = lab.start_worker("worker");
    eventually("the worker is there", || {
        lab.json(&["worker", "list"])["workers"].as_array().is_some_and(|all| !all.is_empty()).then_some(())
    });
    let state = lab.path("state").to_str().unwrap().to_owned();
    let data = lab.path("data").to_str().unwrap().to_owned();
    let doctor = ["--state-dir", &state, "doctor", "--data-dir", &data];
    let sound = lab.json(&doctor);
    let results: Vec<String> = sound["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| format!("{} {}", check["check"], check["result"]))
        .collect();
    for check in [
        "permissions",
        "file system",
        "daemon",
        "encryption",
        "token",
        "clock",
        "disk",
        "SQLite",
        "workers",
        "data folder",
    ] {
        let found = results.iter().any(|line| line.starts_with(&format!("\"{check}\"")));
        assert!(found, "{check} is missing in {results:?}");
    }
    assert_eq!(sound["problems"], false, "{sound:#}");
    assert_eq!(lab.daemon().terminate(), Some(0));
    let away = lab.rrm(&doctor);
    assert_eq!(away.status.code(), Some(1));
    assert!(
        text(&away.stdout).contains("problem") && text(&away.stdout).contains("next: check that rrmd runs"),
        "{away:?}"
    );
}

#[test]
fn the_top_shows_workers_and_the_queue() {
    let lab = Lab::open();
    lab.submit(MAIN_JOB);
    let picture = lab.json(&["top", "--once"]);
    assert_eq!((&picture["queue"]["queued"], &picture["queue"]["waiting"]), (&1.into(), &2.into()));
    let _worker = lab.start_worker("worker");
    eventually("the worker shows", || {
        let picture = text(&lab.rrm(&["top", "--once"]).stdout);
        picture.contains("1 workers, 1 devices").then_some(())
    });
}

#[test]
fn the_three_programs_write_their_manual_pages_and_completions() {
    let folder = tempfile::tempdir().unwrap();
    for program in ["rrm", "rrmd", "rrm-worker"] {
        let output = Command::new(binary(program)).arg("manual").arg(folder.path()).output().unwrap();
        assert!(output.status.success(), "{program}: {}", text(&output.stderr));
    }
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    for (page, word) in [
        ("rrm.1", "Trains robust image classifiers"),
        ("rrm-submit.1", "request\\-id"),
        ("rrm-admin-token-add.1", "expires"),
        ("rrmd-serve.1", "max\\-open\\-jobs"),
        ("rrm-worker-serve.1", "tls\\-client\\-key"),
    ] {
        assert!(read(&format!("man/{page}")).contains(word), "{page} does not have {word}");
    }
    for script in ["rrm.bash", "_rrm", "rrm.fish", "rrmd.bash", "_rrm-worker"] {
        assert!(read(&format!("completions/{script}")).contains("serve") || script.contains("rrm."), "{script}");
    }
}

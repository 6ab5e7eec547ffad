//! Addresses, tokens and pipes.

use std::process::Command;

use crate::fake::Fake;
use crate::{spawn, text};

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
fn a_daemon_that_does_not_answer_is_told_of_before_the_command_gives_up() {
    let fake = Fake::start();
    // A port that nobody listens on: bound, read and released.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = format!("http://127.0.0.1:{port}");
    let formats = [&[][..], &["-q"], &["--json"]];
    let children = formats
        .map(|format| spawn(&mut fake.command(&[format, &["--server", &server, "list", "--timeout", "4"]].concat())));
    let outputs = children.map(|child| child.wait_with_output().unwrap());
    let note = format!("the daemon at {server} does not answer; trying for 3 s more\n");
    for (output, format) in outputs.into_iter().zip(formats) {
        let told = text(&output.stderr);
        assert_eq!(told.matches(&note).count(), usize::from(format.is_empty()), "{format:?}: {told}");
        assert_eq!(output.status.code(), Some(5), "{told}");
    }
}

#[test]
fn a_daemon_that_answers_is_not_remarked_upon() {
    let fake = Fake::with_plan();
    let output = fake.rrm(&["wait", "1", "--timeout", "2"]);
    assert!(!text(&output.stderr).contains("does not answer"), "{output:?}");
}

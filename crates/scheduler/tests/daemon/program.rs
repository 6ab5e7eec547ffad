//! The daemon as a whole: over the loopback device, and as a program.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rrm_api::{ApiError, Client, Endpoint, Replies, Role, Source, Token, VERSION, WatchItem, Wishes};
use rrm_scheduler::{Config, Http, ServeFlags, StartError, serve};
use rrm_spec::{Device, Grant, JobState};
use tokio::sync::oneshot;
use tokio_stream::StreamExt;

use crate::desk::{chain, hash, registration};

fn config(root: &Path) -> Config {
    let listen = Some("127.0.0.1:0".parse().unwrap());
    let flags = ServeFlags { state_dir: Some(root.to_owned()), listen, lease_ttl_ms: Some(3000), ..Default::default() };
    Config::resolve(flags).unwrap()
}

struct Running {
    stop: oneshot::Sender<()>,
    done: std::thread::JoinHandle<Result<(), StartError>>,
    url: String,
}

async fn running(root: &Path) -> Running {
    running_as(config(root), root).await
}

async fn running_as(config: Config, root: &Path) -> Running {
    let (stop, stopped) = oneshot::channel::<()>();
    // A runtime of its own, as the program has it.
    let done = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(serve(&config, async { drop(stopped.await) }))
    });
    let address = root.join("address");
    let announced = async {
        while !address.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), announced).await.expect("the daemon announces its address");
    let url = std::fs::read_to_string(&address).unwrap().trim().to_owned();
    Running { stop, done, url }
}

fn client(running: &Running, root: &Path, token: &str) -> Client {
    let token = Token::load(&root.join(token)).unwrap();
    Client::new(&Endpoint { url: running.url.clone(), token, tls: None }).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_and_workers_reach_the_daemon_over_the_network_and_it_stops_gracefully() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("state");
    let daemon = running(&root).await;
    let (user, worker) = (client(&daemon, &root, "token-user"), client(&daemon, &root, "token-worker"));
    let source = Source { client_version: VERSION.into(), host: "desk".into() };
    let submitted =
        user.submit("request-over-the-wire".parse().unwrap(), chain(), source, Wishes::default()).await.unwrap();
    let refused = user.register(registration("node")).await;
    assert!(matches!(refused, Err(ApiError::PermissionDenied { .. })), "{refused:?}");
    let registered = worker.register(registration("node")).await.unwrap();
    assert_eq!((registered.ttl_ms, registered.heartbeat_ms), (3000, 1000));
    let request = "lease-over-the-wire".parse().unwrap();
    let leases = worker.lease(registered.worker, request, vec![Device::Cpu], vec![]).await.unwrap();
    assert_eq!(leases[0].job, submitted.jobs[0].0);
    assert_eq!(user.job(leases[0].job).await.unwrap().summary.state, JobState::Running);
    let mut events = user.with_patience(Duration::ZERO).watch(0, None).await.unwrap();
    assert!(events.next().await.unwrap().is_ok());

    daemon.stop.send(()).unwrap();
    daemon.done.join().unwrap().unwrap();
    assert!(!root.join("address").exists(), "the address is withdrawn");
    let wal = root.join("rrm.db-wal");
    assert!(!wal.exists() || wal.metadata().unwrap().len() == 0, "the log is emptied");

    let again = running(&root).await;
    let user = client(&again, &root, "token-user");
    assert_eq!(user.job(leases[0].job).await.unwrap().summary.state, JobState::Running);
    again.stop.send(()).unwrap();
    again.done.join().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_artifact_is_noticed_by_its_download_and_can_be_uploaded_anew() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("state");
    let daemon = running(&root).await;
    let (user, worker) = (client(&daemon, &root, "token-user"), client(&daemon, &root, "token-worker"));
    let source = Source { client_version: VERSION.into(), host: "desk".into() };
    user.submit("request-over-the-wire".parse().unwrap(), chain(), source, Wishes::default()).await.unwrap();
    let id = worker.register(registration("node")).await.unwrap().worker;
    let request = "lease-over-the-wire".parse().unwrap();
    let attempt = worker.lease(id, request, vec![Device::Cpu], vec![]).await.unwrap()[0].attempt;
    let (sha256, weights) = (hash("weights"), folder.path().join("weights"));
    std::fs::write(&weights, "weights").unwrap();
    worker.upload(attempt, &weights, &sha256, 7).await.unwrap();
    let stored = root.join("artifacts").join(&sha256.as_str()[..2]).join(sha256.as_str());
    std::fs::write(&stored, "wEights").unwrap();
    let copy = folder.path().join("copy");
    let damaged = user.download(&sha256, &copy).await.unwrap_err();
    assert!(damaged.to_string().contains("damaged"), "{damaged}");
    let missing = user.download(&sha256, &copy).await;
    assert!(matches!(missing, Err(ApiError::NotFound { .. })), "{missing:?}");
    worker.upload(attempt, &weights, &sha256, 7).await.unwrap();
    user.download(&sha256, &copy).await.unwrap();
    daemon.stop.send(()).unwrap();
    daemon.done.join().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_port_of_the_pages_is_no_daemon_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("state");
    let http = Http { listen: "127.0.0.1:0".parse().unwrap(), audience: rrm_dashboard::Audience::ThisMachine };
    let daemon = running_as(Config { http: Some(http), ..config(&root) }, &root).await;
    let pages = std::fs::read_to_string(root.join("http-address")).unwrap().trim().to_owned();
    let token = Token::load(&root.join("token-user")).unwrap();
    let client = Client::new(&Endpoint { url: pages.clone(), token, tls: None }).unwrap();
    let error = client.with_patience(Duration::ZERO).workers().await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains(&format!("{pages} does not speak gRPC")), "{error:?}");
    daemon.stop.send(()).unwrap();
    daemon.done.join().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_streams_end_when_their_token_is_revoked_or_expires() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("state");
    let daemon = running(&root).await;
    let admin = client(&daemon, &root, "token-user");
    let watching = async |expires_at| {
        let token = Token::fresh().unwrap();
        let grant = Grant { sha256: token.sha256(), user: "ada".parse().unwrap(), role: Role::Read, expires_at };
        admin.add_token(grant).await.unwrap();
        let sha256 = token.sha256();
        let reader = Client::new(&Endpoint { url: daemon.url.clone(), token, tls: None }).unwrap();
        (reader.watch(0, None).await.unwrap(), sha256)
    };
    let end = async |events: &mut Replies<WatchItem>| {
        let ended = async {
            loop {
                match events.next().await {
                    Some(Ok(_)) => {}
                    other => return other.map(|item| item.unwrap_err()),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ended).await.expect("the stream ends")
    };
    let (mut revoked, token) = watching(None).await;
    assert!(revoked.next().await.unwrap().is_ok());
    admin.revoke_token(token).await.unwrap();
    assert_eq!(end(&mut revoked).await, Some(ApiError::Unauthenticated));
    let now = admin.about().await.unwrap().now;
    let (mut expiring, _) = watching(Some(now + 3_000_000)).await;
    assert!(expiring.next().await.unwrap().is_ok());
    assert_eq!(end(&mut expiring).await, Some(ApiError::Unauthenticated));
    let (mut other, _) = watching(None).await;
    assert!(other.next().await.unwrap().is_ok(), "the others go on");
    daemon.stop.send(()).unwrap();
    daemon.done.join().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_built_in_token_is_replaced_by_deleting_its_file_and_starting_again() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("state");
    let daemon = running(&root).await;
    let old = Token::load(&root.join("token-user")).unwrap();
    std::fs::remove_file(root.join("token-user")).unwrap();
    daemon.stop.send(()).unwrap();
    daemon.done.join().unwrap().unwrap();
    let again = running(&root).await;
    client(&again, &root, "token-user").about().await.unwrap();
    let stale = Client::new(&Endpoint { url: again.url.clone(), token: old, tls: None }).unwrap();
    assert_eq!(stale.about().await, Err(ApiError::Unauthenticated));
    again.stop.send(()).unwrap();
    again.done.join().unwrap().unwrap();
}

fn rrmd(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_rrmd")).args(arguments).output().unwrap()
}

#[test]
fn wrong_usage_and_configuration_exit_with_64() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rrmd.toml");
    std::fs::write(&file, "listn = \"127.0.0.1:1\"").unwrap();
    let file = file.to_str().unwrap();
    for arguments in [&["serve", "--bogus"][..], &[], &["serve", "--lease-ttl-ms", "0"], &["serve", "--config", file]] {
        let output = rrmd(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?} says nothing");
    }
    assert!(String::from_utf8_lossy(&rrmd(&["serve", "--config", file]).stderr).contains("listn"));
    assert_eq!(rrmd(&["--help"]).status.code(), Some(0));
}

#[test]
fn the_program_ends_well_on_sigterm_and_a_second_one_is_refused_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().to_str().unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--state-dir", state];
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let mut first = Command::new(env!("CARGO_BIN_EXE_rrmd")).args(serve).stderr(log).spawn().unwrap();
    let begun = std::time::Instant::now();
    while !folder.path().join("address").exists() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the daemon does not announce its address");
        std::thread::sleep(Duration::from_millis(5));
    }
    for name in ["rrm.db", "rrm.db-wal", "artifacts", "artifacts/tmp", "logs", "token-user", "address"] {
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "others can use `{name}`: {mode:o}");
    }
    let second = rrmd(&serve);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another"), "{second:?}");
    let pid = nix::unistd::Pid::from_raw(first.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(0));
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    let token = std::fs::read_to_string(folder.path().join("token-user")).unwrap();
    assert!(log.contains("stopped") && !log.contains(token.trim()), "{log}");
}

#[test]
fn what_keeps_the_daemon_from_starting_is_told_once_and_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("file"), "").unwrap();
    std::fs::create_dir(path("garbage")).unwrap();
    std::fs::write(path("garbage/rrm.db"), "this is no database, however long one reads it".repeat(100)).unwrap();
    std::fs::write(path("bad.pem"), "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n").unwrap();
    let (file, garbage, other, pem) = (path("file"), path("garbage"), path("other"), path("bad.pem"));
    let (here, elsewhere) = ("127.0.0.1:0", "192.0.2.1:7600");
    for (state, listen, tls, word) in [
        (&file, here, &[][..], "choose another --state-dir"),
        (&garbage, here, &[], "put back a copy"),
        (&other, here, &["--tls-certificate", &pem, "--tls-key", &pem], "encryption cannot be turned on"),
        (&other, here, &["--tls-certificate", &file, "--tls-key", "/no.pem"], "must be a PEM file"),
        (&other, elsewhere, &[], "choose another address"),
    ] {
        let output = rrmd(&[&["serve", "--state-dir", state, "--listen", listen], tls].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(word) && !said.contains("listening"), "{said}");
        assert!(said.matches("os error").count() <= 1, "{said}");
    }
}

#[test]
fn the_state_folder_can_be_named_in_the_environment_and_a_flag_wins() {
    let folder = tempfile::tempdir().unwrap();
    let (named, flag) = (folder.path().join("named"), folder.path().join("flag"));
    let backup = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rrmd"));
        let output = command.arg("backup").args(arguments).env("RRM_STATE_DIR", &named).output().unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let target = folder.path().join("copy");
    let (target, flag) = (target.to_str().unwrap(), flag.to_str().unwrap());
    let refused = backup(&[target]);
    assert!(refused.contains(&format!("{} has no rrm.db", named.display())), "{refused}");
    let refused = backup(&["--state-dir", flag, target]);
    assert!(refused.contains(&format!("{flag} has no rrm.db")), "{refused}");
}

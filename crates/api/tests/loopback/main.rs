//! Client and server together, over the loopback device.

mod foreign;
mod memory;

use std::{
    net::{SocketAddr, TcpListener as StdListener},
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use memory::{ATTEMPT, EVENTS, GRANTED, Memory, page};
use rrm_api::*;
use rrm_spec::*;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_stream::StreamExt;

/// A running daemon; it ends with this value.
struct Daemon {
    memory: Arc<Memory>,
    address: SocketAddr,
    socket: StdListener,
    runtime: Option<tokio::runtime::Runtime>,
}

/// In a runtime of its own, whose end cuts every connection as a killed process does.
impl Drop for Daemon {
    fn drop(&mut self) {
        self.runtime.take().expect("taken only here").shutdown_background();
    }
}

impl Daemon {
    fn start() -> Self {
        Self::on(StdListener::bind("127.0.0.1:0").unwrap(), Arc::default(), None)
    }

    /// Serves a socket that may outlive it: the next daemon on it has the same address without a race for the port.
    fn on(socket: StdListener, memory: Arc<Memory>, tls: Option<ServerTls>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        socket.set_nonblocking(true).unwrap();
        let (address, listener) = (socket.local_addr().unwrap(), socket.try_clone().unwrap());
        let tokens = Tokens { user: token("user"), worker: token("worker") };
        let service = Arc::clone(&memory);
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            serve(listener, tls.as_ref(), service, tokens, std::future::pending()).await.unwrap();
        });
        Self { memory, address, socket, runtime: Some(runtime) }
    }

    fn client(&self, token: Token) -> Client {
        let url = format!("http://{}", self.address);
        Client::new(&Endpoint { url, token, tls: None }).unwrap()
    }

    fn user(&self) -> Client {
        self.client(token("user"))
    }

    fn worker(&self) -> Client {
        self.client(token("worker"))
    }
}

fn token(role: &str) -> Token {
    Token::new(&format!("{role}-0123456789abcdef")).unwrap()
}

fn plan() -> Plan {
    Plan::from_toml(
        r#"
        name = "small"
        [[job]]
        name = "teacher"
        kind = "train"
        dataset = { name = "fashion-mnist" }
        arch = "dnn/4"
        method = { kind = "natural" }
        optimizer = { learning_rate = 0.1, schedule = { kind = "cosine" } }
        epochs = 2
        batch_size = 64
        seed = 0
        "#,
    )
    .unwrap()
}

fn request(text: &str) -> RequestId {
    text.parse().unwrap()
}

fn source() -> Source {
    Source { client_version: VERSION.into(), host: "here".into() }
}

/// A file of several pieces, and its hash.
fn artifact(folder: &TempDir) -> (PathBuf, ArtifactHash, u64) {
    let content: Vec<u8> = (0..1_000_003u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let path = folder.path().join("final.safetensors");
    std::fs::write(&path, &content).unwrap();
    (path, hex::encode(Sha256::digest(&content)).parse().unwrap(), content.len() as u64)
}

#[tokio::test]
async fn a_stranger_is_refused_whatever_the_call() {
    let daemon = Daemon::start();
    let stranger = daemon.client(token("stranger"));
    assert_eq!(stranger.workers().await, Err(ApiError::Unauthenticated));
    assert_eq!(stranger.deregister(WorkerId(1)).await, Err(ApiError::Unauthenticated));
    let folder = tempfile::tempdir().unwrap();
    let (path, sha256, bytes) = artifact(&folder);
    assert_eq!(stranger.upload(ATTEMPT, &path, &sha256, bytes).await, Err(ApiError::Unauthenticated));
    assert_eq!(stranger.download(&sha256, &folder.path().join("x")).await, Err(ApiError::Unauthenticated));
}

#[tokio::test]
async fn each_role_may_make_its_own_calls_only() {
    let daemon = Daemon::start();
    let denied = |what: &str| ApiError::PermissionDenied { what: what.into() };
    let reads = denied("lab's token has the role work; this call needs read, submit or admin");
    assert_eq!(daemon.worker().workers().await, Err(reads));
    let works = denied("lab's token has the role admin; this call needs work");
    assert_eq!(daemon.user().deregister(WorkerId(1)).await, Err(works));
    assert_eq!(daemon.user().workers().await, Ok(Vec::new()));
    assert_eq!(daemon.worker().deregister(WorkerId(1)).await, Ok(()));
    let reader = daemon.client(Token::new(GRANTED).unwrap());
    assert_eq!(reader.workers().await, Ok(Vec::new()));
    let refused = reader.submit(request("request-1"), plan(), source(), Wishes::default()).await;
    assert_eq!(refused, Err(denied("ada's token has the role read; this call needs submit or admin")));
    assert_eq!(reader.tokens().await, Err(denied("ada's token has the role read; this call needs admin")));
    assert!(daemon.memory.submissions.lock().unwrap().is_empty(), "what is refused does not reach the service");
}

#[tokio::test]
async fn callers_learn_what_they_are_to_the_daemon() {
    let daemon = Daemon::start();
    let about = async |client: Client| client.about().await.unwrap();
    let caller = about(daemon.client(Token::new(GRANTED).unwrap())).await.caller;
    assert_eq!(caller, Caller { user: "ada".parse().unwrap(), role: Role::Read, expires_at: Some(9) });
    assert_eq!(about(daemon.user()).await.caller.role, Role::Admin);
    let daemon_itself = about(daemon.worker()).await;
    assert_eq!((daemon_itself.caller.role, daemon_itself.free_bytes, daemon_itself.total_bytes), (Role::Work, 1, 2));
}

#[tokio::test]
async fn tokens_are_granted_listed_and_revoked_by_their_hash() {
    let daemon = Daemon::start();
    let (admin, fresh) = (daemon.user(), Token::fresh().unwrap());
    let grant = Grant {
        sha256: fresh.sha256(),
        user: "bob".parse().unwrap(),
        role: Role::Submit,
        expires_at: Some(1_900_000_000_000_000),
    };
    admin.add_token(grant.clone()).await.unwrap();
    assert_eq!(admin.tokens().await.unwrap(), [GrantView { grant, created_at: 5 }]);
    admin.revoke_token(fresh.sha256()).await.unwrap();
    assert_eq!(admin.tokens().await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_plan_and_its_receipt_go_back_and_forth() {
    let daemon = Daemon::start();
    let receipt = daemon.user().submit(request("request-1"), plan(), source(), Wishes::default()).await.unwrap();
    assert_eq!(receipt.jobs, [(JobId(1), "teacher".to_owned())]);
    assert_eq!((receipt.warnings, receipt.reused), (vec!["no worker yet".to_owned()], vec![]));
    let again = daemon
        .user()
        .submit(request("request-1"), plan(), source(), Wishes { reuse: Reuse::Yes, ..Wishes::default() })
        .await
        .unwrap();
    assert_eq!(again.reused, [JobId(1)], "the wish arrives");
    assert_eq!(daemon.memory.submissions.lock().unwrap()[0].1, plan());
    let assignments =
        daemon.worker().lease(WorkerId(1), request("request-2"), vec![Device::Cuda(3)], Vec::new()).await.unwrap();
    assert_eq!((assignments[0].device, &assignments[0].spec), (Device::Cuda(3), &plan().jobs[0].spec));
}

#[tokio::test]
async fn a_caller_who_names_no_plan_gets_the_last_one_or_hears_that_there_is_none() {
    let daemon = Daemon::start();
    let none = daemon.user().last_plan().await;
    assert_eq!(none, Err(ApiError::NotFound { what: "no plan of lab".into() }));
    daemon.user().submit(request("request-1"), plan(), source(), Wishes::default()).await.unwrap();
    let last = daemon.client(Token::new(GRANTED).unwrap()).last_plan().await.unwrap();
    let (name, owner) = ("small".to_owned(), "ada".parse().unwrap());
    assert_eq!(last, LastPlan { submission: SubmissionId(1), name, owner });
}

#[tokio::test]
async fn a_submission_whose_answer_is_lost_is_repeated_and_stored_once() {
    let daemon = Daemon::start();
    daemon.memory.faults_to_come.store(2, Ordering::SeqCst);
    let receipt = daemon.user().submit(request("request-1"), plan(), source(), Wishes::default()).await.unwrap();
    assert!(receipt.already);
    assert_eq!(daemon.memory.submissions.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn without_patience_unavailability_is_told_at_once() {
    let daemon = Daemon::start();
    daemon.memory.faults_to_come.store(1, Ordering::SeqCst);
    let hasty = daemon.user().with_patience(Duration::ZERO);
    let error = hasty.submit(request("request-1"), plan(), source(), Wishes::default()).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains(&daemon.address.to_string()), "{error}");
}

#[tokio::test]
async fn a_thousand_faults_arrive_complete() {
    let daemon = Daemon::start();
    let Err(ApiError::Invalid(faults)) = daemon.user().cancel(vec![JobId(1)]).await else { panic!("must be invalid") };
    let faults: Vec<_> = faults.iter().collect();
    assert_eq!((faults.len(), faults[999].field.as_str()), (1000, "ids[999]"));
}

#[tokio::test]
async fn an_error_arrives_with_what_is_missing_and_what_to_do() {
    let daemon = Daemon::start();
    let error = daemon.user().job(JobId(12)).await.unwrap_err();
    assert_eq!(error, ApiError::NotFound { what: "job 12".into() });
    assert!(error.next_step().contains("rrm list"));
}

#[tokio::test]
async fn an_artifact_goes_up_and_down_and_keeps_its_bytes() {
    let (daemon, folder) = (Daemon::start(), tempfile::tempdir().unwrap());
    let (path, sha256, bytes) = artifact(&folder);
    // Spawned, since workers do: the futures must be `Send`.
    let (worker, file, hash) = (daemon.worker(), path.clone(), sha256.clone());
    tokio::spawn(async move { worker.upload(ATTEMPT, &file, &hash, bytes).await }).await.unwrap().unwrap();
    let copy = folder.path().join("copy");
    daemon.user().download(&sha256, &copy).await.unwrap();
    assert!(std::fs::read(&copy).unwrap() == std::fs::read(&path).unwrap());
    // The store has it, so the file is not even opened.
    let gone = folder.path().join("gone");
    daemon.worker().upload(ATTEMPT, &gone, &sha256, bytes).await.unwrap();
}

/// A network whose file is the artifact's.
fn imported(sha256: &ArtifactHash, bytes: u64) -> ImportedNetwork {
    let network = NetworkSpec {
        arch: "dnn/16".parse().unwrap(),
        channels: 3,
        classes: 10,
        normalization: Normalization::Cifar10Madry,
        representation_width: 32,
        temperature: 1.0,
    };
    let (name, sha256, origin) = ("madry-linf".parse().unwrap(), sha256.clone(), "cifar_linf_8.pt".to_owned());
    ImportedNetwork { name, sha256, bytes, network, origin }
}

#[tokio::test]
async fn a_network_is_imported_by_users_alone_and_listed() {
    let (daemon, folder) = (Daemon::start(), tempfile::tempdir().unwrap());
    let (path, sha256, bytes) = artifact(&folder);
    let import = imported(&sha256, bytes);
    let refused = daemon.worker().import(&import, &path).await;
    assert!(matches!(refused, Err(ApiError::PermissionDenied { .. })), "{refused:?}");
    daemon.user().import(&import, &path).await.unwrap();
    assert_eq!(daemon.user().imports().await.unwrap(), std::slice::from_ref(&import));
    assert_eq!(daemon.memory.artifacts.lock().unwrap()[&sha256], std::fs::read(&path).unwrap());
    let longer = ImportedNetwork { bytes: bytes + 1, ..import.clone() };
    assert!(matches!(daemon.user().import(&longer, &path).await, Err(ApiError::Invalid(_))));
    let classless = ImportedNetwork { network: NetworkSpec { classes: 0, ..import.network.clone() }, ..import };
    let Err(ApiError::Invalid(faults)) = daemon.user().import(&classless, &path).await else { panic!("no classes") };
    assert_eq!(faults.iter().next().unwrap().field, "header.network.classes");
}

#[tokio::test]
async fn a_file_that_is_not_what_was_announced_is_not_kept() {
    let (daemon, folder) = (Daemon::start(), tempfile::tempdir().unwrap());
    let (path, sha256, bytes) = artifact(&folder);
    std::fs::write(&path, vec![0; bytes as usize]).unwrap();
    let error = daemon.worker().upload(ATTEMPT, &path, &sha256, bytes).await.unwrap_err();
    assert!(matches!(error, ApiError::Invalid(_)), "{error}");
    assert!(daemon.memory.artifacts.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_upload_of_a_lost_attempt_is_refused_before_its_bytes_are_read() {
    let (daemon, folder) = (Daemon::start(), tempfile::tempdir().unwrap());
    let (path, sha256, bytes) = artifact(&folder);
    let refused = daemon.worker().upload(AttemptId(6), &path, &sha256, bytes).await;
    assert_eq!(refused, Err(ApiError::LeaseLost));
}

#[tokio::test]
async fn a_damaged_artifact_is_not_handed_out() {
    let (daemon, folder) = (Daemon::start(), tempfile::tempdir().unwrap());
    let (_, sha256, _) = artifact(&folder);
    daemon.memory.artifacts.lock().unwrap().insert(sha256.clone(), "rotten".into());
    let into = folder.path().join("copy");
    let error = daemon.user().download(&sha256, &into).await.unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing but the original is left");
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused() {
    let daemon = Daemon::start();
    let error = daemon.worker().push_log(ATTEMPT, 0, vec![0; 17 << 20].into()).await.unwrap_err();
    assert!(matches!(error, ApiError::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn a_log_is_pushed_with_offsets_and_read_back() {
    let daemon = Daemon::start();
    let worker = daemon.worker();
    assert_eq!(worker.push_log(ATTEMPT, 0, "one\n".into()).await, Ok(4));
    assert_eq!(worker.push_log(ATTEMPT, 0, "one\n".into()).await, Ok(4), "a repeated piece has one effect");
    assert_eq!(worker.push_log(ATTEMPT, 9, "gap\n".into()).await, Ok(4));
    let mut log = daemon.user().logs(JobId(1), None, 2, Follow::No).await.unwrap();
    assert_eq!(log.next().await.unwrap().unwrap().bytes, "e\n");
    assert!(log.next().await.is_none());
}

#[tokio::test]
async fn an_end_and_an_instruction_arrive() {
    let daemon = Daemon::start();
    let end = AttemptEnd {
        outcome: AttemptOutcome::Crashed,
        message: Some("killed".into()),
        exit_code: None,
        signal: Some(9),
    };
    daemon.worker().settle(ATTEMPT, 3, end.clone()).await.unwrap();
    assert_eq!(*daemon.memory.end.lock().unwrap(), Some(end));
    let held = HeldAttempt { attempt: ATTEMPT, progress: None };
    let reply = daemon.worker().heartbeat(WorkerId(1), vec![held]).await.unwrap();
    assert_eq!(reply.instructions, [(ATTEMPT, Instruction::Abandon)]);
}

#[tokio::test]
async fn a_watcher_sees_no_gap_when_the_daemon_is_killed_and_started_again() {
    let daemon = Daemon::start();
    let (socket, memory) = (daemon.socket.try_clone().unwrap(), Arc::clone(&daemon.memory));
    let mut watched = daemon.user().watch(2, None).await.unwrap();
    let seq = |item: Option<Result<WatchItem, ApiError>>| match item.unwrap().unwrap() {
        WatchItem::Event(event) => event.seq,
        WatchItem::Progress(..) => panic!("there is no progress"),
    };
    assert_eq!([seq(watched.next().await), seq(watched.next().await)], [3, 4]);
    drop(daemon);
    let _second = Daemon::on(socket, memory, None);
    assert_eq!(seq(watched.next().await), EVENTS);
}

#[tokio::test]
async fn streams_end_when_their_token_does_and_others_go_on() {
    let daemon = Daemon::start();
    let (reader, user) = (daemon.client(Token::new(GRANTED).unwrap()), daemon.user());
    let mut streams = [reader.watch(EVENTS - 1, None).await.unwrap(), user.watch(EVENTS - 1, None).await.unwrap()];
    for stream in &mut streams {
        stream.next().await.unwrap().unwrap();
    }
    daemon.memory.revoked.send_replace(true);
    let [mut ended, mut other] = streams;
    assert_eq!(ended.next().await, Some(Err(ApiError::Unauthenticated)));
    assert_eq!(ended.next().await, None);
    let silence = tokio::time::timeout(Duration::from_millis(50), other.next()).await;
    assert!(silence.is_err(), "the owner's token is another one: {silence:?}");
    let mut log = reader.logs(JobId(1), None, 0, Follow::No).await.unwrap();
    assert_eq!(log.next().await, Some(Err(ApiError::Unauthenticated)));
    let mut pages = reader.images(JobId(1)).await.unwrap();
    assert_eq!(pages.next().await, Some(Err(ApiError::Unauthenticated)));
}

#[tokio::test]
async fn outcomes_of_images_come_page_by_page_and_a_stream_that_breaks_off_goes_on_behind_the_last() {
    let daemon = Daemon::start();
    daemon.memory.faults_to_come.store(2, Ordering::SeqCst);
    let mut pages = daemon.user().images(JobId(1)).await.unwrap();
    for (evaluation, image) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
        assert_eq!(pages.next().await, Some(Ok(page(evaluation, image))));
    }
    assert_eq!(pages.next().await, None);
}

#[tokio::test]
async fn serving_ends_though_a_watcher_stays() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tokens = Tokens { user: token("user"), worker: token("worker") };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        let shutdown = async { stopped.await.unwrap() };
        serve(listener, None, Arc::new(Memory::default()), tokens, shutdown).await
    });
    let url = format!("http://{address}");
    let user = Client::new(&Endpoint { url, token: token("user"), tls: None }).unwrap();
    let mut watched = user.watch(0, None).await.unwrap();
    watched.next().await.unwrap().unwrap();
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(20), serving).await.unwrap().unwrap().unwrap();
}

/// Certificate files of a daemon that calls itself `localhost`.
fn certificate(folder: &TempDir) -> ServerTls {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let tls = ServerTls {
        certificate: folder.path().join("cert.pem"),
        key: folder.path().join("key.pem"),
        client_authority: None,
    };
    std::fs::write(&tls.certificate, made.cert.pem()).unwrap();
    std::fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
    tls
}

#[tokio::test]
async fn tls_lets_in_those_who_know_the_daemon_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let tls = certificate(&folder);
    let daemon = Daemon::on(StdListener::bind("127.0.0.1:0").unwrap(), Arc::default(), Some(tls.clone()));
    let url = format!("https://{}", daemon.address);
    let with = |authority: PathBuf| {
        let tls = Some(ClientTls { authority, domain: Some("localhost".to_owned()), identity: None });
        Client::new(&Endpoint { url: url.clone(), token: token("user"), tls }).unwrap().with_patience(Duration::ZERO)
    };
    assert_eq!(with(tls.certificate).workers().await, Ok(Vec::new()));

    let other_folder = tempfile::tempdir().unwrap();
    let other = certificate(&other_folder);
    assert!(with(other.certificate).workers().await.unwrap_err().is_transient());
    assert!(daemon.user().with_patience(Duration::ZERO).workers().await.unwrap_err().is_transient());
}

/// An authority, a certificate for the daemon, and one for a client, in PEM files.
struct Authority {
    folder: TempDir,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(folder.path().join("ca.pem"), parameters.self_signed(&key).unwrap().pem()).unwrap();
        Self { folder, issuer: rcgen::Issuer::new(parameters, key) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Certificate and key of somebody of that name.
    fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let (certificate, key_file) = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        std::fs::write(&certificate, parameters.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        (certificate, key_file)
    }
}

#[tokio::test]
async fn a_daemon_that_asks_for_certificates_lets_in_those_of_its_authority_alone() {
    let (lab, stranger) = (Authority::new(), Authority::new());
    let (certificate, key) = lab.sign("localhost");
    let tls = ServerTls { certificate, key, client_authority: Some(lab.path("ca.pem")) };
    tls.check().unwrap();
    let daemon = Daemon::on(StdListener::bind("127.0.0.1:0").unwrap(), Arc::default(), Some(tls));
    let url = format!("https://{}", daemon.address);
    let with = |identity: Option<(PathBuf, PathBuf)>, token: Token| {
        let identity = identity.map(|(certificate, key)| ClientIdentity { certificate, key });
        let tls = ClientTls { authority: lab.path("ca.pem"), domain: Some("localhost".to_owned()), identity };
        let endpoint = Endpoint { url: url.clone(), token, tls: Some(tls) };
        Client::new(&endpoint).unwrap().with_patience(Duration::ZERO)
    };
    assert_eq!(with(Some(lab.sign("ada")), token("user")).workers().await, Ok(Vec::new()));
    let refused = with(Some(lab.sign("ada")), token("stranger")).workers().await;
    assert_eq!(refused, Err(ApiError::Unauthenticated), "a certificate is no token");
    for identity in [None, Some(stranger.sign("eve"))] {
        assert!(with(identity, token("user")).workers().await.unwrap_err().is_transient());
    }
}

#[tokio::test]
async fn an_address_that_cannot_be_used_is_refused_before_anything_is_sent() {
    for url in ["localhost:7600", "ftp://x", "https://localhost:7600", "http://"] {
        let endpoint = Endpoint { url: url.into(), token: token("user"), tls: None };
        assert!(matches!(Client::new(&endpoint), Err(ApiError::Invalid(_))), "{url}");
    }
}

#[tokio::test]
async fn a_daemon_that_is_not_there_is_unavailable_and_named() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let endpoint = Endpoint { url: format!("http://{address}"), token: token("user"), tls: None };
    let error = Client::new(&endpoint).unwrap().with_patience(Duration::ZERO).workers().await.unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(error.next_step().contains("rrmd"));
}

#[tokio::test]
async fn a_server_of_something_else_is_unavailable_and_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answering = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.unwrap();
        // Until the other side has seen it.
        drop(tokio::io::copy(&mut stream, &mut tokio::io::sink()).await);
    });
    let client = Client::new(&Endpoint { url: url.clone(), token: token("user"), tls: None }).unwrap();
    let error = client.with_patience(Duration::ZERO).workers().await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert!(error.to_string().contains(&format!("{url} does not speak gRPC: is it the port of the pages?")), "{error}");
    answering.abort();
}

#[tokio::test]
async fn an_unusable_certificate_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tls =
        ServerTls { certificate: "/nowhere/cert.pem".into(), key: "/nowhere/key.pem".into(), client_authority: None };
    let tokens = Tokens { user: token("user"), worker: token("worker") };
    let served = serve(listener, Some(&tls), Arc::new(Memory::default()), tokens, std::future::pending()).await;
    assert!(served.unwrap_err().to_string().contains("/nowhere/cert.pem"));
}

#[tokio::test]
async fn wishes_about_jobs_and_workers_arrive_as_they_were_meant() {
    let daemon = Daemon::start();
    let user = daemon.user();
    let refused = |what: &str| ApiError::Precondition { what: what.into() };
    let change = user.change(vec![JobId(1)], JobChange::Priority(-3)).await;
    assert_eq!(change, Err(refused("Priority(-3)")));
    let preempted = user.preempt(request("preempt-1"), vec![JobId(1)], AfterPreemption::Hold).await;
    assert_eq!(preempted, Err(refused("Hold")));
    let wish = RetryWish { begin: RetryBegin::Checkpoint, dependents: Dependents::Retry, time_limit: None };
    let retried = user.retry(request("retry-no-1"), vec![JobId(3)], wish).await.unwrap();
    assert_eq!((retried[0].retry_of, retried[0].job, retried[0].resumes_after), (JobId(3), JobId(4), 2));
    let node = DrainTarget::Node("node1".into());
    assert_eq!(user.drain(node.clone(), DrainHow::Now).await, Ok(vec![JobId(1)]));
    assert_eq!(user.drain(DrainTarget::Daemon, DrainHow::Finish).await, Ok(vec![JobId(1)]));
    user.undrain(node).await.unwrap();
    assert_eq!(
        user.drains().await.unwrap(),
        [DrainView { target: DrainTarget::Daemon, how: DrainHow::Finish, since: 1 }]
    );
    let refused = daemon.worker().drains().await;
    assert!(matches!(refused, Err(ApiError::PermissionDenied { .. })), "{refused:?}");
}

//! Silence of every part: frozen workers, a daemon that is away.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rrm_api::{ApiError, AttemptEnd};
use rrm_spec::{Accuracy, AttemptId, AttemptOutcome, EpochRecord, Record};
use sha2::{Digest, Sha256};

use crate::{
    lab::{Lab, MAIN_JOB},
    process::{Process, eventually},
};

/// A worker that was frozen together with its trainers, long enough that another one took its job over.
struct Zombie {
    worker: Process,
    trainers: Vec<Pid>,
}

impl Zombie {
    fn freeze(worker: Process) -> Self {
        let trainers = worker.children();
        worker.signal(Signal::SIGSTOP);
        trainers.iter().for_each(|child| kill(*child, Signal::SIGSTOP).expect("the trainer runs"));
        Self { worker, trainers }
    }

    /// The trainer first: it has something to say when its worker wakes up.
    fn wake(&self) {
        self.trainers.iter().for_each(|child| kill(*child, Signal::SIGCONT).expect("the trainer is only frozen"));
        self.worker.signal(Signal::SIGCONT);
    }

    fn has_a_trainer(&self) -> bool {
        let children = self.worker.children();
        self.trainers.iter().any(|child| children.contains(child))
    }
}

/// An epoch that nobody trained.
fn forged(epoch: u32) -> Record {
    let all = Accuracy { correct: 24, total: 24 };
    let (train_us, validation_us, images, learning_rate, loss) = (1, 1, 72, 0.05, 0.0);
    Record::Epoch(EpochRecord {
        epoch,
        train_us,
        validation_us,
        images,
        learning_rate,
        loss,
        train: all,
        natural: all,
        robust: None,
    })
}

/// Everything that is stored of the first attempt.
fn rows_of_the_first_attempt(lab: &Lab) -> Vec<String> {
    lab.column(
        "select json_array('attempt', outcome, message, exit_code, signal, ended_at, last_seq, first_epoch) \
         from attempt where attempt_id = 1 \
         union all select json_array('epoch', epoch, train_us, loss, natural_correct, recorded_at) \
         from epoch where attempt_id = 1 \
         union all select json_array('checkpoint', epoch, role, sha256, recorded_at) from checkpoint where attempt_id = 1 \
         union all select json_array('event', seq, kind, data) from event where attempt_id = 1",
    )
}

/// What a worker can say about the first attempt, each with the daemon's answer.
async fn late_words(client: rrm_api::Client, file: &std::path::Path) -> Vec<(&'static str, ApiError)> {
    let attempt = AttemptId(1);
    let bytes = std::fs::read(file).expect("the file is there");
    let sha256 = hex::encode(Sha256::digest(&bytes)).parse().expect("SHA-256 has 64 digits");
    let end = AttemptEnd { outcome: AttemptOutcome::Ok, exit_code: Some(0), signal: None, message: None };
    let answers = [
        ("what is stored", client.report(attempt, 1, vec![forged(1)]).await.map(drop)),
        ("a new epoch", client.report(attempt, 1, (1..=40).map(forged).collect()).await.map(drop)),
        ("nothing new", client.report(attempt, 1, Vec::new()).await.map(drop)),
        ("a checkpoint", client.upload(attempt, file, &sha256, bytes.len() as u64).await),
        ("success", client.settle(attempt, 0, end).await),
    ];
    answers.into_iter().map(|(what, answer)| (what, answer.expect_err(what))).collect()
}

#[test]
fn a_zombie_workers_late_report_is_refused() {
    let lab = Lab::open();
    let zombie = lab.start_worker("zombie");
    let jobs = lab.submit(&MAIN_JOB.replace("epochs = 3", "epochs = 40"));
    eventually("the first epoch is recorded", || (!lab.job(jobs[0])["epochs"].as_array()?.is_empty()).then_some(()));
    let zombie = Zombie::freeze(zombie);
    eventually("the daemon gives the zombie up", || {
        (lab.job(jobs[0])["attempts"][0]["outcome"] == "lost").then_some(())
    });
    let _second = lab.start_worker("second");
    eventually("another worker takes over", || (lab.job(jobs[0])["attempts"].as_array()?.len() == 2).then_some(()));

    let before = rows_of_the_first_attempt(&lab);
    assert!(before.iter().any(|row| row.starts_with(r#"["epoch""#)), "{before:#?}");
    let file = lab.path("plan.toml"); // Any bytes that the store does not have.
    for (what, answer) in lab.as_worker(async |client| late_words(client, &file).await) {
        assert_eq!(answer, ApiError::LeaseLost, "{what}");
    }
    assert_eq!(rows_of_the_first_attempt(&lab), before);

    zombie.wake();
    eventually("the zombie is refused", || lab.read("zombie.log").contains("no longer this worker's").then_some(()));
    eventually("its trainer is gone", || (!zombie.has_a_trainer()).then_some(()));
    lab.success(jobs[0]);
    assert_eq!(rows_of_the_first_attempt(&lab), before);
    let job = lab.job(jobs[0]);
    assert_eq!(job["attempts"][1]["outcome"], "ok");
    let epochs: Vec<_> =
        job["epochs"].as_array().unwrap().iter().map(|epoch| epoch["epoch"].as_i64().unwrap()).collect();
    assert_eq!(epochs, (1..=40).collect::<Vec<_>>());
}

#[test]
fn training_goes_on_while_the_daemon_is_away_and_nothing_is_recorded_twice() {
    let mut lab = Lab::open();
    let worker = lab.start_worker("worker");
    let jobs = lab.submit(&MAIN_JOB.replace("epochs = 3", "epochs = 8"));
    eventually("the trainer runs", || (!worker.children().is_empty()).then_some(()));
    lab.daemon().kill_nine();
    let spool = lab.path("worker").join("spool");
    eventually("the trainer works on without a daemon", || {
        let spooled = std::fs::read_dir(&spool).ok()?.flatten();
        let lines: usize = spooled.map(|f| std::fs::read_to_string(f.path()).unwrap_or_default().lines().count()).sum();
        (lines >= 4).then_some(())
    });
    lab.start_daemon();
    lab.success(jobs[0]);
    let job = lab.job(jobs[0]);
    assert_eq!(job["attempts"].as_array().unwrap().len(), 1, "{job:#}");
    // The rows themselves: a view that shows of each epoch one would hide a second.
    let each = (1..=8).map(|epoch| epoch.to_string()).collect::<Vec<_>>();
    let rows = lab.column("select cast(epoch as text) from epoch where attempt_id = 1 order by epoch");
    assert_eq!(rows, each);
    let told = lab
        .column("select cast(data ->> '$.epoch' as text) from event where kind = 'epoch' and job_id = 1 order by seq");
    assert_eq!(told, each);
    assert_eq!(lab.column("select data from event where kind like 'error.%'"), [""; 0]);
}

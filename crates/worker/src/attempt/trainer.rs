//! A trainer at work: what it needs, what it says, how it ends.

use std::{
    future::pending,
    io,
    path::PathBuf,
    process::ExitStatus,
    sync::{Arc, Mutex},
    time::Duration,
};

use rrm_api::AttemptEnd;
use rrm_spec::{ArtifactHash, Assignment, AttemptOutcome, CheckpointRole, Event, JobId, Record};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::ChildStdout,
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::blocking;
use crate::{
    cache::CacheError,
    child::{Child, Pipes, Start},
    deliver::{Outbox, PAUSE, waiting_cures},
    logs::{self, Extent, tail},
    outcome::{LastWord, Told, end_by, end_of},
    roster::{Order, Place},
    spool::{Folders, PinError, Spool, pin, unpin},
    workshop::Workshop,
};

/// Output that does not end with its trainer is held open by something that it left behind; nobody waits longer for it.
const LAST_WORDS: Duration = Duration::from_secs(2);

pub(super) struct Trainer<'a> {
    pub(super) shop: &'a Workshop,
    pub(super) assignment: &'a Assignment,
    pub(super) folders: &'a Folders,
    pub(super) place: &'a Place,
    pub(super) outbox: &'a watch::Sender<Outbox>,
    pub(super) spool: Arc<Mutex<Spool>>,
}

/// How a trainer's process ended.
struct Ended {
    word: Option<LastWord>,
    status: io::Result<ExitStatus>,
    told: Told,
    /// What this worker could not do for it.
    fault: Option<String>,
}

impl Trainer<'_> {
    /// Runs the trainer to its end, whatever that is.
    pub(super) async fn run(&self, extent: &watch::Sender<Extent>) -> AttemptEnd {
        let fetched = tokio::select! {
            fetched = self.fetch() => fetched,
            () = self.told_to_end() => {
                return end_by(AttemptOutcome::Stopped, "told to stop before the trainer began");
            }
        };
        let started = match fetched {
            Ok((inputs, resume)) => self.start(inputs, resume).await,
            Err(error) => return end_by(AttemptOutcome::WorkerError, error.to_string()),
        };
        match started {
            Ok((child, pipes)) => self.attend(child, pipes, extent).await,
            Err(error) => {
                let program = self.shop.program.display();
                end_by(AttemptOutcome::WorkerError, format!("the trainer {program} cannot be started: {error}"))
            }
        }
    }

    async fn told_to_end(&self) {
        let mut orders = self.place.orders.clone();
        if orders.wait_for(|order| *order > Order::Continue).await.is_err() {
            pending::<()>().await;
        }
    }

    /// Places the networks that the job refers to, and the checkpoint to go on from.
    async fn fetch(&self) -> Result<(Vec<(JobId, PathBuf)>, Option<PathBuf>), CacheError> {
        let mut inputs = Vec::new();
        for input in &self.assignment.inputs {
            let path = self.folders.training().join(format!("input-{}.safetensors", input.job));
            self.place_artifact(&input.sha256, &path).await?;
            inputs.push((input.job, path));
        }
        let Some(resume) = &self.assignment.resume else { return Ok((inputs, None)) };
        let path = self.folders.training().join("resume-from.safetensors");
        match self.place_artifact(&resume.sha256, &path).await {
            Ok(()) => Ok((inputs, Some(path))),
            Err(error) => {
                // Slower, but with the same result.
                tracing::warn!(attempt = %self.place.attempt, %error, "cannot resume; begins anew");
                Ok((inputs, None))
            }
        }
    }

    async fn place_artifact(&self, sha256: &ArtifactHash, path: &std::path::Path) -> Result<(), CacheError> {
        loop {
            match self.shop.cache.place(&self.shop.client, sha256, path).await {
                Err(CacheError::Fetch { sha256, source }) if waiting_cures(&source) => {
                    tracing::warn!(%sha256, error = %source, "cannot be fetched now; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
                other => return other,
            }
        }
    }

    async fn start(&self, inputs: Vec<(JobId, PathBuf)>, resume: Option<PathBuf>) -> io::Result<(Child, Pipes)> {
        let config = &self.shop.config;
        Child::start(&Start {
            program: &self.shop.program,
            spec: &self.assignment.spec,
            device: self.assignment.device,
            threads: config.threads,
            data_dir: &config.data_dir,
            work_dir: self.folders.training(),
            inputs,
            resume,
        })
        .await
    }

    /// Listens to the trainer until it has ended and all is heard.
    async fn attend(&self, child: Child, pipes: Pipes, extent: &watch::Sender<Extent>) -> AttemptEnd {
        let path = self.folders.log();
        let copying = async {
            if let Err(error) = logs::keep(&path, extent.clone(), pipes.stderr).await {
                tracing::warn!(attempt = %self.place.attempt, %error, "the log is not complete");
            }
        };
        let supervised = self.supervise(child, pipes.stdout);
        tokio::pin!(copying, supervised);
        let mut copied = false;
        let ended = loop {
            tokio::select! {
                ended = &mut supervised => break ended,
                () = &mut copying, if !copied => copied = true,
            }
        };
        if !copied && timeout(LAST_WORDS, copying).await.is_err() {
            tracing::debug!(attempt = %self.place.attempt, "something holds the trainer's log open");
        }
        let Ended { word, status, told, fault } = ended;
        match (fault, status) {
            (Some(fault), _) => end_by(AttemptOutcome::WorkerError, fault),
            (None, Ok(status)) => end_of(word, status, told, &tail(&path).await),
            (None, Err(error)) => end_by(AttemptOutcome::WorkerError, format!("waiting for the trainer: {error}")),
        }
    }

    /// Hears every event and carries out every order, until the process has ended and its output, too.
    async fn supervise(&self, mut child: Child, stdout: ChildStdout) -> Ended {
        let mut lines = BufReader::new(stdout).lines();
        let mut orders = self.place.orders.clone();
        orders.mark_changed();
        let (mut status, mut open) = (None, true);
        let (mut kill_at, mut give_up_at) = (None, None);
        let mut ended =
            Ended { word: None, status: Err(io::Error::other("it runs")), told: Told::Nothing, fault: None };
        while status.is_none() || open {
            tokio::select! {
                line = lines.next_line(), if open => match line {
                    Ok(Some(line)) => {
                        if let Err(fault) = self.hear(&line, &mut ended.word).await {
                            ended.fault.get_or_insert(fault);
                            child.kill();
                        }
                    }
                    Ok(None) | Err(_) => open = false,
                },
                exit = child.wait(), if status.is_none() => {
                    status = Some(exit);
                    give_up_at = Some(Instant::now() + LAST_WORDS);
                }
                Ok(()) = orders.changed() => {
                    let order = *orders.borrow_and_update();
                    self.carry_out(order, &child, &mut kill_at, &mut ended.told);
                }
                () = reached(kill_at) => {
                    tracing::warn!(attempt = %self.place.attempt, "did not stop in time; killed");
                    kill_at = None;
                    child.kill();
                }
                () = reached(give_up_at) => open = false,
            }
        }
        Ended { status: status.expect("the loop ends after the process"), ..ended }
    }

    fn carry_out(&self, order: Order, child: &Child, kill_at: &mut Option<Instant>, told: &mut Told) {
        if order == Order::Continue {
            return;
        }
        tracing::info!(attempt = %self.place.attempt, ?order, "is told to end");
        *told = Told::ToEnd;
        match order {
            Order::Continue => {}
            Order::Stop => {
                child.stop();
                kill_at.get_or_insert(Instant::now() + self.shop.config.grace);
            }
            Order::Kill | Order::Abandon => child.kill(),
        }
    }

    /// Takes in a line; an error means that the attempt cannot go on here.
    async fn hear(&self, line: &str, word: &mut Option<LastWord>) -> Result<(), String> {
        match serde_json::from_str(line) {
            Ok(Event::Progress(progress)) => {
                self.place.progress.send_replace(Some(progress));
            }
            Ok(Event::Record(record)) => return self.keep(record).await,
            Ok(Event::Finished) => *word = Some(LastWord::Finished),
            Ok(Event::Stopped) => *word = Some(LastWord::Stopped),
            Ok(Event::Failed { class, message }) => *word = Some(LastWord::Failed(class, message)),
            Err(error) => {
                tracing::warn!(attempt = %self.place.attempt, %error, "a line of the trainer's is no event");
            }
        }
        Ok(())
    }

    /// Brings a record to disk, then to the daemon's courier.
    async fn keep(&self, record: Record) -> Result<(), String> {
        if let Record::Checkpoint(checkpoint) = &record {
            let pinned = blocking({
                let (folders, checkpoint) = (self.folders.clone(), checkpoint.clone());
                move || Ok(pin(&folders, &checkpoint))
            });
            match pinned.await.map_err(|error| error.to_string())? {
                Ok(()) => {}
                // Newer than what was announced: its own record is about to come.
                Err(error @ PinError::Replaced { .. }) if checkpoint.role == CheckpointRole::Resume => {
                    tracing::warn!(attempt = %self.place.attempt, %error, "skipped a checkpoint");
                    return Ok(());
                }
                Err(error) => return Err(format!("a checkpoint cannot be kept: {error}")),
            }
        }
        let appended = blocking({
            let (spool, record) = (Arc::clone(&self.spool), record.clone());
            move || spool.lock().map_err(|_| io::Error::other("the spool broke"))?.append(&record)
        });
        appended.await.map_err(|error| format!("a record cannot be kept: {error}"))?;
        self.supersede(&record).await;
        self.outbox.send_modify(|outbox| outbox.records.push(record));
        Ok(())
    }

    /// Lets go of the checkpoint that nobody will resume from any more, sent or not: while the daemon is away they would
    /// fill the disk.
    async fn supersede(&self, newer: &Record) {
        let Some(newer) = resume_checkpoint(newer) else { return };
        let older = self.outbox.borrow().records.iter().rev().find_map(resume_checkpoint).cloned();
        let Some(older) = older.filter(|older| older != newer) else { return };
        let folders = self.folders.clone();
        if let Err(error) = blocking(move || unpin(&folders, &older)).await {
            tracing::warn!(attempt = %self.place.attempt, %error, "an old checkpoint stays until its attempt's end");
        }
    }
}

fn resume_checkpoint(record: &Record) -> Option<&ArtifactHash> {
    match record {
        Record::Checkpoint(checkpoint) if checkpoint.role == CheckpointRole::Resume => Some(&checkpoint.sha256),
        _ => None,
    }
}

/// Completes at a moment; never where there is none.
async fn reached(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}

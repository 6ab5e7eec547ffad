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
use rrm_spec::{ArtifactHash, Assignment, AttemptOutcome, Event, InputName};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::ChildStdout,
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    cache::CacheError,
    child::{Child, Pipes, Start},
    deliver::{Outbox, PAUSE, waiting_cures},
    logs::{self, Extent, tail},
    outcome::{LastWord, Told, end_by, end_of},
    roster::{Order, Place},
    spool::{Folders, Spool},
    workshop::Workshop,
};

/// Output that does not end with its trainer is held open by something that it left behind; nobody waits longer for it.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Characters of a line that are shown in an error message.
const SHOWN: usize = 200;

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
    /// How the attempt ends since this worker could not go on with it.
    fault: Option<AttemptEnd>,
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

    pub(super) async fn told_to_end(&self) {
        let mut orders = self.place.orders.clone();
        if orders.wait_for(|order| *order > Order::Continue).await.is_err() {
            pending::<()>().await;
        }
    }

    /// Places the networks that the job refers to, and the checkpoint to go on from.
    async fn fetch(&self) -> Result<(Vec<(InputName, PathBuf)>, Option<PathBuf>), CacheError> {
        let mut inputs = Vec::new();
        for input in &self.assignment.inputs {
            let file = match input.name() {
                InputName::Job(job) => format!("input-{job}.safetensors"),
                InputName::Artifact(sha256) => format!("input-{sha256}.safetensors"),
            };
            let path = self.folders.training().join(file);
            self.place_artifact(&input.sha256, &path).await?;
            inputs.push((input.name(), path));
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

    async fn start(&self, inputs: Vec<(InputName, PathBuf)>, resume: Option<PathBuf>) -> io::Result<(Child, Pipes)> {
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
            (Some(fault), _) => fault,
            (None, Ok(status)) => end_of(word, status, told, &tail(&path).await, &self.what_holds()),
            (None, Err(error)) => end_by(AttemptOutcome::WorkerError, format!("waiting for the trainer: {error}")),
        }
    }

    /// Hears every event and carries out every order, until the process has ended and its output, too.
    async fn supervise(&self, mut child: Child, stdout: ChildStdout) -> Ended {
        let mut output = BufReader::new(stdout);
        let mut line = Vec::new();
        let mut orders = self.place.orders.clone();
        orders.mark_changed();
        let (mut status, mut open) = (None, true);
        let (mut kill_at, mut give_up_at) = (None, None);
        // Its own clock, which no change of the wall's can stretch or shorten.
        let mut time_is_up_at = self.assignment.time_limit.map(|limit| Instant::now() + limit.duration());
        let mut ended =
            Ended { word: None, status: Err(io::Error::other("it runs")), told: Told::Nothing, fault: None };
        while status.is_none() || open {
            tokio::select! {
                // What has come of a line stays in it when another branch is faster.
                read = output.read_until(b'\n', &mut line), if open => {
                    open = read.is_ok() && line.ends_with(b"\n");
                    let heard = match read {
                        Err(error) => Err(fault(format!("the trainer's output cannot be read: {error}"))),
                        // After a fault there would be a gap before what comes.
                        Ok(_) if !open || ended.fault.is_some() => Ok(()),
                        Ok(_) => self.hear(&line, &mut ended.word).await,
                    };
                    line.clear();
                    if let Err(fault) = heard {
                        ended.fault.get_or_insert(fault);
                        child.kill();
                    }
                }
                exit = child.wait(), if status.is_none() => {
                    status = Some(exit);
                    give_up_at = Some(Instant::now() + LAST_WORDS);
                }
                Ok(()) = orders.changed() => {
                    let order = *orders.borrow_and_update();
                    self.carry_out(order, &child, &mut kill_at, &mut ended.told);
                }
                () = reached(time_is_up_at), if status.is_none() => {
                    time_is_up_at = None;
                    self.time_is_up(&child, &mut kill_at, &mut ended.told);
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
        // What it was told first is why it ends.
        if *told == Told::Nothing {
            *told = Told::ToEnd;
        }
        match order {
            Order::Continue => {}
            Order::Stop => {
                child.stop();
                kill_at.get_or_insert(Instant::now() + self.shop.config.grace);
            }
            Order::Kill | Order::Abandon => child.kill(),
        }
    }

    /// Its last word counts nevertheless: it may have been about to say that it is done.
    fn time_is_up(&self, child: &Child, kill_at: &mut Option<Instant>, told: &mut Told) {
        let Some(limit) = self.assignment.time_limit.filter(|_| *told == Told::Nothing) else { return };
        tracing::warn!(attempt = %self.place.attempt, %limit, "has run for as long as it may; is told to end");
        *told = Told::TimeIsUp(limit);
        child.stop();
        kill_at.get_or_insert(Instant::now() + self.shop.config.grace);
    }

    /// Takes in a line; an error means that the attempt cannot go on here.
    async fn hear(&self, line: &[u8], word: &mut Option<LastWord>) -> Result<(), AttemptEnd> {
        match read_event(line).map_err(fault)? {
            Some(Event::Progress(progress)) => {
                self.place.progress.send_replace(Some(progress));
            }
            Some(Event::Record(record)) => return self.keep(record).await,
            Some(Event::Finished) => *word = Some(LastWord::Finished),
            Some(Event::Stopped) => *word = Some(LastWord::Stopped),
            Some(Event::Failed { class, message }) => *word = Some(LastWord::Failed(class, message)),
            None => {
                let line = String::from_utf8_lossy(line);
                tracing::warn!(attempt = %self.place.attempt, line = line.trim_end(), "a line of the trainer's is no event");
            }
        }
        Ok(())
    }
}

/// An end for which this worker is to blame.
fn fault(message: String) -> AttemptEnd {
    end_by(AttemptOutcome::WorkerError, message)
}

/// Reads a line; `None` where it is a word of some library's. What was meant to be an event and is none may have been a
/// record: without it the rest is worth nothing.
fn read_event(line: &[u8]) -> Result<Option<Event>, String> {
    let error = match serde_json::from_slice(line) {
        Ok(event) => return Ok(Some(event)),
        Err(error) => error,
    };
    match std::str::from_utf8(line) {
        Ok(text) if !text.trim_start().starts_with('{') => Ok(None),
        _ => {
            let text = String::from_utf8_lossy(line);
            let begin: String = text.trim_end().chars().take(SHOWN).collect();
            Err(format!("what the trainer tells cannot be understood: {error}: {begin}"))
        }
    }
}

/// Completes at a moment; never where there is none.
async fn reached(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}

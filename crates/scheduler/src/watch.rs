//! Watching: the log of events as it grows, and the progress of running jobs.

use std::collections::HashSet;

use rrm_api::{ApiError, Replies, WatchItem};
use rrm_spec::{JobId, Progress, SubmissionId};
use tokio::sync::{broadcast::error::RecvError, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use crate::Daemon;
use crate::error::{answer, stopping};

/// Events read at once. Pages, not an open cursor: a reader that stays open keeps the write-ahead log from being emptied.
const PAGE: u32 = 500;

/// Items that wait for a slow watcher.
const BACKLOG: usize = 64;

type Items = mpsc::Sender<Result<WatchItem, ApiError>>;

impl Daemon {
    /// Events after `after`, each once and in order, those to come included, with the progress of running jobs between them.
    pub(crate) async fn watched(
        &self,
        after: i64,
        submission: Option<SubmissionId>,
    ) -> Result<Replies<WatchItem>, ApiError> {
        let jobs = match submission {
            Some(submission) => Some(self.jobs_of(submission).await?),
            None => None,
        };
        let (items, receiver) = mpsc::channel(BACKLOG);
        let watcher = Watcher { daemon: self.clone(), after, submission, jobs };
        tokio::spawn(watcher.run(items));
        Ok(Box::pin(ReceiverStream::new(receiver)))
    }

    async fn jobs_of(&self, submission: SubmissionId) -> Result<HashSet<JobId>, ApiError> {
        let jobs = self.store.jobs_of(submission).await.map_err(answer)?;
        match jobs.is_empty() {
            true => Err(ApiError::NotFound { what: format!("submission {submission}") }),
            false => Ok(jobs.into_iter().collect()),
        }
    }
}

struct Watcher {
    daemon: Daemon,
    after: i64,
    submission: Option<SubmissionId>,
    /// Whose progress is told; absent = everybody's.
    jobs: Option<HashSet<JobId>>,
}

/// The watcher has gone.
struct Gone;

impl Watcher {
    async fn run(mut self, items: Items) {
        let stopped = self.daemon.stopping.clone().cancelled_owned();
        let followed = tokio::select! {
            followed = self.follow(&items) => followed,
            () = items.closed() => return,
            // An error that says to come back: an end without one would mean that there is nothing more.
            () = stopped => Err(stopping()),
        };
        if let Err(error) = followed {
            // Whoever has gone needs no word.
            let _ = items.send(Err(error)).await;
        }
    }

    async fn follow(&mut self, items: &Items) -> Result<(), ApiError> {
        let mut events = self.daemon.store.watch_events();
        let mut progress = self.daemon.progress.subscribe();
        let running = self.daemon.leases().all_progress();
        for (job, at) in running {
            if self.tell_progress(items, job, at).await.is_err() {
                return Ok(());
            }
        }
        loop {
            // Before reading: what is written while we read must wake us.
            events.mark_unchanged();
            if self.tell_events(items).await?.is_err() {
                return Ok(());
            }
            // Progress as long as there are no new events.
            loop {
                let told = tokio::select! {
                    changed = events.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return Err(stopping()),
                    },
                    heard = progress.recv() => match heard {
                        Ok((job, at)) => self.tell_progress(items, job, at).await,
                        Err(RecvError::Lagged(_)) => Ok(()),
                        Err(RecvError::Closed) => return Err(stopping()),
                    },
                };
                if told.is_err() {
                    return Ok(());
                }
            }
        }
    }

    async fn tell_events(&mut self, items: &Items) -> Result<Result<(), Gone>, ApiError> {
        loop {
            let page = self.daemon.store.events(self.after, self.submission, PAGE).await.map_err(answer)?;
            let is_last = page.len() < PAGE as usize;
            for event in page {
                self.after = event.seq;
                if items.send(Ok(WatchItem::Event(event))).await.is_err() {
                    return Ok(Err(Gone));
                }
            }
            if is_last {
                return Ok(Ok(()));
            }
        }
    }

    async fn tell_progress(&self, items: &Items, job: JobId, at: Progress) -> Result<(), Gone> {
        match self.jobs.as_ref().is_none_or(|jobs| jobs.contains(&job)) {
            true => items.send(Ok(WatchItem::Progress(job, at))).await.map_err(|_| Gone),
            false => Ok(()),
        }
    }
}

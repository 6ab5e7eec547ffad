//! Reading an attempt's log, and following it as it grows.

use rrm_api::{ApiError, Follow, LogChunk, Replies};
use rrm_spec::{AttemptId, AttemptView, JobId};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use crate::Daemon;
use crate::error::{answer, disk, stopping};

/// Pieces that wait for a slow reader.
const BACKLOG: usize = 8;

type Chunks = mpsc::Sender<Result<LogChunk, ApiError>>;

impl Daemon {
    /// The log of a job's attempt, or of its newest, from `offset` on; to its present end, or until the attempt has ended.
    pub(crate) async fn log(
        &self,
        job: JobId,
        attempt: Option<AttemptId>,
        offset: u64,
        follow: Follow,
    ) -> Result<Replies<LogChunk>, ApiError> {
        // Also tells a job that does not exist.
        let attempts = self.store.job(job).await.map_err(answer)?.attempts;
        let attempt = match (attempt, follow) {
            (Some(id), _) if attempts.iter().all(|it| it.id != id) => {
                return Err(ApiError::NotFound { what: format!("attempt {id} of job {job}") });
            }
            (None, Follow::No) => match attempts.last() {
                None => return Err(ApiError::NotFound { what: format!("an attempt of job {job}: none was made yet") }),
                Some(newest) => Some(newest.id),
            },
            (given, _) => given,
        };
        let (chunks, receiver) = mpsc::channel(BACKLOG);
        let reader = Reader { daemon: self.clone(), job, attempt, offset };
        tokio::spawn(reader.run(follow, chunks));
        Ok(Box::pin(ReceiverStream::new(receiver)))
    }
}

struct Reader {
    daemon: Daemon,
    job: JobId,
    /// Absent until there is one.
    attempt: Option<AttemptId>,
    offset: u64,
}

impl Reader {
    async fn run(mut self, follow: Follow, chunks: Chunks) {
        let stopped = self.daemon.stopping.clone().cancelled_owned();
        let read = tokio::select! {
            read = self.read(follow, &chunks) => read,
            () = chunks.closed() => return,
            // An error that says to come back: an end without one would mean that the log is complete.
            () = stopped => Err(stopping()),
        };
        if let Err(error) = read {
            // Whoever has gone needs no word.
            let _ = chunks.send(Err(error)).await;
        }
    }

    async fn read(&mut self, follow: Follow, chunks: &Chunks) -> Result<(), ApiError> {
        let mut grown = self.daemon.logs.watch();
        let mut events = self.daemon.store.watch_events();
        loop {
            // Before looking: what comes while we look must wake us.
            grown.mark_unchanged();
            events.mark_unchanged();
            let is_complete = self.look().await?;
            self.drain(chunks).await?;
            if is_complete || follow == Follow::No {
                return Ok(());
            }
            either(&mut grown, &mut events).await?;
        }
    }

    /// Whether nothing more will be written; chooses the attempt where none was named.
    async fn look(&mut self) -> Result<bool, ApiError> {
        let attempts = self.daemon.store.attempts(self.job).await.map_err(answer)?;
        self.attempt = self.attempt.or(attempts.last().map(|newest| newest.id));
        if self.attempt.is_some() {
            return Ok(attempts.iter().any(|it| Some(it.id) == self.attempt && has_ended(it)));
        }
        let job = self.daemon.store.jobs_by_id(&[self.job]).await.map_err(answer)?;
        Ok(job.iter().all(|job| job.state.is_terminal()))
    }

    async fn drain(&mut self, chunks: &Chunks) -> Result<(), ApiError> {
        let Some(attempt) = self.attempt else { return Ok(()) };
        loop {
            let failed = |error| disk("the log cannot be read", &error);
            let bytes = self.daemon.logs.read(attempt, self.offset).await.map_err(failed)?;
            if bytes.is_empty() {
                return Ok(());
            }
            let chunk = LogChunk { attempt, offset: self.offset, bytes };
            self.offset += chunk.bytes.len() as u64;
            if chunks.send(Ok(chunk)).await.is_err() {
                return Ok(());
            }
        }
    }
}

fn has_ended(attempt: &AttemptView) -> bool {
    attempt.ended_at.is_some()
}

async fn either(grown: &mut watch::Receiver<u64>, events: &mut watch::Receiver<i64>) -> Result<(), ApiError> {
    let changed = tokio::select! {
        changed = grown.changed() => changed,
        changed = events.changed() => changed,
    };
    changed.map_err(|_| stopping())
}

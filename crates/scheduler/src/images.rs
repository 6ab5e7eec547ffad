//! Reading the outcomes of an evaluation's images.

use rrm_api::{ApiError, ImagesFrom, ImagesPage, Replies};
use rrm_spec::JobId;
use rrm_store::Store;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::Daemon;
use crate::error::{answer, stopping};

/// Pages that wait for a slow reader.
const BACKLOG: usize = 4;

impl Daemon {
    /// The outcomes of the images of a job's evaluations, page by page: an open cursor would keep the write-ahead log from being emptied.
    pub(crate) async fn outcomes(&self, job: JobId, from: ImagesFrom) -> Result<Replies<ImagesPage>, ApiError> {
        // A job that does not exist is told, and whether anything is there at all.
        self.store.job(job).await.map_err(answer)?;
        if page(&self.store, job, ImagesFrom::default()).await?.is_none() {
            return Err(ApiError::NotFound { what: format!("an evaluation of job {job}") });
        }
        let (pages, receiver) = mpsc::channel(BACKLOG);
        let (store, stopped) = (self.store.clone(), self.stopping.clone().cancelled_owned());
        tokio::spawn(async move {
            let read = tokio::select! {
                read = read(&store, job, from, &pages) => read,
                () = pages.closed() => return,
                // An error that says to come back: an end without one would mean that there are no more.
                () = stopped => Err(stopping()),
            };
            if let Err(error) = read {
                // Whoever has gone needs no word.
                let _ = pages.send(Err(error)).await;
            }
        });
        Ok(Box::pin(ReceiverStream::new(receiver)))
    }
}

async fn read(
    store: &Store,
    job: JobId,
    mut from: ImagesFrom,
    pages: &mpsc::Sender<Result<ImagesPage, ApiError>>,
) -> Result<(), ApiError> {
    while let Some(page) = page(store, job, from).await? {
        from = ImagesFrom { evaluation: page.evaluation, after: page.images.last().map(|last| last.image) };
        if pages.send(Ok(page)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

async fn page(store: &Store, job: JobId, from: ImagesFrom) -> Result<Option<ImagesPage>, ApiError> {
    let ImagesFrom { evaluation, after } = from;
    let found = store.images(job, evaluation, after).await.map_err(answer)?;
    Ok(found.map(|rrm_store::ImagesPage { evaluation, attack, images }| ImagesPage { evaluation, attack, images }))
}

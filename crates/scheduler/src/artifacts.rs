//! Files by content: `ab/abcdef…` is the file with that SHA-256. What is there is complete and durable.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rrm_api::{ApiError, Replies};
use rrm_spec::ArtifactHash;
use rrm_store::{CollectArtifacts, KeepArtifact, LoseArtifacts, Store};
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;
use tokio_stream::StreamExt;

use crate::error::{answer, disk};

/// The folder, and the order in which files and their rows in the database come and go.
#[derive(Debug)]
pub(crate) struct Artifacts {
    root: PathBuf,
    uploads: AtomicU64,
    /// Held while a file and its row are put in or taken out, so that no file is deleted whose row is just being written.
    order: Mutex<()>,
}

/// A file that is deleted unless it is put in its place.
struct Draft {
    path: PathBuf,
    placed: bool,
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.placed {
            // What stays is swept at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Where a file lies.
pub(crate) fn place(root: &Path, sha256: &ArtifactHash) -> PathBuf {
    let name = sha256.as_str();
    root.join(&name[..2]).join(name)
}

impl Artifacts {
    /// Opens the store, throwing away what an earlier process left unfinished.
    ///
    /// # Errors
    /// Where the folder cannot be read or written.
    pub(crate) async fn open(root: PathBuf) -> io::Result<Self> {
        let drafts = root.join("tmp");
        if fs::try_exists(&drafts).await? {
            fs::remove_dir_all(&drafts).await?;
        }
        fs::create_dir_all(&drafts).await?;
        Ok(Self { root, uploads: AtomicU64::new(0), order: Mutex::new(()) })
    }

    fn path(&self, sha256: &ArtifactHash) -> PathBuf {
        place(&self.root, sha256)
    }

    /// Deletes files without a row: the process died between the two. Answers with the rows without a whole file.
    ///
    /// # Errors
    /// Where the folder cannot be read or written.
    pub(crate) async fn sweep(&self, mut known: HashMap<ArtifactHash, u64>) -> io::Result<Vec<ArtifactHash>> {
        let mut cut = Vec::new();
        let mut folders = fs::read_dir(&self.root).await?;
        while let Some(folder) = folders.next_entry().await? {
            if folder.file_name().len() != 2 {
                continue;
            }
            let mut files = fs::read_dir(folder.path()).await?;
            while let Some(file) = files.next_entry().await? {
                let name = file.file_name().to_string_lossy().parse::<ArtifactHash>().ok();
                match name.and_then(|sha256| known.remove_entry(&sha256)) {
                    Some((sha256, bytes)) if file.metadata().await?.len() != bytes => cut.push(sha256),
                    Some(_) => {}
                    None => {
                        tracing::info!(file = %file.path().display(), "an artifact that nothing refers to is deleted");
                        fs::remove_file(file.path()).await?;
                    }
                }
            }
        }
        cut.extend(known.into_keys());
        Ok(cut)
    }

    /// Forgets files that are missing or damaged, so that they are uploaded anew.
    ///
    /// What is left of them stays where it is until then, or until the next start, for whoever wants to look at it.
    pub(crate) async fn lose(&self, store: &Store, now: i64, lost: Vec<ArtifactHash>) -> Result<(), ApiError> {
        let _order = self.order.lock().await;
        self.forget(store, now, lost).await
    }

    async fn forget(&self, store: &Store, now: i64, lost: Vec<ArtifactHash>) -> Result<(), ApiError> {
        for sha256 in &lost {
            tracing::error!(%sha256, "an artifact is missing or damaged: jobs that need it fail unless it comes anew");
        }
        match lost.is_empty() {
            true => Ok(()),
            false => store.write(now, LoseArtifacts { lost }).await.map_err(answer),
        }
    }

    /// Takes a file in, unless it is there already.
    pub(crate) async fn receive(
        &self,
        store: &Store,
        now: i64,
        file: KeepArtifact,
        body: Replies<Bytes>,
    ) -> Result<(), ApiError> {
        if self.offer(store, now, &file.sha256).await? {
            return Ok(());
        }
        let draft = self.write(body).await?;
        self.place(store, now, draft, file).await
    }

    /// Whether the file is there; if so it stays for some time more, since someone is about to refer to it.
    pub(crate) async fn offer(&self, store: &Store, now: i64, sha256: &ArtifactHash) -> Result<bool, ApiError> {
        let _order = self.order.lock().await;
        let Some(bytes) = store.artifact(sha256).await.map_err(answer)? else { return Ok(false) };
        if !self.is_whole(sha256, bytes).await? {
            self.forget(store, now, vec![sha256.clone()]).await?;
            return Ok(false);
        }
        store.write(now, KeepArtifact { sha256: sha256.clone(), bytes }).await.map_err(answer)?;
        Ok(true)
    }

    /// Whether the file is there in its full length; whether its content is right shows when it is read.
    async fn is_whole(&self, sha256: &ArtifactHash, bytes: u64) -> Result<bool, ApiError> {
        match fs::metadata(self.path(sha256)).await {
            Ok(file) => Ok(file.len() == bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(disk("an artifact cannot be looked at", &error)),
        }
    }

    async fn write(&self, mut body: Replies<Bytes>) -> Result<Draft, ApiError> {
        let failed = |error| disk("an artifact cannot be written", &error);
        let number = self.uploads.fetch_add(1, Ordering::Relaxed);
        let draft = Draft { path: self.root.join("tmp").join(number.to_string()), placed: false };
        let mut file = File::create(&draft.path).await.map_err(failed)?;
        while let Some(piece) = body.next().await {
            file.write_all(&piece?).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        file.sync_all().await.map_err(failed)?;
        Ok(draft)
    }

    async fn place(&self, store: &Store, now: i64, mut draft: Draft, file: KeepArtifact) -> Result<(), ApiError> {
        let failed = |error| disk("an artifact cannot be put in its place", &error);
        let path = self.path(&file.sha256);
        let folder = path.parent().expect("an artifact lies in a folder");
        let _order = self.order.lock().await;
        fs::create_dir_all(folder).await.map_err(failed)?;
        fs::rename(&draft.path, &path).await.map_err(failed)?;
        draft.placed = true;
        for folder in [folder, &self.root] {
            sync_folder(folder).await.map_err(failed)?;
        }
        store.write(now, file).await.map_err(answer)
    }

    /// The file and its size.
    pub(crate) async fn open_file(
        &self,
        store: &Store,
        now: i64,
        sha256: &ArtifactHash,
    ) -> Result<(File, u64), ApiError> {
        let missing = || ApiError::NotFound { what: format!("artifact {sha256}") };
        let bytes = store.artifact(sha256).await.map_err(answer)?.ok_or_else(missing)?;
        if !self.is_whole(sha256, bytes).await? {
            self.lose(store, now, vec![sha256.clone()]).await?;
            return Err(missing());
        }
        let gone = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => missing(),
            _ => disk("an artifact cannot be read", &error),
        };
        Ok((File::open(self.path(sha256)).await.map_err(gone)?, bytes))
    }

    /// Deletes superseded checkpoints and what nothing refers to.
    pub(crate) async fn collect(&self, store: &Store, now: i64, which: CollectArtifacts) -> Result<(), ApiError> {
        let _order = self.order.lock().await;
        for sha256 in store.write(now, which).await.map_err(answer)? {
            // A file that stays is swept at the next start.
            if let Err(error) = fs::remove_file(self.path(&sha256)).await {
                tracing::warn!(%sha256, %error, "a superseded artifact cannot be deleted");
            }
        }
        Ok(())
    }
}

/// Makes a rename durable.
async fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path).await?.sync_all().await
}

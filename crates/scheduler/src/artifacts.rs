//! Files by content: `ab/abcdef…` is the file with that SHA-256. What is there is complete and durable.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rrm_api::{ApiError, Replies, Upload};
use rrm_spec::ArtifactHash;
use rrm_store::{CollectArtifacts, KeepArtifact, Store};
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

impl Artifacts {
    /// Opens the store, throwing away what an earlier process left unfinished.
    ///
    /// # Errors
    /// Where the folder cannot be read or written.
    pub(crate) async fn open(root: PathBuf, known: &[ArtifactHash]) -> io::Result<Self> {
        let drafts = root.join("tmp");
        if fs::try_exists(&drafts).await? {
            fs::remove_dir_all(&drafts).await?;
        }
        fs::create_dir_all(&drafts).await?;
        let artifacts = Self { root, uploads: AtomicU64::new(0), order: Mutex::new(()) };
        artifacts.sweep(known).await?;
        Ok(artifacts)
    }

    fn path(&self, sha256: &ArtifactHash) -> PathBuf {
        let name = sha256.as_str();
        self.root.join(&name[..2]).join(name)
    }

    /// Deletes files without a row: the process died between the two. Tells of rows without a file.
    async fn sweep(&self, known: &[ArtifactHash]) -> io::Result<()> {
        let mut missing: HashSet<&str> = known.iter().map(ArtifactHash::as_str).collect();
        let mut folders = fs::read_dir(&self.root).await?;
        while let Some(folder) = folders.next_entry().await? {
            if folder.file_name().len() != 2 {
                continue;
            }
            let mut files = fs::read_dir(folder.path()).await?;
            while let Some(file) = files.next_entry().await? {
                if !missing.remove(file.file_name().to_string_lossy().as_ref()) {
                    tracing::info!(file = %file.path().display(), "an artifact that nothing refers to is deleted");
                    fs::remove_file(file.path()).await?;
                }
            }
        }
        for sha256 in missing {
            tracing::error!(sha256, "an artifact is missing from the disk: jobs that need it will fail");
        }
        Ok(())
    }

    /// Takes a file in, unless it is there already.
    pub(crate) async fn receive(
        &self,
        store: &Store,
        now: i64,
        upload: Upload,
        body: Replies<Bytes>,
    ) -> Result<(), ApiError> {
        if self.offer(store, now, &upload.sha256).await? {
            return Ok(());
        }
        let draft = self.write(body).await?;
        self.place(store, now, draft, upload).await
    }

    /// Whether the file is there; if so it stays for some time more, since someone is about to refer to it.
    pub(crate) async fn offer(&self, store: &Store, now: i64, sha256: &ArtifactHash) -> Result<bool, ApiError> {
        let _order = self.order.lock().await;
        let Some(bytes) = store.artifact(sha256).await.map_err(answer)? else { return Ok(false) };
        store.write(now, KeepArtifact { sha256: sha256.clone(), bytes }).await.map_err(answer)?;
        Ok(true)
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

    async fn place(&self, store: &Store, now: i64, mut draft: Draft, upload: Upload) -> Result<(), ApiError> {
        let failed = |error| disk("an artifact cannot be put in its place", &error);
        let path = self.path(&upload.sha256);
        let folder = path.parent().expect("an artifact lies in a folder");
        let _order = self.order.lock().await;
        fs::create_dir_all(folder).await.map_err(failed)?;
        fs::rename(&draft.path, &path).await.map_err(failed)?;
        draft.placed = true;
        for folder in [folder, &self.root] {
            sync_folder(folder).await.map_err(failed)?;
        }
        store.write(now, KeepArtifact { sha256: upload.sha256, bytes: upload.bytes }).await.map_err(answer)
    }

    /// The file and its size.
    pub(crate) async fn open_file(&self, sha256: &ArtifactHash) -> Result<(File, u64), ApiError> {
        let gone = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => ApiError::NotFound { what: format!("artifact {sha256}") },
            _ => disk("an artifact cannot be read", &error),
        };
        let file = File::open(self.path(sha256)).await.map_err(gone)?;
        let bytes = file.metadata().await.map_err(gone)?.len();
        Ok((file, bytes))
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

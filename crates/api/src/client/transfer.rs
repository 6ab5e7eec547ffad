//! Artifacts up and down.

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use rrm_spec::{ArtifactHash, AttemptId, ImportedNetwork};
use tokio::{
    fs::{self, File},
    io::AsyncWriteExt,
};
use tokio_stream::StreamExt;
use tonic::{Request, Streaming};

use super::{Client, ORDINARY, unreadable};
use crate::{
    ApiError, Replies, Upload,
    convert::{OnWire, read_with},
    transfer::{Expected, Verified, pieces},
    wire,
};

impl Client {
    /// Fetches an artifact into a file, which is there completely and with the right hash or not at all.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] where the daemon has none with that hash, [`ApiError::Invalid`] where other bytes came,
    /// [`ApiError::Internal`] where the file cannot be written.
    pub async fn download(&self, sha256: &ArtifactHash, into: &Path) -> Result<(), ApiError> {
        self.persist(|| async move {
            let request = Request::new(wire::DownloadRequest { sha256: sha256.clone().to_wire() });
            let replies = self.artifacts_stub().download(request).await.map_err(|status| self.failure(&status))?;
            let content = self.content(replies.into_inner());
            let verified = Verified::new(content, Expected { sha256: sha256.clone(), bytes: None });
            write_whole(verified, into).await
        })
        .await
    }

    fn content(&self, replies: Streaming<wire::DownloadReply>) -> Replies<Bytes> {
        let client = self.clone();
        Box::pin(replies.map(move |reply| match reply {
            // The hash covers the size.
            Ok(wire::DownloadReply { total: _, content }) => Ok(content),
            Err(status) => Err(client.failure(&status)),
        }))
    }

    /// Sends an artifact, unless the daemon has it.
    ///
    /// # Errors
    /// [`ApiError::LeaseLost`] where the attempt is no longer this worker's, [`ApiError::Invalid`] where the file's
    /// bytes are not the announced ones, [`ApiError::Internal`] where it cannot be read.
    pub async fn upload(
        &self,
        attempt: AttemptId,
        path: &Path,
        sha256: &ArtifactHash,
        bytes: u64,
    ) -> Result<(), ApiError> {
        if self.stored(sha256).await? {
            return Ok(());
        }
        let upload = &Upload { attempt, sha256: sha256.clone(), bytes };
        self.persist(|| async move {
            let steps = steps(upload, path).await?;
            let answer = self.artifacts_stub().upload(Request::new(steps)).await;
            answer.map(drop).map_err(|status| self.failure(&status))
        })
        .await
    }

    /// Sends a network that no job made, in the project's own form.
    ///
    /// # Errors
    /// [`ApiError::Conflict`] where another network has the name, [`ApiError::Invalid`] where the file's bytes are not the
    /// announced ones, [`ApiError::Internal`] where it cannot be read.
    pub async fn import(&self, import: &ImportedNetwork, path: &Path) -> Result<(), ApiError> {
        use wire::import_request::Step;
        self.persist(|| async move {
            let content = announced(path, &import.sha256, import.bytes).await?.map(Step::Content);
            let steps = tokio_stream::once(Step::Header(import.clone().to_wire())).chain(content);
            let steps = steps.map(|step| wire::ImportRequest { step: Some(step) });
            let answer = self.artifacts_stub().import(Request::new(steps)).await;
            answer.map(drop).map_err(|status| self.failure(&status))
        })
        .await
    }

    /// The networks that were imported, by name.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn imports(&self) -> Result<Vec<ImportedNetwork>, ApiError> {
        let message = wire::ImportsRequest {};
        let wire::ImportsReply { networks } = self
            .call(ORDINARY, message, |client, request| async move { client.artifacts_stub().imports(request).await })
            .await?;
        read_with(|reader| reader.list("networks", networks)).map_err(unreadable)
    }

    async fn stored(&self, sha256: &ArtifactHash) -> Result<bool, ApiError> {
        let message = wire::StoredRequest { sha256: sha256.clone().to_wire() };
        let wire::StoredReply { stored } = self
            .call(ORDINARY, message, |client, request| async move { client.artifacts_stub().stored(request).await })
            .await?;
        Ok(stored)
    }
}

/// The file in pieces. What cannot be read, or is not what was announced, ends it early: the daemon then finds bytes missing
/// and says so.
async fn announced(
    path: &Path,
    sha256: &ArtifactHash,
    bytes: u64,
) -> Result<impl tokio_stream::Stream<Item = Bytes> + use<>, ApiError> {
    let file = File::open(path).await.map_err(|e| file_fault(path, &e))?;
    let content = Verified::new(pieces(file), Expected { sha256: sha256.clone(), bytes: Some(bytes) });
    Ok(content.map_while(|piece| piece.inspect_err(|error| tracing::warn!(%error, "an upload is broken off")).ok()))
}

/// A header, then the file in pieces.
async fn steps(
    upload: &Upload,
    path: &Path,
) -> Result<impl tokio_stream::Stream<Item = wire::UploadRequest> + use<>, ApiError> {
    use wire::upload_request::Step;
    let content = announced(path, &upload.sha256, upload.bytes).await?.map(Step::Content);
    let steps = tokio_stream::once(Step::Header(upload.clone().to_wire())).chain(content);
    Ok(steps.map(|step| wire::UploadRequest { step: Some(step) }))
}

/// Writes beside the target, then renames.
async fn write_whole(content: Verified, into: &Path) -> Result<(), ApiError> {
    let beside = beside(into);
    let fault = |e: io::Error| file_fault(into, &e);
    let written = async {
        let file = File::create(&beside).await.map_err(fault)?;
        write(content, file, into).await?;
        fs::rename(&beside, into).await.map_err(fault)
    };
    if let Err(error) = written.await {
        // Nothing more can be done about a file that cannot be removed; it has a name that nobody reads.
        let _ = fs::remove_file(&beside).await;
        return Err(error);
    }
    let folder = into.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).await.map_err(fault)?.sync_all().await.map_err(fault)
}

async fn write(mut content: Verified, mut file: File, into: &Path) -> Result<(), ApiError> {
    let fault = |e: io::Error| file_fault(into, &e);
    while let Some(piece) = content.next().await {
        file.write_all(&piece?).await.map_err(fault)?;
    }
    // The last write may still be under way; only this tells how it ended, `sync_all` does not.
    file.flush().await.map_err(fault)?;
    file.sync_all().await.map_err(fault)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}-{:x}.part", std::process::id(), super::backoff::random()));
    name.into()
}

fn file_fault(path: &Path, error: &io::Error) -> ApiError {
    ApiError::Internal { what: format!("{}: {error}", path.display()) }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    fn whole(content: &'static [u8]) -> Verified {
        let sha256 = hex::encode(Sha256::digest(content)).parse().expect("it is a hash");
        Verified::new(pieces(content), Expected { sha256, bytes: None })
    }

    #[tokio::test]
    async fn a_disk_that_is_full_at_the_last_byte_is_noticed() {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").await.unwrap();
        let error = write(whole(b"weights"), full, Path::new("copy")).await.unwrap_err();
        assert!(error.to_string().contains("No space left"), "{error}");
    }

    #[tokio::test]
    async fn nothing_is_left_of_a_file_that_cannot_take_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let occupied = folder.path().join("copy");
        std::fs::create_dir(&occupied).unwrap();
        write_whole(whole(b"weights"), &occupied).await.unwrap_err();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "the folder in its way alone");
    }
}

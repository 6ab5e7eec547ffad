//! An attempt's log: a local file, and its copy at the daemon.

use std::{
    io::{self, SeekFrom},
    path::Path,
};

use bytes::Bytes;
use rrm_api::{ApiError, Client};
use rrm_spec::AttemptId;
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWrite, AsyncWriteExt},
    sync::watch,
};

use crate::deliver::insist;

/// What a log may take on disk: a trainer that complains at every step must not fill it.
const LONGEST: u64 = 16 << 20;

/// What is read at once.
const READ_BYTES: usize = 8 * 1024;

/// What is sent at once.
const PIECE_BYTES: u64 = 256 * 1024;

/// What of a log goes into an error message.
const TAIL_BYTES: u64 = 2048;

/// How far a log has been written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) bytes: u64,
    /// Nothing will be added.
    pub(crate) closed: bool,
}

/// Copies what comes to a file at `path` until the source ends; answers with why not all of it is there.
///
/// The source is read to its end whatever becomes of the file: a trainer whose standard error nobody reads would wait, or
/// die of it.
pub(crate) async fn keep(
    path: &Path,
    extent: watch::Sender<Extent>,
    mut source: impl AsyncRead + Unpin,
) -> io::Result<()> {
    let kept = match File::create(path).await {
        Ok(file) => Log { file, extent }.copy(&mut source).await,
        Err(error) => Err(error),
    };
    tokio::io::copy(&mut source, &mut tokio::io::sink()).await?;
    kept
}

/// A log that is being written.
struct Log<W> {
    file: W,
    extent: watch::Sender<Extent>,
}

impl<W: AsyncWrite + Unpin> Log<W> {
    /// Appends what comes until the source ends or the file cannot be written. What goes beyond the limit is read and
    /// dropped.
    async fn copy(&mut self, source: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
        let mut piece = Vec::with_capacity(READ_BYTES);
        while source.read_buf(&mut piece).await? > 0 {
            self.append(&piece).await?;
            piece.clear();
        }
        Ok(())
    }

    async fn append(&mut self, piece: &[u8]) -> io::Result<()> {
        let Extent { bytes, closed } = *self.extent.borrow();
        if closed {
            return Ok(());
        }
        let full = bytes + piece.len() as u64 > LONGEST;
        let piece = if full { &b"\n... the log ends here: it is full\n"[..] } else { piece };
        self.file.write_all(piece).await?;
        self.file.flush().await?;
        self.extent.send_replace(Extent { bytes: bytes + piece.len() as u64, closed: full });
        Ok(())
    }
}

/// Copies a log to the daemon as it grows, until it is closed. Only a lost lease ends this early; what the daemon does
/// not take otherwise is not worth an attempt.
pub(crate) async fn push(
    client: &Client,
    attempt: AttemptId,
    path: &Path,
    mut extent: watch::Receiver<Extent>,
) -> Result<(), ApiError> {
    // The daemon may have a part from before this process.
    let mut offset = send(client, attempt, 0, Bytes::new()).await?;
    loop {
        let seen = *extent.borrow_and_update();
        while offset < seen.bytes {
            let piece = match read_piece(path, offset).await {
                Ok(piece) if !piece.is_empty() => piece,
                unread => {
                    tracing::warn!(%attempt, ?unread, "the log cannot be read");
                    return Ok(());
                }
            };
            let next = send(client, attempt, offset, piece).await?;
            if next <= offset {
                tracing::warn!(%attempt, offset, next, "the daemon takes no more of the log");
                return Ok(());
            }
            offset = next;
        }
        if seen.closed || extent.changed().await.is_err() {
            return Ok(());
        }
    }
}

async fn send(client: &Client, attempt: AttemptId, offset: u64, piece: Bytes) -> Result<u64, ApiError> {
    match insist("push its log", attempt, || client.push_log(attempt, offset, piece.clone())).await {
        Err(error) if error != ApiError::LeaseLost => {
            tracing::warn!(%attempt, %error, "the daemon does not take the log");
            Ok(offset)
        }
        other => other,
    }
}

async fn read_piece(path: &Path, offset: u64) -> io::Result<Bytes> {
    let mut file = File::open(path).await?;
    file.seek(SeekFrom::Start(offset)).await?;
    let mut piece = Vec::new();
    file.take(PIECE_BYTES).read_to_end(&mut piece).await?;
    Ok(piece.into())
}

/// The last lines of a log, for an error message; empty where there are none.
pub(crate) async fn tail(path: &Path) -> String {
    let read = async {
        let mut file = OpenOptions::new().read(true).open(path).await?;
        let length = file.metadata().await?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES))).await?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).await?;
        io::Result::Ok((bytes, length > TAIL_BYTES))
    };
    let Ok((bytes, cut)) = read.await else { return String::new() };
    let text = String::from_utf8_lossy(&bytes);
    match text.split_once('\n') {
        // The first line is not whole.
        Some((_, whole)) if cut => whole.to_owned(),
        _ => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn log(source: &[u8]) -> (tempfile::TempDir, std::path::PathBuf, Extent) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("attempt-1.log");
        let (extent, seen) = watch::channel(Extent::default());
        keep(&path, extent, source).await.unwrap();
        let extent = *seen.borrow();
        (folder, path, extent)
    }

    #[tokio::test]
    async fn lines_are_kept_also_where_the_last_is_not_ended() {
        let (_folder, path, extent) = log(b"one\ntwo").await;
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo");
        assert_eq!(extent.bytes, 7);
        assert_eq!(tail(&path).await, "one\ntwo");
    }

    #[tokio::test]
    async fn a_source_is_read_to_its_end_though_the_disk_is_full() {
        for path in ["/dev/full", "/nowhere/log"] {
            let (mut trainer, errors) = tokio::io::duplex(16);
            let writing = tokio::spawn(async move { trainer.write_all(&[b'x'; 100_000]).await });
            let kept = keep(Path::new(path), watch::channel(Extent::default()).0, errors).await;
            assert!(kept.is_err(), "{path}");
            writing.await.unwrap().expect("the trainer is not cut off");
        }
    }

    #[tokio::test]
    async fn a_log_stops_growing_at_its_limit() {
        let lines = b"0123456789abcdef0123456789abcde\n".repeat((LONGEST as usize >> 5) + 1000);
        let (_folder, path, extent) = log(&lines).await;
        let size = std::fs::metadata(&path).unwrap().len();
        assert!(size <= LONGEST + 64, "{size}");
        assert!(extent.closed && extent.bytes == size);
        assert!(tail(&path).await.ends_with("it is full\n"));
    }

    #[tokio::test]
    async fn a_tail_has_whole_lines() {
        let lines = b"0123456789abcdef0123456789abcde\n".repeat(1000);
        let (_folder, path, _) = log(&lines).await;
        let tail = tail(&path).await;
        assert!(tail.len() <= TAIL_BYTES as usize && tail.starts_with("0123") && tail.len() > 1000);
    }
}

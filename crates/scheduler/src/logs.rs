//! The trainers' logs: one file per attempt, not in the database.

use std::io::{self, SeekFrom};
use std::path::PathBuf;

use bytes::Bytes;
use rrm_spec::AttemptId;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::{Mutex, watch};

/// A log is cut here: a trainer gone mad must not fill the disk.
const LONGEST: u64 = 64 * 1024 * 1024;

/// How much of a log is read at once.
const PIECE: u64 = 256 * 1024;

/// The folder of logs.
#[derive(Debug)]
pub(crate) struct Logs {
    root: PathBuf,
    /// A repeated call must not interleave with the first one.
    order: Mutex<()>,
    grown: watch::Sender<u64>,
}

impl Logs {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, order: Mutex::new(()), grown: watch::Sender::new(0) }
    }

    fn path(&self, attempt: AttemptId) -> PathBuf {
        self.root.join(format!("attempt-{attempt}.log"))
    }

    /// Changes whenever some log has grown.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.grown.subscribe()
    }

    /// Appends what is new in `bytes`, which begin at `offset`, and tells the log's length.
    ///
    /// A gap is left to the caller to fill: the answer is then less than `offset`. What exceeds the longest log is dropped,
    /// and the answer is as if it had been kept.
    pub(crate) async fn push(&self, attempt: AttemptId, offset: u64, bytes: &Bytes) -> io::Result<u64> {
        let _order = self.order.lock().await;
        let mut file = OpenOptions::new().append(true).create(true).open(self.path(attempt)).await?;
        let length = file.metadata().await?.len();
        let end = offset.saturating_add(bytes.len() as u64);
        if length >= LONGEST {
            return Ok(end.max(length));
        }
        if offset > length || end <= length {
            return Ok(length);
        }
        let known = (length - offset) as usize; // Less than the message's length, since it ends beyond the log.
        file.write_all(&bytes[known..]).await?;
        file.flush().await?;
        self.grown.send_modify(|times| *times += 1);
        Ok(end)
    }

    /// The attempts that have a log.
    pub(crate) async fn attempts(&self) -> io::Result<Vec<AttemptId>> {
        let mut attempts = Vec::new();
        let mut files = fs::read_dir(&self.root).await?;
        while let Some(file) = files.next_entry().await? {
            let name = file.file_name();
            let number = name.to_str().and_then(|it| it.strip_prefix("attempt-")?.strip_suffix(".log")?.parse().ok());
            attempts.extend(number.map(AttemptId));
        }
        Ok(attempts)
    }

    /// Deletes an attempt's log.
    pub(crate) async fn delete(&self, attempt: AttemptId) -> io::Result<()> {
        let _order = self.order.lock().await;
        fs::remove_file(self.path(attempt)).await
    }

    /// Length of a log, in bytes; 0 where there is none.
    pub(crate) async fn length(&self, attempt: AttemptId) -> io::Result<u64> {
        match fs::metadata(self.path(attempt)).await {
            Ok(file) => Ok(file.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// A piece of a log from `offset` on; empty at its end.
    pub(crate) async fn read(&self, attempt: AttemptId, offset: u64) -> io::Result<Bytes> {
        let mut file = match File::open(self.path(attempt)).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Bytes::new()),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(offset)).await?;
        let mut piece = Vec::new();
        file.take(PIECE).read_to_end(&mut piece).await?;
        Ok(piece.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTEMPT: AttemptId = AttemptId(1);

    async fn push(logs: &Logs, offset: u64, text: &'static str) -> u64 {
        logs.push(ATTEMPT, offset, &Bytes::from_static(text.as_bytes())).await.unwrap()
    }

    #[tokio::test]
    async fn what_comes_twice_is_appended_once_and_a_gap_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::new(folder.path().to_owned());
        assert_eq!(push(&logs, 0, "first ").await, 6);
        assert_eq!(push(&logs, 0, "first ").await, 6);
        assert_eq!(push(&logs, 3, "st second").await, 12);
        assert_eq!(push(&logs, 99, "beyond").await, 12);
        assert_eq!(logs.read(ATTEMPT, 0).await.unwrap(), "first second");
        assert_eq!(logs.read(ATTEMPT, 6).await.unwrap(), "second");
        assert_eq!(logs.read(ATTEMPT, 12).await.unwrap(), "");
        assert_eq!(logs.read(AttemptId(2), 0).await.unwrap(), "");
        assert_eq!([logs.length(ATTEMPT).await.unwrap(), logs.length(AttemptId(2)).await.unwrap()], [12, 0]);
    }

    #[tokio::test]
    async fn a_log_ends_at_its_longest_and_its_writer_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::new(folder.path().to_owned());
        File::create(logs.path(ATTEMPT)).await.unwrap().set_len(LONGEST).await.unwrap();
        assert_eq!(push(&logs, LONGEST, "more").await, LONGEST + 4);
        assert_eq!(push(&logs, LONGEST + 4, "and more").await, LONGEST + 12);
        assert_eq!(std::fs::metadata(logs.path(ATTEMPT)).unwrap().len(), LONGEST);
    }
}

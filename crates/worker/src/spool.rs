//! What an attempt has to say, kept on disk until the daemon has it.
//!
//! In the folder `spool`: `attempt-N.jsonl` with one record per line, synced line by line, whose number is its line's,
//! and `attempt-N.end.json` once the attempt has ended. Checkpoints that are to be sent are pinned in
//! `attempts/attempt-N/pinned/HASH`: hard links, so that the trainer may replace its file meanwhile.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use rrm_api::AttemptEnd;
use rrm_spec::{ArtifactHash, AttemptId, AttemptOutcome, CheckpointRecord, Record};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Where an attempt's files lie.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    work_dir: PathBuf,
    attempt: AttemptId,
}

impl Folders {
    pub(crate) fn new(work_dir: &Path, attempt: AttemptId) -> Self {
        Self { work_dir: work_dir.to_owned(), attempt }
    }

    /// Attempts that left something in the spool, oldest first.
    pub(crate) fn left_behind(work_dir: &Path) -> io::Result<Vec<Self>> {
        let entries = match fs::read_dir(work_dir.join("spool")) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut attempts = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let number: Option<AttemptId> =
                name.to_str().and_then(|name| name.strip_prefix("attempt-")?.strip_suffix(".jsonl")?.parse().ok());
            attempts.extend(number);
        }
        attempts.sort_unstable();
        Ok(attempts.into_iter().map(|attempt| Self::new(work_dir, attempt)).collect())
    }

    pub(crate) fn attempt(&self) -> AttemptId {
        self.attempt
    }

    fn records(&self) -> PathBuf {
        self.work_dir.join(format!("spool/attempt-{}.jsonl", self.attempt))
    }

    fn end(&self) -> PathBuf {
        self.work_dir.join(format!("spool/attempt-{}.end.json", self.attempt))
    }

    /// Where the trainer writes its checkpoints.
    pub(crate) fn training(&self) -> PathBuf {
        self.work_dir.join(format!("attempts/attempt-{}", self.attempt))
    }

    /// Where a checkpoint waits to be sent.
    pub(crate) fn pinned(&self, sha256: &ArtifactHash) -> PathBuf {
        self.training().join("pinned").join(sha256.as_str())
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.work_dir.join(format!("logs/attempt-{}.log", self.attempt))
    }

    /// Makes the folders, empty; when this returns they are on disk, so that what is synced in them can be found.
    pub(crate) fn create(&self) -> io::Result<()> {
        self.remove()?;
        let made = [self.training().join("pinned"), self.work_dir.join("spool"), self.work_dir.join("logs")];
        made.iter().try_for_each(fs::create_dir_all)?;
        let attempts = self.work_dir.join("attempts");
        [&made[0], &self.training(), &attempts].into_iter().try_for_each(|path| sync_folder(path))
    }

    /// Removes everything of the attempt. The records go first: without them nothing of it is left to be sent, and the
    /// rest is swept up by the next worker at the latest.
    pub(crate) fn remove(&self) -> io::Result<()> {
        absent(fs::remove_file(self.records()))?;
        absent(fs::remove_file(self.end()))?;
        absent(fs::remove_file(self.log()))?;
        absent(fs::remove_dir_all(self.training()))
    }
}

/// Removes what lies around of attempts that left nothing to be sent.
pub(crate) fn sweep(work_dir: &Path) -> io::Result<()> {
    for name in ["spool", "logs", "attempts"] {
        absent(fs::remove_dir_all(work_dir.join(name)))?;
    }
    Ok(())
}

fn absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// An attempt's records on disk.
pub(crate) struct Spool {
    folders: Folders,
    file: File,
    /// Length of the records that are on disk; what lies beyond it is of one that could not be written.
    bytes: u64,
}

/// What was found of an attempt.
pub(crate) struct Found {
    /// Its records that are complete.
    pub(crate) records: Vec<Record>,
    /// How it ended; absent where the worker ended before it.
    pub(crate) end: Option<AttemptEnd>,
}

impl Spool {
    /// An empty spool.
    pub(crate) fn create(folders: &Folders) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).truncate(true).write(true).open(folders.records())?;
        sync_folder(&folders.records())?;
        Ok(Self { folders: folders.clone(), file, bytes: 0 })
    }

    /// Appends a record; when this returns it is on disk. After an error the same call may be made again.
    pub(crate) fn append(&mut self, record: &Record) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        if self.file.metadata()?.len() > self.bytes {
            self.file.set_len(self.bytes)?;
        }
        self.file.write_all_at(&line, self.bytes)?;
        self.file.sync_data()?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Notes how the attempt ended; when this returns it is on disk.
    pub(crate) fn end(&self, end: &AttemptEnd) -> io::Result<()> {
        let path = self.folders.end();
        let beside = path.with_extension("part");
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec(&EndOnDisk::from(end.clone()))?)?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        sync_folder(&path)
    }
}

/// Reads what an earlier worker left. A line that was being written when it died is cut off.
pub(crate) fn read(folders: &Folders) -> io::Result<Found> {
    let mut file = OpenOptions::new().read(true).write(true).open(folders.records())?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let (records, whole) = complete_records(&bytes);
    if whole < bytes.len() {
        tracing::warn!(attempt = %folders.attempt, bytes = bytes.len() - whole, "cut a torn record off the spool");
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        file.sync_all()?;
    }
    let end = match fs::read(folders.end()) {
        Ok(bytes) => Some(serde_json::from_slice::<EndOnDisk>(&bytes)?.into()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(e),
    };
    Ok(Found { records, end })
}

/// The records of all whole lines, up to the first that is none, and where it begins.
fn complete_records(bytes: &[u8]) -> (Vec<Record>, usize) {
    let mut records = Vec::new();
    let mut whole = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\n").map(serde_json::from_slice) {
            Some(Ok(record)) => records.push(record),
            Some(Err(_)) | None => break,
        }
        whole += line.len();
    }
    (records, whole)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().expect("spool files lie in a folder"))?.sync_all()
}

/// A checkpoint that could not be pinned.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PinError {
    /// The trainer has replaced it already, or it was never what was said.
    #[error("{path} has the hash {found}, not the announced one")]
    Replaced {
        /// The file.
        path: PathBuf,
        /// Of its present content.
        found: String,
    },
    /// It cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl From<PinError> for io::Error {
    fn from(error: PinError) -> Self {
        let kind = match &error {
            PinError::Replaced { .. } => io::ErrorKind::InvalidData,
            PinError::Io { source, .. } => source.kind(),
        };
        Self::new(kind, error)
    }
}

/// Holds on to a checkpoint's present content until it is sent; when this returns it is on disk, as its record will be.
pub(crate) fn pin(folders: &Folders, checkpoint: &CheckpointRecord) -> Result<(), PinError> {
    let path = folders.training().join(&checkpoint.path);
    let pinned = folders.pinned(&checkpoint.sha256);
    let io = |source| PinError::Io { path: path.clone(), source };
    absent(fs::remove_file(&pinned)).map_err(io)?;
    fs::hard_link(&path, &pinned).or_else(|_| fs::copy(&path, &pinned).map(drop)).map_err(io)?;
    let found = hash_of(&pinned).map_err(io)?;
    if found != checkpoint.sha256.as_str() {
        absent(fs::remove_file(&pinned)).map_err(io)?;
        return Err(PinError::Replaced { path, found });
    }
    File::open(&pinned).and_then(|file| file.sync_all()).and_then(|()| sync_folder(&pinned)).map_err(io)
}

/// Lets go of a checkpoint.
pub(crate) fn unpin(folders: &Folders, sha256: &ArtifactHash) -> io::Result<()> {
    absent(fs::remove_file(folders.pinned(sha256)))
}

/// A file's SHA-256, in hexadecimal digits.
pub(crate) fn hash_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            n => hasher.update(&piece[..n]),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct EndOnDisk {
    outcome: AttemptOutcome,
    message: Option<String>,
    exit_code: Option<i32>,
    signal: Option<i32>,
}

impl From<AttemptEnd> for EndOnDisk {
    fn from(AttemptEnd { outcome, message, exit_code, signal }: AttemptEnd) -> Self {
        Self { outcome, message, exit_code, signal }
    }
}

impl From<EndOnDisk> for AttemptEnd {
    fn from(EndOnDisk { outcome, message, exit_code, signal }: EndOnDisk) -> Self {
        Self { outcome, message, exit_code, signal }
    }
}

#[cfg(test)]
mod tests {
    use rrm_spec::CheckpointRole;

    use super::*;
    use crate::testing::{epoch, hash};

    fn spool_of(records: u32) -> (tempfile::TempDir, Folders) {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders::new(folder.path(), AttemptId(7));
        folders.create().unwrap();
        let mut spool = Spool::create(&folders).unwrap();
        (1..=records).for_each(|number| spool.append(&epoch(number)).unwrap());
        (folder, folders)
    }

    #[test]
    fn a_spool_cut_anywhere_keeps_its_whole_records_and_nothing_else() {
        let (_folder, folders) = spool_of(3);
        let whole = fs::read(folders.records()).unwrap();
        for length in (0..=whole.len()).rev() {
            fs::write(folders.records(), &whole[..length]).unwrap();
            let lines = whole[..length].iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(read(&folders).unwrap().records, (1..=lines as u32).map(epoch).collect::<Vec<_>>());
            // The torn line is gone for good: the next one appended begins a line of its own.
            assert!(fs::read(folders.records()).unwrap().last().is_none_or(|byte| *byte == b'\n'));
        }
    }

    #[test]
    fn a_record_that_a_full_disk_took_half_is_written_whole_later() {
        let (_folder, folders) = spool_of(1);
        let bytes = fs::metadata(folders.records()).unwrap().len();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut spool = Spool { folders: folders.clone(), file: full, bytes };
        assert_eq!(spool.append(&epoch(2)).unwrap_err().kind(), io::ErrorKind::StorageFull);
        let whole = fs::read(folders.records()).unwrap();
        fs::write(folders.records(), [whole.as_slice(), &[b'x'; 10_000]].concat()).unwrap();
        spool.file = OpenOptions::new().write(true).open(folders.records()).unwrap();
        spool.append(&epoch(2)).unwrap();
        assert_eq!(read(&folders).unwrap().records, [epoch(1), epoch(2)]);
    }

    #[test]
    fn garbage_in_the_middle_ends_the_spool_there() {
        let (_folder, folders) = spool_of(2);
        let mut bytes = fs::read(folders.records()).unwrap();
        bytes.extend_from_slice(b"{\"record\":\"nonsense\"}\n");
        fs::write(folders.records(), &bytes).unwrap();
        assert_eq!(read(&folders).unwrap().records.len(), 2);
    }

    #[test]
    fn an_end_is_found_again() {
        let (_folder, folders) = spool_of(1);
        let end = AttemptEnd {
            outcome: AttemptOutcome::Crashed,
            message: Some("why".into()),
            exit_code: None,
            signal: Some(9),
        };
        assert_eq!(read(&folders).unwrap().end, None);
        Spool { folders: folders.clone(), file: File::open(folders.records()).unwrap(), bytes: 0 }.end(&end).unwrap();
        assert_eq!(read(&folders).unwrap().end, Some(end));
    }

    #[test]
    fn what_is_left_behind_is_found_in_order_and_removed_without_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        for number in [12, 3] {
            let folders = Folders::new(folder.path(), AttemptId(number));
            folders.create().unwrap();
            Spool::create(&folders).unwrap().end(&crate::outcome::end_by(AttemptOutcome::Lost, "gone")).unwrap();
            fs::write(folders.log(), "line").unwrap();
        }
        let left = Folders::left_behind(folder.path()).unwrap();
        assert_eq!(left.iter().map(Folders::attempt).collect::<Vec<_>>(), [AttemptId(3), AttemptId(12)]);
        left.iter().for_each(|folders| folders.remove().unwrap());
        for folder in ["spool", "attempts", "logs"].map(|name| folder.path().join(name)) {
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "{}", folder.display());
        }
    }

    fn checkpoint(content: &[u8]) -> CheckpointRecord {
        let bytes = content.len() as u64;
        let path = "resume.safetensors".into();
        CheckpointRecord { epoch: 1, role: CheckpointRole::Resume, path, sha256: hash(content), bytes }
    }

    #[test]
    fn a_pinned_checkpoint_outlives_its_replacement() {
        let (_folder, folders) = spool_of(0);
        let path = folders.training().join("resume.safetensors");
        fs::write(&path, "first").unwrap();
        pin(&folders, &checkpoint(b"first")).unwrap();
        // As trainers do: written beside, then renamed over.
        fs::write(path.with_extension("part"), "second").unwrap();
        fs::rename(path.with_extension("part"), &path).unwrap();
        assert_eq!(fs::read(folders.pinned(&hash(b"first"))).unwrap(), b"first");
    }

    #[test]
    fn a_checkpoint_that_is_not_pinned_can_be_let_go() {
        let (_folder, folders) = spool_of(0);
        fs::write(folders.training().join("resume.safetensors"), "first").unwrap();
        pin(&folders, &checkpoint(b"first")).unwrap();
        for _ in 0..2 {
            unpin(&folders, &hash(b"first")).unwrap();
            assert!(!folders.pinned(&hash(b"first")).exists());
        }
    }

    #[test]
    fn a_checkpoint_that_was_replaced_before_it_was_pinned_is_noticed() {
        let (_folder, folders) = spool_of(0);
        fs::write(folders.training().join("resume.safetensors"), "second").unwrap();
        assert!(matches!(pin(&folders, &checkpoint(b"first")), Err(PinError::Replaced { .. })));
        assert!(!folders.pinned(&hash(b"first")).exists());
    }
}

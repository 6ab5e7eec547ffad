//! Copies of the state directory: database and artifacts, made while a daemon runs, looked through, and put back.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use rrm_spec::ArtifactHash;
use rrm_store::{Contents, check_database, copy_database, pass_over_numbers};
use sha2::{Digest, Sha256};

use crate::artifacts;

/// Beside a backup's database: its SHA-256, as `sha256sum` writes and checks it. The pages of SQLite have no checksums, so that a
/// changed byte of a number or a text is no fault of the structure.
const SUM: &str = "rrm.db.sha256";

/// How much of a file is read at once.
const PIECE: usize = 1 << 20;

/// Why a backup was not made, is not to be trusted, or was not put back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is something where the copy should go.
    #[error("{} exists and is not empty: choose another folder", path.display())]
    Occupied {
        /// Where.
        path: PathBuf,
    },
    /// A daemon runs there.
    #[error("an rrmd runs on {}: stop it, and choose an empty folder", path.display())]
    Running {
        /// Where.
        path: PathBuf,
    },
    /// There is no database.
    #[error("{} has no rrm.db: it is neither a state directory nor a backup", path.display())]
    Nothing {
        /// Where.
        path: PathBuf,
    },
    /// The folder in which the copy should go is not there.
    #[error("the folder {} does not exist: make it, or mount its disk", path.display())]
    NoParent {
        /// Which.
        path: PathBuf,
    },
    /// The copy would go into what is copied.
    #[error("{} lies inside of the state folder {}, and would be lost with it: choose a folder elsewhere", path.display(), state_dir.display())]
    Inside {
        /// Where the copy should go.
        path: PathBuf,
        /// What is to be copied.
        state_dir: PathBuf,
    },
    /// A backup's database is not what was written.
    #[error("{} is damaged: its SHA-256 is {found}, and was {written} when the backup was made", path.display())]
    Changed {
        /// The database.
        path: PathBuf,
        /// Its SHA-256 as it is.
        found: String,
        /// Its SHA-256 as it was.
        written: String,
    },
    /// The file with the database's SHA-256 has none.
    #[error("{} is damaged: must be the 64 hexadecimal digits of a SHA-256, and the name rrm.db", path.display())]
    NoSum {
        /// Which.
        path: PathBuf,
    },
    /// The database is unsound, or cannot be copied.
    #[error(transparent)]
    Database(#[from] rrm_store::BackupError),
    /// A file cannot be read or written.
    #[error("{} cannot be copied", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What a check of a database can have missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// Nothing: every byte is as it was when the backup was made.
    Bytes,
    /// A value that was changed in its place: there is no hash to compare with, of a state directory never, and of a backup by an
    /// earlier version not either.
    Structure,
}

/// What a state directory or a backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// How well the database is known to be sound.
    pub checked: Checked,
    /// Version of the database's schema.
    pub schema: i64,
    /// Plans.
    pub submissions: u64,
    /// Jobs.
    pub jobs: u64,
    /// Artifacts that are there and have the content that they are named by.
    pub artifacts: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Artifacts that the database names and that are missing or damaged.
    pub lost: Vec<ArtifactHash>,
}

/// Copies database and artifacts of a state directory into the new folder `target`. A daemon may run on it.
///
/// The folder in which `target` is to be must exist, and must not be the state directory nor lie in it.
///
/// Artifacts are hard links where both folders lie on one file system, and copies elsewhere; each is read and compared with
/// its hash. Those that are missing or damaged are told, and left out. Tokens and logs are not copied.
///
/// # Errors
/// [`BackupError`]; `target` does not exist then.
pub async fn back_up(state_dir: &Path, target: &Path) -> Result<Inventory, BackupError> {
    needs_database(state_dir)?;
    needs_place(state_dir, target)?;
    needs_free(target)?;
    let draft = Draft::beside(target)?;
    let (from, to) = (state_dir.join("artifacts"), draft.path.join("artifacts"));
    // Before the database is copied: what is superseded meanwhile may be deleted by the time that its turn comes.
    link_all(&from, &to)?;
    let database = draft.path.join("rrm.db");
    copy_database(&state_dir.join("rrm.db"), &database).await?;
    let contents = check_database(&database).await?;
    for sha256 in contents.artifacts.keys() {
        // What came since.
        link(&artifacts::place(&from, sha256), &artifacts::place(&to, sha256))?;
    }
    note_sum(&draft.path)?;
    let found = inventory(&draft.path, &contents, Checked::Bytes)?;
    leave_only(&to, &contents, &found.lost)?;
    draft.put_in_place()?;
    Ok(found)
}

/// Looks through a backup or a state directory, without changing it: the structure of every page of the database, of a backup all of
/// its bytes, and every artifact's content. A daemon may run on it.
///
/// # Errors
/// [`BackupError`] where the database is unsound or something cannot be read; artifacts that are not well are told.
pub async fn verify(folder: &Path) -> Result<Inventory, BackupError> {
    needs_database(folder)?;
    let database = folder.join("rrm.db");
    let checked = compare_sum(folder)?;
    let contents = check_database(&database).await?;
    let found = inventory(folder, &contents, checked)?;
    if found.lost.is_empty() {
        return Ok(found);
    }
    // A running daemon deletes what is superseded, its row first.
    let now = check_database(&database).await?;
    let lost = found.lost.into_iter().filter(|sha256| now.artifacts.contains_key(sha256)).collect();
    Ok(Inventory { lost, ..found })
}

/// Makes a new state directory of a backup, or of a state directory on which no daemon runs. The numbers of jobs, attempts and
/// workers go on a million higher: what was given out since the backup was made never means something else.
///
/// # Errors
/// [`BackupError`]; `state_dir` is as before then.
pub async fn restore(backup: &Path, state_dir: &Path) -> Result<Inventory, BackupError> {
    needs_database(backup)?;
    needs_free(state_dir)?;
    let checked = compare_sum(backup)?;
    let draft = Draft::beside(state_dir)?;
    let database = draft.path.join("rrm.db");
    copy_database(&backup.join("rrm.db"), &database).await?;
    pass_over_numbers(&database).await?;
    let contents = check_database(&database).await?;
    let (from, to) = (backup.join("artifacts"), draft.path.join("artifacts"));
    for sha256 in contents.artifacts.keys() {
        copy(&artifacts::place(&from, sha256), &artifacts::place(&to, sha256))?;
    }
    let found = inventory(&draft.path, &contents, checked)?;
    leave_only(&to, &contents, &found.lost)?;
    draft.put_in_place()?;
    Ok(found)
}

fn needs_database(folder: &Path) -> Result<(), BackupError> {
    match folder.join("rrm.db").is_file() {
        true => Ok(()),
        false => Err(BackupError::Nothing { path: folder.to_owned() }),
    }
}

/// A disk that is not mounted must not be taken for a place, and a copy must not go the way of what it is a copy of.
fn needs_place(state_dir: &Path, target: &Path) -> Result<(), BackupError> {
    let failed = |path: &Path, source| BackupError::File { path: path.to_owned(), source };
    let place = std::path::absolute(target).map_err(|source| failed(target, source))?;
    let parent = place.parent().unwrap_or(&place);
    if !parent.is_dir() {
        return Err(BackupError::NoParent { path: parent.to_owned() });
    }
    let real = |path: &Path| path.canonicalize().map_err(|source| failed(path, source));
    match real(parent)?.starts_with(real(state_dir)?) {
        true => Err(BackupError::Inside { path: place, state_dir: state_dir.to_owned() }),
        false => Ok(()),
    }
}

fn needs_free(folder: &Path) -> Result<(), BackupError> {
    let path = || folder.to_owned();
    if is_held(folder) {
        return Err(BackupError::Running { path: path() });
    }
    match fs::read_dir(folder).map(|mut entries| entries.next().is_some()) {
        Ok(false) => Ok(()),
        Ok(true) => Err(BackupError::Occupied { path: path() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(BackupError::File { path: path(), source }),
    }
}

/// Whether a daemon has the folder.
fn is_held(folder: &Path) -> bool {
    let Ok(file) = File::open(folder.join("rrmd.lock")) else { return false };
    Flock::lock(file, FlockArg::LockExclusiveNonblock).is_err()
}

/// A folder beside the one that it will become; deleted unless it does.
struct Draft {
    path: PathBuf,
    place: PathBuf,
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Gone where it was put in its place. What stays otherwise is deleted by the next one.
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Draft {
    fn beside(place: &Path) -> Result<Self, BackupError> {
        let failed = |source| BackupError::File { path: place.to_owned(), source };
        let place = std::path::absolute(place).map_err(failed)?;
        let name = place.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        let path = place.with_file_name(format!(".{}.partial", name.to_string_lossy()));
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        // Plans and weights are the owner's alone.
        DirBuilder::new().recursive(true).mode(0o700).create(path.join("artifacts")).map_err(failed)?;
        Ok(Self { path, place })
    }

    /// Makes all of it durable, and only then lets it appear.
    fn put_in_place(self) -> Result<(), BackupError> {
        let failed = |source| BackupError::File { path: self.place.clone(), source };
        sync_below(&self.path).map_err(failed)?;
        fs::rename(&self.path, &self.place).map_err(failed)?;
        let parent = self.place.parent().expect("a folder with a name has a parent");
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed)
    }
}

fn sync_below(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            sync_below(&entry?.path())?;
        }
    }
    File::open(path)?.sync_all()
}

/// The artifacts that lie in a folder.
fn listed(root: &Path) -> Result<Vec<ArtifactHash>, BackupError> {
    let failed = |source| BackupError::File { path: root.to_owned(), source };
    let mut found = Vec::new();
    for folder in fs::read_dir(root).map_err(failed)? {
        let folder = folder.map_err(failed)?;
        if folder.file_name().len() != 2 {
            continue;
        }
        for file in fs::read_dir(folder.path()).map_err(failed)? {
            found.extend(file.map_err(failed)?.file_name().to_string_lossy().parse::<ArtifactHash>());
        }
    }
    Ok(found)
}

fn link_all(from: &Path, to: &Path) -> Result<(), BackupError> {
    listed(from)?.iter().try_for_each(|sha256| link(&artifacts::place(from, sha256), &artifacts::place(to, sha256)))
}

/// Links a file unless it is there, or copies it where it cannot be linked. One that has gone meanwhile stays away.
fn link(from: &Path, to: &Path) -> Result<(), BackupError> {
    if to.exists() {
        return Ok(());
    }
    make_folder_of(to)?;
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Another file system, or one without links.
        Err(_) => copy(from, to),
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    make_folder_of(to)?;
    let failed = |source| BackupError::File { path: to.to_owned(), source };
    let mut source = match File::open(from) {
        Ok(source) => source,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(BackupError::File { path: from.to_owned(), source }),
    };
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(to).map_err(failed)?;
    io::copy(&mut source, &mut file).map_err(failed)?;
    file.flush().map_err(failed)
}

fn make_folder_of(file: &Path) -> Result<(), BackupError> {
    let folder = file.parent().expect("an artifact lies in a folder");
    fs::create_dir_all(folder).map_err(|source| BackupError::File { path: folder.to_owned(), source })
}

/// Compares every artifact that the database names with its hash.
fn inventory(folder: &Path, contents: &Contents, checked: Checked) -> Result<Inventory, BackupError> {
    let root = folder.join("artifacts");
    let (mut artifacts, mut bytes, mut lost) = (0, 0, Vec::new());
    for (sha256, size) in &contents.artifacts {
        match is_whole(&artifacts::place(&root, sha256), sha256)? {
            true => (artifacts, bytes) = (artifacts + 1, bytes + size),
            false => lost.push(sha256.clone()),
        }
    }
    lost.sort();
    Ok(Inventory {
        checked,
        schema: contents.schema,
        submissions: contents.submissions,
        jobs: contents.jobs,
        artifacts,
        bytes,
        lost,
    })
}

fn is_whole(path: &Path, sha256: &ArtifactHash) -> Result<bool, BackupError> {
    match sum_of(path) {
        Ok(found) => Ok(found == sha256.as_str()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(BackupError::File { path: path.to_owned(), source }),
    }
}

/// A file's SHA-256.
fn sum_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let (mut hasher, mut piece) = (Sha256::new(), vec![0; PIECE]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            read => hasher.update(&piece[..read]),
        }
    }
}

/// Writes down what the database of a new backup is.
fn note_sum(backup: &Path) -> Result<(), BackupError> {
    let path = backup.join(SUM);
    let written = sum_of(&backup.join("rrm.db")).and_then(|sum| fs::write(&path, format!("{sum}  rrm.db\n")));
    written.map_err(|source| BackupError::File { path, source })
}

/// Compares a backup's database with what was written down of it, if anything was.
fn compare_sum(folder: &Path) -> Result<Checked, BackupError> {
    let (path, database) = (folder.join(SUM), folder.join("rrm.db"));
    let text = match fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Checked::Structure),
        Err(source) => return Err(BackupError::File { path, source }),
    };
    let written = text.split_whitespace().next().unwrap_or_default();
    if written.parse::<ArtifactHash>().is_err() {
        return Err(BackupError::NoSum { path });
    }
    let found = sum_of(&database).map_err(|source| BackupError::File { path: database.clone(), source })?;
    match found == written {
        true => Ok(Checked::Bytes),
        false => Err(BackupError::Changed { path: database, found, written: written.to_owned() }),
    }
}

/// Deletes what the database does not name, and what is damaged.
fn leave_only(root: &Path, contents: &Contents, lost: &[ArtifactHash]) -> Result<(), BackupError> {
    for sha256 in listed(root)? {
        if !contents.artifacts.contains_key(&sha256) || lost.contains(&sha256) {
            let path = artifacts::place(root, &sha256);
            fs::remove_file(&path).map_err(|source| BackupError::File { path, source })?;
        }
    }
    Ok(())
}

//! Tokens: who may call what.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// A secret that its holder shows with every call.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Two roles, each with a token of its own: a worker's token leaking from a node must not submit jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Submits, reads and cancels.
    User,
    /// Leases and reports.
    Worker,
}

/// Who calls, as far as the daemon knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// By its token.
    pub role: Role,
}

/// The daemon's tokens.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// Of users.
    pub user: Token,
    /// Of workers.
    pub worker: Token,
}

/// A token file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be read or made.
    #[error("token file {path}: {why}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// Everyone on the machine could read it.
    #[error("token file {path} can be read or written by everyone (mode {mode:03o}): run `chmod o= {path}`")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It does not hold a token.
    #[error("token file {path} holds no token: expected one line of 16 to 256 letters, digits and `-_.`")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

impl Token {
    /// Takes a text as a token; `None` unless it is 16 to 256 letters, digits and `-_.`.
    pub fn new(text: &str) -> Option<Self> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        ((16..=256).contains(&text.len()) && text.bytes().all(fits)).then(|| Self(text.to_owned()))
    }

    /// Reads a token file. Group members may share one; a file open to everyone is refused.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn load(path: &Path) -> Result<Self, TokenError> {
        let io = |why| TokenError::Io { path: path.to_owned(), why };
        let mut file = File::open(path).map_err(io)?;
        let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o007 != 0 {
            return Err(TokenError::Exposed { path: path.to_owned(), mode });
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(io)?;
        Self::new(text.trim()).ok_or_else(|| TokenError::Malformed { path: path.to_owned() })
    }

    /// Reads a token file, or makes one with a fresh token, mode 0600. Two processes that start at once agree.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn load_or_create(path: &Path) -> Result<Self, TokenError> {
        match Self::load(path) {
            Err(TokenError::Io { why, .. }) if why.kind() == io::ErrorKind::NotFound => {
                create(path).map_err(|why| TokenError::Io { path: path.to_owned(), why })?;
                Self::load(path)
            }
            other => other,
        }
    }

    /// The secret.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `text` is this token; takes as long whatever `text` is.
    pub(crate) fn matches(&self, text: &str) -> bool {
        // Digests have one length and the comparison looks at every byte: the time tells nothing about the token.
        let (own, other) = (Sha256::digest(&self.0), Sha256::digest(text));
        own.iter().zip(other.iter()).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Tokens {
    /// The role of a token; both are compared, whichever matches.
    pub(crate) fn role_of(&self, text: &str) -> Option<Role> {
        let (user, worker) = (self.user.matches(text), self.worker.matches(text));
        match (user, worker) {
            (true, _) => Some(Role::User),
            (false, true) => Some(Role::Worker),
            (false, false) => None,
        }
    }
}

/// Makes the file complete or not at all: written beside it and linked, so that the first of two processes wins.
fn create(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    writeln!(file, "{}", fresh_secret()?)?;
    file.sync_all()?;
    let linked = fs::hard_link(&beside, path);
    fs::remove_file(&beside)?;
    match linked {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => Ok(()),
    }
}

/// 256 bits from the kernel, as hexadecimal digits.
fn fresh_secret() -> io::Result<String> {
    let mut secret = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut secret)?;
    Ok(hex::encode(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(letter: char) -> Token {
        Token::new(&letter.to_string().repeat(64)).unwrap()
    }

    #[test]
    fn a_token_file_is_made_once_and_readable_to_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/token-user");
        let made = Token::load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Token::load_or_create(&path).unwrap(), made);
        assert_eq!(made.expose().len(), 64);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "the file beside is gone");
    }

    #[test]
    fn a_file_open_to_everyone_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        Token::load_or_create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Token::load(&path).unwrap_err().to_string().contains("chmod"));
    }

    #[test]
    fn an_empty_file_is_no_token() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
        assert!(matches!(Token::load(&path), Err(TokenError::Malformed { .. })));
    }

    #[test]
    fn each_token_has_its_role_and_others_none() {
        let tokens = Tokens { user: token('a'), worker: token('b') };
        assert_eq!(tokens.role_of(token('a').expose()), Some(Role::User));
        assert_eq!(tokens.role_of(token('b').expose()), Some(Role::Worker));
        assert_eq!(tokens.role_of(""), None);
        assert_eq!(tokens.role_of(&"a".repeat(63)), None);
    }

    #[test]
    fn a_token_is_never_printed() {
        assert!(!format!("{:?}", token('s')).contains("ss"));
    }
}

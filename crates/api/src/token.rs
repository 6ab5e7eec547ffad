//! Tokens: who may call what.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rrm_spec::{Role, TokenHash, UserName};
use sha2::{Digest, Sha256};

/// A secret that its holder shows with every call.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Who calls, by the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whose token it is.
    pub user: UserName,
    /// What it is for.
    pub role: Role,
    /// When it ends to be valid, in microseconds since the Unix epoch; absent = when it is revoked.
    pub expires_at: Option<i64>,
}

/// The tokens that a daemon has from its first start on, for this machine: of an administrator and of workers. All others are
/// granted by [`Service::add_token`](crate::Service::add_token).
#[derive(Clone, Debug)]
pub struct Tokens {
    /// Of the machine's owner, who may do everything but a worker's work.
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

    /// A token of 256 random bits.
    ///
    /// # Errors
    /// Where the kernel gives no randomness.
    pub fn fresh() -> io::Result<Self> {
        fresh_secret().map(Self)
    }

    /// Writes the token to a file that must not exist yet, mode 0600.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn save(&self, path: &Path) -> Result<(), TokenError> {
        let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
            writeln!(file, "{}", self.0)?;
            file.sync_all()
        });
        written.map_err(|why| TokenError::Io { path: path.to_owned(), why })
    }

    /// What a daemon knows it by.
    pub fn sha256(&self) -> TokenHash {
        TokenHash::new(Sha256::digest(&self.0).into())
    }

    /// The secret, to be shown to its holder alone.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The secret.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Tokens {
    /// Whose a token is; both are compared, whichever matches.
    pub(crate) fn caller(&self, shown: TokenHash) -> Option<Caller> {
        let caller = |role| Caller { user: UserName::lab(), role, expires_at: None };
        match (self.user.sha256() == shown, self.worker.sha256() == shown) {
            (true, _) => Some(caller(Role::Admin)),
            (false, true) => Some(caller(Role::Work)),
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
        let role = |token: &Token| tokens.caller(token.sha256()).map(|caller| caller.role);
        assert_eq!(role(&token('a')), Some(Role::Admin));
        assert_eq!(role(&token('b')), Some(Role::Work));
        assert_eq!(role(&token('c')), None);
        assert_eq!(role(&Token::new(&"a".repeat(63)).unwrap()), None);
    }

    #[test]
    fn fresh_tokens_differ_and_are_saved_once_for_their_owner_alone() {
        let (one, other) = (Token::fresh().unwrap(), Token::fresh().unwrap());
        assert_ne!(one.sha256(), other.sha256());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token-ada");
        one.save(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Token::load(&path).unwrap(), one);
        assert!(other.save(&path).unwrap_err().to_string().contains("token-ada"), "the first one stays");
        assert_eq!(Token::load(&path).unwrap(), one);
    }

    #[test]
    fn a_token_is_never_printed() {
        assert!(!format!("{:?}", token('s')).contains("ss"));
    }
}

//! The folder in which the daemon keeps everything, held by one process at a time.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use rrm_api::ServerTls;

use crate::StartError;

/// The folder, locked. Letting go of it unlocks it, as does the process's death in whatever way.
#[derive(Debug)]
pub struct StateDir {
    root: PathBuf,
    _lock: Flock<File>,
}

impl StateDir {
    /// Makes the folder where it is missing, and takes the lock.
    ///
    /// # Errors
    /// [`StartError::Locked`] where another daemon has it, [`StartError::Folder`] where it cannot be made.
    pub fn open(root: &Path) -> Result<Self, StartError> {
        let failed = |source| StartError::Folder { path: root.to_owned(), source };
        // Tokens, plans and weights are the owner's alone.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(failed)?;
        for name in ["artifacts", "logs"] {
            fs::create_dir_all(root.join(name)).map_err(failed)?;
        }
        let path = root.join("rrmd.lock");
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(failed)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => {
                close_to_others(root).map_err(failed)?;
                no_backup_any_more(root).map_err(failed)?;
                Ok(Self { root: root.to_owned(), _lock: lock })
            }
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Err(StartError::Locked { path: root.to_owned() }),
            Err((_, error)) => Err(failed(error.into())),
        }
    }

    /// The database file.
    pub fn database(&self) -> PathBuf {
        self.root.join("rrm.db")
    }

    /// The folder of the artifact store.
    pub fn artifacts(&self) -> PathBuf {
        self.root.join("artifacts")
    }

    /// The folder of the attempts' logs.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The users' token.
    pub fn user_token(&self) -> PathBuf {
        self.root.join("token-user")
    }

    /// The workers' token.
    pub fn worker_token(&self) -> PathBuf {
        self.root.join("token-worker")
    }

    /// Tells local programs the URL under which they reach the daemon. The file appears complete, and only once connections
    /// are accepted.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn announce(&self, listens: SocketAddr, tls: Option<&ServerTls>) -> io::Result<()> {
        self.tell("address", &local_url(listens, tls))
    }

    /// Tells local programs the URL of the pages, in the same way.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn announce_pages(&self, listens: SocketAddr) -> io::Result<()> {
        self.tell("http-address", &local_url(listens, None))
    }

    fn tell(&self, name: &str, url: &str) -> io::Result<()> {
        let beside = self.root.join(format!("{name}.new"));
        let mut file = File::create(&beside)?;
        writeln!(file, "{url}")?;
        file.sync_all()?;
        fs::rename(beside, self.root.join(name))
    }

    /// Takes the announcements back.
    pub fn withdraw(&self) {
        for name in ["address", "http-address"] {
            match fs::remove_file(self.root.join(name)) {
                Ok(()) => {}
                // There are pages only where they were asked for.
                Err(error) if error.kind() == io::ErrorKind::NotFound && name == "http-address" => {}
                Err(error) => tracing::warn!(%error, "the file `{name}` could not be removed"),
            }
        }
    }
}

/// Plans and weights are the owner's alone, also where the folder was made by hand or by an earlier version. The folder itself
/// stays as it is: it may be one that others use as well.
fn close_to_others(root: &Path) -> io::Result<()> {
    for (name, mode) in
        [("artifacts", 0o700), ("logs", 0o700), ("rrm.db", 0o600), ("rrm.db-wal", 0o600), ("rrm.db-shm", 0o600)]
    {
        let path = root.join(name);
        if path.try_exists()? && fs::metadata(&path)?.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

/// A database that is written to has no hash that stays right: where the folder was a backup, it ends to be one.
fn no_backup_any_more(root: &Path) -> io::Result<()> {
    match fs::remove_file(root.join("rrm.db.sha256")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// All of a machine's addresses are none that can be called; the loopback's is among them.
fn local_url(listens: SocketAddr, tls: Option<&ServerTls>) -> String {
    let host = match listens.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{}", SocketAddr::new(host, listens.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_refused_until_the_first_has_gone() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("state");
        let first = StateDir::open(&root).unwrap();
        let refused = StateDir::open(&root).unwrap_err();
        assert!(refused.to_string().contains("another"), "{refused}");
        drop(first);
        StateDir::open(&root).unwrap();
    }

    #[test]
    fn the_folder_is_the_owners_alone_and_so_is_what_it_holds_where_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("deep/state");
        let mode = |name: &str| fs::metadata(root.join(name)).unwrap().permissions().mode() & 0o777;
        drop(StateDir::open(&root).unwrap());
        assert_eq!(mode(""), 0o700);
        fs::write(root.join("rrm.db"), "").unwrap();
        for name in ["", "rrm.db", "artifacts", "logs"] {
            fs::set_permissions(root.join(name), Permissions::from_mode(0o755)).unwrap();
        }
        StateDir::open(&root).unwrap();
        assert_eq!(["", "rrm.db", "artifacts", "logs"].map(mode), [0o755, 0o600, 0o700, 0o700]);
    }

    #[test]
    fn a_backup_on_which_a_daemon_is_started_is_none_any_more() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("rrm.db.sha256"), "").unwrap();
        StateDir::open(folder.path()).unwrap();
        assert!(!folder.path().join("rrm.db.sha256").exists());
    }

    #[test]
    fn the_address_is_announced_and_withdrawn() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        state.announce("127.0.0.1:7600".parse().unwrap(), None).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("address")).unwrap(), "http://127.0.0.1:7600\n");
        state.announce_pages("0.0.0.0:7601".parse().unwrap()).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("http-address")).unwrap(), "http://127.0.0.1:7601\n");
        state.withdraw();
        assert!(!folder.path().join("address").exists() && !folder.path().join("http-address").exists());
    }

    #[test]
    fn an_announced_address_can_be_called() {
        let tls = ServerTls { certificate: "c.pem".into(), key: "k.pem".into(), client_authority: None };
        let url = |listens: &str, tls| local_url(listens.parse().unwrap(), tls);
        assert_eq!(url("0.0.0.0:7600", None), "http://127.0.0.1:7600");
        assert_eq!(url("[::]:7600", Some(&tls)), "https://[::1]:7600");
        assert_eq!(url("10.0.0.7:7600", Some(&tls)), "https://10.0.0.7:7600");
    }
}

//! Where things lie unless told otherwise, by the XDG base directory specification.

use std::{env, fs, path::PathBuf};

/// The user's folders.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    state: PathBuf,
    data: PathBuf,
}

impl Places {
    pub(crate) fn of_user() -> Self {
        let home = env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
        let folder = |variable: &str, otherwise: &str| match env::var_os(variable).map(PathBuf::from) {
            // The specification has relative paths ignored.
            Some(path) if path.is_absolute() => path,
            _ => home.join(otherwise),
        };
        Self::below(folder("XDG_STATE_HOME", ".local/state"), folder("XDG_DATA_HOME", ".local/share"))
    }

    pub(crate) fn below(state: PathBuf, data: PathBuf) -> Self {
        Self { state, data }
    }

    /// The address of the daemon that this user runs on this machine, if one does or did.
    pub(crate) fn server(&self) -> Option<String> {
        let address = fs::read_to_string(self.state.join("rrm/address")).ok()?;
        Some(address.trim().to_owned())
    }

    /// The worker token of that daemon.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.state.join("rrm/token-worker")
    }

    /// Where a worker keeps what it works on.
    pub(crate) fn work_dir(&self) -> PathBuf {
        self.state.join("rrm-worker")
    }

    /// Where datasets lie.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.data.join("rrm")
    }
}

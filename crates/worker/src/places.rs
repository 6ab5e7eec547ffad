//! Where things lie unless told otherwise, by the XDG base directory specification.

use std::{env, ffi::OsString, fs, path::PathBuf};

/// The user's folders.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    state: PathBuf,
    data: PathBuf,
    /// Of the daemon that this user runs on this machine.
    daemon: PathBuf,
}

impl Places {
    pub(crate) fn of_user() -> Self {
        Self::told_by(|variable| env::var_os(variable))
    }

    fn told_by(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let home = variable("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
        let folder = |name: &str, otherwise: &str| match variable(name).map(PathBuf::from) {
            // The specification has relative paths ignored.
            Some(path) if path.is_absolute() => path,
            _ => home.join(otherwise),
        };
        let places = Self::below(folder("XDG_STATE_HOME", ".local/state"), folder("XDG_DATA_HOME", ".local/share"));
        // As `rrm` and `rrmd` take it.
        match variable("RRM_STATE_DIR").filter(|path| !path.is_empty()) {
            Some(daemon) => Self { daemon: daemon.into(), ..places },
            None => places,
        }
    }

    pub(crate) fn below(state: PathBuf, data: PathBuf) -> Self {
        let daemon = state.join("rrm");
        Self { state, data, daemon }
    }

    /// The address of the daemon that this user runs on this machine.
    ///
    /// # Errors
    /// The file that would say so, where there is none that can be read.
    pub(crate) fn server(&self) -> Result<String, PathBuf> {
        let path = self.daemon.join("address");
        match fs::read_to_string(&path) {
            Ok(address) => Ok(address.trim().to_owned()),
            Err(_) => Err(path),
        }
    }

    /// The worker token of that daemon.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.daemon.join("token-worker")
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn places(variables: &[(&str, &str)]) -> Places {
        let value = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        Places::told_by(value)
    }

    #[test]
    fn the_daemons_folder_is_where_it_was_said_to_be() {
        let home = ("HOME", "/home/ada");
        let token = |variables: &[(&str, &str)]| places(variables).token_file();
        assert_eq!(token(&[home]), Path::new("/home/ada/.local/state/rrm/token-worker"));
        assert_eq!(token(&[home, ("XDG_STATE_HOME", "/state")]), Path::new("/state/rrm/token-worker"));
        let named = [home, ("XDG_STATE_HOME", "/state"), ("RRM_STATE_DIR", "/lab")];
        assert_eq!(token(&named), Path::new("/lab/token-worker"));
        assert_eq!(places(&named).server(), Err("/lab/address".into()));
        assert_eq!(places(&named).work_dir(), Path::new("/state/rrm-worker"), "the worker's own folder is another one");
        assert_eq!(token(&[home, ("RRM_STATE_DIR", "")]), Path::new("/home/ada/.local/state/rrm/token-worker"));
    }
}

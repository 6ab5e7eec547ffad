//! Where things lie on this machine.

use std::path::PathBuf;

use crate::exit::{Exit, Failure};

/// The daemon's state: `$XDG_STATE_HOME/rrm`, or `~/.local/state/rrm`.
pub(crate) fn state() -> Result<PathBuf, Failure> {
    under("XDG_STATE_HOME", ".local/state", "--state-dir")
}

/// Datasets: `$XDG_DATA_HOME/rrm`, or `~/.local/share/rrm`.
pub(crate) fn data() -> Result<PathBuf, Failure> {
    under("XDG_DATA_HOME", ".local/share", "--data-dir")
}

fn under(variable: &str, below_home: &str, option: &str) -> Result<PathBuf, Failure> {
    let absolute = |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute(variable).or_else(|| Some(absolute("HOME")?.join(below_home)));
    base.map(|base| base.join("rrm")).ok_or_else(|| {
        Failure::new(Exit::Invalid, format!("neither {variable} nor HOME is set to an absolute path"))
            .next(format!("name the folder with {option}"))
    })
}

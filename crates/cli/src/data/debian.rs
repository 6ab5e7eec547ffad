//! A dataset from Debian's package, without root and without installing it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rrm_data::catalogue::DebianPackage;
use tempfile::TempDir;

/// The package's files, in a folder that may be temporary.
pub(super) struct Unpacked {
    pub(super) folder: PathBuf,
    /// Removed when this is dropped; absent where the package is installed.
    _temporary: Option<TempDir>,
}

impl Unpacked {
    pub(super) fn installed(folder: PathBuf) -> Self {
        Self { folder, _temporary: None }
    }
}

/// Where the package's files lie, if it is installed.
pub(super) fn installed(package: DebianPackage) -> Option<PathBuf> {
    Some(Path::new("/").join(package.folder)).filter(|folder| folder.is_dir())
}

/// Takes the package where it is installed, else loads it by apt and unpacks it beside `near`.
///
/// # Errors
/// Why this machine cannot: not Debian, no such package, no network. The caller has another way.
pub(super) fn unpacked(package: DebianPackage, near: &Path) -> Result<Unpacked, String> {
    if let Some(folder) = installed(package) {
        return Ok(Unpacked::installed(folder));
    }
    let temporary = tempfile::Builder::new().prefix(".debian-").tempdir_in(near).map_err(|e| e.to_string())?;
    let run = |program: &str, arguments: &[&str]| run(program, arguments, temporary.path());
    run("apt-get", &["download", package.name])?;
    let archive = archive(temporary.path()).ok_or("apt-get loaded no package")?;
    run("dpkg-deb", &["-x", &archive, "unpacked"])?;
    let folder = temporary.path().join("unpacked").join(package.folder);
    match folder.is_dir() {
        true => Ok(Unpacked { folder, _temporary: Some(temporary) }),
        false => Err(format!("{} holds no {}", package.name, package.folder)),
    }
}

/// The name of the package file that lies in the folder.
fn archive(folder: &Path) -> Option<String> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.into_iter().find(|name| name.ends_with(".deb"))
}

fn run(program: &str, arguments: &[&str], folder: &Path) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).env("LC_ALL", "C");
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let complaints = String::from_utf8_lossy(&output.stderr);
    let last = complaints.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no reason given");
    Err(format!("{program} {}: {}", arguments[0], last.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_is_quoted() {
        let error = run("sh", &["-c", "echo first >&2; echo the reason >&2; exit 3"], Path::new("/")).unwrap_err();
        assert!(error.ends_with("the reason"), "{error}");
        assert!(run("rrm-no-such-program", &["x"], Path::new("/")).is_err());
    }

    #[test]
    fn the_package_is_found_among_other_files() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(archive(folder.path()), None);
        fs::write(folder.path().join("a_1_all.deb"), "").unwrap();
        fs::write(folder.path().join("note"), "").unwrap();
        assert_eq!(archive(folder.path()).as_deref(), Some("a_1_all.deb"));
    }
}

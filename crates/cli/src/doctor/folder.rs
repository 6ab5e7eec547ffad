//! The state folder of this machine's daemon, where there is one.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::finding::{Finding, Findings};
use crate::{arguments::Global, folders};

/// File systems of other machines, as /proc/self/mountinfo names them: a write-ahead log does not work there.
const NETWORKS: [&str; 12] =
    ["nfs", "nfs4", "cifs", "smb3", "afs", "coda", "ceph", "lustre", "beegfs", "gpfs", "9p", "fuse.sshfs"];

pub(super) fn look(global: &Global, findings: &mut Findings) {
    let folder = match global.state_dir.clone().map_or_else(folders::state, Ok) {
        Ok(folder) => folder,
        Err(failure) => return findings.add(Finding::of_failure("state folder", failure)),
    };
    if !folder.exists() {
        let what = format!("{} does not exist: no daemon has run here", folder.display());
        return findings.add(match global.server {
            Some(_) => Finding::ok("state folder", what),
            None => {
                Finding::problem("state folder", what, "start one with `rrmd serve`, or name another with --server")
            }
        });
    }
    findings.add(permissions(&folder));
    findings.add(file_system(&folder));
}

fn permissions(folder: &Path) -> Finding {
    let open_to_others = |name: &&str| {
        let mode = fs::metadata(folder.join(name)).map(|file| file.permissions().mode());
        mode.is_ok_and(|mode| mode & 0o077 != 0)
    };
    let exposed: Vec<&str> =
        ["rrm.db", "token-user", "token-worker", "artifacts", "logs"].into_iter().filter(open_to_others).collect();
    match exposed.is_empty() {
        true => Finding::ok("permissions", format!("what lies in {} is its owner's alone", folder.display())),
        false => {
            let what = format!("others can use {} in {}", exposed.join(", "), folder.display());
            Finding::warning("permissions", what, format!("chmod -R go= {}", folder.display()))
        }
    }
}

fn file_system(folder: &Path) -> Finding {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    match kind_of(&folder, &mounts) {
        Some(kind) if NETWORKS.contains(&kind) => {
            let what = format!("{} lies on a network file system ({kind})", folder.display());
            Finding::problem("file system", what, "move the state folder to a local disk: SQLite's log needs one")
        }
        Some(kind) => Finding::ok("file system", format!("{} is on {kind}", folder.display())),
        None => Finding::warning("file system", "not known", "see that the state folder lies on a local disk"),
    }
}

/// The file system of the deepest mount point above the folder; of two on one point the later.
fn kind_of<'m>(folder: &Path, mounts: &'m str) -> Option<&'m str> {
    let mounts = mounts.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let point = before.split(' ').nth(4)?.replace("\\040", " ");
        Some((PathBuf::from(point), after.split(' ').next()?))
    });
    let above = mounts.filter(|(point, _)| folder.starts_with(point));
    above.max_by_key(|(point, _)| point.components().count()).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_mount_point_counts() {
        let mounts = "22 1 254:0 / / rw,noatime - ext4 /dev/vda rw\n\
                      40 22 0:35 / /home rw shared:1 - nfs4 server:/home rw\n\
                      41 40 0:36 / /home/ada/my\\040disk rw - xfs /dev/vdb rw\n";
        assert_eq!(kind_of(Path::new("/var/lib/rrm"), mounts), Some("ext4"));
        assert_eq!(kind_of(Path::new("/home/ada/state"), mounts), Some("nfs4"));
        assert_eq!(kind_of(Path::new("/home/ada/my disk/state"), mounts), Some("xfs"));
        assert_eq!(kind_of(Path::new("/homeless"), mounts), Some("ext4"));
        assert_eq!(kind_of(Path::new("/"), ""), None);
    }

    #[test]
    fn files_that_others_can_read_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token-user");
        fs::write(&token, "secret").unwrap();
        for (mode, word) in [(0o600, "alone"), (0o640, "token-user")] {
            fs::set_permissions(&token, fs::Permissions::from_mode(mode)).unwrap();
            let finding = format!("{:?}", permissions(folder.path()));
            assert!(finding.contains(word), "{finding}");
        }
    }
}

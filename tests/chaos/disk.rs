//! A small disk in memory that can be filled to its last byte, where this user may mount one.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Enough for a round, and few enough bytes to fill.
const SIZE: &str = "size=160m";

pub(crate) struct Disk {
    root: PathBuf,
}

impl Disk {
    /// Mounts one at a new folder; nothing where that is not allowed.
    pub(crate) fn mount(root: &Path) -> Option<Self> {
        std::fs::create_dir_all(root).expect("the round's folder can be written");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", SIZE, "rrm-chaos"]).arg(root);
        let mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        mounted.then(|| Self { root: root.to_owned() })
    }

    fn ballast(&self) -> PathBuf {
        self.root.join("ballast")
    }

    /// Leaves not a byte.
    pub(crate) fn fill(&self) {
        let Ok(mut file) = File::create(self.ballast()) else { return };
        for piece in [1 << 20, 4096, 1] {
            let piece = vec![0_u8; piece];
            while file.write_all(&piece).is_ok() {}
        }
    }

    pub(crate) fn free(&self) {
        let _ = std::fs::remove_file(self.ballast()); // Absent where not even its name found room.
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that is just being buried may still have a file open.
        let _ = Command::new("umount").arg("-l").arg(&self.root).stderr(Stdio::null()).status();
    }
}

//! The daemon's wall clock, set by libfaketime where it is installed. Its monotonic clock is left alone, as it is when somebody
//! sets a machine's time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Where Debian puts it.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

pub(crate) struct WallClock {
    offset: PathBuf,
}

impl WallClock {
    pub(crate) fn find(folder: &Path) -> Option<Self> {
        let clock = Self { offset: folder.join("faketime") };
        if !Path::new(LIBRARY).exists() {
            return None;
        }
        clock.set(0);
        Some(clock)
    }

    /// Sets it to so many seconds beside the true time.
    pub(crate) fn set(&self, seconds: i64) {
        let beside = self.offset.with_extension("new");
        std::fs::write(&beside, format!("{seconds:+}\n")).expect("the round's folder can be written");
        std::fs::rename(beside, &self.offset).expect("the round's folder can be written");
    }

    /// Has a process look at this clock.
    pub(crate) fn give(&self, command: &mut Command) {
        command.env("LD_PRELOAD", LIBRARY).env("FAKETIME_TIMESTAMP_FILE", &self.offset);
        command.env("FAKETIME_CACHE_DURATION", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }

    /// How long it may take until a change is seen.
    pub(crate) const SEEN_WITHIN: Duration = Duration::from_millis(1500);
}

//! How much memory a process holds, as Linux counts it.

use std::fs;

use anyhow::Context;

use crate::machine::kib;

/// In MiB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resident {
    /// Held now.
    pub now: f64,
    /// The most that was ever held.
    pub peak: f64,
}

impl Resident {
    /// Of the process with this id.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of(process: u32) -> anyhow::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        Self::parse(&status).with_context(|| format!("process {process} has ended"))
    }

    /// A process that has ended and is not waited for yet has a status, but no memory.
    fn parse(status: &str) -> Option<Self> {
        let mib = |name| Some(kib(status, name)? as f64 / 1024.0);
        Some(Self { now: mib("VmRSS")?, peak: mib("VmHWM")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_status() {
        let status = "Name:\trrm\nVmPeak:\t  900000 kB\nVmHWM:\t    4096 kB\nVmRSS:\t    1536 kB\n";
        assert_eq!(Resident::parse(status), Some(Resident { now: 1.5, peak: 4.0 }));
        assert_eq!(Resident::parse("Name:\trrm\nState:\tZ (zombie)\n"), None);
    }

    #[test]
    fn this_process_holds_memory() {
        let resident = Resident::of(std::process::id()).unwrap();
        assert!(resident.now > 0.0 && resident.peak >= resident.now);
    }
}

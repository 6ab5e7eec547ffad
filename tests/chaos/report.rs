//! The table of what was done and what was found.

use std::collections::BTreeMap;
use std::fmt;
use std::process::Command;
use std::time::Duration;

use crate::invariants::{Class, Violation};

/// What is injected, or done besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    DaemonKilled,
    DaemonFrozen,
    DiskFull,
    ConnectionsLost,
    ConnectionsStalled,
    ConnectionsSlow,
    CablePulled,
    WallClockSet,
    WorkerKilled,
    TrainerKilled,
    WorkerFrozen,
}

impl Fault {
    pub(crate) const ALL: [Self; 11] = [
        Self::DaemonKilled,
        Self::DaemonFrozen,
        Self::DiskFull,
        Self::ConnectionsLost,
        Self::ConnectionsStalled,
        Self::ConnectionsSlow,
        Self::CablePulled,
        Self::WallClockSet,
        Self::WorkerKilled,
        Self::TrainerKilled,
        Self::WorkerFrozen,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::DaemonKilled => "daemon killed (SIGKILL) and started again",
            Self::DaemonFrozen => "daemon frozen (SIGSTOP) and thawed",
            Self::DiskFull => "disk of the daemon full to the last byte, then freed",
            Self::ConnectionsLost => "all connections lost, new ones refused",
            Self::ConnectionsStalled => "all connections silent (half-open)",
            Self::ConnectionsSlow => "all connections slowed by 5 to 150 ms each way",
            Self::CablePulled => "cable of a worker's network namespace pulled",
            Self::WallClockSet => "daemon's wall clock set by 1 to 20 hours",
            Self::WorkerKilled => "worker killed (SIGKILL) and started again",
            Self::TrainerKilled => "trainer killed (SIGKILL)",
            Self::WorkerFrozen => "worker and trainer frozen beyond their lease, then thawed",
        }
    }

    /// What its recovery time is from and to.
    fn recovery(self) -> &'static str {
        match self {
            Self::DaemonKilled => "from the new start to the next acknowledged operation",
            Self::WorkerFrozen => "from the freeze until the attempt is taken away",
            Self::DaemonFrozen
            | Self::DiskFull
            | Self::ConnectionsLost
            | Self::ConnectionsStalled
            | Self::ConnectionsSlow
            | Self::CablePulled
            | Self::WallClockSet
            | Self::WorkerKilled
            | Self::TrainerKilled => "from the fault's end to the next acknowledged operation",
        }
    }
}

/// What a run has done and found, over all rounds.
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) took: Duration,
    pub(crate) rounds: u64,
    pub(crate) injected: BTreeMap<Fault, u64>,
    pub(crate) recoveries: BTreeMap<Fault, Vec<Duration>>,
    /// Faults that this machine or user does not allow, and why.
    pub(crate) skipped: BTreeMap<Fault, &'static str>,
    pub(crate) acknowledged: BTreeMap<&'static str, u64>,
    /// Words of attempts that had ended, and plans under used requests.
    pub(crate) refused: u64,
    pub(crate) cuts: u64,
    pub(crate) backups: u64,
    pub(crate) attempts: BTreeMap<String, u64>,
    pub(crate) jobs: BTreeMap<String, u64>,
    pub(crate) violations: Vec<Violation>,
    /// Where the folder of a round with violations is.
    pub(crate) kept: Option<std::path::PathBuf>,
}

impl Report {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            took: Duration::ZERO,
            rounds: 0,
            injected: BTreeMap::new(),
            recoveries: BTreeMap::new(),
            skipped: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            refused: 0,
            cuts: 0,
            backups: 0,
            attempts: BTreeMap::new(),
            jobs: BTreeMap::new(),
            violations: vec![],
            kept: None,
        }
    }

    fn count(&self, class: Class) -> usize {
        self.violations.iter().filter(|violation| violation.class == class).count()
    }

    /// Whether enough happened.
    pub(crate) fn is_worth_something(&self) -> bool {
        let killed = self.injected.get(&Fault::DaemonKilled).is_some_and(|&count| count > 0);
        killed && self.acknowledged.values().sum::<u64>() > 100 && self.refused > 0 && self.cuts > 0
    }

    /// Every violation, and where to look.
    pub(crate) fn complaint(&self) -> String {
        let mut text: String = self.violations.iter().map(|violation| format!("{violation}\n")).collect();
        if let Some(kept) = &self.kept {
            text += &format!("the round's folder is kept: {}\n", kept.display());
        }
        text
    }
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".into() };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changes| !changes.is_empty());
    if changed { commit + " with changes" } else { commit }
}

/// The smallest of the sorted times that so many of a hundred do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted[rank - 1]
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Seed {}, commit {}, {:.1} minutes, {} rounds.\n",
            self.seed,
            commit(),
            self.took.as_secs_f64() / 60.0,
            self.rounds
        )?;
        writeln!(f, "| fault | injected | recovered after p50 | p99 | max | measured |")?;
        writeln!(f, "|---|---:|---:|---:|---:|---|")?;
        for fault in Fault::ALL {
            let count = self.injected.get(&fault).copied().unwrap_or_default();
            if let Some(why) = self.skipped.get(&fault) {
                writeln!(f, "| {} | skipped: {why} | | | | |", fault.name())?;
                continue;
            }
            let mut times = self.recoveries.get(&fault).cloned().unwrap_or_default();
            times.sort();
            match times.is_empty() {
                true => writeln!(f, "| {} | {count} | | | | |", fault.name())?,
                false => {
                    let ms = |percent| percentile(&times, percent).as_millis();
                    let (p50, p99, max) = (ms(50), ms(99), ms(100));
                    writeln!(
                        f,
                        "| {} | {count} | {p50} ms | {p99} ms | {max} ms | {} |",
                        fault.name(),
                        fault.recovery()
                    )?;
                }
            }
        }
        self.write_findings(f)
    }
}

impl Report {
    fn write_findings(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |counts: &BTreeMap<String, u64>| {
            counts.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
        };
        let acknowledged = |kind| self.acknowledged.get(kind).copied().unwrap_or_default();
        writeln!(f, "\n| found | |\n|---|---:|")?;
        writeln!(f, "| acknowledged plans | {} |", acknowledged("submission"))?;
        writeln!(f, "| acknowledged reports of records | {} |", acknowledged("report"))?;
        writeln!(f, "| acknowledged ends of attempts | {} |", acknowledged("settled"))?;
        writeln!(f, "| acknowledged cancellations | {} |", acknowledged("cancel"))?;
        writeln!(f, "| jobs | {} |", list(&self.jobs))?;
        writeln!(f, "| attempts | {} |", list(&self.attempts))?;
        writeln!(f, "| write-ahead logs cut at arbitrary bytes and reopened | {} |", self.cuts)?;
        writeln!(f, "| backups of the running daemon, verified | {} |", self.backups)?;
        writeln!(f, "| words of ended attempts, and other plans under used requests: refused | {} |", self.refused)?;
        writeln!(f, "| **lost** | **{}** |", self.count(Class::Lost))?;
        writeln!(f, "| **duplicated** | **{}** |", self.count(Class::Duplicated))?;
        writeln!(f, "| **written by a stale attempt** | **{}** |", self.count(Class::Stale))?;
        writeln!(f, "| **gaps in epochs** | **{}** |", self.count(Class::Gap))?;
        writeln!(f, "| **other broken invariants** | **{}** |", self.count(Class::Broken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times: Vec<_> = (1..=10).map(Duration::from_secs).collect();
        assert_eq!([50, 99, 100].map(|percent| percentile(&times, percent).as_secs()), [5, 10, 10]);
        assert_eq!(percentile(&times[..1], 50).as_secs(), 1);
    }
}

//! Whether the machine was ours alone: a ratio that was taken beside other work is no ratio.

use std::fs;

use anyhow::Context;

/// Processor time until now, in the kernel's ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// That all processors could have given.
    total: u64,
    /// That they gave to anyone, the hypervisor's other guests included.
    busy: u64,
    /// That they gave to this process and to its children that have ended.
    ours: u64,
}

impl Load {
    /// Until now.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn now() -> anyhow::Result<Self> {
        Self::parse(&fs::read_to_string("/proc/stat")?, &fs::read_to_string("/proc/self/stat")?)
            .context("the kernel counts processor time in an unknown way")
    }

    fn parse(machine: &str, process: &str) -> Option<Self> {
        // cpu user nice system idle iowait irq softirq steal
        let counts: Option<Vec<u64>> =
            machine.lines().next()?.split_whitespace().skip(1).take(8).map(|count| count.parse().ok()).collect();
        let counts = counts?;
        let (total, idle) = (counts.iter().sum(), counts.get(3)? + counts.get(4)?);
        // After the name, which may hold anything but a closing bracket: the fields from the third on, of which the 14th to the
        // 17th are the times of the process and of its children, each in user mode and in the kernel.
        let fields: Vec<_> = process.rsplit_once(')')?.1.split_whitespace().collect();
        let ours: Option<Vec<u64>> = fields.get(11..15)?.iter().map(|count| count.parse().ok()).collect();
        Some(Self { total, busy: total - idle, ours: ours?.iter().sum() })
    }

    /// The share of all processors' time since `earlier` that went to others, from 0 to 1.
    pub fn others_since(self, earlier: Self) -> f64 {
        let (busy, ours) = (self.busy - earlier.busy, self.ours - earlier.ours);
        busy.saturating_sub(ours) as f64 / (self.total - earlier.total).max(1) as f64
    }
}

/// Beyond which a row says that it was disturbed. The system itself needs about a hundredth.
pub const TOLERATED: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;

    fn load(machine: &str, ours: &str) -> Load {
        let process = format!("42 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 {ours} 20 0 9 0 100\n");
        Load::parse(machine, &process).unwrap()
    }

    #[test]
    fn others_are_who_is_busy_and_not_ours() {
        let before = load("cpu  100 0 20 1000 5 0 0 0 0 0\ncpu0 1 2 3\n", "10 1 70 2");
        let after = load("cpu  150 0 30 1030 5 0 0 10 0 0\ncpu0 1 2 3\n", "11 1 104 2");
        // 70 busy ticks of 100, 35 of them ours.
        assert_eq!(after.others_since(before), 0.35);
    }

    #[test]
    fn children_that_began_earlier_make_no_negative_share() {
        let (before, after) = (load("cpu 0 0 0 0 0 0 0 0", "0 0 0 0"), load("cpu 5 0 0 5 0 0 0 0", "0 0 9 0"));
        assert_eq!(after.others_since(before), 0.0);
    }

    #[test]
    fn this_machine_counts() {
        let load = Load::now().unwrap();
        assert!(load.busy <= load.total && load.ours <= load.busy);
    }
}

//! Faults, drawn from a seed: one hand strikes the daemon and what it stands on, another one the workers.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use rrm_api::Client;
use rrm_spec::AttemptId;
use tokio::runtime::Handle;

use crate::dice::Dice;
use crate::invariants::{Class, Moment, Violation, violations};
use crate::journal::Journal;
use crate::proxy::Mode;
use crate::report::{Fault, Report};
use crate::simulated::late_words;
use crate::site::{LEASE_TTL, Site};
use crate::wal::{self, Remains};
use crate::{clock::WallClock, sql};

/// Places at which each dead daemon's log is cut.
const CUTS: u64 = 6;

/// By when a frozen worker must have lost what it holds.
const GIVEN_UP: Duration = Duration::from_secs(60);

/// What a hand has done.
#[derive(Default)]
pub(crate) struct Deeds {
    injected: BTreeMap<Fault, u64>,
    recoveries: BTreeMap<Fault, Vec<Duration>>,
    cuts: u64,
    backups: u64,
    violations: Vec<Violation>,
}

impl Deeds {
    pub(crate) fn add_to(self, report: &mut Report) {
        for (fault, count) in self.injected {
            *report.injected.entry(fault).or_default() += count;
        }
        for (fault, times) in self.recoveries {
            report.recoveries.entry(fault).or_default().extend(times);
        }
        report.cuts += self.cuts;
        report.backups += self.backups;
        report.violations.extend(self.violations);
    }

    fn recovered(&mut self, fault: Fault, after: Duration) {
        self.recoveries.entry(fault).or_default().push(after);
    }

    fn broken(&mut self, rule: &'static str, what: String) {
        self.violations.push(Violation { rule, class: Class::Broken, what });
    }
}

/// The hand that strikes the daemon, its disk, its clock and its network.
pub(crate) struct Weather<'s> {
    pub(crate) site: &'s Site,
    pub(crate) journal: &'s Journal,
    pub(crate) handle: Handle,
    pub(crate) dice: Dice,
    pub(crate) deeds: Deeds,
}

impl Weather<'_> {
    pub(crate) fn blow(mut self, until: Instant) -> Deeds {
        // Of these at least one, however short the round is.
        self.strike(Fault::DaemonKilled);
        self.back_up();
        while Instant::now() < until {
            sleep(self.dice.between(Duration::from_millis(50), Duration::from_millis(900))); // The calm between two faults.
            match self.draw() {
                Some(fault) => self.strike(fault),
                None => self.back_up(),
            }
        }
        self.deeds
    }

    /// What comes next, of what is possible here; nothing for a backup.
    fn draw(&mut self) -> Option<Fault> {
        let mut among = vec![None];
        among.extend([Some(Fault::DaemonKilled); 6]);
        among.extend(
            [Fault::DaemonFrozen, Fault::ConnectionsLost, Fault::ConnectionsStalled, Fault::ConnectionsSlow].map(Some),
        );
        among.extend(self.site.disk.iter().flat_map(|_| [Some(Fault::DiskFull); 3]));
        among.extend(self.site.namespace.iter().map(|_| Some(Fault::CablePulled)));
        among.extend(self.site.wall_clock.iter().map(|_| Some(Fault::WallClockSet)));
        *self.dice.pick(&among).expect("there is something to draw")
    }

    fn strike(&mut self, fault: Fault) {
        *self.deeds.injected.entry(fault).or_default() += 1;
        let lasts = self.dice.between(Duration::from_millis(100), LEASE_TTL * 3 / 2);
        match fault {
            Fault::DaemonKilled => return self.kill_daemon(),
            Fault::DaemonFrozen => {
                self.site.signal_daemon(Signal::SIGSTOP);
                sleep(lasts); // As long as the fault lasts, here and below.
                self.site.signal_daemon(Signal::SIGCONT);
            }
            Fault::DiskFull => {
                let disk = self.site.disk.as_ref().expect("only drawn where there is one");
                disk.fill();
                sleep(lasts);
                disk.free();
            }
            Fault::ConnectionsLost => self.through_proxy(Mode::Cut, lasts),
            Fault::ConnectionsStalled => self.through_proxy(Mode::Stall, lasts),
            Fault::ConnectionsSlow => {
                let delay = self.dice.between(Duration::from_millis(5), Duration::from_millis(150));
                self.through_proxy(Mode::Delay(delay), 2 * lasts);
            }
            Fault::CablePulled => {
                let namespace = self.site.namespace.as_ref().expect("only drawn where there is one");
                namespace.pull();
                sleep(lasts);
                namespace.plug();
            }
            Fault::WallClockSet => self.set_clock(),
            Fault::WorkerKilled | Fault::TrainerKilled | Fault::WorkerFrozen => unreachable!("the other hand's"),
        }
        self.wait_for_recovery(fault, Instant::now());
    }

    fn through_proxy(&self, mode: Mode, lasts: Duration) {
        self.site.proxy.set(mode);
        sleep(lasts);
        self.site.proxy.set(Mode::Pass);
    }

    /// By an hour to twenty: shorter than the day for which a file that nothing refers to is kept.
    fn set_clock(&mut self) {
        let clock = self.site.wall_clock.as_ref().expect("only drawn where there is one");
        let by = 3600 + self.dice.below(19 * 3600) as i64;
        clock.set(if self.dice.percent(50) { by } else { -by });
        sleep(WallClock::SEEN_WITHIN);
    }

    fn wait_for_recovery(&mut self, fault: Fault, since: Instant) {
        match self.handle.block_on(self.journal.recovery_since(since)) {
            Some(after) => self.deeds.recovered(fault, after),
            None => self.deeds.broken("work goes on after a fault", format!("nothing is acknowledged after {fault:?}")),
        }
    }

    fn kill_daemon(&mut self) {
        self.site.take_daemon().kill_nine();
        let remains = Remains::copy(self.site.state(), &self.site.path("remains"));
        // Everything that anybody was told, he was told by the dead one.
        let ledger = self.journal.ledger();
        sleep(self.dice.between(Duration::ZERO, Duration::from_millis(300))); // Down for a random while.
        let begun = Instant::now();
        self.site.start_daemon();
        self.wait_for_recovery(Fault::DaemonKilled, begun);
        if let Some(remains) = remains {
            let (cuts, found) = wal::cut(&remains, &ledger, CUTS, &mut self.dice);
            self.deeds.cuts += cuts;
            self.deeds.violations.extend(found);
        }
    }

    /// A backup of the running daemon, verified, restored and looked at: all that was acknowledged before is in it.
    fn back_up(&mut self) {
        let (copy, restored) = (self.site.path("copy"), self.site.path("restored"));
        let ledger = self.journal.ledger();
        let state = text(self.site.state());
        let steps: [&[&str]; 3] = [
            &["backup", "--state-dir", &state, &text(&copy)],
            &["verify", &text(&copy)],
            &["restore", &text(&copy), "--state-dir", &text(&restored)],
        ];
        for arguments in steps {
            let output = self.site.rrmd(arguments);
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                self.deeds.broken("a backup is made, verified and restored", format!("rrmd {}: {said}", arguments[0]));
            }
        }
        match violations(&restored.join("rrm.db"), &ledger, Moment::Underway) {
            Ok(found) => self.deeds.violations.extend(found),
            Err(error) => self.deeds.broken("a backup can be read", error.to_string()),
        }
        self.deeds.backups += 1;
        for folder in [copy, restored] {
            let _ = std::fs::remove_dir_all(folder); // Absent where a step has failed, which is told.
        }
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("temporary folders have plain names").to_owned()
}

/// The hand that strikes workers and trainers.
pub(crate) struct Violence<'s> {
    pub(crate) site: &'s Site,
    pub(crate) journal: &'s Journal,
    pub(crate) handle: Handle,
    /// Speaks as a worker.
    pub(crate) client: Client,
    pub(crate) dice: Dice,
    pub(crate) deeds: Deeds,
}

impl Violence<'_> {
    pub(crate) fn rage(mut self, until: Instant) -> Deeds {
        while Instant::now() < until {
            sleep(self.dice.between(Duration::from_millis(300), Duration::from_millis(2500))); // The calm between two faults.
            let number = self.dice.below(self.site.worker_count() as u64) as usize;
            match self.dice.below(4) {
                0 => self.kill_worker(number),
                1 => self.kill_trainer(number),
                _ => self.freeze(number),
            }
        }
        self.deeds
    }

    fn count(&mut self, fault: Fault) {
        *self.deeds.injected.entry(fault).or_default() += 1;
    }

    fn kill_worker(&mut self, number: usize) {
        self.count(Fault::WorkerKilled);
        self.site.with_worker(number, |worker| {
            worker.kill_now();
            sleep(self.dice.between(Duration::ZERO, Duration::from_millis(500))); // Away for a random while.
            *worker = self.site.start_worker(number);
        });
    }

    fn kill_trainer(&mut self, number: usize) {
        let trainers = self.site.with_worker(number, |worker| worker.children());
        for trainer in trainers {
            self.count(Fault::TrainerKilled);
            let _ = kill(trainer, Signal::SIGKILL); // It may have ended by itself just now.
        }
    }

    /// Freezes a worker with its trainer until the daemon has given both up, says what they would say, and thaws them.
    fn freeze(&mut self, number: usize) {
        let trainers = self.site.with_worker(number, |worker| worker.children());
        if trainers.is_empty() {
            return;
        }
        let signal = |signal: Signal| {
            self.site.with_worker(number, |worker| worker.signal(signal));
            for trainer in &trainers {
                let _ = kill(*trainer, signal); // It may have ended by itself just now.
            }
        };
        signal(Signal::SIGSTOP);
        let frozen = Instant::now();
        let holds = "select attempt_id from attempt join worker using (worker_id) \
                     where node = 'worker-' || ?1 and ended_at is null";
        let attempts = sql::numbers(&self.site.database(), holds, number as i64);
        let mut given_up = Vec::new();
        for attempt in attempts {
            while !sql::has_ended(&self.site.database(), attempt) && frozen.elapsed() < GIVEN_UP {
                sleep(Duration::from_millis(50)); // The interval of asking.
            }
            given_up.push((attempt, frozen.elapsed()));
            self.handle.block_on(late_words(&self.client, self.journal, AttemptId(attempt)));
        }
        signal(Signal::SIGCONT);
        for (attempt, after) in given_up {
            self.count(Fault::WorkerFrozen);
            match after < GIVEN_UP {
                true => self.deeds.recovered(Fault::WorkerFrozen, after),
                false => self.deeds.broken("a silent worker loses its lease", format!("attempt {attempt} does not")),
            }
        }
    }
}

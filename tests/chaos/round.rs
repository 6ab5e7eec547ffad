//! A round: a site of its own, people at work, faults for a while, peace until everything has ended, and the checker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::checker;
use crate::dice::Dice;
use crate::fault::{Deeds, Violence, Weather};
use crate::invariants::{Class, Moment, Violation};
use crate::journal::Journal;
use crate::proxy::Mode;
use crate::report::{Fault, Report};
use crate::simulated::{self, Floor};
use crate::site::Site;
use crate::sql;
use crate::user::User;

const SIMULATED_WORKERS: usize = 8;

/// By when everything must have ended, once nothing goes wrong any more; a busy machine trains slowly.
const PEACE: Duration = Duration::from_secs(600);

/// Those who work, and how they are told of peace and of the end.
struct People {
    calm: watch::Sender<bool>,
    over: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl People {
    fn begin(runtime: &Runtime, site: &Site, journal: &Arc<Journal>, dice: &mut Dice) -> Self {
        let (calm, is_calm) = watch::channel(false);
        let (over, is_over) = watch::channel(false);
        let _inside = runtime.enter();
        let user = User {
            client: site.client("token-user"),
            journal: journal.clone(),
            database: site.database(),
            calm: is_calm.clone(),
            dice: dice.split(),
        };
        let floor = Arc::new(Floor {
            client: site.client("token-worker"),
            journal: journal.clone(),
            database: site.database(),
            folder: site.path("simulated"),
            calm: is_calm,
            over: is_over,
        });
        let mut tasks = vec![tokio::spawn(user.live())];
        for number in 0..SIMULATED_WORKERS {
            tasks.push(tokio::spawn(simulated::worker(number, floor.clone(), dice.split())));
        }
        Self { calm, over, tasks }
    }
}

/// Plays one, and adds to the report.
pub(crate) fn play(dice: &mut Dice, span: Duration, report: &mut Report) {
    let runtime = Builder::new_multi_thread().worker_threads(3).enable_all().build().expect("a runtime can be had");
    let site = Site::open(runtime.handle());
    note_what_is_skipped(&site, report);
    let journal = Arc::new(Journal::open(&site.path("acknowledged.jsonl")));
    let people = People::begin(&runtime, &site, &journal, dice);
    storm(&runtime, &site, &journal, dice, span).into_iter().for_each(|deeds| deeds.add_to(report));
    make_peace(&runtime, &site, people);
    if let code @ (None | Some(1..)) = site.stop() {
        let what = format!("rrmd ended with {code:?}: {}", site.log_of("rrmd"));
        report.violations.push(Violation {
            rule: "the daemon ends well when it is told to",
            class: Class::Broken,
            what,
        });
    }
    checker::check(site.state(), &journal, Moment::AtRest, report);
    report.refused += journal.refused.load(std::sync::atomic::Ordering::Relaxed);
    report.rounds += 1;
    runtime.shutdown_timeout(Duration::from_secs(5));
    if !report.violations.is_empty() {
        report.kept = Some(site.keep());
    }
}

fn note_what_is_skipped(site: &Site, report: &mut Report) {
    if site.disk.is_none() {
        report.skipped.insert(Fault::DiskFull, "no small disk can be mounted by this user");
    }
    if site.namespace.is_none() {
        report.skipped.insert(Fault::CablePulled, "no network namespace can be made by this user");
    }
    if site.wall_clock.is_none() {
        report.skipped.insert(Fault::WallClockSet, "libfaketime is not installed");
    }
}

fn storm(runtime: &Runtime, site: &Site, journal: &Journal, dice: &mut Dice, span: Duration) -> [Deeds; 2] {
    let until = Instant::now() + span;
    let handle = || runtime.handle().clone();
    let client = runtime.block_on(async { site.client("token-worker") });
    let weather = Weather { site, journal, handle: handle(), dice: dice.split(), deeds: Deeds::default() };
    let violence = Violence { site, journal, handle: handle(), client, dice: dice.split(), deeds: Deeds::default() };
    std::thread::scope(|scope| {
        let hands = [scope.spawn(move || weather.blow(until)), scope.spawn(move || violence.rage(until))];
        hands.map(|hand| hand.join().expect("a hand tells of its faults"))
    })
}

fn make_peace(runtime: &Runtime, site: &Site, people: People) {
    site.proxy.set(Mode::Pass);
    if let Some(clock) = &site.wall_clock {
        clock.set(0);
    }
    people.calm.send_replace(true);
    let mut tasks = people.tasks.into_iter();
    let user = tasks.next().expect("there is a user");
    runtime.block_on(user).expect("the user does not panic");
    let until = Instant::now() + PEACE;
    // What has not ended by then is the checker's to find.
    while sql::unfinished(&site.database()) != Some(0) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100)); // The interval of asking.
    }
    people.over.send_replace(true);
    for task in tasks {
        runtime.block_on(task).expect("no simulated worker panics");
    }
}

//! Chaos: the real binaries, under faults that are drawn from a seed, and a checker that knows what was acknowledged.
//!
//! `make chaos MINUTES=60 SEED=n` runs rounds of it for so long and writes its table to `$RRM_CHAOS_REPORT`; without being told
//! otherwise there is one short round. A violation names the seed and keeps the round's folder.

#[path = "system/pictures.rs"]
mod pictures;
#[allow(dead_code, reason = "the system tests need more of it")]
#[path = "system/process.rs"]
mod process;

#[path = "reliability/dice.rs"]
mod dice;
#[path = "reliability/invariants.rs"]
mod invariants;
#[path = "reliability/ledger.rs"]
mod ledger;
#[path = "reliability/records.rs"]
mod records;

#[path = "chaos/checker.rs"]
mod checker;
#[path = "chaos/clock.rs"]
mod clock;
#[path = "chaos/disk.rs"]
mod disk;
#[path = "chaos/fault.rs"]
mod fault;
#[path = "chaos/journal.rs"]
mod journal;
#[path = "chaos/namespace.rs"]
mod namespace;
#[path = "chaos/plans.rs"]
mod plans;
#[path = "chaos/proxy.rs"]
mod proxy;
#[path = "chaos/report.rs"]
mod report;
#[path = "chaos/round.rs"]
mod round;
#[path = "chaos/simulated.rs"]
mod simulated;
#[path = "chaos/site.rs"]
mod site;
#[path = "chaos/sql.rs"]
mod sql;
#[path = "chaos/user.rs"]
mod user;
#[path = "chaos/wal.rs"]
mod wal;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dice::Dice;
use report::Report;

/// How long faults fall in the round of `make test`.
const SHORT: Duration = Duration::from_secs(20);

/// How long they fall in each round of a long run: databases stay so small that the checker is quick.
const ROUND: Duration = Duration::from_secs(150);

fn seed() -> u64 {
    let given =
        std::env::var("RRM_CHAOS_SEED").ok().map(|text| text.parse().expect("RRM_CHAOS_SEED is a whole number"));
    given.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs())
}

fn minutes() -> Option<f64> {
    std::env::var("RRM_CHAOS_MINUTES").ok().map(|text| text.parse().expect("RRM_CHAOS_MINUTES is a number of minutes"))
}

#[test]
#[expect(clippy::print_stdout, reason = "the table of what was done and found is what a run is for")]
fn whatever_dies_freezes_or_fills_up_what_was_acknowledged_is_kept() {
    let (seed, minutes) = (seed(), minutes());
    println!("RRM_CHAOS_SEED={seed}");
    let (begun, whole) = (Instant::now(), minutes.map(|minutes| Duration::from_secs_f64(60.0 * minutes)));
    let mut dice = Dice::new(seed);
    let mut report = Report::new(seed);
    loop {
        let span = match whole {
            None => SHORT,
            Some(whole) => ROUND.min(whole.saturating_sub(begun.elapsed()).max(SHORT)),
        };
        round::play(&mut dice, span, &mut report);
        let is_over = whole.is_none_or(|whole| begun.elapsed() + SHORT > whole);
        if is_over || !report.violations.is_empty() {
            break;
        }
        println!("round {} done after {} s", report.rounds, begun.elapsed().as_secs());
    }
    report.took = begun.elapsed();
    println!("{report}");
    if let Ok(path) = std::env::var("RRM_CHAOS_REPORT") {
        std::fs::write(&path, report.to_string()).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    assert!(report.violations.is_empty(), "RRM_CHAOS_SEED={seed} repeats the draws\n{}", report.complaint());
    assert!(report.is_worth_something(), "too little happened for the run to say anything");
}

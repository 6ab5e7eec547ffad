//! The daemon's decisions under a clock, a network and workers that are made of a seed: real calls, a real database, no sockets,
//! no processes and no waiting.
//!
//! `RRM_SIMULATE_SEEDS=N` runs so many seeds (`make simulate SEEDS=N`), from `RRM_SIMULATE_FIRST` on; a failure names its seed.

#[path = "../../../../tests/reliability/dice.rs"]
mod dice;
#[path = "../../../../tests/reliability/invariants.rs"]
mod invariants;
#[path = "../../../../tests/reliability/ledger.rs"]
mod ledger;
#[path = "../../../../tests/reliability/records.rs"]
mod records;

mod network;
mod plans;
mod rules;
mod worker;
mod world;

use std::time::Instant;

use world::{Tally, World};

/// Without being told otherwise: so many that the tests take seconds.
const SEEDS: u64 = 12;

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a whole number: {text}")))
}

#[test]
#[expect(clippy::print_stdout, reason = "a run of many seeds says what it has done")]
fn whatever_is_delayed_lost_repeated_or_dies_the_invariants_hold() {
    let first = number("RRM_SIMULATE_FIRST").unwrap_or(1);
    let count = number("RRM_SIMULATE_SEEDS").unwrap_or(SEEDS);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be had");
    let (begun, mut all) = (Instant::now(), Tally::default());
    for seed in first..first + count {
        match runtime.block_on(World::live(seed)) {
            Ok(tally) => all.add(&tally),
            Err(found) => panic!("RRM_SIMULATE_FIRST={seed} RRM_SIMULATE_SEEDS=1 repeats this:\n{found}"),
        }
    }
    println!("seeds {first} to {}: {all} in {:.1} s", first + count - 1, begun.elapsed().as_secs_f64());
    assert!(all.saw_everything(count), "something that should happen did not: {all}");
}

#[test]
fn the_same_seed_is_the_same_life() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be had");
    let [one, two] = [7, 7].map(|seed| runtime.block_on(World::live(seed)).expect("the invariants hold"));
    assert_eq!(one, two);
    let other = runtime.block_on(World::live(8)).expect("the invariants hold");
    assert_ne!(one, other);
}

//! A plan is what a user wrote, or anything else: it is read, or refused with its faults.

use std::{fs, path::Path};

use proptest::{prelude::*, sample::Index};
use rrm_spec::Plan;

const PLAN: &str = include_str!("../../../fuzz/seeds/plan/chain.toml");

/// Reads it; whether it is a plan.
fn read(text: &str) -> bool {
    match Plan::from_toml(text) {
        Ok(plan) => !plan.jobs.is_empty(),
        Err(faults) => {
            assert!(faults.iter().next().is_some(), "refused without a fault:\n{text}");
            false
        }
    }
}

#[test]
fn the_fuzzers_seeds_are_plans() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/plan");
    for file in fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
        if let Err(faults) = Plan::from_toml(&fs::read_to_string(&file).unwrap()) {
            panic!("{}: {faults}", file.display());
        }
    }
}

#[test]
fn the_plan_is_read_and_none_of_its_beginnings_panics() {
    assert!(read(PLAN));
    let beginnings = (0..PLAN.len()).filter(|&end| PLAN.is_char_boundary(end) && read(&PLAN[..end])).count();
    assert!(beginnings < PLAN.len() / 2, "most of them break off in the middle of a job");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_plan_with_changed_and_moved_pieces_is_read_or_refused(
        pieces in prop::collection::vec((any::<Index>(), any::<Index>(), "[ -~\n]{0,6}"), 1..8),
    ) {
        let mut text = PLAN.to_owned();
        for (from, to, put) in pieces {
            let (from, to) = (from.index(text.len()), to.index(text.len()));
            // Half of the time something is put in, half of the time something is taken out.
            match from < to {
                true => text.insert_str(from, &put),
                false => text.replace_range(to..from, ""),
            }
            if text.is_empty() {
                break;
            }
        }
        read(&text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[ -~\n]{0,300}") {
        read(&text);
    }
}

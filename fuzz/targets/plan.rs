//! A plan's TOML: any text is a plan or is refused with its faults.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rrm_spec::Plan;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Plan::from_toml(text) {
        Ok(plan) => assert!(!plan.jobs.is_empty(), "a plan without jobs"),
        Err(faults) => assert!(faults.iter().next().is_some(), "refused without a fault"),
    }
});

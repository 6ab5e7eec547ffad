//! The other tests once more on the instruction sets that this processor would not choose.

use std::process::Command;

use rrm_kernels::{instruction_set, instruction_sets};

/// What chooses the instruction set of a process.
const FORCED: &str = "RRM_KERNELS_ISA";

#[test]
fn every_promise_holds_on_every_instruction_set() {
    if std::env::var_os(FORCED).is_some() {
        return; // This is one of the processes started below, or somebody's choice.
    }
    assert_eq!(instruction_set(), instruction_sets()[0]);
    for isa in &instruction_sets()[1..] {
        let own = std::env::current_exe().expect("a running test is a file");
        let output = Command::new(own).env(FORCED, isa).output().expect("the tests start");
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{isa}: {told}{}", String::from_utf8_lossy(&output.stderr));
        assert!(told.contains("the_forced_instruction_set_is_the_one_in_use ... ok"), "{isa}: {told}");
    }
}

#[test]
fn the_forced_instruction_set_is_the_one_in_use() {
    let forced = std::env::var(FORCED).ok();
    let expected = forced.as_deref().unwrap_or(instruction_sets()[0]);
    assert_eq!(instruction_set(), expected);
}

//! Checkpoints of others, PyTorch's zip and older files and safetensors, and the pickles in them: any bytes are a network or
//! are refused; what is a network can be written in the project's own form and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rrm_checkpoint::{Wanted, import};

fuzz_target!(|bytes: &[u8]| {
    let _ = rrm_pickle::parse(bytes);
    let Ok(network) = import(bytes, &Wanted::default()) else { return };
    let own = network.to_artifact();
    let again = import(&own, &Wanted::default()).expect("its own form is read");
    assert_eq!(again.network, network.network);
});

//! Checkpoints of others, PyTorch's zip and older files and safetensors, and the pickles in them: any bytes are a network or
//! are refused; what is a network can be written in the project's own form and read again.

#![no_main]

mod checksums;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use rrm_checkpoint::{Wanted, import};
use rrm_spec::Normalization;

fuzz_target!(|bytes: &[u8]| {
    let _ = rrm_pickle::parse(bytes);
    // Files of others tell no architecture, and many of them no normalisation.
    let arch = Some("dnn/16".parse().expect("it is one"));
    let told = Wanted { arch, normalization: Some(Normalization::Cifar10Madry), ..Wanted::default() };
    for wanted in [Wanted::default(), told] {
        let network = match import(bytes, &wanted) {
            Ok(network) => network,
            Err(error) => {
                assert_printable(&error.to_string());
                continue;
            }
        };
        network.findings.iter().for_each(|finding| assert_printable(&finding.to_string()));
        let own = network.to_artifact();
        let again = import(&own, &Wanted::default()).expect("its own form is read");
        assert_eq!((&again.network, &again.tensors), (&network.network, &network.tensors));
        assert_eq!(again.to_artifact(), own, "the same network gives the same bytes");
    }
});

/// What is said of a file goes to a terminal.
fn assert_printable(text: &str) {
    assert!(!text.chars().any(|character| character.is_control() && character != '\n'), "{text:?}");
}

// What has wrong checksums is refused before it is read: without this nothing behind an archive's directory would ever change.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, _seed: u32| {
    let size = fuzzer_mutate(data, size, max_size);
    checksums::correct(&mut data[..size]);
    size
});

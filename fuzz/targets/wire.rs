//! Messages: any bytes are one, which is then written as it was read, or are refused.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    rrm_api::fuzzing::read_message(bytes);
});

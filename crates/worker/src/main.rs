//! The binary `rrm-worker`.

use std::process::ExitCode;

fn main() -> ExitCode {
    rrm_worker::run()
}

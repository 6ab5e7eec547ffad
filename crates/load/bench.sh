#!/usr/bin/env bash
# Measures the scheduler beside its peers. Options are the benchmark's: `crates/load/bench.sh --help`.
set -euo pipefail
cd "$(dirname "$0")/../.."
# A thousand simulated workers have a connection each, at both ends.
ulimit -n 8192
cargo build --locked --release --workspace --bins
# One feature selection everywhere: another one would compile half of the dependencies again.
# The benchmark runs in the folder of its crate.
options=()
for option; do [ -f "$option" ] && option=$PWD/$option; options+=("$option"); done
exec cargo bench --locked --workspace --bench scheduler -- "${options[@]}"

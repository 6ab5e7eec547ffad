#!/usr/bin/env bash
# Runs every fuzz target for so many seconds; a crash stops it and leaves the input in fuzz/artifacts.
# Usage: fuzz/run.sh SECONDS [TARGET...]
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:?usage: fuzz/run.sh SECONDS [TARGET...]}
shift
[ $# -gt 0 ] || set -- plan wire checkpoint

if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    echo "skipped: cargo-fuzz and a nightly toolchain are needed (rustup toolchain install nightly; cargo install cargo-fuzz)" >&2
    exit 0
fi
for target; do
    mkdir -p "corpus/$target"
    seeds=("seeds/$target")
    [ "$target" = checkpoint ] && seeds+=(../tests/checkpoints/data)
    options=(-max_total_time="$seconds" -rss_limit_mb=2048 -timeout=20 -print_final_stats=1)
    [ -f "dictionaries/$target.dict" ] && options+=(-dict="dictionaries/$target.dict")
    printf '\n== %s for %s s\n' "$target" "$seconds"
    cargo +nightly fuzz run --fuzz-dir . "$target" "corpus/$target" "${seeds[@]}" -- "${options[@]}"
done

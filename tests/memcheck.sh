#!/usr/bin/env bash
# Runs the kernels' tests, which go through every unsafe block, under valgrind: it sees reads of memory that nobody wrote, and
# accesses out of bounds, of the portable and the AVX2 code; it knows no AVX-512. The address sanitizer does, and sees accesses out of
# bounds; it needs a nightly toolchain. What is not installed is said.
set -euo pipefail
cd "$(dirname "$0")/.."

if rustup toolchain list 2>/dev/null | grep -q '^nightly'; then
    echo "== address sanitizer"
    RUSTFLAGS=-Zsanitizer=address PROPTEST_CASES=8 RAYON_NUM_THREADS=2 cargo +nightly test --locked -p rrm-kernels --lib --release \
        --target "$(rustc -vV | sed -n 's/^host: //p')" --target-dir "${CARGO_TARGET_DIR:-target}/asan"
else
    echo "skipped: the address sanitizer needs a nightly toolchain"
fi

if ! command -v valgrind >/dev/null; then
    echo "skipped: valgrind is not installed (Debian has it)"
    exit 0
fi

messages=$(cargo test --locked --workspace --lib --test layers --no-run --message-format=json)

# The test program of that name.
program() { grep "\"name\":\"$1\"" <<<"$messages" | grep -o '"executable":"[^"]*"' | cut -d '"' -f 4 | tail -n 1; }

memcheck() { RAYON_NUM_THREADS=2 PROPTEST_CASES=4 valgrind --quiet --error-exitcode=9 --leak-check=no "$@" --test-threads=1; }

# The convolutions' own tests take every instruction set that valgrind knows; the rest takes the one that is chosen.
echo "== unit tests"
memcheck "$(program rrm_kernels)" --skip rounding
for isa in avx2 portable; do
    echo "== layers, $isa"
    # What is computed in f64, or has many cases, would take long and show nothing new.
    RRM_KERNELS_ISA=$isa memcheck "$(program layers)" \
        --skip gradients:: --skip threads:: --skip single:: --skip not_finite::a_nan_in_one_image
done

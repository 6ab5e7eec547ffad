#!/usr/bin/env bash
# Times AutoAttack (standard: APGD-CE, APGD-T, FAB-T, Square) beside the reference's own package, pyautoattack, on the same trained
# network, images and cores, and compares what both leave robust.
#
#   crates/bench/autoattack.sh NETWORK.safetensors ARCH NORMALIZATION DATA_DIR [IMAGES]
#
# NETWORK is what `rrm model export` writes; ARCH such as resnet50/16; NORMALIZATION cifar10-fast or cifar10-madry; DATA_DIR holds
# cifar-10-batches-bin. l-infinity, 8/255; the first IMAGES (200) test images, each side in batches of 100.
set -euo pipefail
[ $# -ge 4 ] || { sed -n '2,9s/^# \?//p' "$0" >&2; exit 64; }
network=$(realpath "$1") arch=$2 normalization=$3 data=$(realpath "$4") images=${5:-200}
cd "$(dirname "$0")/../.."
python=$(crates/bench/python.sh)
if [ -z "${RRM_BENCH_PYTHON:-}" ]; then
    "$python" -m pip install --quiet --disable-pip-version-check -r tests/golden/requirements.txt >&2
fi
cargo build --locked --release --workspace --bins >&2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
target/release/rrm -q model import "$network" --arch "$arch" --normalization "$normalization" --output "$work/network.safetensors" >/dev/null
threads=$(nproc)
cat >"$work/job.json" <<JSON
{"kind": "evaluate", "model": {"checkpoint": "$work/network.safetensors"}, "dataset": {"name": "cifar10"}, "images": $images,
 "attack": {"kind": "autoattack", "version": {"kind": "standard"}, "threat": {"norm": "linf", "epsilon": "8/255"}}, "batch_size": 100, "seed": 0}
JSON
target/release/rrm-worker exec --data-dir "$data" --work-dir "$work" --threads "$threads" <"$work/job.json" >"$work/events"
PYTHONDONTWRITEBYTECODE=1 "$python" crates/bench/peers/whole_autoattack.py \
    "$network" "$arch" "$normalization" "$data/cifar-10-batches-bin/test_batch.bin" "$images" "$threads" "$work/events"

#!/usr/bin/env bash
# Times AutoAttack (standard: APGD-CE, APGD-T, FAB-T, Square) beside the reference's own package, pyautoattack, on the same trained
# networks, images and cores, and compares what both leave robust. Prints a table, which --write puts into docs/performance.md.
#
#   crates/bench/autoattack.sh [--write] [--images N] [ARCH...]
#
# ARCH such as resnet18/16 [default: resnet18/16 vgg11/16 resnet50/16]. Each is first trained adversarially for a few epochs, and kept in
# the target folder. RRM_DATA_DIR [default: rrm's own] holds CIFAR-10. l-infinity, 8/255; the first N (400) test images, each side in
# batches of 100.
set -euo pipefail
write=no images=400 archs=()
while [ $# -gt 0 ]; do
    case $1 in
        --write) write=yes ;;
        --images) images=${2:?--images takes a number} && shift ;;
        -*) sed -n '2,9s/^# \?//p' "$0" >&2 && exit 64 ;;
        *) archs+=("$1") ;;
    esac
    shift
done
[ ${#archs[@]} -gt 0 ] || archs=(resnet18/16 vgg11/16 resnet50/16)
data=$(realpath -m "${RRM_DATA_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/rrm}")
cd "$(dirname "$0")/../.."
[ -e "$data/cifar-10-batches-bin/test_batch.bin" ] || { echo "AutoAttack skipped: no CIFAR-10 (rrm data fetch cifar10, or RRM_DATA_DIR)" >&2; exit 0; }
python=$(crates/bench/python.sh) || { echo "AutoAttack skipped: no PyTorch to compare with" >&2; exit 0; }
if [ -z "${RRM_BENCH_PYTHON:-}" ]; then
    "$python" -m pip install --quiet --disable-pip-version-check -r tests/golden/requirements.txt >&2
fi
cargo build --locked --release --workspace --bins >&2
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
threads=$(nproc) kept=$target/bench/autoattack
mkdir -p "$kept"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A job's events, from its spec on standard input.
run() { "$target/release/rrm-worker" exec --data-dir "$data" --work-dir "$work" --threads "$threads" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }; }

# A network that is a little robust: on one that is not, the first of the attacks leaves nothing to the others.
train() {
    cat <<JSON
{"kind": "train", "dataset": {"name": "cifar10", "train_images": 10000}, "augmentation": "light", "normalization": "cifar10-madry", "arch": "$1",
 "method": {"kind": "adversarial-training", "attack_mode": "eval", "attack": {"kind": "pgd", "threat": {"norm": "linf", "epsilon": "8/255"},
  "steps": 2, "step_size": "5/255", "start": "uniform", "selection": "last"}},
 "optimizer": {"learning_rate": 0.05, "momentum": 0.9, "weight_decay": 5e-4, "schedule": {"kind": "triangular", "peak_momentum": 0.9}},
 "epochs": 5, "batch_size": 64, "seed": 1, "validation": {"images": 500}}
JSON
}
attack() {
    cat <<JSON
{"kind": "evaluate", "model": {"checkpoint": "$1"}, "dataset": {"name": "cifar10"}, "images": $images,
 "attack": {"kind": "autoattack", "version": {"kind": "standard"}, "threat": {"norm": "linf", "epsilon": "8/255"}}, "batch_size": 100, "seed": 0}
JSON
}

{
    echo "| network | images | ours | reference | ours / reference (goal ≤ 0.5) | robust, ours | robust, reference (goal: within 0.3) | same verdict |"
    echo "|---|--:|--:|--:|--:|--:|--:|--:|"
} | tee "$work/table"
for arch in "${archs[@]}"; do
    network=$kept/${arch/\//-}.safetensors
    if [ ! -e "$network" ]; then
        echo "training $arch ..." >&2
        train "$arch" | run >"$work/training"
        mv "$work/final.safetensors" "$network"
        rm -rf "${work:?}"/*.safetensors
    fi
    attack "$network" | run >"$work/events"
    PYTHONDONTWRITEBYTECODE=1 "$python" crates/bench/peers/autoattack.py \
        "$network" "$arch" cifar10-madry "$data/cifar-10-batches-bin/test_batch.bin" "$images" "$threads" "$work/events" | tee -a "$work/table"
    rm -rf "${work:?}"/*.safetensors
done
if [ $write = yes ]; then
    where="$threads threads of $(sed -n 's/^model name\s*: //p;T;q' /proc/cpuinfo), $(date +%F), $(git describe --always --dirty 2>/dev/null || echo unknown)"
    {
        sed '/<!-- autoattack -->/q' docs/performance.md
        printf '\n%s:\n\n' "One run each on $where"
        cat "$work/table"
        echo
        sed -n '/<!-- \/autoattack -->/,$p' docs/performance.md
    } >"$work/page"
    cp "$work/page" docs/performance.md
fi

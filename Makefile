# What one can do here. Each target is a few lines; the work is in the named scripts.

# Runs of the kill test in a row.
N ?= 20

# How long chaos lasts, and its seed; seeds that are simulated; seconds for each fuzz target.
MINUTES ?= 60
SEED ?=
SEEDS ?= 1000
SECONDS ?= 60

# Where `make install` puts everything; DESTDIR stands before it.
PREFIX ?= /usr/local

.PHONY: help demo test parity recipes kill-test chaos simulate fuzz memcheck build man completions install setup lint cuda-check cuda-link bench bench-scheduler clean-demo

help: ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

demo: ## Trains a robust teacher and an RRM student on photographs of clothes, and shows what it gave
	cargo build --locked --release --workspace --bins
	deploy/demo/demo.sh target/release

test: ## Every test, golden parity and whole-system tests included
	cargo build --locked --workspace --bins
	cargo test --locked --workspace

parity: ## Comparisons with PyTorch and the reference code on a fresh seed, which is printed; SEED=n repeats one, ONLY=pgd makes some
	tests/golden/parity.sh

recipes: build ## Every recipe cpu/... from its submission to its report on a few images, in minutes; KEEP=FOLDER keeps the reports, ONLY=fig2
	KEEP=$(KEEP) ONLY=$(ONLY) tests/recipes.sh target/release

kill-test: ## N=20 runs in a row of sudden death at random moments, each with another seed; stops at the first failure
	cargo build --locked --workspace --bins
	cargo test --locked -p rrm-cli --test system --no-run
	tests/system/kill-test.sh $(N)

chaos: ## The real binaries under faults for MINUTES=60; SEED=n repeats the draws; ends with a table of what was lost
	cargo build --locked --workspace --bins
	RRM_CHAOS_MINUTES=$(MINUTES) $(if $(SEED),RRM_CHAOS_SEED=$(SEED)) cargo test --locked --workspace --test chaos -- --nocapture whatever

simulate: ## The daemon's decisions in SEEDS=1000 worlds with their own clock and network; FIRST=n is the first seed
	RRM_SIMULATE_SEEDS=$(SEEDS) $(if $(FIRST),RRM_SIMULATE_FIRST=$(FIRST)) cargo test --locked --workspace --test simulation -- --nocapture whatever

fuzz: ## Every fuzz target for SECONDS=60; needs a nightly toolchain and cargo-fuzz
	fuzz/run.sh $(SECONDS)

memcheck: ## The kernels' tests under the address sanitizer and valgrind, for their unsafe code; what is not installed is skipped
	tests/memcheck.sh

build: ## The three binaries, in target/release
	cargo build --locked --release --workspace --bins

# In this order: the page of the program rrm-worker replaces that of the command `rrm worker`, whose name is the same.
man: build ## Manual pages of the three binaries and their commands, in target/man, and their completion scripts, in target/completions
	for program in rrm rrmd rrm-worker; do target/release/$$program manual target || exit 1; done

completions: man ## The same: both come from the binaries

install: man ## PREFIX=/usr/local: binaries, manual pages, completions, documentation and systemd units
	deploy/build/install.sh "$(PREFIX)"

setup: ## Optional tools from Debian: a faster linker, a database shell, the demo's images
	deploy/build/setup.sh

lint: ## Formatting, clippy with warnings denied, licences and bans where cargo-deny is installed
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	if command -v cargo-deny >/dev/null; then cargo deny --offline check bans licenses sources; else echo "cargo-deny is not installed: skipped"; fi

cuda-check: ## Type-checks the CUDA worker; needs neither GPU nor toolkit
	deploy/cuda/check.sh

cuda-link: ## Links the CUDA worker and its tests, compiles every kernel to PTX; needs no GPU, fetches a toolkit once
	deploy/cuda/link.sh

bench: ## Speed beside PyTorch, stock Candle and the machine's limits, into docs/performance.md; OPTIONS="--only vgg11 --quick", then without AutoAttack
	crates/bench/bench.sh --write $(OPTIONS)
	$(if $(OPTIONS),,crates/bench/autoattack.sh --write)

bench-scheduler: ## Speed of the scheduler beside Slurm and HyperQueue, into docs/performance.md; OPTIONS="--only submit --quick"
	crates/load/bench.sh --write docs/performance.md $(OPTIONS)

clean-demo: ## Forgets the demo's database and networks (not the downloaded images)
	rm -rf demo-run

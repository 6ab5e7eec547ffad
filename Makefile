# What one can do here. Each target is a few lines; the work is in the named scripts.

# Runs of the kill test in a row.
N ?= 20

.PHONY: help demo test parity kill-test memcheck build setup lint cuda-check cuda-link bench bench-scheduler clean-demo

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

kill-test: ## N=20 runs in a row of sudden death at random moments, each with another seed; stops at the first failure
	cargo build --locked --workspace --bins
	cargo test --locked -p rrm-cli --test system --no-run
	tests/system/kill-test.sh $(N)

memcheck: ## The kernels' tests under the address sanitizer and valgrind, for their unsafe code; what is not installed is skipped
	tests/memcheck.sh

build: ## The three binaries, in target/release
	cargo build --locked --release --workspace --bins

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

bench: ## Speed beside PyTorch, stock Candle and the machine's limits, into docs/performance.md; OPTIONS="--only vgg11 --quick"
	crates/bench/bench.sh --write $(OPTIONS)

bench-scheduler: ## Speed of the scheduler beside Slurm and HyperQueue, into docs/performance.md; OPTIONS="--only submit --quick"
	crates/load/bench.sh --write docs/performance.md $(OPTIONS)

clean-demo: ## Forgets the demo's database and networks (not the downloaded images)
	rm -rf demo-run

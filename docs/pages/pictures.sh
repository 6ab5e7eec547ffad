#!/usr/bin/env bash
# Makes the pictures of docs/pages.md anew: of a real daemon and worker, in Chromium.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v chromium >/dev/null || { echo "Chromium is not installed: deploy/build/pages-tools.sh installs it" >&2; exit 1; }
cargo build --locked --workspace --bins
RRM_SCREENSHOTS="$PWD/docs/pages" cargo test --locked --workspace --test system -- --exact pages::a_browser_shows_every_page_in_light_and_dark_and_on_a_phone

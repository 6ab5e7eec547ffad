#!/usr/bin/env bash
# What the tests of pages and metrics need besides: Chromium and Prometheus from Debian, Datasette from PyPI. What cannot be had is named,
# and its tests are skipped. Debian's Prometheus may begin to run as a service on port 9090: meant for machines that make tests.
set -uo pipefail
cd "$(dirname "$0")/../.."
sudo=
[ "$(id -u)" -eq 0 ] || sudo=sudo

missing() { echo "skipped: $1 could not be installed"; }

if command -v apt-get >/dev/null; then
    $sudo apt-get update -qq || true
    for package in chromium prometheus fonts-dejavu-core; do
        dpkg -s "$package" >/dev/null 2>&1 || $sudo apt-get install -y --no-install-recommends "$package" >/dev/null 2>&1 || missing "$package"
    done
else
    missing "chromium and prometheus: there is no apt-get, so install them by hand"
fi

tools="${CARGO_TARGET_DIR:-target}/pages-tools"
if ! [ -x "$tools/bin/datasette" ]; then
    { python3 -m venv "$tools" && "$tools/bin/pip" install --quiet "datasette==0.65.*"; } >/dev/null 2>&1 || missing "datasette"
fi
exit 0

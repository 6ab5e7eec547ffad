#!/usr/bin/env bash
# Installs what is optional. Everything builds and runs without it, given Rust, a C compiler and make.
set -euo pipefail
packages=(mold sqlite3)
sudo=
[ "$(id -u)" -eq 0 ] || sudo=sudo
if ! command -v apt-get >/dev/null; then
    echo "No apt-get here: install by hand what you like of: ${packages[*]}"
    exit 0
fi
$sudo apt-get update -qq
$sudo apt-get install -y --no-install-recommends "${packages[@]}"

#!/usr/bin/env bash
# Copies what `make build man completions` has made to its places: install.sh PREFIX. DESTDIR is put before every path, as packagers want it.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=$1
root=${DESTDIR:-}$prefix
built=${CARGO_TARGET_DIR:-target}

install -d "$root/bin" "$root/share/man/man1" "$root/share/doc/rrm" "$root/lib/systemd/system"
install -m 755 "$built"/release/{rrm,rrmd,rrm-worker} "$root/bin"
install -m 644 "$built"/man/*.1 "$root/share/man/man1"
install -m 644 README.md CHANGELOG.md docs/*.md "$root/share/doc/rrm"
install -Dm 644 -t "$root/share/doc/rrm/examples" deploy/config/*.toml
install -Dm 644 -t "$root/share/doc/rrm/proto/rrm/v1" proto/rrm/v1/*.proto
for program in rrm rrmd rrm-worker; do
    install -Dm 644 "$built/completions/$program.bash" "$root/share/bash-completion/completions/$program"
    install -Dm 644 "$built/completions/_$program" "$root/share/zsh/site-functions/_$program"
    install -Dm 644 "$built/completions/$program.fish" "$root/share/fish/vendor_completions.d/$program.fish"
done
for unit in deploy/systemd/*.service; do
    sed "s|/usr/local/bin/|$prefix/bin/|; s|/usr/share/doc/|$prefix/share/doc/|" "$unit" >"$root/lib/systemd/system/$(basename "$unit")"
    chmod 644 "$root/lib/systemd/system/$(basename "$unit")"
done
echo "installed below $root"

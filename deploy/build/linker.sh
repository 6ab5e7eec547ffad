#!/bin/sh
# Links with mold where both mold and a compiler driver that knows it are installed, else as usual.
if command -v mold >/dev/null 2>&1 && cc -fuse-ld=mold -Wl,--version -nostdlib -shared -o /dev/null >/dev/null 2>&1; then
    exec cc -fuse-ld=mold "$@"
fi
exec cc "$@"

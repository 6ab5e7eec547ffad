#!/usr/bin/env bash
# A Python with gRPC's stock libraries, for the test of foreign clients; prints its path. Fails where PyPI cannot be reached.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${CARGO_TARGET_DIR:-target}/api-venv
if ! "$folder/bin/python" -c 'import grpc_tools, grpc_reflection, grpc_health, grpc_status' 2>/dev/null; then
    python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet grpcio grpcio-tools grpcio-reflection grpcio-health-checking grpcio-status
fi
realpath -s "$folder/bin/python"

#!/usr/bin/env bash
# Speed and memory, beside the same stages in Python. See scripts/bench.py --help.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cargo build --release --workspace --quiet --manifest-path "$root/Cargo.toml"
cargo build --release --package boosting --package serve --examples --quiet --manifest-path "$root/Cargo.toml"
target=${CARGO_TARGET_DIR:-$root/target}
exec python3 "$root/scripts/bench.py" --bin "$(cd "$target/release" && pwd)" "$@"

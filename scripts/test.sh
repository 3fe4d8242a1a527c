#!/usr/bin/env bash
# Everything that proves the project: formatting, lints, every test. Needs rustup's toolchain, git and python3.
# UPDATE_DOCS=1 writes the generated documents instead of comparing them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '\n== %s\n' "$1"; }

step "formatting"
cargo fmt --all --check
step "lints"
cargo clippy --release --workspace --all-targets --quiet -- -D warnings
step "scripts parse"
for script in scripts/*.sh; do bash -n "$script"; done
python3 -m py_compile crates/testkit/golden/make_golden.py
step "build"
# the programs first: the tests run them as a user does
cargo build --release --workspace --quiet
step "tests"
cargo test --release --workspace --quiet 2>&1 | tee "${TMPDIR:-/tmp}/house-price-tests.$$" | grep -v '^$' || status=$?
log=${TMPDIR:-/tmp}/house-price-tests.$$
trap 'rm -f "$log"' EXIT
count() { awk -v word="$1" '/^test result:/ { for (i = 2; i <= NF; i++) if ($i ~ "^" word) sum += $(i - 1) } END { print sum + 0 }' "$log"; }
printf '\n%s passed, %s failed, %s skipped\n' "$(count passed)" "$(count failed)" "$(count ignored)"
exit "${status:-0}"

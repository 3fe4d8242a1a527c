#!/usr/bin/env bash
# Everything that proves the project: formatting, lints, every test. Needs rustup's toolchain, a C compiler, git, python3, Node 20 with npm;
# what else it drives it installs (by apt: prometheus, chromium, podman and the like; MLflow and checkers, from PyPI and npm, in folders of their own).
# UPDATE_DOCS=1 writes the generated documents instead of comparing them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '\n== %s\n' "$1"; }

step "formatting"
cargo fmt --all --check
step "lints"
cargo clippy --release --workspace --all-targets --quiet -- -D warnings
step "documentation of the code"
RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps --document-private-items --quiet
step "scripts parse"
python3 - scripts/*.py scripts/workflow/*.py scripts/workflow/bin/gh crates/testkit/golden/*.py <<'PY'
import ast, sys
for path in sys.argv[1:]:
    ast.parse(open(path, encoding="utf-8").read(), path)
PY
step "Prometheus and Chromium to test against"
scripts/test_tools.sh
step "MLflow to test against"
# the newest that can be installed, and the oldest of its major version
scripts/mlflow_venv.sh 3.17.2
scripts/mlflow_venv.sh 3.0.0
step "what checks and tries workflows, images and compose files"
scripts/delivery_tools.sh
step "build"
# the programs first: the tests run them as a user does
cargo build --release --workspace --quiet
# and the server as it is shipped: images are made of it
RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --profile dist --package serve --target "$(rustc --print host-tuple)" --quiet
step "tests"
# snapshots are compared and never written, and they are those of this checkout, whichever one compiled the tests
export INSTA_UPDATE=no INSTA_WORKSPACE_ROOT=$PWD
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
# tests report their times, which stable Rust allows with a variable that only they get
cargo test --release --workspace --no-fail-fast --lib --bins --tests --config "target.'cfg(all())'.runner = ['env', 'RUSTC_BOOTSTRAP=1']" \
  -- -Z unstable-options --report-time 2>&1 | tee "$log" || status=$?
cargo test --release --workspace --no-fail-fast --doc 2>&1 | tee -a "$log" || status=$?
step "slowest tests, in seconds"
sed -nE 's/^test (.*) \.\.\. .* <([0-9.]+)s>$/\2 \1/p' "$log" | sort -nr | sed -n 1,10p
count() { awk -v word="$1" '/^test result:/ { for (i = 2; i <= NF; i++) if ($i ~ "^" word) sum += $(i - 1) } END { print sum + 0 }' "$log"; }
printf '\n%s passed, %s failed, %s skipped\n' "$(count passed)" "$(count failed)" "$(count ignored)"
exit "$status"

#!/usr/bin/env bash
# Builds the programs once, for jobs that only run them: FOLDER/ and FOLDER.tar.gz, which keeps the rights of files that an artifact loses.
# `serve` is static and small, as it is shipped; the others are built as the tests build them. The archive's digest is a step's output.
# usage: scripts/build_programs.sh [--server-only] FOLDER
set -euo pipefail

server_only=
if [ "${1:-}" = --server-only ]; then server_only=yes; shift; fi
[ $# -eq 1 ] || { echo "usage: scripts/build_programs.sh [--server-only] FOLDER" >&2; exit 2; }
folder=$1
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$folder"

# a name of its own, so that flags for it do not rebuild the rest
host=$(rustc --print host-tuple)
RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --profile dist --package serve --target "$host"
cp "$target/$host/dist/serve" "$folder/serve"
if [ -z "$server_only" ]; then
  cargo build --locked --release --workspace --bins
  for program in process engineer train package; do
    strip -o "$folder/$program" "$target/release/$program"
  done
fi
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf - "$folder" | gzip -n >"$folder.tar.gz"
digest=sha256:$(sha256sum "$folder.tar.gz" | cut -d ' ' -f 1)
echo "$folder.tar.gz $digest"
if [ -n "${GITHUB_OUTPUT:-}" ]; then echo "digest=$digest" >>"$GITHUB_OUTPUT"; fi
ls -l "$folder"

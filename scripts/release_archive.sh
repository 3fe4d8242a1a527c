#!/usr/bin/env bash
# Builds the programs of a release and packs them with completions, man pages and licences: house-price-predictor-PLATFORM.tar.gz and its
# checksum. On Linux they are static.
# usage: scripts/release_archive.sh PLATFORM      (linux-amd64, linux-arm64, macos-arm64, windows-amd64)
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: scripts/release_archive.sh PLATFORM" >&2; exit 2; }
platform=$1
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=${CARGO_TARGET_DIR:-target}
host=$(rustc --print host-tuple)
suffix=
programs=(process engineer train package serve)
case "$platform" in
  linux-*) export RUSTFLAGS="-C target-feature=+crt-static" ;;
  macos-*) ;;
  # signals and /proc are what the server lives by
  windows-*) suffix=.exe; programs=(process engineer train package) ;;
  *) printf 'error: there is no platform %s\n' "$platform" >&2; exit 2 ;;
esac

selected=()
for program in "${programs[@]}"; do selected+=(--package "$program"); done
cargo build --locked --release --target "$host" "${selected[@]}" --bins

name=house-price-predictor-$platform
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/$name/bin" "$work/$name/completions" "$work/$name/man/man1"
for program in "${programs[@]}"; do
  built=$target/$host/release/$program$suffix
  cp "$built" "$work/$name/bin/"
  for shell in bash elvish fish powershell zsh; do
    "$built" --generate "completions=$shell" >"$work/$name/completions/$program.$shell"
  done
  "$built" --generate man >"$work/$name/man/man1/$program.1"
done
if [ -z "$suffix" ]; then strip "$work/$name/bin/"*; fi
cp README.md CHANGELOG.md LICENSE LICENSE-APACHE LICENSE-MIT "$work/$name/"
cp -R configs docs "$work/$name/"
tar -C "$work" -cf - "$name" | gzip -n >"$name.tar.gz"
if command -v sha256sum >/dev/null; then sha256sum "$name.tar.gz"; else shasum -a 256 "$name.tar.gz"; fi >"$name.tar.gz.sha256"
cat "$name.tar.gz.sha256"

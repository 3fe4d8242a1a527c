#!/usr/bin/env bash
# Makes a virtual environment with an MLflow and what opens our models there, once, and prints its folder.
# usage: scripts/mlflow_venv.sh [VERSION]   (3.17.2)
set -euo pipefail

version=${1:-3.17.2}
[[ $version =~ ^3\.[0-9]+\.[0-9]+$ ]] || { printf 'error: "%s" is not a version of MLflow 3, such as 3.17.2\n' "$version" >&2; exit 2; }
command -v python3 >/dev/null || { echo "error: python3 is not on the PATH: MLflow needs Python 3.10 or newer" >&2; exit 2; }

needs=("mlflow==$version" onnx "onnxruntime>=1.17")
# releases before 3.10 import what SQLAlchemy 2.1 took away, and do not say so (seen in 3.0.0 and 3.7.0)
case "$version" in 3.[0-9].*) needs+=("sqlalchemy<2.1") ;; esac

cache=${XDG_CACHE_HOME:-$HOME/.cache}/house-price-predictor
folder=$cache/mlflow-$version
mkdir -p "$cache"
# one at a time; the mark is made last, and names what was asked for: an installation that was cut off, or of less, is begun again
exec 9>"$folder.lock"
if command -v flock >/dev/null; then flock 9; fi
if [ "$(cat "$folder/installed" 2>/dev/null)" != "${needs[*]}" ]; then
  printf 'installing MLflow %s into %s: a minute or two\n' "$version" "$folder" >&2
  python3 -m venv --clear "$folder" >&2
  "$folder/bin/pip" install --quiet --disable-pip-version-check "${needs[@]}" >&2
  printf '%s\n' "${needs[*]}" >"$folder/installed"
fi
printf '%s\n' "$folder"

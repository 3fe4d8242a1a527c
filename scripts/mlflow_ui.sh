#!/usr/bin/env bash
# Opens recorded runs in MLflow's own pages, in a virtual environment that it makes for itself.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: scripts/mlflow_ui.sh [options]

  --store FILE      the database of runs  ($MLFLOW_TRACKING_URI if that names one, else mlflow.db of this repository);
                    or the artifact of a workflow's run, output-mlflow.zip or .tar.gz: it is unpacked beside itself
  --run RUN_ID      the run to open       (all runs)
  --port PORT       where to listen       (5000)
  -h, --help        this text

Serves on 127.0.0.1 until Ctrl-C.
USAGE
}

fail() { printf 'error: %s\n' "$1" >&2; exit 2; }

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
store=
run=
port=5000
while [ $# -gt 0 ]; do
  case "$1" in
    --store | --run | --port)
      [ $# -ge 2 ] || fail "$1 needs a value"
      case "$1" in
        --store) store=$2 ;;
        --run) run=$2 ;;
        --port) port=$2 ;;
      esac
      shift 2 ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; fail "there is no option $1" ;;
  esac
done
[[ $port =~ ^[0-9]+$ ]] || fail "--port $port: is not a number"
[[ $run =~ ^[0-9a-f]*$ ]] || fail "--run $run: is not the id of a run; \`train runs\` lists them"

if [ -z "$store" ]; then
  case "${MLFLOW_TRACKING_URI:-}" in
    # a relative name is meant from where the programs run
    sqlite:///*) store=${MLFLOW_TRACKING_URI#sqlite:///}; case "$store" in /*) ;; *) store=$root/$store ;; esac ;;
    *) store=$root/mlflow.db ;;
  esac
fi
[ -f "$store" ] || fail "$store: no such file; \`train\` records runs there"
case "$store" in
  *.zip | *.tar.gz)
    # a zip of a tar, as GitHub gives it; or the tar
    unpacked=${store%.zip}
    unpacked=${unpacked%.tar.gz}
    mkdir -p "$unpacked"
    case "$store" in
      *.zip)
        python3 -m zipfile -e "$store" "$unpacked" || fail "$store: cannot be unpacked"
        tar -xzf "$unpacked/output-mlflow.tar.gz" -C "$unpacked" || fail "$store: has no output-mlflow.tar.gz" ;;
      *) tar -xzf "$store" -C "$unpacked" || fail "$store: cannot be unpacked" ;;
    esac
    [ -f "$unpacked/mlflow.db" ] || fail "$store: has no mlflow.db in it"
    store=$unpacked/mlflow.db
    train=${CARGO_TARGET_DIR:-$root/target}/release/train
    if [ ! -x "$train" ]; then (cd "$root" && cargo build --release --package train) || fail "the programs cannot be built"; fi
    # files of runs are named by where they were
    (cd "$unpacked" && env -u MLFLOW_TRACKING_URI "$train" relocate >&2) || fail "$store: its paths cannot be mended" ;;
esac
folder=$(cd "$(dirname "$store")" && pwd)
store=$folder/$(basename "$store")

python=$("$root/scripts/mlflow_venv.sh")/bin/python
page=http://127.0.0.1:$port/
if [ -n "$run" ]; then
  experiment=$("$python" - "$store" "$run" <<'PY'
import pathlib, sqlite3, sys
store, run = sys.argv[1:]
connection = sqlite3.connect(pathlib.Path(store).as_uri() + "?mode=ro", uri=True)
try:
    found = connection.execute("SELECT experiment_id FROM runs WHERE run_uuid = ?", [run]).fetchone()
except sqlite3.Error as error:
    sys.exit(f"error: {store}: {error}")
if found is None:
    sys.exit(f"error: {store}: has no run {run}; `train runs` lists those it has, `train --force` records one again")
print(found[0])
PY
  ) || exit 2
  page+="#/experiments/$experiment/runs/$run?workflowType=machine_learning"
fi

"$python" - "$port" 2>/dev/null <<'PY' || fail "port $port is taken, or not to be had; choose another with --port"
import socket, sys
with socket.socket() as free:
    free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    free.bind(("127.0.0.1", int(sys.argv[1])))
PY

cd "$folder"
# nobody was asked whether MLflow may report on their use of it
export MLFLOW_DISABLE_TELEMETRY=${MLFLOW_DISABLE_TELEMETRY:-true}
PYTHONWARNINGS=ignore "$python" -m mlflow server --backend-store-uri "sqlite:///$store" --host 127.0.0.1 --port "$port" \
  --uvicorn-opts "--log-level warning" &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null' EXIT
trap 'exit 0' INT TERM
for _ in $(seq 120); do
  kill -0 "$server" 2>/dev/null || fail "the server ended before it answered; see above"
  if "$python" - "$port" 2>/dev/null <<'PY'
import sys, urllib.request
urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/health", timeout=2)
PY
  then
    printf '\n%s\n(Ctrl-C ends it)\n' "$page"
    wait "$server"
    exit
  fi
  sleep 0.5
done
fail "the server did not answer within a minute"

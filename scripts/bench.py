#!/usr/bin/env python3
"""Times the stages and prints a table; with --peer, the Python side runs in turn with ours and ratios are printed.

The peer is a folder with two scripts, run by --python (which needs pandas, scikit-learn and joblib):
stages_peer.py   process|engineer|train with the flags of our programs: the three stages as a Python team would write them
train_peer.py    --data FILE --target NAME --model NAME --params JSON: fits a scikit-learn model on our own featured file

With --mlflow PYTHON (the python of `scripts/mlflow_venv.sh`) a server is started on 127.0.0.1, and what tracking adds to a training is
measured beside MLflow's own client logging the same content (scripts/tracking_peer.py).

With --boosting PYTHON (which has pandas, lightgbm and scikit-learn, and best onnxmltools and onnxruntime) the growing of trees is measured
beside LightGBM's and a forest's beside scikit-learn's, on made-up tables and on every --featured FILE:TARGET that `engineer` wrote
(scripts/boosting_peer.py): seconds of the fastest fit, test RMSE, memory that the fit adds, predictions.

With --serving PYTHON (which has fastapi, uvicorn, scikit-learn) the API is measured beside a bare axum "hello" and, with --peer and
--peer-models, an API in Python (scripts/serving_bench.py): requests a second, batches, overload, reloads, start, memory, size.

With --before PROGRAM, an older `serve`, requests of one row are measured for both in turn, and nothing else: --pairs of --seconds each. Needs wrk.

Every figure is the median of --runs; peak memory is the largest of them. The load average is in the first line.
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import serving_bench

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run(command, folder):
    """Seconds, peak megabytes and stdout of one command."""
    with tempfile.TemporaryFile() as out:
        started = time.perf_counter()
        process = subprocess.Popen([str(part) for part in command], cwd=folder, stdout=out, stderr=subprocess.PIPE)
        error = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        if status:
            sys.exit(f"{command}\n{error.decode()}")
        out.seek(0)
        return seconds, usage.ru_maxrss / 1024, out.read().decode()


def tracking(args, work, train):
    """What recording a run on a server adds, ours and MLflow's own client's in turn, for a linear model that is registered."""
    model = {"name": "tracked", "best_model": "Ridge", "target_transform": "log"}
    (work / "t.yaml").write_text(json.dumps({"model": model}))
    train = [*train, "--register"]
    for flag, value in (("--config", "t.yaml"), ("--models-dir", "t")):
        train[train.index(flag) + 1] = value
    # once without a server: what the other client is to log
    kept = json.loads(run([*train, "--mlflow-tracking-uri", "sqlite:///kept/mlflow.db"], work)[2])["run"]["run_id"]
    (work / "server").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    quiet = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    server = subprocess.Popen(
        [args.mlflow, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)],
        cwd=work / "server", env=quiet, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{uri}/health", timeout=2)
                break
            except OSError:
                time.sleep(0.25)
        mine, other = [], []
        # the first of each wakes the server's workers
        for _ in range(args.runs + 1):
            mine.append(json.loads(run([*train, "--mlflow-tracking-uri", uri], work)[2])["run"]["recording_ms"] / 1000)
            said = subprocess.run(
                [args.mlflow, ROOT / "scripts/tracking_peer.py", uri, "peer", work / "kept/mlflow.db", kept],
                env=quiet, check=True, capture_output=True, text=True,
            ).stdout
            other.append(json.loads(said.splitlines()[-1])["ms"] / 1000)
        a, b = (statistics.median(times[1:]) for times in (mine, other))
        print(f"{'recording a run on a server, over loopback':44} {a:8.3f}s {'':8} {b:8.2f}s {'':8} {b / a:6.1f}x   below the official client", flush=True)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def boosting(args, work):
    """Growing trees and predicting by them, ours and LightGBM's in turn; a forest's beside scikit-learn's."""
    peer, speed = ROOT / "scripts/boosting_peer.py", args.bin / "examples/speed"
    sizes = [rows for rows in (20_000, 200_000) if rows < args.rows] + [args.rows]
    tables = [(f"{rows:,} rows × 15", work / f"{rows}.csv", "price", rows) for rows in sizes]
    for what in args.featured:
        path, target = what.rsplit(":", 1)
        tables.append((pathlib.Path(path).name, pathlib.Path(path).resolve(), target, None))
    print(f"\n{'two threads, LightGBM at its defaults':30} {'ours':>9} {'theirs':>9} {'ratio':>6}")
    for name, path, target, rows in tables:
        if rows:
            run([args.boosting, peer, "generate", path, rows], work)
        kinds = ["fit"] if rows and rows > 20_000 else ["fit", "forest"]
        for kind in kinds:
            mine, theirs = [], []
            for _ in range(min(args.runs, 2 if kind == "forest" else 3)):
                mine.append(json.loads(run([speed, path, target, "boosting" if kind == "fit" else kind], work)[2]))
                theirs.append(json.loads(run([args.boosting, peer, kind, path, target], work)[2].splitlines()[-1]))
            a = {key: statistics.median(found[key] for found in mine) for key in mine[0]}
            b = {key: statistics.median(found[key] for found in theirs) for key in theirs[0]}
            lines = [("fit, s", a["fit_s"], b["fit_s"]), ("test RMSE", a["rmse"], b["rmse"]), ("memory of the fit, MB", a["fit_mb"], b["fit_mb"])]
            if kind == "fit":
                lines += [("M rows/s", a["rows_per_s"] / 1e6, b["rows_per_s"] / 1e6), ("one row, µs", a["row_us"], b["row_us"])]
                if "onnx_row_us" in b:
                    lines += [("M rows/s, ONNX Runtime", a["rows_per_s"] / 1e6, b["onnx_rows_per_s"] / 1e6), ("one row, µs, ONNX Runtime", a["row_us"], b["onnx_row_us"])]
            print(f"{name}{' (forest)' if kind == 'forest' else ''}")
            for label, ours, other in lines:
                print(f"  {label:28} {ours:9.3f} {other:9.3f} {ours / other:6.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, type=pathlib.Path, help="the folder of the built programs")
    parser.add_argument("--peer", type=pathlib.Path, help="the folder of the Python side")
    parser.add_argument("--python", default="python3", help="the Python that runs it")
    parser.add_argument("--mlflow", type=pathlib.Path, help="the Python of an MLflow")
    parser.add_argument("--boosting", type=pathlib.Path, help="a Python with lightgbm")
    parser.add_argument("--featured", action="append", default=[], metavar="FILE:TARGET", help="a table for --boosting")
    parser.add_argument("--only-boosting", action="store_true", help="measure nothing else")
    parser.add_argument("--serving", type=pathlib.Path, help="a Python with fastapi: measure the API, and nothing else")
    parser.add_argument("--peer-models", type=pathlib.Path, help="the folder of the peer's model.pkl and pre.pkl")
    parser.add_argument("--before", type=pathlib.Path, metavar="PROGRAM", help="an older serve: measure single rows beside it, and nothing else")
    parser.add_argument("--pairs", type=int, default=15, help="pairs of measurements for --before; at least 15")
    parser.add_argument("--seconds", type=int, default=3, help="seconds of one of them")
    parser.add_argument("--overload", type=int, default=60, help="seconds of too much")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the large table")
    parser.add_argument("--runs", type=int, default=5, help="runs of the quick measurements; large ones take three at most")
    args = parser.parse_args()
    work = pathlib.Path(tempfile.mkdtemp(prefix="bench."))
    shutil.copytree(ROOT / "configs", work / "configs")
    shutil.copy(ROOT / "data/raw/house_data.csv", work / "raw.csv")
    peer = args.peer.resolve() if args.peer else None
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.2f} at the start, medians of {args.runs} runs\n")
    if args.before:
        shutil.rmtree(work)
        if args.pairs < 15:
            parser.error("--pairs: take 15 or more")
        serving_bench.compare(args)
        return
    if args.serving:
        shutil.rmtree(work)
        serving_bench.main(args)
        return
    if args.boosting:
        boosting(args, work)
        if args.only_boosting:
            shutil.rmtree(work)
            return
    print(f"{'what':44} {'ours':>9} {'peak MB':>8} {'peer':>9} {'peak MB':>8} {'ratio':>7}")

    def compare(what, ours, theirs, runs, need=None):
        """Runs both in turn; each is a list of commands that are timed together."""
        times, peaks = {0: [], 1: []}, {0: [0.0], 1: [0.0]}
        for _ in range(runs):
            for side, commands in enumerate((ours, theirs if peer else None)):
                if commands:
                    found = [run(command, work) for command in commands]
                    times[side].append(sum(seconds for seconds, _, _ in found))
                    peaks[side].append(max(peak for _, peak, _ in found))
        mine = statistics.median(times[0])
        line = f"{what:44} {mine:8.3f}s {max(peaks[0]):8.0f}"
        if times[1]:
            other = statistics.median(times[1])
            line += f" {other:8.2f}s {max(peaks[1]):8.0f} {other / mine:6.1f}x"
        print(line + (f"   {need}" if need else ""), flush=True)

    def ours(raw, out, *flags):
        return [
            [args.bin / "process", "--input", raw, "--output", f"{out}/c.csv", *flags],
            [args.bin / "engineer", "--input", f"{out}/c.csv", "--output", f"{out}/f.csv", "--preprocessor", f"{out}/models/trained/preprocessor.bin", *flags],
            [args.bin / "train", "--config", "configs/model_config.yaml", "--data", f"{out}/f.csv", "--models-dir", f"{out}/models", *flags],
            [args.bin / "package", "--models-dir", f"{out}/models", "--output", f"{out}/packaged", *flags],
        ]

    def theirs(raw, out):
        stages = [args.python, peer / "stages_peer.py"] if peer else []
        return [
            stages + ["process", "--input", raw, "--output", f"{out}/pc.csv"],
            stages + ["engineer", "--input", f"{out}/pc.csv", "--output", f"{out}/pf.csv", "--preprocessor", f"{out}/p.pkl"],
            stages + ["train", "--data", f"{out}/pf.csv", "--models-dir", f"{out}/p"],
        ]

    generate = [args.bin / "generate_houses", "--dirt", "readable"]
    run([*generate, "--output", "readable.csv"], work)
    compare("shipped table: 4 stages (peer: 3)", ours("raw.csv", "s", "--force"), theirs("readable.csv", "s"), args.runs, "under 1 s")
    compare("the same again, nothing changed", ours("raw.csv", "s"), None, args.runs, "under 0.3 s")

    train = [*ours("raw.csv", "s", "--force")[2], "--output-format", "json"]
    recorded = [json.loads(run(train, work)[2])["run"]["recording_ms"] for _ in range(args.runs)]
    print(f"{'of that, recording the run':44} {statistics.median(recorded) / 1000:8.3f}s{'':38}under 0.03 s", flush=True)

    if args.mlflow:
        tracking(args, work, train)

    run([*generate, "--rows", args.rows, "--output", "large.csv"], work)
    few = min(args.runs, 3)
    large, large_peer = ours("large.csv", "l", "--force"), theirs("large.csv", "l")
    compare(f"process, {args.rows:,} rows, CSV to CSV", large[:1], large_peer[:1], few, "at least 5x")
    compare(f"engineer, {args.rows:,} rows, CSV to CSV", large[1:2], large_peer[1:2], few, "at least 5x")

    if peer:
        print("\nthe same featured file and split: test RMSE, and seconds to fit")
        models = [
            ("LinearRegression", {}),
            ("Ridge", {"alpha": 1.0}),
            ("GradientBoosting", {"n_estimators": 100, "max_depth": 3, "learning_rate": 0.1}),
            ("RandomForest", {"n_estimators": 100}),
        ]
        for name, parameters in models:
            # a forest's figure moves by a few percent with the seed: the mean of three
            seeds = (1, 2, 3) if name == "RandomForest" else (42,)
            mine, other = [], []
            for seed in seeds:
                model = {"name": "b", "best_model": name, "parameters": {**parameters, "random_state": seed}, "cross_validation": {"folds": 0}}
                (work / "m.yaml").write_text(json.dumps({"model": model}))
                run([args.bin / "train", "--config", "m.yaml", "--data", "s/f.csv", "--models-dir", "m"], work)
                record = json.loads((work / "m/trained/metrics.json").read_text())
                rmse = next(point["value"] for point in record["metrics"] if point["key"] == "rmse")
                mine.append((rmse, record["times"]["fit_ms"] / 1000))
                found = run([args.python, peer / "train_peer.py", "--data", "s/f.csv", "--target", "price", "--model", name,
                             "--params", json.dumps(parameters), "--seed", seed], work)
                figures = json.loads(found[2])
                other.append((figures["rmse"], figures["fit_s"]))
            (a, a_s), (b, b_s) = [[statistics.mean(column) for column in zip(*side)] for side in (mine, other)]
            print(f"{name:20} ours {a:10.1f} {a_s:7.3f}s   scikit-learn {b:10.1f} {b_s:7.3f}s   RMSE ratio {a / b:.4f}", flush=True)
    shutil.rmtree(work)


main()

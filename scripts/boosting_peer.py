#!/usr/bin/env python3
"""The Python side of the comparison of boosting in bench.py.

    boosting_peer.py generate FILE ROWS        a table of 15 features like houses, and 20,000 test rows
    boosting_peer.py fit FILE TARGET           LightGBM at its defaults (100 trees of 31 leaves) on two threads, as one JSON line
    boosting_peer.py forest FILE TARGET        scikit-learn's random forest of 100 full trees

Needs numpy and pandas; lightgbm to fit; onnxmltools and onnxruntime, if there, to predict the same model. bench.py runs it.
"""
import importlib.util
import json
import sys
import time

import numpy as np
import pandas as pd

BATCH, SINGLE, THREADS = 1_000_000, 2000, 2


def generate(path, rows):
    """Numbers of different kinds, five indicators of which one is set, effects that depend on each other, noise that grows."""
    def part(count, seed, split):
        rng = np.random.default_rng(seed)
        sqft = np.round(np.exp(rng.normal(7.5, 0.4, count)), 0)
        bedrooms = np.clip(np.round(sqft / 650 + rng.normal(0, 0.8, count)), 1, 9)
        bathrooms = np.clip(np.round((bedrooms * 0.7 + rng.normal(0, 0.5, count)) * 4) / 4, 0.5, 7)
        age, quality = rng.integers(0, 120, count), rng.integers(1, 11, count)
        lat, lon = np.round(rng.uniform(47.1, 47.8, count), 4), np.round(rng.uniform(-122.5, -121.3, count), 4)
        lot, floors = np.round(np.exp(rng.normal(9, 0.9, count)), 0), rng.integers(1, 4, count)
        walk, kind = np.round(rng.beta(2, 3, count) * 100, 1), rng.integers(0, 5, count)
        near = np.exp(-(((lat - 47.6) / 0.12) ** 2 + ((lon + 122.3) / 0.2) ** 2))
        price = sqft * (90 + 25 * quality + 260 * near) * np.array([1, 1.15, 0.85, 1.4, 0.95])[kind]
        price *= (1 - 0.004 * np.minimum(age, 60) + 0.0025 * np.maximum(age - 80, 0)) * (1 + 0.03 * bathrooms)
        price += 8 * lot**0.8 * (0.3 + near) + 400 * walk * near + 5000 * floors
        price *= np.exp(rng.normal(0, 0.08 + 0.06 * near, count))
        columns = [sqft, bedrooms, bathrooms, age, quality, lat, lon, lot, floors, walk]
        frame = pd.DataFrame(dict(enumerate(columns + [(kind == k).astype(int) for k in range(5)])))
        frame.columns = [f"f{i}" for i in range(15)]
        frame["price"], frame["split"] = np.round(price, 0), split
        return frame
    pd.concat([part(rows, 1, "train"), part(20_000, 2, "test")]).to_csv(path, index=False)


def read(path, target):
    frame = pd.read_csv(path)
    sides = []
    for name in ("train", "test"):
        side = frame[frame["split"] == name]
        sides.append((side.drop(columns=[target, "split"]).to_numpy(np.float64), side[target].to_numpy(np.float64)))
    return sides


def least(runs, work):
    best = float("inf")
    for _ in range(runs):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


def memory_mb(key):
    """A line of /proc/self/status (Linux)."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(key))


def compare(kind, path, target):
    (x, y), (x_test, y_test) = read(path, target)
    if kind == "forest":
        from sklearn.ensemble import RandomForestRegressor
        model = RandomForestRegressor(n_estimators=100, n_jobs=THREADS, random_state=1)
    else:
        from lightgbm import LGBMRegressor
        model = LGBMRegressor(n_jobs=THREADS, verbose=-1)
        LGBMRegressor(n_estimators=1, n_jobs=THREADS, verbose=-1).fit(x[:100], y[:100])
    # the peak is counted from here on
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")
    before = memory_mb("VmRSS")
    fit_s = least(1 if kind == "forest" else 3 if len(y) > 500_000 else 5, lambda: model.fit(x, y))
    told = {"fit_s": fit_s, "fit_mb": memory_mb("VmHWM") - before, "rmse": float(np.sqrt(np.mean((model.predict(x_test) - y_test) ** 2)))}
    batch = np.resize(x_test, (BATCH, x_test.shape[1]))
    if kind != "forest":
        told["rows_per_s"] = BATCH / least(3, lambda: model.predict(batch))
        booster, rows = model.booster_, [x_test[i : i + 1] for i in range(200)]
        told["row_us"] = least(5, lambda: [booster.predict(row, num_threads=1) for row in rows]) / len(rows) * 1e6
        if importlib.util.find_spec("onnxmltools") and importlib.util.find_spec("onnxruntime"):
            import onnxmltools
            import onnxruntime
            from onnxmltools.convert.common.data_types import FloatTensorType
            made = onnxmltools.convert_lightgbm(model, initial_types=[("x", FloatTensorType([None, x.shape[1]]))])
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = THREADS
            session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
            single = batch.astype(np.float32)
            told["onnx_rows_per_s"] = BATCH / least(3, lambda: session.run(None, {"x": single}))
            rows = [single[i : i + 1] for i in range(SINGLE)]
            told["onnx_row_us"] = least(5, lambda: [session.run(None, {"x": row}) for row in rows]) / SINGLE * 1e6
    print(json.dumps(told))


if sys.argv[1] == "generate":
    generate(sys.argv[2], int(sys.argv[3]))
else:
    compare(sys.argv[1], sys.argv[2], sys.argv[3])

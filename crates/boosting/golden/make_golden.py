#!/usr/bin/env python3
"""Models of LightGBM and XGBoost, what they predict, and what the shap package says of them: tests compare with these files.

    python make_golden.py        (lightgbm 4.7.0, xgboost 3.2.0, shap 0.51.0, numpy 2.4.6, pandas 3.1.1)
"""
import json
import pathlib

import lightgbm
import numpy as np
import pandas as pd
import shap
import xgboost

FOLDER = pathlib.Path(__file__).resolve().parent
ROWS = 400


def table():
    """Numbers with gaps, whole numbers, codes of categories; a target that depends on all."""
    rng = np.random.default_rng(7)
    size = np.round(rng.uniform(20, 300, ROWS), 2)
    age = rng.integers(0, 90, ROWS).astype(float)
    place = rng.integers(0, 12, ROWS).astype(float)
    depth = np.round(rng.normal(0, 10, ROWS), 3)
    effect = np.array([3, -1, 4, 1, -5, 9, 2, -6, 5, 3, -5, 8])[place.astype(int)]
    y = 50 + size * 0.8 - 0.3 * age + 6 * effect + np.where(depth > 3, 25, 0) * (size > 120) + rng.normal(0, 4, ROWS)
    size[rng.random(ROWS) < 0.1] = np.nan
    depth[rng.random(ROWS) < 0.15] = np.nan
    return np.column_stack([size, age, place, depth]), np.maximum(y, 1.0)


NAMES = ["size", "age", "place", "depth"]


def write(name, text, x, predicted, contributions=None, expected=None):
    (FOLDER / name).write_text(text)
    told = {"x": [[None if np.isnan(v) else v for v in row] for row in x], "predicted": list(map(float, predicted))}
    if contributions is not None:
        told["contributions"] = np.asarray(contributions).tolist()
        told["expected"] = float(np.ravel(expected)[0])
    (FOLDER / (name.rsplit(".", 1)[0] + ".expected.json")).write_text(json.dumps(told))


def main():
    x, y = table()
    some = np.vstack([x[:60], [[np.nan] * 4], [[1e9, -5, 50, 0]], [[120.5, 7, 3, np.nan]]])
    common = {"verbose": -1, "num_leaves": 8, "min_data_in_leaf": 5, "learning_rate": 0.3, "seed": 1, "num_threads": 1}
    for name, extra, categorical, target in [
        ("lightgbm_regression", {"objective": "regression"}, [2], y),
        ("lightgbm_numbers", {"objective": "regression_l1"}, [], y),
        ("lightgbm_no_missing", {"objective": "regression", "use_missing": False}, [], y),
        ("lightgbm_gamma", {"objective": "gamma"}, [], y / 100),
        ("lightgbm_forest", {"objective": "regression", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}, [], y),
    ]:
        data = lightgbm.Dataset(x, target, feature_name=NAMES, categorical_feature=categorical, params={"verbose": -1})
        model = lightgbm.train({**common, **extra}, data, 12)
        values = (None, None)
        if not categorical and "gamma" not in name and "no_missing" not in name and "forest" not in name:
            explainer = shap.TreeExplainer(model)
            values = (explainer.shap_values(some), explainer.expected_value)
        write(name + ".txt", model.model_to_string(), some, model.predict(some), *values)
    common = {"max_depth": 4, "eta": 0.3, "seed": 1, "nthread": 1, "tree_method": "hist"}
    for name, extra, categorical, target in [
        ("xgboost_squared", {"objective": "reg:squarederror"}, False, y),
        ("xgboost_categories", {"objective": "reg:squarederror", "max_cat_to_onehot": 1}, True, y),
        ("xgboost_gamma", {"objective": "reg:gamma"}, False, y / 100),
        ("xgboost_dart", {"objective": "reg:squarederror", "booster": "dart", "rate_drop": 0.2}, False, y),
    ]:
        def frame(values):
            made = pd.DataFrame(values, columns=NAMES)
            if categorical:
                made["place"] = pd.Categorical(made["place"].astype("Int64"), categories=range(12))
            return made
        data = xgboost.DMatrix(frame(x), target, enable_categorical=True)
        model = xgboost.train({**common, **extra}, data, 12)
        asked = some if not categorical else some[[row for row in range(len(some)) if not some[row][2] > 11]]
        predicted = model.predict(xgboost.DMatrix(frame(asked), enable_categorical=True))
        values = (None, None)
        if name == "xgboost_squared":
            explainer = shap.TreeExplainer(model)
            values = (explainer.shap_values(frame(asked)), explainer.expected_value)
        write(name + ".json", model.save_raw("json").decode(), asked, predicted, *values)


def pandas_categories():
    """A model on categories of pandas (text, whole numbers, truth values, numbers): their codes are places in alphabetical order."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({
        "size": rng.uniform(20, 300, ROWS).round(2),
        "place": pd.Categorical(rng.choice(["North", "old town", "South", "West"], ROWS)),
        "rooms": pd.Categorical(rng.choice([1, 2, 3, 5], ROWS)),
        "lift": pd.Categorical(rng.choice([True, False], ROWS)),
        "half": pd.Categorical(rng.choice([0.5, 1.0, 2.5], ROWS)),
    })
    effect = frame["place"].map({"North": 3, "old town": -20, "South": 40, "West": 9}).astype(float)
    effect += frame["rooms"].map({1: 0, 2: 25, 3: -12, 5: 30}).astype(float)
    effect += 15 * frame["lift"].astype(int) + frame["half"].map({0.5: 9, 1.0: -9, 2.5: 2}).astype(float)
    y = 100 + frame["size"] * 0.8 + effect + rng.normal(0, 2, ROWS)
    parameters = {"verbose": -1, "num_leaves": 12, "min_data_in_leaf": 5, "min_data_per_group": 5, "cat_smooth": 1, "cat_l2": 1,
                  "learning_rate": 0.3, "seed": 1, "num_threads": 1, "max_cat_to_onehot": 2}
    model = lightgbm.train(parameters, lightgbm.Dataset(frame, y), 12)
    (FOLDER / "lightgbm_pandas.txt").write_text(model.model_to_string())
    # as pandas writes it
    some = frame[:80].copy()
    some.insert(0, "predicted", model.predict(some))
    some.to_csv(FOLDER / "lightgbm_pandas.csv", index=False)


if __name__ == "__main__":
    main()
    pandas_categories()

#!/usr/bin/env python3
"""Writes house_data.json: what scikit-learn makes of the featured table of the shipped data, for the tests in golden.rs.

Written with Python 3.11.7, scikit-learn 1.9.1, numpy 2.4.6 and pandas 3.1.1. The forest's figure is the mean of five seeds: one
seed's is off by a few percent either way.

    scripts/run_pipeline.sh
    python crates/testkit/golden/make_golden.py data/processed/featured_house_data.csv > crates/testkit/golden/house_data.json
"""
import json
import platform
import sys

import numpy
import pandas
import sklearn
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

table = pandas.read_csv(sys.argv[1])
train, test = table[table["split"] == "train"], table[table["split"] == "test"]
columns = [name for name in table.columns if name not in ("price", "split")]
x, y = train[columns].to_numpy(float), train["price"].to_numpy(float)
x_test, y_test = test[columns].to_numpy(float), test["price"].to_numpy(float)


def predict(model):
    return model.fit(x, y).predict(x_test)


def rmse(predictions):
    return float(((predictions - y_test) ** 2).mean() ** 0.5)


exact = {"max_iter": 100_000, "tol": 1e-10}
linear = {
    "LinearRegression": LinearRegression(),
    "Ridge": Ridge(alpha=1.0),
    "Lasso": make_pipeline(StandardScaler(), Lasso(alpha=100.0, **exact)),
    "ElasticNet": make_pipeline(StandardScaler(), ElasticNet(alpha=0.5, l1_ratio=0.7, **exact)),
}
boosting = GradientBoostingRegressor(n_estimators=100, max_depth=3, learning_rate=0.1, random_state=42)
forests = [RandomForestRegressor(n_estimators=100, random_state=seed) for seed in range(1, 6)]
versions = {"python": platform.python_version(), "sklearn": sklearn.__version__, "numpy": numpy.__version__, "pandas": pandas.__version__}
json.dump(
    {
        "versions": versions,
        "predictions": {name: predict(model).tolist() for name, model in linear.items()},
        "rmse": {
            "GradientBoosting": rmse(predict(boosting)),
            "RandomForest": float(numpy.mean([rmse(predict(forest)) for forest in forests])),
        },
    },
    sys.stdout,
    indent=0,
)

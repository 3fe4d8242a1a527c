"""Trains the same ridge with scikit-learn, logged by MLflow's autologging and evaluation, in the same experiment.

usage: sklearn_run.py TRACKING_URI EXPERIMENT featured.csv
"""

import logging
import os
import sys

os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"

import mlflow  # noqa: E402
import mlflow.sklearn  # noqa: E402
import numpy  # noqa: E402
import pandas  # noqa: E402
from sklearn.compose import TransformedTargetRegressor  # noqa: E402
from sklearn.linear_model import Ridge  # noqa: E402

logging.disable(logging.WARNING)
uri, experiment, data = sys.argv[1:]
mlflow.set_tracking_uri(uri)
mlflow.set_experiment(experiment)
table = pandas.read_csv(data)
train, test = table[table["split"] == "train"], table[table["split"] == "test"]
features = [name for name in table.columns if name not in ("price", "split")]
mlflow.sklearn.autolog(log_models=False, log_datasets=False)
with mlflow.start_run(run_name="scikit-learn"):
    model = TransformedTargetRegressor(Ridge(alpha=1.0), func=numpy.log, inverse_func=numpy.exp)
    model.fit(train[features], train["price"])
    evaluated = test[[*features, "price"]].assign(prediction=model.predict(test[features]))
    mlflow.models.evaluate(
        data=evaluated,
        targets="price",
        predictions="prediction",
        model_type="regressor",
        evaluator_config={"log_explainer": False, "log_model_explainability": False},
    )

"""Asks a logged model, as MLflow's own Python loads it, for the rows of a raw table; prints the answers as JSON, row by row.

A row that Python itself cannot turn into numbers is answered with the error's text.

usage: predict_onnx.py TRACKING_URI MODEL_URI RAW.csv
"""

import json
import logging
import os
import sys

os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"

import mlflow  # noqa: E402
import pandas  # noqa: E402

logging.disable(logging.WARNING)
tracking_uri, model_uri, raw = sys.argv[1:]
mlflow.set_tracking_uri(tracking_uri)
model = mlflow.pyfunc.load_model(model_uri)
table = pandas.read_csv(raw)
text = pandas.read_csv(raw, dtype=str, keep_default_na=False)


def ask(rows):
    return [None if value != value else value for value in model.predict(rows)["prediction"].tolist()]


def ask_alone(row):
    try:
        return ask(row)[0]
    except Exception as error:
        return str(error)


try:
    together, as_text = ask(table), ask(text)
except ValueError:
    together = as_text = None
alone = [ask_alone(table.iloc[[place]]) for place in range(len(table))]
json.dump(
    {
        "together": together,
        "as_text": as_text,
        "alone": alone,
        "none": ask(table.iloc[:0]) if together else None,
        "example": ask(model.input_example),
        "flavors": sorted(model.metadata.flavors),
        "columns": [column.name for column in model.metadata.signature.inputs.inputs],
        "run_id": model.metadata.run_id,
        "model_id": model.metadata.model_id,
    },
    sys.stdout,
)

"""Prints as JSON what MLflow's own client reads of a store: every experiment, run, input and artifact.

usage: read_run.py TRACKING_URI
"""

import hashlib
import json
import os
import sys
import tempfile

os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"

import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402


def files(client, run_id, folder=""):
    for entry in client.list_artifacts(run_id, folder):
        if entry.is_dir:
            yield from files(client, run_id, entry.path)
        else:
            yield entry


def artifacts(client, run_id):
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for entry in files(client, run_id):
            with open(client.download_artifacts(run_id, entry.path, folder), "rb") as content:
                found[entry.path] = {"bytes": entry.file_size, "sha256": hashlib.sha256(content.read()).hexdigest()}
        return found


def inputs(run):
    return [
        {
            "name": given.dataset.name,
            "digest": given.dataset.digest,
            "source_type": given.dataset.source_type,
            "source": json.loads(given.dataset.source),
            "schema": json.loads(given.dataset.schema),
            "profile": json.loads(given.dataset.profile),
            "tags": {tag.key: tag.value for tag in given.tags},
        }
        for given in sorted(run.inputs.dataset_inputs, key=lambda given: given.dataset.name)
    ]


def read(client, run):
    run_id = run.info.run_id
    return {
        "run_id": run_id,
        "run_name": run.info.run_name,
        "user": run.info.user_id,
        "status": run.info.status,
        "start_time": run.info.start_time,
        "end_time": run.info.end_time,
        "params": run.data.params,
        "tags": run.data.tags,
        "latest_metrics": run.data.metrics,
        "metrics": {
            key: [[point.step, point.value] for point in client.get_metric_history(run_id, key)]
            for key in run.data.metrics
        },
        "inputs": inputs(run),
        "artifacts": artifacts(client, run_id),
    }


mlflow.set_tracking_uri(sys.argv[1])
client = MlflowClient()
found = {}
for experiment in client.search_experiments():
    runs = client.search_runs([experiment.experiment_id], order_by=["start_time ASC"])
    found[experiment.name] = [read(client, run) for run in runs]
json.dump({"version": mlflow.__version__, "experiments": found}, sys.stdout)

"""Prints as JSON what MLflow's own client reads of a store: every experiment, run, input, artifact, logged model and version.

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


def model_files(client, model_id):
    folder = mlflow.artifacts.download_artifacts(f"models:/{model_id}")
    found = {}
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)
            with open(path, "rb") as content:
                bytes = content.read()
            found[os.path.relpath(path, folder)] = {"bytes": len(bytes), "sha256": hashlib.sha256(bytes).hexdigest()}
    # MLflow's own note of whom a downloaded model was registered for
    found.pop("registered_model_meta", None)
    return found


def models(client, run):
    found = []
    for output in client.get_run(run.info.run_id).outputs.model_outputs:
        model = client.get_logged_model(output.model_id)
        found.append(
            {
                "name": model.name,
                "model_type": model.model_type,
                "status": str(model.status),
                "source_run_id": model.source_run_id,
                "step": output.step,
                "params": model.params,
                "tags": model.tags,
                "metrics": sorted(
                    [metric.key, metric.step, metric.value, metric.timestamp, metric.dataset_name, metric.dataset_digest]
                    for metric in model.metrics or []
                ),
                "artifacts": model_files(client, output.model_id),
                "model_id": output.model_id,
            }
        )
    return found


def registry(client):
    found = {}
    for model in client.search_registered_models():
        versions = client.search_model_versions(f"name='{model.name}'")
        found[model.name] = {
            "aliases": {alias: str(version) for alias, version in client.get_registered_model(model.name).aliases.items()},
            "tags": model.tags,
            "versions": [
                {
                    "version": str(version.version),
                    "source": version.source,
                    "run_id": version.run_id,
                    "status": version.status,
                    "description": version.description,
                    "tags": version.tags,
                }
                for version in sorted(versions, key=lambda version: int(version.version))
            ],
        }
    return found


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
            key: [[point.step, point.value, point.timestamp] for point in client.get_metric_history(run_id, key)]
            for key in run.data.metrics
        },
        "inputs": inputs(run),
        "models": models(client, run),
        "artifacts": artifacts(client, run_id),
    }


mlflow.set_tracking_uri(sys.argv[1])
client = MlflowClient()
found = {}
for experiment in client.search_experiments():
    runs = client.search_runs([experiment.experiment_id], order_by=["start_time ASC"])
    found[experiment.name] = [read(client, run) for run in runs]
json.dump({"version": mlflow.__version__, "experiments": found, "registry": registry(client)}, sys.stdout)

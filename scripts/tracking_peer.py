#!/usr/bin/env python3
"""Logs the content of one of our runs with MLflow's own client, as fast as it can be told to; prints the milliseconds as JSON.

usage: tracking_peer.py TRACKING_URI EXPERIMENT STORE.db RUN_ID

STORE.db and the mlruns/ beside it hold the run, as `train` recorded it without a server: parameters, metrics with their steps, tags,
datasets, files, a logged model with its files and figures, a registered version with an alias. Importing the client is not timed.
"""
import json
import os
import sqlite3
import sys
import time

os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"

import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import (  # noqa: E402
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelOutput,
    LoggedModelParameter,
    LoggedModelStatus,
    Metric,
    Param,
    RunTag,
)


def main():
    uri, experiment, store, run_id = sys.argv[1:]
    database = sqlite3.connect(store)
    rows = lambda sql: database.execute(sql, [run_id]).fetchall()  # noqa: E731
    params = [Param(*row) for row in rows("SELECT key, value FROM params WHERE run_uuid = ?")]
    tags = [RunTag(*row) for row in rows("SELECT key, value FROM tags WHERE run_uuid = ?") if row[0] != "mlflow.runName"]
    metrics = rows(
        "SELECT m.key, m.value, m.timestamp, m.step, l.model_id IS NOT NULL, l.dataset_name, l.dataset_digest FROM metrics m "
        "LEFT JOIN logged_model_metrics l ON l.run_id = m.run_uuid AND l.metric_name = m.key AND l.metric_step = m.step "
        "AND l.metric_timestamp_ms = m.timestamp WHERE m.run_uuid = ?"
    )
    datasets = rows(
        "SELECT d.name, digest, dataset_source_type, dataset_source, dataset_schema, dataset_profile, t.value FROM inputs i "
        "JOIN datasets d ON dataset_uuid = source_id JOIN input_tags t USING (input_uuid) WHERE destination_id = ?"
    )
    (run_folder,) = rows("SELECT artifact_uri FROM runs WHERE run_uuid = ?")[0]
    model_id, model_folder = rows("SELECT model_id, artifact_location FROM logged_models WHERE source_run_id = ?")[0]
    version_tags = database.execute("SELECT DISTINCT key, value FROM model_version_tags").fetchall()

    mlflow.set_tracking_uri(uri)
    client = MlflowClient()
    client.search_experiments(max_results=1)  # the first connection is not timed either
    started = time.perf_counter()
    found = client.get_experiment_by_name(experiment)
    experiment_id = found.experiment_id if found else client.create_experiment(experiment)
    run = client.create_run(experiment_id, run_name="peer", tags={tag.key: tag.value for tag in tags})
    run_id = run.info.run_id
    model = client.create_logged_model(
        experiment_id, name="model", source_run_id=run_id, model_type="regressor",
        params={param.key: param.value for param in params},
    )
    linked = [
        Metric(
            key, value, timestamp, step,
            model_id=model.model_id if of_model else None, dataset_name=name, dataset_digest=digest,
            run_id=run_id,
        )
        for key, value, timestamp, step, of_model, name, digest in metrics
    ]
    client.log_batch(run_id, metrics=linked, params=params, tags=tags)
    inputs = [
        DatasetInput(Dataset(*row[:4], schema=row[4], profile=row[5]), [InputTag("mlflow.data.context", row[6])])
        for row in datasets
    ]
    client.log_inputs(run_id, inputs)
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    client.log_artifacts(run_id, run_folder)
    client.log_model_artifacts(model.model_id, model_folder)
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    try:
        client.create_registered_model(experiment)
    except mlflow.MlflowException:
        pass
    version = client.create_model_version(
        experiment, f"models:/{model.model_id}", model_id=model.model_id, tags=dict(version_tags)
    )
    client.set_registered_model_alias(experiment, "challenger", version.version)
    client.set_registered_model_tag(experiment, "challenger", version.version)
    client.set_terminated(run_id)
    sys.stdout.write("\n" + json.dumps({"ms": (time.perf_counter() - started) * 1000, "params": len(params), "metrics": len(metrics)}) + "\n")


main()

"""Logging a run, for the demonstration alone: pipelines log with MLflow itself."""

from __future__ import annotations

from pathlib import Path

from prodpointer.mlflow_border.translation import translated


def log_directory(uri: str, experiment: str, artifacts: Path, directory: Path, artifact_path: str) -> str:
    """Log a directory's files in a new run and return the run's id.

    Parameters
    ----------
    uri
        The tracking URI.
    experiment
        Name of the experiment, made if it does not exist.
    artifacts
        Where a new experiment keeps its artifacts.
    directory, artifact_path
        The files, and the name they get below the run's artifacts.
    """
    from mlflow import MlflowClient

    with translated("log the demonstration's run", uri):
        client = MlflowClient(uri)
        known = client.get_experiment_by_name(experiment)
        identifier = known.experiment_id if known else client.create_experiment(experiment, artifacts.as_uri())
        run_id = str(client.create_run(identifier).info.run_id)
        client.log_artifacts(run_id, str(directory), artifact_path)
        client.set_terminated(run_id)
    return run_id

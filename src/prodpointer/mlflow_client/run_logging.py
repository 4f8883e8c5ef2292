"""Logging runs of our own, to demonstrate and to try a registry: pipelines log with MLflow itself."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prodpointer.mlflow_client.artifact_store import ArtifactStore
from prodpointer.mlflow_client.exceptions import translate
from prodpointer.mlflow_client.registry import Registry
from prodpointer.mlflow_client.uris import Place


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

    with translate("log the demonstration's run", uri):
        client = MlflowClient(uri)
        known = client.get_experiment_by_name(experiment)
        identifier = known.experiment_id if known else client.create_experiment(experiment, artifacts.as_uri())
        run_id = str(client.create_run(identifier).info.run_id)
        client.log_artifacts(run_id, str(directory), artifact_path)
        client.set_terminated(run_id)
    return run_id


class ScratchExperiment:
    """An experiment that is made to try something, and deleted with its runs.

    Parameters
    ----------
    registry
        The registry beside which the runs are kept.
    name
        Name of an experiment that does not exist yet.
    artifacts
        Where its artifacts go beside a database; a server decides that itself.
    """

    def __init__(self, registry: Registry, name: str, artifacts: Path) -> None:
        """Make the experiment."""
        self._registry = registry
        self._client: Any = registry.client
        self._store = ArtifactStore(registry)
        self._runs: list[str] = []
        location = artifacts.as_uri() if registry.place is Place.DATABASE else None
        with registry.translate(f"create the experiment {name!r}"):
            self._id = str(self._client.create_experiment(name, artifact_location=location))

    def log(self, files: Mapping[str, bytes], metrics: Mapping[str, float] | None = None) -> str:
        """Log files, by their paths, and metrics in a new run and return the run's id.

        The bytes go to the run's own artifact URI: older clients find a server's artifacts by the tracking URI of the
        process and not by the client's own.
        """
        with self._registry.translate("log a run"):
            run = self._client.create_run(self._id)
            self._runs.append(str(run.info.run_id))
        with tempfile.TemporaryDirectory() as scratch:
            for path, content in files.items():
                local = Path(scratch, path)
                local.parent.mkdir(parents=True, exist_ok=True)
                local.write_bytes(content)
            self._store.upload(Path(scratch), self._store.locate(str(run.info.artifact_uri)))
        with self._registry.translate("end a run"):
            for name, value in (metrics or {}).items():
                self._client.log_metric(self._runs[-1], name, value)
            # Not set_terminated, which prints the run's address to standard output (2.22.5, 3.17.2).
            self._client.update_run(self._runs[-1], "FINISHED")
        return self._runs[-1]

    def delete(self) -> None:
        """Delete the runs and the experiment; MLflow keeps what is deleted until ``mlflow gc``."""
        with self._registry.translate("delete the experiment that was made to try the registry"):
            for run_id in self._runs:
                self._client.delete_run(run_id)
            self._client.delete_experiment(self._id)

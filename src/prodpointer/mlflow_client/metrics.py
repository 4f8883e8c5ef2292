"""The metrics of a version's run, and of its logged model on MLflow 3, as evidence for gates."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence

from prodpointer.gates.gate import Evidence, Measurement
from prodpointer.mlflow_client.converters import LoggedRun, Metric
from prodpointer.mlflow_client.exceptions import error_code
from prodpointer.mlflow_client.installed import knows_logged_models
from prodpointer.mlflow_client.many_runs import existing_run
from prodpointer.mlflow_client.registry import Registry
from prodpointer.types import ModelVersion

# models:/m-…, or where the files of one are: a version names its model's id in no other way (3.0.1, 3.17.2 measured).
_LOGGED_MODEL = re.compile(r"(?:^models:|/models)/(m-[0-9a-f]{32})(?:/|$)")


def read_evidence(registry: Registry, version: ModelVersion, wanted: Collection[str]) -> Evidence:
    """Return what the metrics of a version say: its run's latest values and, for what the run has not, its model's.

    The run comes first on every client, since clients of MLflow 2 cannot see the metrics of a logged model. A run that
    does not exist or was deleted is evidence too, and no error. One request; with a wanted metric that the run lacks, a
    few more.

    Parameters
    ----------
    registry
        The registry; runs are read through its client's tracking URI.
    version
        The version, as the registry described it.
    wanted
        The metrics that gates ask for; of a logged model's metrics the others are left out.

    Raises
    ------
    RegistryUnavailable, AccessDenied, RegistryError
        The runs could not be read, so nothing is known of them.
    """
    reading = _Reading(registry)
    run = reading.run(version.run_id) if version.run_id else None
    if run is None:
        return Evidence(version.version, version.run_id, run_found=False)
    found = {name: Measurement(value, "run", run.digests) for name, value in run.metrics.items()}
    lacking = set(wanted) - found.keys()
    model = _LOGGED_MODEL.search(version.source)
    if lacking and model:
        found.update(reading.of_logged_model(model[1], lacking))
    return Evidence(version.version, version.run_id, run_found=True, metrics=found)


class _Reading:
    """The runs and logged models of a registry; each run is read once."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._runs: dict[str, LoggedRun | None] = {}

    def run(self, run_id: str) -> LoggedRun | None:
        """Return a run, or None for one that does not exist or was deleted."""
        if run_id not in self._runs:
            self._runs[run_id] = self._existing_run(run_id)
        return self._runs[run_id]

    def of_logged_model(self, model_id: str, wanted: Collection[str]) -> dict[str, Measurement]:
        """Return the newest values of a logged model's metrics; none on a client or a server of MLflow 2.

        A logged model keeps what every run measured of it, on whichever dataset; MLflow's own search takes the newest
        by time and then by step too.
        """
        newest: dict[str, Metric] = {}
        for metric in sorted(self._model_metrics(model_id), key=lambda each: (each.timestamp, each.step)):
            if metric.key in wanted:
                newest[metric.key] = metric
        return {name: self._measurement(metric) for name, metric in newest.items()}

    def _measurement(self, metric: Metric) -> Measurement:
        """Return one metric of a logged model, with the datasets of its run where it names none of its own."""
        if metric.dataset_digest:
            digests: frozenset[str] | None = frozenset([metric.dataset_digest])
        else:
            run = self.run(metric.run_id)
            digests = None if run is None else run.digests
        return Measurement(self._true_value(metric), "logged model", digests)

    def _true_value(self, metric: Metric) -> float:
        """Return a metric's value, NaN where its run says so or is gone.

        MLflow returns the NaN of a logged model as 0.0 (measured: 3.0.1 and 3.17.2, directly and over REST), which
        would pass a gate where less is better; the history of the run that measured it has it right.
        """
        if metric.value != 0:
            return metric.value
        if self.run(metric.run_id) is None:
            return math.nan
        with self._registry.translate(f"read the history of {metric.key!r} in the run {metric.run_id!r}"):
            history = self._registry.runs.history(metric.run_id, metric.key)
        same = {each.value for each in history if (each.timestamp, each.step) == (metric.timestamp, metric.step)}
        return metric.value if same == {0.0} else math.nan

    def _model_metrics(self, model_id: str) -> Sequence[Metric]:
        """Return the metrics of a logged model; none where it was deleted, or where there are no logged models."""
        from mlflow.exceptions import MlflowException

        if not knows_logged_models():
            return []
        with self._registry.translate(f"read the logged model {model_id!r}"):
            try:
                return self._registry.runs.logged_model(model_id).metrics
            except MlflowException as error:
                if error_code(error) in ("RESOURCE_DOES_NOT_EXIST", "ENDPOINT_NOT_FOUND"):
                    return []
                raise

    def _existing_run(self, run_id: str) -> LoggedRun | None:
        """Ask for a run; MLflow returns a deleted one like any other, and says so in its ``lifecycle_stage``."""
        run = existing_run(self._registry, run_id)
        return None if run is None or run.deleted else run

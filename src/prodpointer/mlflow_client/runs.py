"""Runs and logged models: of a tracking server by REST, of a database or a plugin through MLflow's client."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import quote

from prodpointer.mlflow_client import converters
from prodpointer.mlflow_client.converters import LoggedModel, LoggedRun, Metric
from prodpointer.mlflow_client.rest import API, PAGE_LIMIT, Rest
from prodpointer.mlflow_client.uris import Addresses, Place, place_of


class Runs(Protocol):
    """The questions to a tracking store. They raise MLflow's own errors."""

    @abstractmethod
    def run(self, run_id: str) -> LoggedRun:
        """Return a run; MLflow returns a deleted one like any other."""

    @abstractmethod
    def runs(self, experiment_id: str, run_ids: Sequence[str]) -> list[LoggedRun]:
        """Return those of the runs that are in an experiment, deleted ones too; one request, of at most 100 runs."""

    @abstractmethod
    def history(self, run_id: str, metric: str) -> list[Metric]:
        """Return every value of a metric in a run."""

    @abstractmethod
    def logged_model(self, model_id: str) -> LoggedModel:
        """Return a logged model of MLflow 3."""

    @abstractmethod
    def logged_models(self, experiment_id: str, wanted: str) -> list[LoggedModel]:
        """Return the logged models of an experiment that a filter names."""


class _ServerRuns(Runs):
    """The runs of a tracking server."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def run(self, run_id: str) -> LoggedRun:
        return converters.run_from_json(self._rest.retried("GET", f"{API}/runs/get", params={"run_id": run_id}))

    def runs(self, experiment_id: str, run_ids: Sequence[str]) -> list[LoggedRun]:
        asked = {
            "experiment_ids": [experiment_id],
            "filter": _any_of(run_ids),
            "run_view_type": "ALL",
            "max_results": len(run_ids),
        }
        answer = self._rest.retried("POST", f"{API}/runs/search", limit=PAGE_LIMIT, json=asked)
        return converters.runs_from_json(answer)

    def history(self, run_id: str, metric: str) -> list[Metric]:
        # Without a number 3.9.0 takes it for 0 and answers with empty pages; this one is the client's own.
        endpoint = f"{API}/metrics/get-history"
        found = self._rest.pages(endpoint, run_id=run_id, metric_key=metric, max_results=25_000)
        return [each for page in found for each in converters.metrics_from_json(page)]

    def logged_model(self, model_id: str) -> LoggedModel:
        endpoint = f"{API}/logged-models/{quote(model_id, safe='')}"
        return converters.logged_model_from_json(self._rest.retried("GET", endpoint))

    def logged_models(self, experiment_id: str, wanted: str) -> list[LoggedModel]:
        asked = {"experiment_ids": [experiment_id], "filter": wanted}
        answer = self._rest.retried("POST", f"{API}/logged-models/search", limit=PAGE_LIMIT, json=asked)
        return converters.logged_models_from_json(answer)


class _ClientRuns(Runs):
    """The runs of a database or of a plugin's store, through MLflow's client."""

    def __init__(self, client: Any, *, keeps_datasets: bool) -> None:
        self._client = client
        self._keeps_datasets = keeps_datasets

    def run(self, run_id: str) -> LoggedRun:
        return converters.run(self._client.get_run(run_id), keeps_datasets=self._keeps_datasets)

    def runs(self, experiment_id: str, run_ids: Sequence[str]) -> list[LoggedRun]:
        from mlflow.entities import ViewType

        found = self._client.search_runs(
            [experiment_id], _any_of(run_ids), run_view_type=ViewType.ALL, max_results=len(run_ids)
        )
        return [converters.run(each, keeps_datasets=self._keeps_datasets) for each in found]

    def history(self, run_id: str, metric: str) -> list[Metric]:
        return [converters.metric(each) for each in self._client.get_metric_history(run_id, metric)]

    def logged_model(self, model_id: str) -> LoggedModel:
        return converters.logged_model(self._client.get_logged_model(model_id))

    def logged_models(self, experiment_id: str, wanted: str) -> list[LoggedModel]:
        found = self._client.search_logged_models(experiment_ids=[experiment_id], filter_string=wanted)
        return [converters.logged_model(each) for each in found]


def _any_of(run_ids: Sequence[str]) -> str:
    """Return the filter of a search for some runs; their ids are of letters and digits."""
    return f"attributes.run_id IN ({', '.join(repr(run_id) for run_id in run_ids)})"


def make_runs(client: Any, addresses: Addresses, *, timeout: float) -> Runs:
    """Return the runs at a tracking URI.

    Parameters
    ----------
    client
        MLflow's client, in the workspace and within the time.
    addresses, timeout
        As for :class:`Rest`.
    """
    place = place_of(addresses.tracking_uri)
    if place is Place.SERVER:
        return _ServerRuns(Rest(addresses, timeout=timeout, of_runs=True))
    # The schema of a database of a client before 2.4 has no datasets, which such a client's entities do not show.
    return _ClientRuns(client, keeps_datasets=place is not Place.DATABASE)

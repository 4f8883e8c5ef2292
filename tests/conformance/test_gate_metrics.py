"""Metrics for gates: from the runs of the versions."""

from __future__ import annotations

import math
import uuid
from dataclasses import replace

import pytest

from prodpointer.gates.gate import Evidence, Measurement, judge
from prodpointer.gates.parser import gates_of
from prodpointer.mlflow_client.converters import run as run_of
from prodpointer.mlflow_client.metrics import read_evidence
from prodpointer.mlflow_client.registry import Registry as Border
from prodpointer.mlflow_client.uris import Addresses
from prodpointer.types import ModelVersion
from tests.conformance.conftest import RELEASE, Registry

HAS_DATASETS = RELEASE >= (2, 4, 0)


@pytest.fixture
def border(registry: Registry) -> Border:
    """The border to each registry of this environment."""
    return Border(Addresses(registry.uri, registry.uri, chosen=True), timeout=10)


def run_with(registry: Registry, datasets: tuple[str, ...] = (), **metrics: float) -> str:
    """Return a new run with these metrics and, where the client knows datasets, datasets of these digests."""
    run_id = str(registry.plain.create_run(registry.experiment).info.run_id)
    for name, value in metrics.items():
        registry.plain.log_metric(run_id, name, value)
    if HAS_DATASETS and datasets:
        from mlflow.entities import Dataset, DatasetInput

        logged = [DatasetInput(Dataset(f"clicks-{digest}", digest, "local", "{}"), []) for digest in datasets]
        registry.plain.log_inputs(run_id, logged)
    return run_id


def version_of(registry: Registry, border: Border, run_id: str) -> ModelVersion:
    """Return the first version of a new model, made by plain MLflow from a run's artifacts."""
    name = f"gates-{uuid.uuid4().hex[:12]}"
    registry.plain.create_registered_model(name)
    source = f"{registry.plain.get_run(run_id).info.artifact_uri}/bundle"
    registry.plain.create_model_version(name, source, run_id)
    return border.version(name, 1)


def test_gates_use_the_latest_values_of_the_run(registry: Registry, border: Border) -> None:
    """Each metric has the value of its highest step, whichever was logged last, and comes from the run."""
    run_id = run_with(registry, auc=0.9)
    for step, value in ((1, 3.0), (3, 1.0), (2, 2.0)):
        registry.plain.log_metric(run_id, "val/loss", value, step=step)
    assert read_evidence(border, version_of(registry, border, run_id), ["auc"]) == Evidence(
        1,
        run_id,
        run_found=True,
        metrics={
            "auc": Measurement(0.9, "run", frozenset()),
            "val/loss": Measurement(1.0, "run", frozenset()),
        },
    )


@pytest.mark.parametrize(
    ("value", "problem"), [(math.nan, "is NaN"), (math.inf, "is infinite"), (-math.inf, "is infinite")]
)
def test_a_value_that_is_not_finite_is_recognised(
    registry: Registry, border: Border, value: float, problem: str
) -> None:
    """NaN and infinities are told from numbers, though MLflow's databases keep them as such."""
    found = read_evidence(border, version_of(registry, border, run_with(registry, loss=value)), ["loss"])
    assert found.problem("loss") == f"'loss' of version 1 {problem}"


def test_a_deleted_run_is_missing(registry: Registry, border: Border) -> None:
    """The metrics of a run that was deleted count no more, though MLflow still returns them; restored they do."""
    run_id = run_with(registry, auc=0.9)
    version = version_of(registry, border, run_id)
    registry.plain.delete_run(run_id)
    assert read_evidence(border, version, ["auc"]) == Evidence(1, run_id, run_found=False)
    registry.plain.restore_run(run_id)
    assert read_evidence(border, version, ["auc"]).finite("auc") == 0.9


@pytest.mark.parametrize("run_id", ["0" * 32, "no-such-run", "../.."])
def test_an_unknown_run_is_missing(registry: Registry, border: Border, run_id: str) -> None:
    """A version may name a run that another server has, or none could have: evidence too, and no error."""
    version = replace(version_of(registry, border, run_with(registry)), run_id=run_id)
    assert read_evidence(border, version, ["auc"]) == Evidence(1, run_id, run_found=False)


def test_a_version_without_a_run_has_no_metrics(registry: Registry, border: Border) -> None:
    """A version that names no run is evidence without metrics."""
    version = replace(version_of(registry, border, run_with(registry)), run_id=None)
    assert read_evidence(border, version, ["auc"]) == Evidence(1, None, run_found=False)


def test_the_datasets_of_a_run_are_known_by_their_digests(registry: Registry, border: Border) -> None:
    """All digests that a run logged come with its metrics; a client and a server before 2.4.0 have none."""
    found = read_evidence(border, version_of(registry, border, run_with(registry, ("d1", "d2"), auc=0.9)), ["auc"])
    assert found.metrics["auc"].datasets == (frozenset({"d1", "d2"}) if HAS_DATASETS else frozenset())


def test_a_run_over_rest_is_the_clients_own(served: Registry) -> None:
    """A server's JSON says of a run what the entity of MLflow's client says."""
    border = Border(Addresses(served.uri, served.uri, chosen=True), timeout=10)
    run_id = run_with(served, ("d1", "d2"), auc=0.9)
    assert border.runs.run(run_id) == run_of(served.plain.get_run(run_id), keeps_datasets=False)


def test_an_old_client_guesses_no_datasets(registry: Registry, border: Border) -> None:
    """Where runs are neither on a server nor in a database, a client before 2.4.0 cannot know: None, and no guess."""
    version = version_of(registry, border, run_with(registry, ("d1",), auc=0.9))
    border.addresses = replace(border.addresses, tracking_uri="plugin://elsewhere")
    known = frozenset({"d1"}) if HAS_DATASETS else None
    assert read_evidence(border, version, ["auc"]).metrics["auc"].datasets == known


def test_gates_use_the_metrics_of_the_registry(registry: Registry, border: Border) -> None:
    """From two registered versions to the verdicts: better, not better enough, missing and NaN."""
    live = version_of(registry, border, run_with(registry, ("d1",), auc=0.9, loss=0.5, f1=0.1))
    candidate = version_of(registry, border, run_with(registry, ("d1",), auc=0.902, loss=0.5, nan=math.nan))
    gates = gates_of(["auc >= production + 0.002", "loss <= production - 0.1", "f1 >= 0.0", "nan <= 1", "auc >= 0.9"])
    names = {gate.metric for gate in gates}
    found = judge(gates, read_evidence(border, candidate, names), read_evidence(border, live, names))
    assert [each.passed for each in found] == [True, False, False, False, True]
    assert (found[0].candidate, found[0].production) == (0.902, 0.9)


def test_runs_of_other_datasets_are_not_compared(registry: Registry, border: Border) -> None:
    """Two runs that logged other digests refuse a comparison; before 2.4.0 there is nothing to tell them apart."""
    live = version_of(registry, border, run_with(registry, ("d1",), auc=0.9))
    candidate = version_of(registry, border, run_with(registry, ("d2",), auc=0.95))
    gates = gates_of(["auc >= production"])
    (found,) = judge(gates, read_evidence(border, candidate, ["auc"]), read_evidence(border, live, ["auc"]))
    reason = "measured on other datasets: version 1 on d2, version 1 on d1" if HAS_DATASETS else ""
    assert (found.passed, found.reason) == (not HAS_DATASETS, reason)

"""Metrics for gates from the logged models of MLflow 3, measured by evaluations after the training run."""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass

import pytest

from prodpointer.gates.gate import Measurement
from prodpointer.mlflow_client.metrics import read_evidence
from prodpointer.mlflow_client.registry import Registry as Border
from prodpointer.mlflow_client.uris import Addresses
from prodpointer.types import ModelVersion
from tests.conformance.conftest import Registry


@dataclass(frozen=True)
class Evaluated:
    """A registered version of a logged model, the run that logged it and a later run that evaluates it."""

    registry: Registry
    border: Border
    version: ModelVersion
    model_id: str
    training: str
    evaluation: str

    def measure(self, name: str, value: float, *, digest: str | None = None, at: int = 1000, step: int = 0) -> None:
        """Log a metric of the model in the evaluation, on a dataset if there is a digest."""
        dataset = {"dataset_name": "clicks", "dataset_digest": digest} if digest else {}
        self.registry.plain.log_metric(
            self.evaluation, name, value, timestamp=at, step=step, model_id=self.model_id, **dataset
        )

    def measured(self, name: str) -> Measurement | None:
        """Return what the evidence says of one metric, or None."""
        return read_evidence(self.border, self.version, [name]).metrics.get(name)


@pytest.fixture
def evaluated(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Evaluated:
    """A new version of a logged model, made by plain MLflow."""
    plain = registry.plain
    training, evaluation = (str(plain.create_run(registry.experiment).info.run_id) for _ in range(2))
    model_id = str(plain.create_logged_model(registry.experiment, "model", source_run_id=training).model_id)
    plain.finalize_logged_model(model_id, "READY")
    name = f"gates-{uuid.uuid4().hex[:12]}"
    plain.create_registered_model(name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.uri)  # by which a database looks up the logged model
    plain.create_model_version(name, f"models:/{model_id}", model_id=model_id)
    border = Border(Addresses(registry.uri, registry.uri, chosen=True), timeout=10)
    return Evaluated(registry, border, border.version(name, 1), model_id, training, evaluation)


def test_metrics_missing_in_the_run_come_from_the_logged_model(evaluated: Evaluated) -> None:
    """A metric measured after training, in another run, is read from the logged model."""
    evaluated.measure("auc", 0.9)
    assert evaluated.measured("auc") == Measurement(0.9, "logged model", frozenset())


def test_the_run_comes_first(evaluated: Evaluated) -> None:
    """A metric of the version's own run counts, also where a newer evaluation measured another value."""
    evaluated.registry.plain.log_metric(evaluated.training, "auc", 0.8, timestamp=1)
    evaluated.measure("auc", 0.9)
    assert evaluated.measured("auc") == Measurement(0.8, "run", frozenset())


def test_only_wanted_metrics_are_read(evaluated: Evaluated) -> None:
    """What no gate asks for is not read from the logged model."""
    evaluated.measure("auc", 0.9)
    assert read_evidence(evaluated.border, evaluated.version, ["f1"]).metrics == {}


def test_the_newest_measurement_counts_with_its_own_dataset(evaluated: Evaluated) -> None:
    """Of several evaluations the newest by time counts, then the highest step, with the digest it was measured on."""
    evaluated.measure("auc", 0.9, digest="d2", at=3000, step=2)
    evaluated.measure("auc", 0.7, digest="d1", at=3000, step=1)
    evaluated.measure("auc", 0.8, digest="d3", at=2000, step=9)
    assert evaluated.measured("auc") == Measurement(0.9, "logged model", frozenset({"d2"}))


def test_a_measurement_without_a_dataset_has_its_runs(evaluated: Evaluated) -> None:
    """A metric that names no dataset was measured on those that its run logged."""
    from mlflow.entities import Dataset, DatasetInput

    evaluated.measure("auc", 0.9)
    logged = [DatasetInput(Dataset("clicks", "d1", "local", "{}"), [])]
    evaluated.registry.plain.log_inputs(evaluated.evaluation, logged)
    assert evaluated.measured("auc") == Measurement(0.9, "logged model", frozenset({"d1"}))


def test_a_logged_models_nan_is_nan(evaluated: Evaluated) -> None:
    """MLflow returns the NaN of a logged model as 0.0, which is not taken for a loss of nothing."""
    evaluated.measure("loss", math.nan)
    (plain,) = evaluated.registry.plain.get_logged_model(evaluated.model_id).metrics
    found = evaluated.measured("loss")
    assert found is not None
    assert (plain.value, math.isnan(found.value)) == (0.0, True)


def test_a_logged_models_zero_is_zero(evaluated: Evaluated) -> None:
    """A zero that the evaluation's history confirms is a number, also after a NaN of an earlier step."""
    evaluated.measure("loss", math.nan, at=1000, step=1)
    evaluated.measure("loss", 0.0, at=2000, step=2)
    assert evaluated.measured("loss") == Measurement(0.0, "logged model", frozenset())


def test_a_logged_models_infinity_is_infinite(evaluated: Evaluated) -> None:
    """An infinity is recognised as in a run."""
    evaluated.measure("loss", -math.inf)
    found = read_evidence(evaluated.border, evaluated.version, ["loss"])
    assert found.problem("loss") == "'loss' of version 1 is infinite"


def test_an_unconfirmed_zero_is_nan(evaluated: Evaluated) -> None:
    """Where the evaluation was deleted, 0.0 may be NaN, and what it was measured on is not known."""
    evaluated.measure("loss", 0.0)
    evaluated.measure("auc", 0.9)
    evaluated.registry.plain.delete_run(evaluated.evaluation)
    found = evaluated.measured("loss")
    assert found is not None
    assert math.isnan(found.value)
    assert evaluated.measured("auc") == Measurement(0.9, "logged model", None)


def test_a_deleted_logged_model_measures_nothing(evaluated: Evaluated) -> None:
    """A version whose logged model was deleted has its run's metrics, and no error."""
    evaluated.measure("auc", 0.9)
    evaluated.registry.plain.log_metric(evaluated.training, "f1", 0.5)
    evaluated.registry.plain.delete_logged_model(evaluated.model_id)
    found = read_evidence(evaluated.border, evaluated.version, ["auc", "f1"])
    assert found.metrics == {"f1": Measurement(0.5, "run", frozenset())}

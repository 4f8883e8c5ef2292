"""The job as CI runs it, on MLflow 2 and 3: see ``tox.ini`` and ``noxfile.py``."""

from __future__ import annotations

import pipeline
import pytest

import prodpointer

pytestmark = pytest.mark.pointers("alias", "stage", "both")


@pytest.fixture
def model(embedded_registry: object) -> prodpointer.RegisteredModel:
    """The registered model of the job, in a registry of the test's own."""
    return prodpointer.connect(pipeline.MODEL)


def test_the_first_good_version_goes_live(model: prodpointer.RegisteredModel) -> None:
    """A registry without the model is no special case."""
    assert pipeline.main(["--reason", "first training"]) == 0
    (move,) = model.history()
    assert (move.from_version, move.to_version, move.reason) == (None, 1, "first training")


def test_a_worse_version_is_registered_and_stays_out(
    model: prodpointer.RegisteredModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """The job ends with 3 and says which gate refused; what was live still is."""
    assert pipeline.main([]) == 0
    assert pipeline.main(["--strength", "0.0001"]) == 3
    assert "accuracy" in capsys.readouterr().err
    assert model.live_version() == 1
    assert model.version(2).tags["dataset"] == pipeline.DATASET


def test_the_service_reads_digits_with_what_is_live(model: prodpointer.RegisteredModel) -> None:
    """A version that is no worse takes over, and going back brings the one before."""
    pipeline.main(["--strength", "0.01"])
    pipeline.main([])
    _, rows, _, labels = pipeline.split()
    assert (pipeline.read(model.load_production(), rows) == labels).mean() > 0.9
    model.rollback(reason="worse in the field")
    assert model.load_production()["strength"] == 0.01


@pytest.mark.mlflow_servers("2.22.5", "3.17.2")
def test_a_server_of_either_major(mlflow_server: object) -> None:
    """The job of this environment's MLflow works in front of servers of both."""
    assert pipeline.main([]) == 0
    assert prodpointer.load_production(pipeline.MODEL)["strength"] == 1.0

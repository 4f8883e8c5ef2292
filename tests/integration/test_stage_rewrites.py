"""The replacements of the stage finder, run with a real registry."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

import prodpointer
from tests.conftest import Find
from tests.integration.conftest import Lab, quiet


@pytest.fixture
def staged(lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model of four versions: 1 is archived, 2 in Production, 3 in Staging, 4 new."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", lab.uri)
    with quiet():
        lab.model(name, 4)
    for version, stage in ((1, "Archived"), (2, "Production"), (3, "Staging")):
        lab.to_stage(name, version, stage)
    return name


def tried(line: str, **names: object) -> Any:
    """Return what an expression gives, with a client and what else it needs."""
    with quiet():
        return eval(line, {"mlflow": mlflow, "prodpointer": prodpointer, "client": MlflowClient(), **names})


@pytest.mark.parametrize(
    "line",
    [
        'client.get_latest_versions(name, stages=["Production"])[0].version',
        'client.get_latest_versions(name, ["Staging"])[0].version',
        'client.get_latest_versions(name, ["None"])[0].version',
        "client.get_latest_versions(name, [stage])[0].version",
    ],
)
def test_a_read_written_anew_gives_the_same_version(found: Find, staged: str, line: str) -> None:
    """On a real registry the pointer is what MLflow's stage says."""
    (use,) = found(line)
    assert int(tried(use.instead, name=staged, stage="Production")) == int(tried(line, name=staged, stage="Production"))


@pytest.mark.parametrize(
    "line",
    [
        'mv.current_stage == "Production"',
        '"Production" != mv.current_stage',
        'mv.current_stage.lower() == "staging"',
        'mv.current_stage in ("Production", "Staging")',
        'mv.current_stage not in ["Staging"]',
        'mv.current_stage in {"Archived", "None"}',
        'mv.current_stage not in {"Archived", "None", "Staging"}',
        "mv.current_stage == stage",
    ],
)
def test_a_comparison_written_anew_gives_the_same_answer(found: Find, staged: str, line: str) -> None:
    """For a version in each of the stages."""
    (use,) = found(line)
    for version in ("1", "2", "3", "4"):
        given = {"mv": tried("client.get_model_version(name, v)", name=staged, v=version), "stage": "Staging"}
        assert tried(use.instead, **given) is tried(line, **given), version


@pytest.mark.parametrize(
    ("line", "live"),
    [
        ('client.transition_model_version_stage(name, 4, "Production", archive_existing_versions=True)', 4),
        ('client.transition_model_version_stage(name, version=1, stage="Staging")', 2),
        ('client.transition_model_version_stage(name, 2, "Archived")', None),
    ],
)
def test_a_transition_written_anew_moves_the_pointer(found: Find, staged: str, line: str, live: int | None) -> None:
    """On a real registry; another pointer stays where it is."""
    (use,) = found(line)
    tried(use.instead, name=staged)
    assert tried("prodpointer.connect(name).live_version()", name=staged) == live
    staging = 1 if "Staging" in line else 3
    assert tried('prodpointer.connect(name, alias="staging").live_version()', name=staged) == staging


def test_a_load_written_anew_loads_what_is_live(found: Find, staged: str) -> None:
    """The object is the one of the version in Production."""
    (use,) = found('mlflow.pyfunc.load_model(f"models:/{name}/Production")')
    assert tried(use.instead, name=staged) == {"n": 2}


def test_a_source_written_anew_can_be_downloaded(found: Find, staged: str, tmp_path: Path) -> None:
    """Of any version, and of what is live by its digest."""
    (use,) = found("mlflow.artifacts.download_artifacts(mv.source)")
    mv = tried("client.get_model_version(name, '3')", name=staged)
    assert pickle.loads(Path(tried(use.instead, mv=mv), "model.pkl").read_bytes()) == {"n": 3}
    use = found('client.get_latest_versions(name, ["Production"])[0].source')[-1]
    assert tried(use.instead, name=staged, directory=tmp_path / "new").version == 2

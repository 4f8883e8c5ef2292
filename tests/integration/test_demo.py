"""The demo is real: its output matches an independent read of its registry."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import prodpointer
from prodpointer.cli.demo import MODEL, Step, demonstrate, registry_uri
from tests.integration.conftest import NEW_POINTER, quiet


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory that both demonstrations of this module use."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def working_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty directory to run the demonstration in."""
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(scope="module")
def steps(directory: Path, working_directory: Path) -> Iterator[list[Step]]:
    """Run the demonstration once."""
    before = Path.cwd()
    os.chdir(working_directory)
    try:
        with quiet():
            yield list(demonstrate(directory))
    finally:
        os.chdir(before)


def accuracy_of(directory: Path, version: int) -> float:
    """Score a version's pickle, found by plain MLflow and read from disk, on the rows that were held out."""
    source = MlflowClient(registry_uri(directory)).get_model_version(MODEL, str(version)).source
    bundle: dict[str, Any] = pickle.loads(Path(source.removeprefix("file://"), "digits.pkl").read_bytes())
    rows, labels = load_digits(return_X_y=True)
    _, held_out, _, held_out_labels = train_test_split(rows, labels, test_size=0.3, random_state=7)
    return float((bundle["classifier"].predict(held_out) == held_out_labels).mean())


def test_the_demonstration_goes_there_and_back(steps: list[Step]) -> None:
    """It promotes version 1, then 2, then goes back to 1, and each is what was live when it was scored."""
    assert [(step.version, step.live) for step in steps if step.live is not None] == [(1, 1), (2, 2), (1, 1)]


def test_nothing_is_left_in_the_working_directory(steps: list[Step], working_directory: Path) -> None:
    """No ``mlruns`` beside the caller's files, on either major."""
    assert list(working_directory.iterdir()) == []


def test_the_accuracy_is_that_of_what_is_live(steps: list[Step], directory: Path) -> None:
    """Each printed accuracy is the one that an independent scoring of that version's artifact gives."""
    live = [step for step in steps if step.live is not None]
    assert [step.accuracy for step in live] == pytest.approx([accuracy_of(directory, step.live or 0) for step in live])


def test_the_two_models_differ(steps: list[Step]) -> None:
    """Moving the pointer shows, since one classifier is better than the other."""
    first, second, back = (step.accuracy for step in steps if step.accuracy is not None)
    assert first == back
    assert second > first > 0.7


def test_the_pointer_is_named_with_its_reason(steps: list[Step]) -> None:
    """It says which pointer was used and why."""
    assert any(step.did.startswith(f"chose the {NEW_POINTER} as pointer: ") for step in steps)


def test_the_registry_is_in_the_directory(steps: list[Step], directory: Path) -> None:
    """Everything it makes is below the directory it names."""
    assert steps
    assert {"registry.db", "artifacts"} <= {path.name for path in directory.iterdir()}


def test_the_live_object_can_be_loaded_afterwards(steps: list[Step], directory: Path) -> None:
    """What the demonstration left live loads in the usual way."""
    assert steps
    live = prodpointer.connect(MODEL, tracking_uri=registry_uri(directory))
    assert live.load_production()["trained_on"] == 1257


def test_a_second_demonstration_adds_two_versions(steps: list[Step], directory: Path) -> None:
    """A second run in the same directory keeps the registry and adds versions 3 and 4."""
    assert steps
    with quiet():
        again = list(demonstrate(directory))
    assert [step.live for step in again if step.live is not None] == [3, 4, 3]
    assert [step.accuracy for step in again] == [step.accuracy for step in steps]


def test_a_relative_directory_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that does not exist is made, also below others that do not."""
    monkeypatch.chdir(tmp_path)
    first = next(demonstrate(Path("one", "two")))
    assert str(tmp_path / "one" / "two" / "registry.db") in first.did


def test_a_step_prints_its_keys() -> None:
    """``demo --json`` prints what was done, the version, what was live and the accuracy."""
    assert Step("x", 1, 2, 0.5).as_json() == {"did": "x", "version": 1, "live": 2, "accuracy": 0.5}

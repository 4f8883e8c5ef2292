"""The runs of many versions, of which some may not be read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from prodpointer.errors import AccessDenied
from prodpointer.mlflow_client.converters import LoggedRun
from prodpointer.mlflow_client.many_runs import read_runs
from prodpointer.types import Run

EXPERIMENTS = {"mine": ["m1", "m2", "m3"], "theirs": ["t1", "t2"]}
DENIED = "the run may not be read"


class Registry:
    """Where some runs may not be read, nor some experiments be searched."""

    def __init__(self, denied: Collection[str], unsearchable: Collection[str] = ()) -> None:
        """Deny these."""
        self.denied, self.unsearchable = denied, unsearchable

    def translate(self, *_: object, **__: object) -> AbstractContextManager[None]:
        """Translate nothing."""
        return nullcontext()

    def run(self, run_id: str) -> LoggedRun:
        """Return a run."""
        if run_id in self.denied:
            raise AccessDenied("No.")
        (experiment,) = (name for name, runs in EXPERIMENTS.items() if run_id in runs)
        return LoggedRun(Run(run_id, experiment, "", None, ()), False, {"auc": 0.9}, frozenset())

    def search(self, experiment_id: str, run_ids: Sequence[str]) -> list[LoggedRun]:
        """Return the runs of an experiment."""
        if experiment_id in self.unsearchable:
            raise AccessDenied("No.")
        found = [run_id for run_id in run_ids if run_id in EXPERIMENTS[experiment_id]]
        return [LoggedRun(Run(each, experiment_id, "", None, ()), False, {"auc": 0.9}, frozenset()) for each in found]


def problems(run_ids: Sequence[str], *, denied: Collection[str], unsearchable: Collection[str] = ()) -> dict[str, str]:
    """Return why each run is not known; nothing for one that is."""
    registry: Any = Registry(denied, unsearchable)
    registry.runs = SimpleNamespace(run=registry.run, runs=registry.search)
    return {run_id: each.problem for run_id, each in read_runs(registry, run_ids).items()}


@pytest.mark.parametrize("run_ids", [["t1", "m1", "t2", "m2"], ["m1", "t1", "m2", "t2"]])
def test_a_run_that_is_denied_hides_no_other(run_ids: list[str]) -> None:
    """Those of other experiments are read."""
    assert problems(run_ids, denied=["t1", "t2"]) == {"t1": DENIED, "m1": "", "t2": DENIED, "m2": ""}


def test_an_experiment_that_cannot_be_searched_hides_no_run() -> None:
    """Each is read by itself."""
    assert problems(["m1", "m2", "t1"], denied=[], unsearchable=["mine"]) == {"m1": "", "m2": "", "t1": ""}


def test_many_denied_runs_take_a_bounded_number_of_requests() -> None:
    """The others say why they were not read."""
    many = [f"t{number}" for number in range(30)]
    found = problems([*many, "m1"], denied=many)
    assert list(found.values()) == [DENIED] * 20 + ["not read: too many other runs may not be read"] * 11

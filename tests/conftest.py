"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from prodpointer import _warnings
from prodpointer.mlflow_client import capabilities
from prodpointer.stage_finder.finder import StageUse, stage_uses
from tests import mlflow_table
from tests.conformance.combinations import CHOICES

# Before anything imports MLflow: no telemetry, and failures that would be retried for minutes take seconds.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"

# tests/packaging makes environments on every Python and knows no installed MLflow: `tox run -e packaging` is its own.
# tests/skinny is what is so where mlflow-skinny alone is installed, and nowhere else.
collect_ignore = ["packaging"]
INSTALLED = mlflow_table.installed()
if INSTALLED is None or INSTALLED[0] != mlflow_table.SKINNY:
    collect_ignore.append("skinny")

# Whether this is the newest MLflow of its major, with which everything runs.
NEWEST = INSTALLED in {(mlflow_table.FULL, mlflow_table.newest_of_major(major).version) for major in (2, 3)}

# What is drawn at random is the same in every run, and less of it in other rows. `nox -s stories` draws more, anew.
EXAMPLES = 4 if NEWEST or INSTALLED is None else 3
SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
PHASES = [Phase.explicit, Phase.generate]
REAL = settings(deadline=None, database=None, suppress_health_check=SLOW, stateful_step_count=20)
settings.register_profile("same", REAL, derandomize=True, max_examples=EXAMPLES, phases=PHASES)
settings.register_profile("many", REAL, max_examples=100)
settings.load_profile("same")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what chooses the tests and the combinations of store and pointer in ``tests/conformance``."""
    parser.addoption("--combinations", choices=CHOICES, default="all", help="of store and pointer, for each test")
    parser.addoption("--no-own-steps", action="store_true", help="leave out what does not depend on MLflow")


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the settings of the calling user from the tests."""
    for name in list(os.environ):
        if (
            name.startswith(("MLFLOW_TRACKING_", "MLFLOW_REGISTRY_", "PRODPOINTER_"))
            and name != "PRODPOINTER_ENVIRONMENTS"
        ):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def cache_directory(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, for it and the processes it starts."""
    directory = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("PRODPOINTER_CACHE_DIR", str(directory))
    return directory


@pytest.fixture
def forgetful() -> Iterator[None]:
    """Forget what the process knows of registries and has warned of, before and after a test."""
    capabilities.forget()
    _warnings.forget()
    yield
    capabilities.forget()
    _warnings.forget()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt: a process that a shell started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What a call waits for that does not end by itself."""
    opened = threading.Event()
    yield opened
    opened.set()


Find = Callable[..., list[StageUse]]


@pytest.fixture
def found(tmp_path: Path) -> Find:
    """Return a function that writes a file and returns the uses of stages found in it."""

    def find(text: str, name: str = "job.py", head: str = "") -> list[StageUse]:
        path = tmp_path / name
        path.write_text(head + text, encoding="utf-8")
        return list(stage_uses(path))

    return find

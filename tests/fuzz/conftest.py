"""Settings for the property tests: a few examples in CI, as many as fit into a time limit in ``nox -s fuzz``.

What fails there is written to ``seeds/``, a directory for each test, and is tried first from then on.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

import prodpointer
from tests.conftest import NEWEST
from tests.fuzz.bounds import bounded
from tests.fuzz.registry import NAME, Reply, Stub

SECONDS_VARIABLE = "PRODPOINTER_FUZZ_SECONDS"
SECONDS = float(os.environ.get(SECONDS_VARIABLE, "0"))
"""Seconds for each property; 0 for the short form."""

SEEDS = Path(__file__).parent / "seeds"
SHORT = 25
BATCH = 200

# The parsers are the same whichever MLflow is there: once with the newest of each major.
collect_ignore_glob = [] if NEWEST else ["test_*.py"]

_counts: dict[str, int] = {}

Check = Callable[[Any], object]
Driven = Callable[..., None]


@pytest.fixture
def driven(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Driven:
    """Return what gives drawn values, each of them JSON, to a check, after those that failed before.

    ``short`` is the number of examples in the short form.
    """
    name = request.node.originalname
    _counts[name] = 0

    def drive(values: SearchStrategy[Any], check: Check, *, short: int = SHORT) -> None:
        last: list[Any] = [None]

        def once(value: Any) -> None:
            _counts[name] += 1
            last[0] = value
            with warnings.catch_warnings(), bounded():
                warnings.simplefilter("ignore")
                check(value)

        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")  # MLflow's own client tries again
        for seed in sorted((SEEDS / name).glob("*.json")):
            once(json.loads(seed.read_text(encoding="utf-8")))
        end = time.monotonic() + SECONDS
        try:
            while True:
                _drawn(values, once, short)
                if time.monotonic() >= end:
                    return
        except BaseException:
            if SECONDS:
                _keep(name, last[0])
            raise

    return drive


@pytest.fixture(scope="session")
def stub() -> Iterator[Stub]:
    """A server that answers what it is told to."""
    with Stub.listening() as found:
        found.replies["/version"] = Reply(200, metadata.version("mlflow").encode())
        prodpointer.connect(NAME, tracking_uri=found.uri)  # what MLflow imports is no part of the first example
        yield found


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many examples each property had."""
    if SECONDS:
        for name, count in sorted(_counts.items()):
            terminalreporter.write_line(f"{name}: {count} examples")


def _drawn(values: SearchStrategy[Any], once: Callable[[Any], None], short: int) -> None:
    """Draw one batch: the same one each time in the short form, another one each time in the long."""
    chosen = settings(
        max_examples=BATCH if SECONDS else short,
        derandomize=not SECONDS,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink] if SECONDS else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the size of what failed
        chosen(given(values)(once))()


def _keep(name: str, value: Any) -> None:
    """Write what failed to the seeds."""
    text = json.dumps(value)
    file = SEEDS / name / f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text + "\n", encoding="utf-8")

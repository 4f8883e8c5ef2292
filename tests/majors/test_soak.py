"""A short soak test with a server of each major; ``nox -s soak`` is the long run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.majors.soaking import EACH_TIME, MAJORS, Soak, soak
from tests.servers import Server

MODELS = 10
EACH = 2
SECONDS = 12.0


@pytest.fixture(scope="module")
def soaked(server: Server, python_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Soak:
    """What came of it."""
    directory = tmp_path_factory.mktemp("soak")
    return soak(server.uri, python_of, directory, models=MODELS, each=EACH, seconds=SECONDS)


def test_both_majors_took_part(soaked: Soak) -> None:
    """Processes of each promoted and read, and every verb of the migration ran."""
    for version in MAJORS:
        assert soaked.did[version]["promoted"] > 0
        assert soaked.did[version]["read"] > 0
    assert set(soaked.runs) >= EACH_TIME


def test_no_reader_got_nothing(soaked: Soak) -> None:
    """Every read named a version, and nothing but a lost promotion went wrong."""
    assert soaked.wrong == []


def test_no_run_failed(soaked: Soak) -> None:
    """Promotions in between are no failure of a migration."""
    assert soaked.failed == []


def test_one_version_is_live_and_the_history_tells_the_whole_story(soaked: Soak) -> None:
    """Plain clients of both majors load one version where both pointers are, and every move is recorded."""
    assert soaked.broken == []

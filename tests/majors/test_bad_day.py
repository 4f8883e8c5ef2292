"""Services under fault injection; ``nox -s faults`` is the long run, with a server of each major."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.majors.bad_day import FAULTS, bad_day
from tests.majors.racing import MAJORS


@pytest.mark.parametrize("version", MAJORS[-1:])
def test_services_survive_every_kind_of_fault(python_of: Callable[[str], Path], tmp_path: Path, version: str) -> None:
    """No read fails, no wrong version serves, and the last one is served within two intervals after the last fault."""
    day = bad_day(python_of, tmp_path, version=version, seconds=0, every=1.0)
    assert (day.failed, day.wrong) == ([], [])
    assert day.kept, (day.back_after, day.reports)
    assert set(day.faults) == set(FAULTS)
    assert day.swaps >= len(day.reports)
    assert day.reads > 1000

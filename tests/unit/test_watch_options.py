"""Options of ``watch`` that are refused before a registry is opened."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from prodpointer.cli.main import main


@pytest.mark.parametrize("every", ["0", "inf", "nan", "1e300"])
def test_seconds_that_cannot_be_waited_for_are_wrong_usage(every: str) -> None:
    """Neither a traceback after the first sweep nor a sweep after the other."""
    registry = ("--tracking-uri", "http://127.0.0.1:9", "--timeout", "1")
    result = CliRunner().invoke(main, [*registry, "watch", "--once", "--every", every])
    assert result.exit_code == 2
    assert "'--every'" in result.output

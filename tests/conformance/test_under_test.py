"""The installed versions are those of the version table."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import prodpointer
from tests import mlflow_table


def test_the_installed_mlflow_is_in_the_table() -> None:
    """A result from any other MLflow would prove nothing about a row."""
    assert mlflow_table.installed() in {(row.distribution, row.version) for row in mlflow_table.all_rows()}


@pytest.mark.skipif("TOX_ENV_DIR" not in os.environ, reason="only tox promises to test the built wheel")
def test_the_wheel_is_under_test() -> None:
    """What is imported is the installed package, not the checkout."""
    assert Path(prodpointer.__file__).is_relative_to(os.environ["TOX_ENV_DIR"])

"""The pytest plugin's servers of specific versions, as users start them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import prodpointer
from prodpointer import RegisteredModel
from prodpointer.testing import EnvironmentFailed, ScratchRegistry
from prodpointer.testing.fixtures import LIVE_BUNDLE
from tests import mlflow_table

TWO, THREE = (mlflow_table.newest_of_major(major).version for major in (2, 3))
Start = Callable[[str], ScratchRegistry]

USERS_TEST = """
import prodpointer

def test_live(mlflow_server, live_model):
    assert mlflow_server.version == "{version}"
    assert live_model.selection.registry_version == "{version}"
    assert prodpointer.load_production("live-model")["recommender"] == "popular"
"""


@pytest.mark.mlflow_servers(TWO, THREE)
def test_a_marked_test_runs_with_each_server(mlflow_server: ScratchRegistry, live_model: RegisteredModel) -> None:
    """The server that answers is of the version that the marker names, and holds the live model."""
    assert live_model.selection.registry_version == mlflow_server.version
    assert prodpointer.load_production("live-model") == LIVE_BUNDLE


def test_a_server_is_started_once(start_mlflow_server: Start) -> None:
    """A second request for a version returns the running server, and two versions run side by side."""
    assert start_mlflow_server(TWO) is start_mlflow_server(TWO)
    assert start_mlflow_server(TWO).uri != start_mlflow_server(THREE).uri
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_a_version_that_there_is_not_is_said(start_mlflow_server: Start) -> None:
    """The error names the requirement that could not be installed."""
    with pytest.raises(EnvironmentFailed, match=r"mlflow==2\.22\.99"):
        start_mlflow_server("2.22.99")


@pytest.mark.parametrize("version", [TWO, "installed"])
def test_an_option_names_the_server_of_a_whole_run(version: str, tmp_path: Path) -> None:
    """``--mlflow-server`` is the server of every test that does not say otherwise."""
    expected = THREE if version == "installed" else version
    (tmp_path / "test_live.py").write_text(USERS_TEST.format(version=expected), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "prodpointer.testing"]
    options = ["--strict-markers", "--mlflow-server", version]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout

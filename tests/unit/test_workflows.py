"""The GitHub workflows run every row and environment, every job counts, and each action is pinned to a commit."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import mlflow_table
from tests.mlflow_table import ROOT

GITHUB = ROOT / ".github"
PINNED = re.compile(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+")


@pytest.fixture(scope="module")
def matrices() -> dict[str, list[str]]:
    """Return what the job ``matrix`` hands to the others."""
    command = [sys.executable, str(GITHUB / "matrix.py")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    outputs = dict(line.split("=", 1) for line in printed.splitlines())
    return {name: json.loads(value) for name, value in outputs.items()}


def text(file: Path) -> str:
    """Return the text of a file."""
    return file.read_text(encoding="utf-8")


def test_each_row_of_the_table_is_a_job(matrices: dict[str, list[str]]) -> None:
    """A new MLflow version in ``pyproject.toml`` runs without a change to the workflow."""
    assert {f"mlflow-{row.key}" for row in mlflow_table.all_rows()} <= set(matrices["environments"])


def test_each_environment_of_tox_is_a_job(matrices: dict[str, list[str]]) -> None:
    """An environment that is no row runs as well, and none twice; those of `unit` have a job for each Python."""
    parsed = configparser.RawConfigParser()
    parsed.read(ROOT / "tox.ini", encoding="utf-8")
    named = {each.removeprefix("testenv:") for each in parsed.sections() if each.startswith("testenv:")}
    others = {each for each in named if not each.startswith("unit")} - {"coverage"}
    assert sorted(matrices["environments"]) == sorted(others)


def test_each_python_is_a_job(matrices: dict[str, list[str]]) -> None:
    """The unit tests run on every Python of the classifiers, in an environment that tox has."""
    assert set(re.findall(r"Python :: (3\.\d+)", text(ROOT / "pyproject.toml"))) == set(matrices["pythons"])
    minors = ",".join(each.removeprefix("3.") for each in matrices["pythons"])
    assert f"[testenv:unit-py3{{{minors}}}]" in text(ROOT / "tox.ini")


def test_all_green_waits_for_every_job() -> None:
    """A job that ``all-green`` does not need could fail without stopping a merge."""
    workflow = text(GITHUB / "workflows" / "tests.yml")
    jobs = set(re.findall(r"^  ([\w-]+):$", workflow.partition("\njobs:\n")[2], re.MULTILINE))
    [needed] = re.findall(r"needs: \[(.+)\]", workflow)
    assert set(needed.split(", ")) == jobs - {"all-green"}


@pytest.mark.parametrize("file", sorted(GITHUB.glob("workflows/*.yml")), ids=lambda file: str(file.name))
def test_each_action_is_pinned(file: Path) -> None:
    """A tag can be moved to another commit, a hash cannot; the comment says which version it is."""
    used = re.findall(r"uses: (.+)", text(file))
    assert [each for each in used if not PINNED.fullmatch(each)] == []

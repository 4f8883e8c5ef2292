"""The installed package is completely typed, as type checkers of its users see it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.mlflow_table import ROOT, Row
from tests.packaging.conftest import NEWEST_OF_EACH, Distributions, made_environment, said

API = ROOT / "tests" / "typing" / "api.py"


@pytest.fixture(scope="module", params=NEWEST_OF_EACH, ids=lambda row: str(row.key))
def installed(
    request: pytest.FixtureRequest, distributions: Distributions, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The Python of an environment with the wheel, its extras and the newest MLflow of a major, and no checkout."""
    row: Row = request.param
    home = tmp_path_factory.mktemp(f"typed-{row.version}") / "environment"
    return made_environment(
        home,
        row.python,
        f"mlflow=={row.version}",
        f"{distributions.wheel}[events,find,otel,prometheus,report]",
        # Some extras are newer than the day of MLflow 2, and nothing is run.
        as_of=max(each.as_of for each in NEWEST_OF_EACH),
    )


def test_the_public_api_is_typed_for_its_users(installed: Path, tmp_path: Path) -> None:
    """``mypy --strict`` with no settings of ours accepts every use, and the mistakes are mistakes."""
    page = shutil.copy(API, tmp_path / "api.py")
    settings = tmp_path / "mypy.ini"
    settings.write_text("[mypy]\nstrict = True\nwarn_unused_ignores = True\n")
    checker = (sys.executable, "-m", "mypy", "--config-file", settings, "--cache-dir", tmp_path / "cache")
    assert "Success" in said(*checker, "--python-executable", installed, page, cwd=tmp_path)


def test_nothing_public_is_of_unknown_type(installed: Path, tmp_path: Path) -> None:
    """Every symbol of every public module has a type that is written down, so that all checkers agree on it."""
    told = completeness(installed, tmp_path)
    loose = [
        each["name"]
        for each in told["symbols"]
        if each["isExported"] and (not each["isTypeKnown"] or each["isTypeAmbiguous"])
    ]
    assert loose == []
    assert told["completenessScore"] == 1
    assert told["exportedSymbolCounts"]["withKnownType"] > 1000


def completeness(installed: Path, scratch: Path) -> dict[str, Any]:
    """Return what pyright's measure of completeness says of the installed package."""
    # It looks for the package with the first Python on PATH.
    environment = {**os.environ, "PATH": f"{installed.parent}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "basedpyright", "--verifytypes", "prodpointer", "--ignoreexternal", "--outputjson"]
    done = subprocess.run(command, check=False, cwd=scratch, env=environment, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)["typeCompleteness"]
    assert Path(found["packageRootDirectory"]).is_relative_to(installed.parents[1]), done.stdout[:2000]
    return found

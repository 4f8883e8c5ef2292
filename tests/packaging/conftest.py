"""Builds of this checkout, and the supported Python versions; nothing here imports MLflow.

``tox run -e packaging`` runs these tests by themselves: ``--confcutdir`` leaves out the fixtures of the other tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from prodpointer.testing.environments import interpreter, uv
from tests.mlflow_table import ROOT, newest_of_major, skinny_rows

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
_PYTHON = "Programming Language :: Python :: 3."
PYTHONS = tuple(
    each.removeprefix("Programming Language :: Python :: ")
    for each in PROJECT["project"]["classifiers"]
    if each.startswith(_PYTHON)
)
NEWEST_OF_EACH = tuple(newest_of_major(major) for major in (2, 3))
# The day of the newest row: what is proved today is proved tomorrow.
TODAY = NEWEST_OF_EACH[-1].as_of
SKINNY = skinny_rows()


@dataclass(frozen=True)
class Distributions:
    """The files of one build: the sdist, the wheel made of the checkout, and the wheel made of the sdist."""

    sdist: Path
    wheel: Path
    wheel_of_sdist: Path


def built(source: Path, into: Path, *kinds: str, epoch: int = 1_700_000_000) -> list[Path]:
    """Build a source tree or an sdist, with a fixed timestamp, and return the files by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", str(epoch))
        uv("build", "--quiet", "--exclude-newer", TODAY, *kinds, "--out-dir", str(into), str(source))
    return sorted(each for each in into.iterdir() if each.suffix in (".whl", ".gz"))


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """Sdist and wheel of this checkout, and the wheel of that sdist."""
    scratch = tmp_path_factory.mktemp("distributions")
    (sdist,) = built(ROOT, scratch / "sdist", "--sdist")
    (wheel,) = built(ROOT, scratch / "wheel", "--wheel")
    (again,) = built(sdist, scratch / "again", "--wheel")
    return Distributions(sdist, wheel, again)


def python_of(minor: str) -> str:
    """Return a Python of that version; where there is none the test fails, since the classifiers promise it."""
    found = interpreter(minor)
    here = shutil.which(found if found != minor else f"python{minor}")
    if here is None or said(here, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip() != minor:
        pytest.fail(
            f"Python {minor} is promised by the classifiers and is not on this machine: put python{minor} on PATH, "
            f"or run `pyenv install {minor}`.",
            pytrace=False,
        )
    return here


def made_environment(
    home: Path, minor: str, *wanted: str | Path, as_of: str = TODAY, options: Sequence[str] = ()
) -> Path:
    """Return the Python of a new virtual environment in which uv installed what is wanted, from the index of a day."""
    uv("venv", "--quiet", "--python", python_of(minor), str(home))
    python = home / "bin" / "python"
    if wanted:
        uv_install(python, *wanted, as_of=as_of, options=options)
    return python


def uv_install(python: Path, *wanted: str | Path, as_of: str = TODAY, options: Sequence[str] = ()) -> None:
    """Install with uv into the environment of a Python."""
    day = ("--exclude-newer", as_of)
    uv("pip", "install", "--quiet", "--python", str(python), *day, *options, *(str(each) for each in wanted))


def said(*command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Return what a command that succeeds prints, away from the checkout and from the settings of the tests."""
    foreign = ("PYTHON", "COV", "UV_", "VIRTUAL_ENV", "MLFLOW_TRACKING", "MLFLOW_REGISTRY", "PRODPOINTER_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd or "/",
        env={**clean, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (
        f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    )
    return done.stdout

"""The package installed on every supported Python: the commands work, and the whole cycle runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.mlflow_table import Row
from tests.packaging.conftest import (
    NEWEST_OF_EACH,
    PROJECT,
    PYTHONS,
    SKINNY,
    TODAY,
    Distributions,
    made_environment,
    python_of,
    said,
    uv_install,
)

VERSION = PROJECT["project"]["version"]
# pip has no index of a day, so the MLflow is named. It takes longer than uv: the newest Python stands for the others.
PIP_PYTHON = PYTHONS[-1]
# Registers, promotes, loads and goes back, on a database of this machine, with nothing that mlflow-skinny lacks.
LOOP = """
import pathlib, pickle, sys
import prodpointer
from mlflow import MlflowClient

here = pathlib.Path(sys.argv[1])
uri = f"sqlite:///{here / 'registry.db'}"
news = prodpointer.connect("news", tracking_uri=uri)
client = MlflowClient(uri)
experiment = client.create_experiment("news", artifact_location=(here / "artifacts").as_uri())
for number in (1, 2):
    run = client.create_run(experiment).info.run_id
    (here / "news.pkl").write_bytes(pickle.dumps(number))
    client.log_artifact(run, str(here / "news.pkl"), "bundle")
    news.promote(news.register(run, "bundle"))
    assert news.load_production() == number
news.rollback()
print(news.load_production())
"""


def each_python() -> pytest.MarkDecorator:
    """Parametrise a test over the promised Pythons."""
    return pytest.mark.parametrize("minor", PYTHONS)


def mlflow_for(minor: str) -> Row:
    """Return the MLflow that a Python is tried with: the newest of each major in turn."""
    return NEWEST_OF_EACH[PYTHONS.index(minor) % 2]


def answers(python: Path, scratch: Path) -> None:
    """Assert that an installed package is what it says, and that its whole loop runs."""
    home = python.parent
    script, module = home / "prodpointer", (python, "-m", "prodpointer")
    where = said(python, "-c", "import prodpointer; print(prodpointer.__file__, prodpointer.__version__)").split()
    assert Path(where[0]).is_relative_to(home.parent)
    assert where[1] == VERSION
    assert said(script, "--version").split()[-1] == VERSION
    assert said(*module, "--help").startswith("Usage: prodpointer ")
    steps = json.loads(said(script, "demo", "--json", "--dir", scratch / "demo"))
    assert [step["live"] for step in steps["steps"] if step["live"]] == [1, 2, 1]


@each_python()
def test_the_python_is_here(minor: str) -> None:
    """Each Python that the classifiers promise is on this machine: otherwise nothing is proved about it."""
    assert Path(python_of(minor)).exists()


def test_a_python_that_is_missing_fails() -> None:
    """A Python that is not on this machine is no reason to skip: the test fails and says how to get it."""
    with pytest.raises(pytest.fail.Exception, match=r"Python 3\.99 is promised.*pyenv install 3\.99"):
        python_of("3.99")


@each_python()
def test_uv_installs_it(minor: str, distributions: Distributions, tmp_path: Path) -> None:
    """The wheel installs by uv with its dependencies, then the sdist in its place, and both work, on every Python."""
    mlflow = mlflow_for(minor)
    wanted = (f"mlflow=={mlflow.version}", distributions.wheel)
    python = made_environment(tmp_path / "environment", minor, *wanted, as_of=mlflow.as_of)
    answers(python, tmp_path / "wheel")
    uv_install(python, distributions.sdist, as_of=mlflow.as_of, options=["--reinstall-package", "prodpointer"])
    answers(python, tmp_path / "sdist")


def test_pip_installs_it(distributions: Distributions, tmp_path: Path) -> None:
    """The wheel installs by the pip of the day, and the sdist in its place, and both work."""
    python = made_environment(tmp_path / "environment", PIP_PYTHON, "pip")
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input")
    said(*pip, f"mlflow=={NEWEST_OF_EACH[-1].version}", distributions.wheel)
    answers(python, tmp_path / "wheel")
    said(*pip, "--force-reinstall", "--no-deps", distributions.sdist)
    assert said(python.parent / "prodpointer", "--version").split()[-1] == VERSION


@pytest.mark.parametrize("skinny", SKINNY, ids=lambda row: str(row.key))
def test_skinny_opens_a_database_once_it_has_what_that_needs(
    skinny: Row, distributions: Distributions, tmp_path: Path
) -> None:
    """With mlflow-skinny, SQLAlchemy and alembic, and no numpy, the loop runs on a database of this machine."""
    python = made_environment(tmp_path / "environment", skinny.python)
    others = [each for each in PROJECT["project"]["dependencies"] if not each.startswith("mlflow")]
    wanted = (f"mlflow-skinny=={skinny.version}", "sqlalchemy", "alembic", *others)
    uv_install(python, *wanted, as_of=skinny.as_of)
    uv_install(python, distributions.wheel, as_of=TODAY, options=["--no-deps"])
    assert said(python, "-W", "ignore", "-c", LOOP, tmp_path).split()[-1] == "1"
    assert said(python, "-c", "import importlib.util; print(importlib.util.find_spec('numpy'))").strip() == "None"

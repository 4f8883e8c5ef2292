"""The job's own tests under both MLflow majors: ``nox``."""

from __future__ import annotations

import nox

# MLflow 2 does not say that it needs an older SQLAlchemy and setuptools.
MLFLOWS = {
    "2": ("mlflow>=2.22,<3", "sqlalchemy<2.1", "setuptools<81"),
    "3": ("mlflow>=3.17,<4",),
}
nox.options.default_venv_backend = "uv|virtualenv"


@nox.session
@nox.parametrize("major", list(MLFLOWS))
def tests(session: nox.Session, major: str) -> None:
    """Test the job under one MLflow major."""
    session.install("prodpointer[testing]", "scikit-learn", *MLFLOWS[major])
    session.run("pytest", *(session.posargs or ["tests"]), env={"PYTHONPATH": "."})

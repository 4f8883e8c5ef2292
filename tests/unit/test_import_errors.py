"""What an ImportError of MLflow's becomes."""

from __future__ import annotations

from prodpointer.mlflow_client.exceptions import missing_library


def test_a_library_that_is_not_installed() -> None:
    """The error names it, and says to install it."""
    error = missing_library("open the registry", "sqlite:///x.db", ModuleNotFoundError("No module named 'psycopg2'"))
    assert "a library is missing (No module named 'psycopg2')" in str(error)
    assert error.next_step == "Install it."


def test_sqlalchemy_too_new_for_an_old_mlflow() -> None:
    """MLflow 2 installs SQLAlchemy 2.1 and fails with it: the error says which version to install."""
    cause = ImportError("cannot import name 'FallbackAsyncAdaptedQueuePool' from 'sqlalchemy.pool'")
    error = missing_library("open the registry", "sqlite:///x.db", cause)
    assert "missing" not in error.what
    assert error.next_step == "Run `pip install 'sqlalchemy<2.1'`."

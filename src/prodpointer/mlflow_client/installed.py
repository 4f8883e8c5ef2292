"""The MLflow that this process imports, and what it has."""

from __future__ import annotations

from packaging.version import Version

from prodpointer.errors import RegistryUnsupported


def require_mlflow() -> None:
    """Import MLflow, or raise ``RegistryUnsupported`` with what to install."""
    try:
        import mlflow  # noqa: F401
    except Exception as error:  # MLflow's import runs other packages' code, which may raise anything if they do not fit
        raise RegistryUnsupported(
            f"MLflow cannot be imported: {type(error).__name__}: {error}.", next_step=_how_to_import(error)
        ) from error


def _how_to_import(error: Exception) -> str:
    """Return what makes MLflow importable."""
    missing = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if missing == "pkg_resources":  # of setuptools up to 81; older MLflow imports it
        return "Run: pip install 'setuptools<81'."
    if missing:
        return f"Run: pip install {missing}."
    return "Run `python -c 'import mlflow'` for the details, and install versions that fit together."


def client_version() -> Version:
    """Return the version of the installed MLflow."""
    require_mlflow()
    from mlflow.version import VERSION

    return Version(VERSION)


def knows_logged_models() -> bool:
    """Tell whether this client is one of MLflow 3: one of MLflow 2 cannot load a logged model."""
    from mlflow import MlflowClient

    return hasattr(MlflowClient, "search_logged_models")


def keeps_workspaces() -> bool:
    """Tell whether this client keeps workspaces in a database that it opens itself (3.10 and later)."""
    try:
        from mlflow.environment_variables import MLFLOW_ENABLE_WORKSPACES
    except ImportError:
        return False
    return bool(MLFLOW_ENABLE_WORKSPACES.get())

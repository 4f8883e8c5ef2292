"""What MLflow keeps for the whole process: set aside for a test, and put back after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from prodpointer.mlflow_client.installed import require_mlflow

# Where MLflow keeps what its setters set, and the place for artifacts of experiments that name none. The names are the
# same in 2.0.1, 2.2.2, 2.9.2, 2.16.2, 2.22.5, 3.0.1, 3.5.1, 3.9.0 and 3.17.2; MLflow offers no other way to them.
_TRACKING_URI = "_tracking_uri"
_REGISTRY_URI = "_registry_uri"
_EXPERIMENT = "_active_experiment_id"
_ARTIFACTS = "DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH"


@contextmanager
def set_aside(artifacts: Path) -> Iterator[None]:
    """Begin without what was set on MLflow in this process; end runs left active and put everything back.

    Parameters
    ----------
    artifacts
        Where experiments of a database keep their artifacts meanwhile, instead of ``mlruns`` in the working directory.
    """
    import mlflow
    from mlflow.tracking import fluent
    from mlflow.tracking._model_registry import utils as registry
    from mlflow.tracking._tracking_service import utils as tracking

    instead: list[tuple[ModuleType, str, object]] = [
        (tracking, _TRACKING_URI, None),
        (registry, _REGISTRY_URI, None),
        (fluent, _EXPERIMENT, None),
        (tracking, _ARTIFACTS, str(artifacts)),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in instead]
    for module, name, value in instead:
        setattr(module, name, value)
    try:
        yield
    finally:
        while mlflow.active_run() is not None:
            mlflow.end_run()
        for module, name, value in before:
            setattr(module, name, value)


@contextmanager
def local_artifacts_in(directory: Path) -> Iterator[None]:
    """Let MLflow put artifacts of experiments without a place of their own into a directory, not into ``mlruns`` here.

    MLflow up to 2.22 creates that directory when it opens a database (2.22.5).
    """
    require_mlflow()
    from mlflow.tracking._tracking_service import utils as tracking

    before = getattr(tracking, _ARTIFACTS)
    setattr(tracking, _ARTIFACTS, str(directory))
    try:
        yield
    finally:
        setattr(tracking, _ARTIFACTS, before)


def make_empty_database(uri: str, artifacts: Path) -> None:
    """Make a database with MLflow's schema and its default experiment, whose artifacts go to a directory."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(uri, artifacts.as_uri()).engine.dispose()

"""From verified bytes to an object."""

from __future__ import annotations

import pickle
import platform
from collections.abc import Callable, Collection, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from prodpointer.errors import LoadFailed, UnsafeModel
from prodpointer.mlflow_border.flavors import check_links, load_flavor, some_of

Loader = Callable[[Path], Any]

PYTHON_TAG = "prodpointer.python"
MLFLOW_TAG = "prodpointer.mlflow"
LIBRARIES_TAG = "prodpointer.libraries"

# The libraries whose version decides whether a pickled model loads; only those installed are recorded.
_LIBRARIES = (
    "cloudpickle",
    "joblib",
    "lightgbm",
    "numpy",
    "pandas",
    "scikit-learn",
    "scipy",
    "skops",
    "tensorflow",
    "torch",
    "xgboost",
)


def versions_here() -> dict[str, str]:
    """Return the Python, MLflow and main library versions of this process, as the tags that record them."""
    installed = {name: _installed(name) for name in _LIBRARIES}
    return {
        PYTHON_TAG: platform.python_version(),
        MLFLOW_TAG: _installed("mlflow") or _installed("mlflow-skinny") or "unknown",
        LIBRARIES_TAG: " ".join(f"{name}=={version}" for name, version in installed.items() if version),
    }


def load(
    path: Path,
    *,
    loader: Loader | None,
    flavor: str | None,
    tags: Mapping[str, str],
    trusted: Collection[str] = (),
) -> Any:
    """Return the object in a verified download.

    Parameters
    ----------
    path
        A file, or a directory: one with an ``MLmodel`` file, or one that holds a single file.
    loader
        Called with the path instead of choosing by the file's name.
    flavor
        For a directory with an ``MLmodel`` file: the MLflow flavor, ``pyfunc`` unless given.
    tags
        The version's tags, which say where it was registered; used only to explain a failure.
    trusted
        Names of types that a ``.skops`` file may hold, and of modules that may load an ``MLmodel`` directory, beside
        MLflow's own; never read from the model.

    Raises
    ------
    UnsafeModel
        No loader fits the artifact, it holds what ``trusted`` does not name, or a path in it leads out of it; nothing
        of it was made or imported.
    LoadFailed
        The loader raised; the message names the Python and library versions of both sides.
    """
    names = frozenset([trusted] if isinstance(trusted, str) else trusted)
    if path.is_dir():
        check_links(path)
    chosen = loader or _loader_for(path, flavor, names)
    try:
        return chosen(path)
    except UnsafeModel:
        raise
    except Exception as error:  # a pickle may raise anything at all; this is the border to code that is not ours
        raise LoadFailed(
            f"The artifact did not load: {type(error).__name__}: {error}",
            where=path.name,
            next_step=f"Registered with {_recorded(tags)}; here {_recorded(versions_here())}.",
        ) from error


def _loader_for(path: Path, flavor: str | None, trusted: frozenset[str]) -> Loader:
    """Choose a loader by what the artifact is."""
    if (path / "MLmodel").is_file():
        return lambda directory: load_flavor(directory, flavor or "pyfunc", trusted)
    if path.is_dir():
        files = [file for file in path.iterdir() if file.is_file()]
        if len(files) == 1 and len(list(path.iterdir())) == 1:
            inner = _loader_for(files[0], flavor, trusted)
            return lambda _: inner(files[0])
        raise UnsafeModel(
            "The artifact is a directory without an MLmodel file, and it does not hold a single file.",
            where=path.name,
            next_step="Give loader=, a function that takes the directory's path.",
        )
    if path.suffix in (".pkl", ".pickle"):
        return _unpickle
    if path.suffix == ".joblib":
        return _load_joblib
    if path.suffix == ".skops":
        return lambda file: _load_skops(file, trusted)
    raise UnsafeModel(
        f"No loader is known for a file named *{path.suffix or path.name}.",
        where=path.name,
        next_step="Give loader=, a function that takes the file's path.",
    )


def _unpickle(path: Path) -> Any:
    """Load a pickle whose digest has been checked."""
    with path.open("rb") as file:
        return pickle.load(file)  # noqa: S301  # what the caller asked for, its digest checked


def _load_joblib(path: Path) -> Any:
    """Load a joblib file, if the library is installed."""
    try:
        import joblib
    except ModuleNotFoundError:
        raise UnsafeModel(
            "The artifact is a joblib file and joblib is not installed.", where=path.name, next_step="Install joblib."
        ) from None
    return joblib.load(path)


def _load_skops(path: Path, trusted: frozenset[str]) -> Any:
    """Load a skops file, if the library is installed and the caller trusts each type that skops itself does not."""
    try:
        import skops.io
        from skops.io.exceptions import UntrustedTypesFoundException
    except ModuleNotFoundError:
        raise UnsafeModel(
            "The artifact is a skops file and skops is not installed.", where=path.name, next_step="Install skops."
        ) from None
    try:
        # Always a list: True, which releases before 0.10 take for "anything", can never arrive there.
        return skops.io.load(path, trusted=sorted(trusted))
    except UntrustedTypesFoundException as refusal:
        untrusted = some_of(set(skops.io.get_untrusted_types(file=path)) - trusted)
        raise UnsafeModel(
            f"The file holds types that are not trusted: {untrusted}. Nothing was loaded.",
            where=path.name,
            next_step="If you know them and they may run here, name them: trusted=[...].",
        ) from refusal


def _installed(name: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _recorded(tags: Mapping[str, str]) -> str:
    """Return one side's versions as text."""
    if PYTHON_TAG not in tags:
        return "versions nobody recorded"
    return f"Python {tags[PYTHON_TAG]}, MLflow {tags.get(MLFLOW_TAG, '?')}, {tags.get(LIBRARIES_TAG, '')}".rstrip(", ")

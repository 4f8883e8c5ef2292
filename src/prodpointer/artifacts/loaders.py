"""From verified bytes to an object."""

from __future__ import annotations

import pickle
import platform
from collections.abc import Callable, Collection, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from prodpointer._text import list_some
from prodpointer.artifacts.digest import Content, Examined, check_same, examine
from prodpointer.errors import IntegrityError, LoadFailed, UnsafeModel
from prodpointer.mlflow_client import check_links, load_flavor

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
    sha256: str | None = None,
    examined: Examined | None = None,
) -> Any:
    """Return the object in a verified download.

    A pickle, joblib or skops file is read once: the bytes that were digested become the object. A loader that takes a
    path reads by itself; if a file changed meanwhile, its object is not returned.

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
    sha256
        The digest that the artifact must have.
    examined
        The artifact as it was digested a moment ago.

    Raises
    ------
    IntegrityError
        The artifact has another digest, or changed while it was loaded.
    UnsafeModel
        No loader fits the artifact, it holds what ``trusted`` does not name, or a path in it leads out of it; nothing
        of it was made or imported.
    LoadFailed
        The loader raised; the message names the Python and library versions of both sides.
    """
    names = frozenset([trusted] if isinstance(trusted, str) else trusted)
    if path.is_dir():
        check_links(path)
    # What was digested a moment ago may have been replaced since, where it was damaged.
    fits = examined is not None and sha256 in (None, examined.sha256)
    found = examined if examined is not None and fits else examine(path, keep=loader is None)
    if sha256 is not None:
        check_same(found.sha256, sha256, "the artifact", path.name)
    try:
        if loader is not None or (path / "MLmodel").is_file():
            model = loader(path) if loader is not None else load_flavor(path, flavor or "pyfunc", names)
            found.check_unchanged(path)
            return model
        return _load_file(path, found.content, names)
    except (UnsafeModel, IntegrityError):
        raise
    except Exception as error:  # a pickle or a loader may raise anything
        raise LoadFailed(
            f"The artifact did not load: {type(error).__name__}: {error}",
            where=path.name,
            next_step=f"Registered with {_describe_versions(tags)}; here {_describe_versions(versions_here())}.",
        ) from error


def _load_file(path: Path, content: Content | None, trusted: frozenset[str]) -> Any:
    """Return the object in an artifact of one file, loaded by the file's name."""
    if path.is_dir():
        inside = list(path.iterdir())
        if content is None or len(inside) != 1 or not inside[0].is_file():
            raise UnsafeModel(
                "The artifact is a directory without an MLmodel file, and it does not hold a single file.",
                where=path.name,
                next_step="Give loader=, a function that takes the directory's path.",
            )
        path = inside[0]
    load_file = _LOADERS.get(path.suffix)
    if load_file is None or content is None:
        raise UnsafeModel(
            f"No loader is known for a file named *{path.suffix or path.name}.",
            where=path.name,
            next_step="Give loader=, a function that takes the file's path.",
        )
    return load_file(path.name, content, trusted)


def _unpickle(_: str, content: Content, __: frozenset[str]) -> Any:
    with content.open() as file:
        return pickle.load(file)  # noqa: S301  # what the caller asked for, its digest checked


def _load_joblib(name: str, content: Content, _: frozenset[str]) -> Any:
    """Load a joblib file, if the library is installed."""
    try:
        import joblib
    except ModuleNotFoundError:
        raise UnsafeModel(
            "The artifact is a joblib file and joblib is not installed.", where=name, next_step="Install joblib."
        ) from None
    with content.open() as file:
        return joblib.load(file)


def _load_skops(name: str, content: Content, trusted: frozenset[str]) -> Any:
    """Load a skops file, if the library is installed and the caller trusts each type that skops itself does not."""
    try:
        import skops.io
        from skops.io.exceptions import UntrustedTypesFoundException
    except ModuleNotFoundError:
        raise UnsafeModel(
            "The artifact is a skops file and skops is not installed.", where=name, next_step="Install skops."
        ) from None
    try:
        # Always a list: True, which releases before 0.10 take for "anything", can never arrive there.
        with content.open() as file:
            return skops.io.load(file, trusted=sorted(trusted))
    except UntrustedTypesFoundException as refusal:
        with content.open() as file:
            untrusted = list_some(set(skops.io.get_untrusted_types(file=file)) - trusted)
        raise UnsafeModel(
            f"The file holds types that are not trusted: {untrusted}. Nothing was loaded.",
            where=name,
            next_step="If you know them and they may run here, name them: trusted=[...].",
        ) from refusal


_LOADERS = {".pkl": _unpickle, ".pickle": _unpickle, ".joblib": _load_joblib, ".skops": _load_skops}


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _describe_versions(tags: Mapping[str, str]) -> str:
    if PYTHON_TAG not in tags:
        return "unrecorded versions"
    return f"Python {tags[PYTHON_TAG]}, MLflow {tags.get(MLFLOW_TAG, '?')}, {tags.get(LIBRARIES_TAG, '')}".rstrip(", ")

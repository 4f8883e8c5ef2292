"""Runs, logged models and their bytes."""

from __future__ import annotations

import errno
import os
import posixpath
import re
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

from prodpointer._cancellation import cancel_check
from prodpointer.errors import ArtifactNotFound, ProdpointerError, RegistryError
from prodpointer.mlflow_client.converters import LoggedModel
from prodpointer.mlflow_client.exceptions import error_code, shown_cause, translate
from prodpointer.mlflow_client.http_artifacts import ServedArtifacts, check_trusted, is_served
from prodpointer.mlflow_client.installed import knows_logged_models
from prodpointer.mlflow_client.local_artifacts import LocalArtifacts, repository_at
from prodpointer.mlflow_client.object_store import ObjectStore
from prodpointer.mlflow_client.registry import Registry
from prodpointer.mlflow_client.store_exceptions import store_failure
from prodpointer.mlflow_client.uris import Place, place_of
from prodpointer.mlflow_client.workspaces import call_in
from prodpointer.types import ModelVersion, Run

_FULL = {errno.ENOSPC, errno.EDQUOT}
_NO_SPACE = {*_FULL, errno.EFBIG}
_COLLECTORS = {"MlflowException", "Error"}  # of MLflow and of shutil: they keep the texts alone of what they collect
_ERRNO = re.compile(r"\[Errno (\d{1,4})\]")
_NOT_WRITABLE = {errno.EROFS, errno.EACCES, errno.EPERM}
_NO_FILE = {errno.EISDIR, errno.ENXIO, errno.ENODEV, errno.ELOOP}


class _Reader(Protocol):
    """What lies below one located URI."""

    @abstractmethod
    def list_directory(self, path: str) -> list[tuple[str, bool]]:
        """Return the path below the URI of each entry of a directory, and whether it is a directory itself."""

    @abstractmethod
    def download(self, path: str, destination: Path) -> Path:
        """Copy a file or directory below the URI into ``destination`` and return its path there."""


class ArtifactStore:
    """The artifacts that belong to a registry's versions.

    Parameters
    ----------
    registry
        The registry; runs are read through its client's tracking URI.
    stopped
        Tells during a download whether it was cancelled.
    """

    def __init__(self, registry: Registry, *, stopped: Callable[[], bool] = lambda: False) -> None:
        self._registry = registry
        self._stopped = stopped
        self._tracking_uri = registry.addresses.tracking_uri

    @property
    def is_stopped(self) -> Callable[[], bool]:
        """What tells whether the downloads that this caller begins now were cancelled."""
        was_cancelled = cancel_check()
        return lambda: self._stopped() or was_cancelled()

    @property
    def beside_registry(self) -> bool:
        """Whether runs and registry are in the same place, so that the registry can check a run's own URIs."""
        return self._tracking_uri == self._registry.addresses.registry_uri

    @property
    def resolves_logged_models(self) -> bool:
        """Whether the registry can resolve ``models:/m-…``.

        On a database MLflow looks the logged model up through the process's tracking URI, not the client's (3.0.1 to
        3.17.2, ``SqlAlchemyStore.create_model_version``).
        """
        import mlflow

        return self._registry.place is not Place.DATABASE or mlflow.get_tracking_uri() == self._tracking_uri

    def run(self, run_id: str) -> Run:
        """Return a run, or raise ``ArtifactNotFound``."""

        def missing() -> ArtifactNotFound:
            return ArtifactNotFound(
                f"The run {run_id!r} does not exist.",
                where=self._tracking_uri,
                next_step="Check the run id and MLFLOW_TRACKING_URI.",
            )

        # Some answers to an id that cannot be one are INVALID_PARAMETER_VALUE rather than RESOURCE_DOES_NOT_EXIST.
        with self._registry.translate(f"read the run {run_id!r}", missing=missing, invalid=ArtifactNotFound):
            return self._registry.runs.run(run_id).run

    def logged_model(self, model_id: str) -> LoggedModel:
        """Return a logged model of MLflow 3, or raise ``ArtifactNotFound``."""

        def missing() -> ArtifactNotFound:
            return ArtifactNotFound(
                f"The logged model {model_id!r} does not exist.",
                where=self._tracking_uri,
                next_step="Logged models need MLflow 3 on both sides; check the id.",
            )

        if not knows_logged_models():
            raise missing()
        with self._registry.translate(f"read the logged model {model_id!r}", missing=missing, invalid=ArtifactNotFound):
            return self._registry.runs.logged_model(model_id)

    def logged_model_of(self, run: Run, name: str) -> LoggedModel | None:
        """Return the newest logged model that a run logged under a name, or None; MLflow 3 keeps it beside the run."""
        from mlflow.exceptions import MlflowException

        if not knows_logged_models():
            return None
        of_run = f"source_run_id = '{run.run_id}'"
        with self._registry.translate(f"find the logged model {name!r} of the run {run.run_id!r}"):
            try:
                found = self._registry.runs.logged_models(run.experiment_id, of_run)
            except MlflowException as error:
                if error_code(error) == "ENDPOINT_NOT_FOUND":  # a server of MLflow 2
                    return None
                raise
        named = [model for model in found if model.name == name]
        return max(named, key=lambda model: model.created, default=None)

    def locate(self, uri: str) -> str:
        """Return a URI that can be read without MLflow's process-wide tracking URI.

        ``runs:/`` is replaced by the run's own artifact URI: clients 3.0.0 to 3.1.1 cannot read it from servers of
        MLflow 2, and 3.17.2 reports every failure of it as a missing path (measured).
        """
        if uri.startswith("runs:/"):
            return self._locate_in_run(*uri.removeprefix("runs:/").lstrip("/").split("/", 1))
        if uri.startswith("mlflow-artifacts:"):
            from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

            with translate(f"find the artifacts of {uri}", self._tracking_uri):
                return str(MlflowArtifactsRepository.resolve_uri(uri, self._tracking_uri))
        return uri

    def location_of(self, version: ModelVersion) -> str:
        """Return where the bytes of a version are, by its number and never by its ``source``."""
        return self.locate(self._registry.download_uri(version.name, version.version))

    def has(self, version: ModelVersion) -> bool:
        """Tell whether the artifact of a version is there; what a server keeps itself is where its ``source`` says."""
        kept = self._registry.place is Place.SERVER and version.source.startswith("mlflow-artifacts:")
        return self.exists(self.locate(version.source) if kept else self.location_of(version))

    def _locate_in_run(self, run_id: str, path: str = "") -> str:
        """Return where a run's artifact is: with the run, or beside it where MLflow 3 logged it as a model."""
        run = self.run(run_id)
        root = self.locate(run.artifact_uri)
        if self.kind(root, path) is None:
            model = self.logged_model_of(run, path)
            if model is not None:
                return self.locate(model.location)
        return posixpath.join(root, path)

    def kind(self, root: str, path: str) -> str | None:
        """Return ``"file"`` or ``"directory"`` for a path under a located URI, or None where there is nothing."""
        parent = posixpath.dirname(path)
        with self._translate_storage_errors(f"list the artifacts of {root}", root):
            for entry, is_dir in self._reader(root).list_directory(parent):
                if posixpath.normpath(entry) == path:
                    return "directory" if is_dir else "file"
        return None

    def download(self, uri: str, destination: Path) -> Path:
        """Copy the file or directory at a located URI into ``destination`` and return its path there.

        However long it takes, as long as bytes come: see ``object_store.STALLED``. ``destination`` belongs to this
        download alone. Raises ``ArtifactNotFound`` for nothing and for an empty directory, which some MLflow versions
        answer instead of an error (measured: ``models:/`` of a single file, clients 3.9.0 to 3.17.2).
        """
        root, _, leaf = uri.rstrip("/").rpartition("/")
        try:
            with self._translate_storage_errors(f"download {uri}", uri):
                found = self._reader(root).download(leaf, destination)
        except RegistryError as error:
            # The failure alone does not distinguish a missing artifact from a broken connection: MLflow wraps both
            # alike. An error without a code is a refusal of ours.
            if error.code and self.kind(root, leaf) is None:
                raise self._gone(uri) from None
            raise
        if not found.exists() or (found.is_dir() and not any(_files(found))):
            raise self._gone(uri)
        return found

    def _reader(self, root: str) -> _Reader:
        """Return the reader for a server's artifacts, for this machine's files, or for another store's."""
        if is_served(root):
            timeout, stopped = self._registry.timeout, self.is_stopped
            return ServedArtifacts(root, self._registry.addresses, timeout=timeout, stopped=stopped)
        if _is_local(root):
            return LocalArtifacts(root)
        return ObjectStore(root, timeout=self._registry.timeout, stopped=self.is_stopped)

    def exists(self, uri: str) -> bool:
        """Tell whether there is a file or directory at a located URI, without its bytes."""
        root, _, leaf = uri.rstrip("/").rpartition("/")
        try:
            return self.kind(root, leaf) is not None
        except ArtifactNotFound:  # nor is there the bucket
            return False

    def upload(self, directory: Path, uri: str) -> None:
        """Copy the files of a directory to a located URI."""
        check_trusted(uri, self._registry.addresses, with_credentials=True)
        with self._translate_storage_errors(f"upload to {uri}", uri):
            call_in(self._registry.addresses.workspace, lambda: repository_at(uri).log_artifacts(str(directory)))

    @contextmanager
    def _translate_storage_errors(self, doing: str, uri: str) -> Iterator[None]:
        """Translate what fails inside, also what the library of some object store raises: those are not MLflow's."""
        by_mlflow = is_served(uri) or _is_local(uri)
        try:
            with self._registry.translate(doing) if by_mlflow else nullcontext(), _translate_disk_errors(doing):
                yield
        except ProdpointerError:
            raise
        except Exception as error:  # noqa: BLE001  # the libraries of object stores raise what they like
            raise store_failure(doing, uri, error) from shown_cause(error)

    def _gone(self, uri: str) -> ArtifactNotFound:
        """Return the error for bytes that are not there."""
        return ArtifactNotFound(
            "The artifact does not exist or is empty.",
            where=uri,
            next_step="Check that the run's artifacts were not deleted or moved, and register a version that has them.",
        )


@contextmanager
def _translate_disk_errors(doing: str) -> Iterator[None]:
    """Distinguish a full disk of this machine from a store that fails."""
    try:
        yield
    except Exception as error:  # MLflow and the libraries of stores wrap it in errors of their own
        cause = _disk_error(error)
        if cause is None:
            raise
        raise disk_error(doing, cause) from cause


def _disk_error(error: BaseException | None) -> OSError | None:
    """Return the error of a full or read-only disk that another one came from, also where only its text is left."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_SPACE | {errno.EROFS}:
            return error
        found = _ERRNO.search(str(error)) if type(error).__name__ in _COLLECTORS else None
        if found is not None and int(found[1]) in _NO_SPACE | {errno.EROFS}:
            return OSError(int(found[1]), os.strerror(int(found[1])))
        error = error.__cause__ or error.__context__
    return None


def is_disk_full(error: BaseException) -> bool:
    """Tell whether something failed because a disk of this machine is full."""
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, OSError) and cause.errno in _FULL


def disk_error(doing: str, error: OSError) -> ProdpointerError:
    """Return the error for a disk of this machine that is full, or cannot be written or read."""
    if error.errno in _NO_SPACE:
        step = "Free space on this disk, or choose another one with cache_dir= or PRODPOINTER_CACHE_DIR."
    elif error.errno in _NOT_WRITABLE:
        step = "Choose a writable directory with cache_dir= or PRODPOINTER_CACHE_DIR."
    elif error.errno in _NO_FILE:
        step = "A file is expected there. Remove what is in its place, then try again."
    else:
        step = "Nothing was removed. Try again; if it fails again, check the disk and the limits of this process."
    return ProdpointerError(f"Could not {doing}: {error.strerror}.", where=str(error.filename or ""), next_step=step)


def _is_local(uri: str) -> bool:
    """Tell whether a located URI is a path of this machine."""
    return place_of(uri) is Place.FILES


def _files(directory: Path) -> list[Path]:
    """Return the files below a directory."""
    return [Path(parent, name) for parent, _, names in os.walk(directory) for name in names]

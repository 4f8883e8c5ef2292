"""From a run's artifact to a version: its source, the place of its bytes, and its tags."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prodpointer._identity import acting_user
from prodpointer.artifacts.digest import download, sha256_of
from prodpointer.artifacts.loaders import versions_here
from prodpointer.errors import ArtifactNotFound, InvalidName
from prodpointer.mlflow_client import ArtifactStore
from prodpointer.types import DATASETS_TAG, DIGEST_TAG, OWNER_TAG, Run
from prodpointer.validation import plain_text

COMMIT_TAG = "prodpointer.git_commit"
_COMMIT = re.compile(r"[0-9A-Za-z][0-9A-Za-z._/\-]{0,254}")  # a hash, or a revision of another system
_TAG_KEY = re.compile(r"[/\w.\- ]{1,250}")  # what every MLflow takes
_NOT_IN_URIS = re.compile(r"[#?]|%[0-9A-Fa-f]{2}")
_LONGEST_TAG = 5000  # characters; MLflow 2 refuses longer values


@dataclass(frozen=True)
class Source:
    """What a new version points to.

    ``source`` is written to the registry, ``location`` is where the bytes can be read, ``kind`` is ``"file"`` or
    ``"directory"``.
    """

    source: str
    location: str
    kind: str
    run: Run
    model_id: str | None


def find_source(store: ArtifactStore, run_id: str, artifact: str) -> Source:
    """Return the source for an artifact of a run, or raise ``ArtifactNotFound``; creates nothing.

    Parameters
    ----------
    store
        Where runs and artifacts are.
    run_id
        The run that logged the artifact.
    artifact
        A path below the run's artifacts; the name a model was logged under; or ``models:/m-…``, a logged model.
    """
    run = store.run(str(run_id))
    artifact = str(artifact or "")
    if artifact.startswith("models:/m-"):
        return _logged_model_source(store, run, artifact.removeprefix("models:/"))
    path = _path_in_run(artifact)
    root = store.locate(run.artifact_uri)
    kind = store.kind(root, path)
    if kind is not None:
        source = f"{run.artifact_uri}/{path}" if store.beside_registry else f"runs:/{run.run_id}/{path}"
        return Source(source, f"{root}/{path}", kind, run, None)
    model = store.logged_model_of(run, path)
    if model is not None:
        return _logged_model_source(store, run, model.model_id)
    raise ArtifactNotFound(
        f"The run {run_id!r} has no artifact {artifact!r}.",
        where=run.artifact_uri,
        next_step="Log it first, or check the path: it is relative to the run's artifacts.",
    )


def default_tags(run: Run, by: str | None) -> dict[str, str]:
    """Return the tags every version gets: owner, commit, datasets, Python, MLflow and main library versions."""
    tags = {OWNER_TAG: plain_text(by or acting_user(), "The owner"), **versions_here()}
    if run.git_commit:
        tags[COMMIT_TAG] = run.git_commit
    if run.datasets:
        tags[DATASETS_TAG] = " ".join(run.datasets)[:_LONGEST_TAG]
    return tags


def callers_tags(tags: Mapping[str, str] | None, git_commit: str | None = None) -> dict[str, str]:
    """Return the caller's tags and commit as text, or raise ``InvalidName`` for what MLflow or this library refuses."""
    for key, value in (tags or {}).items():
        if not _is_tag_key(str(key)) or str(key).startswith("prodpointer."):
            step = "Use letters, digits, '_', '-', '.', ' ' and '/', at most 250, and no name of prodpointer's own."
            raise InvalidName(f"Invalid tag {key!r}.", next_step=step)
        plain_text(str(value), f"The value of the tag {key!r},")
        if len(str(value)) > _LONGEST_TAG:
            raise InvalidName(
                f"The value of the tag {key!r} is longer than {_LONGEST_TAG} characters.",
                next_step="MLflow 2 refuses longer tags: log the value as an artifact, and set its path as the tag.",
            )
    given = {str(key): str(value) for key, value in (tags or {}).items()}
    if git_commit is not None:
        given[COMMIT_TAG] = _commit(git_commit)
    return given


def _commit(git_commit: str) -> str:
    """Return the name of a commit, or raise ``InvalidName``."""
    if not _COMMIT.fullmatch(git_commit):
        raise InvalidName(f"Invalid commit {git_commit!r}.", next_step="Give what `git rev-parse HEAD` prints.")
    return git_commit


def _is_tag_key(key: str) -> bool:
    """Tell whether MLflow accepts a key: it refuses one that leads elsewhere as a path (2.0.1 to 3.17.2)."""
    as_path = posixpath.normpath(key)
    leads_elsewhere = as_path != key or as_path == "." or as_path.split("/")[0] in {"", ".."}
    return bool(_TAG_KEY.fullmatch(key)) and bool(key.strip()) and not leads_elsewhere


def digest_tags(
    store: ArtifactStore, source: Source, sha256: str | None, local_path: str | Path | None
) -> dict[str, str]:
    """Return the tag that records the digest: as given, of a local copy, or of one streamed download."""
    if sha256 is not None:
        return {DIGEST_TAG: _hexadecimal(sha256)}
    if local_path is not None:
        if Path(local_path).is_dir() != (source.kind == "directory"):
            step = "Give a copy of what is registered."
            raise InvalidName(f"The artifact is a {source.kind}, and {str(local_path)!r} is not.", next_step=step)
        return {DIGEST_TAG: sha256_of(Path(local_path))}
    with download(store, source.location) as path:
        return {DIGEST_TAG: sha256_of(path)}


def _logged_model_source(store: ArtifactStore, run: Run, model_id: str) -> Source:
    """Return the source for a logged model of MLflow 3."""
    model = store.logged_model(model_id)
    if model.run_id is not None and model.run_id != run.run_id:
        raise ArtifactNotFound(
            f"The logged model {model_id!r} belongs to the run {model.run_id!r}, not to {run.run_id!r}.",
            next_step="Give the run that logged it.",
        )
    location = store.locate(model.location)
    if not store.beside_registry:  # the registry cannot look up the id of another server's model
        return Source(f"runs:/{run.run_id}/{model.name}", location, "directory", run, None)
    source = f"models:/{model_id}" if store.resolves_logged_models else model.location
    return Source(source, location, "directory", run, model_id)


def _path_in_run(artifact: str) -> str:
    """Return a normal path below the run's artifacts; ``ArtifactNotFound`` for one that leads elsewhere."""
    path = posixpath.normpath(artifact) if artifact else ""
    if _NOT_IN_URIS.search(path):
        raise InvalidName(
            f"Invalid artifact path {artifact!r}: it contains '#', '?' or a percent-encoded character.",
            next_step="MLflow's artifact URIs cannot hold these; log the artifact under another name.",
        )
    if not path or path == "." or path.startswith("/") or path.split("/")[0] == ".." or "://" in artifact:
        raise ArtifactNotFound(
            f"Invalid artifact path {artifact!r}.",
            next_step="Give a path below the run's artifacts, such as 'model' or 'bundle/newsreco.pkl'.",
        )
    return path


def _hexadecimal(sha256: str) -> str:
    """Return a digest in lower case, or raise ``InvalidName``."""
    digest = sha256.strip().lower()
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise InvalidName(f"Invalid SHA-256 {sha256!r}.", next_step="Give 64 hexadecimal digits.")
    return digest

"""MLflow's entities, and its JSON, as our values.

What comes from a registry may be anything. Each function here returns values of the types it names or raises
``RegistryError``: a key is missing, or a value is of another type or out of range.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from prodpointer.errors import RegistryError
from prodpointer.types import ModelReply, ModelVersion, Run, utc_from_millis

_COMMIT_TAG = "mlflow.source.git.commit"
_PROMPT_TAG = "mlflow.prompt.is_prompt"
_DIGITS = re.compile(r"[0-9]{1,18}")  # what fits into the 64 bits of a database
_LARGEST = 10**18 - 1
_LAST_MILLIS = 253_402_300_799_999  # the end of the year 9999, the last that Python's times hold


@dataclass(frozen=True)
class Metric:
    """One value of a metric; the run that measured it, and the digest of its dataset where it names one."""

    key: str
    value: float
    timestamp: int
    step: int
    run_id: str
    dataset_digest: str | None


@dataclass(frozen=True)
class LoggedRun:
    """A run as its store holds it: its newest metrics, and the digests of its datasets, None where they are unknown."""

    run: Run
    deleted: bool
    metrics: Mapping[str, float]
    digests: frozenset[str] | None
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LoggedModel:
    """An MLflow 3 logged model: its id and name, the run it came from and where its files are."""

    model_id: str
    name: str
    run_id: str | None
    location: str
    created: int = 0
    metrics: tuple[Metric, ...] = ()


def malformed(what: str) -> RegistryError:
    """Return the error for an answer that is not what MLflow's API documents."""
    return RegistryError(
        f"The registry's answer cannot be read: {what}.",
        next_step="Check that the address is that of an MLflow server, and whether a proxy changes its answers.",
    )


def stage_name(stage: object) -> str | None:
    """Return a stage, or None for MLflow's text ``"None"``."""
    found = text(stage, "current_stage")
    return None if found in ("", "None") else found


def model_version(version: Any) -> ModelVersion:
    """Return MLflow's version entity as ours; its number is text over REST and an int on a database."""
    return _version(_attributes_of(version), _texts(version.tags, "tags"))


def _version_from_json(version: Mapping[str, Any]) -> ModelVersion:
    # Only what is missing is at its default: where the status is null, the version is not known to be ready.
    return _version({"status": "READY", **version}.get, _tags(version))


def _version(get: Callable[[str], Any], tags: Mapping[str, str]) -> ModelVersion:
    """Return a version by its fields, which entity and JSON call the same."""
    return ModelVersion(
        name=text(_present(get, "name"), "name"),
        version=version_number(_present(get, "version")),
        stage=stage_name(get("current_stage")),
        status=text(get("status"), "status"),
        source=text(get("source"), "source"),
        run_id=text(get("run_id"), "run_id") or None,
        created_at=_time(get("creation_timestamp"), "creation_timestamp"),
        updated_at=_time(get("last_updated_timestamp"), "last_updated_timestamp"),
        tags=tags,
    )


def reply(model: Any) -> ModelReply:
    """Return MLflow's registered model entity as ours; before 2.3.0 it has no aliases."""
    aliases = {
        text(alias, "alias"): version_number(version)
        for alias, version in _mapping(getattr(model, "aliases", None), "aliases").items()
    }
    newest = [model_version(version) for version in model.latest_versions or []]
    return _reply(_attributes_of(model), aliases, newest, _texts(model.tags, "tags"))


def _reply_from_json(model: Mapping[str, Any]) -> ModelReply:
    aliases = {
        text(required(entry, "alias"), "alias"): version_number(required(entry, "version"))
        for entry in mappings(model, "aliases")
    }
    newest = [_version_from_json(version) for version in mappings(model, "latest_versions")]
    return _reply(model.get, aliases, newest, _tags(model))


def _reply(
    get: Callable[[str], Any], aliases: Mapping[str, int], newest: list[ModelVersion], tags: Mapping[str, str]
) -> ModelReply:
    """Return a registered model by its fields, which entity and JSON call the same."""
    return ModelReply(
        name=text(_present(get, "name"), "name"),
        aliases=aliases,
        newest=_newest(newest),
        tags=tags,
        created_at=_time(get("creation_timestamp"), "creation_timestamp"),
        updated_at=_time(get("last_updated_timestamp"), "last_updated_timestamp"),
    )


def _attributes_of(entity: Any) -> Callable[[str], Any]:
    return lambda key: getattr(entity, key)


def reply_from_json(document: Mapping[str, Any]) -> ModelReply:
    """Return the JSON of ``registered-models/get`` as ours; an answer about no model has an empty name.

    Clients whose entity drops the aliases need it too.
    """
    return _reply_from_json({"name": "", **_mapping(document.get("registered_model"), "registered_model")})


def replies_from_json(document: Mapping[str, Any]) -> list[ModelReply]:
    """Return the models in the JSON of one page of ``registered-models/search``, prompts left out."""
    models = mappings(document, "registered_models")
    return [_reply_from_json(model) for model in models if not marks_a_prompt(_tags(model))]


def versions_from_json(document: Mapping[str, Any]) -> list[ModelVersion]:
    """Return the versions in the JSON of one page of ``model-versions/search``."""
    return [_version_from_json(version) for version in mappings(document, "model_versions")]


def numbers_from_json(document: Mapping[str, Any]) -> list[int]:
    """Return the numbers of the versions in the JSON of ``get-latest-versions``."""
    return [version_number(required(version, "version")) for version in mappings(document, "model_versions")]


def number_from_json(document: Mapping[str, Any]) -> int:
    """Return the number of the version in the JSON of a call that answers with one."""
    return version_number(required(_mapping(required(document, "model_version"), "model_version"), "version"))


def download_uri_from_json(document: Mapping[str, Any]) -> str:
    """Return the address in the JSON of ``get-download-uri``."""
    return text(required(document, "artifact_uri"), "artifact_uri")


def run_from_json(document: Mapping[str, Any]) -> LoggedRun:
    """Return the JSON of ``runs/get`` as ours; a server before 2.4.0 has no datasets."""
    found = _mapping(required(document, "run"), "run")
    info, data = _mapping(required(found, "info"), "info"), _mapping(found.get("data"), "data")
    inputs = _mapping(found.get("inputs"), "inputs")
    datasets = [_mapping(required(entry, "dataset"), "dataset") for entry in mappings(inputs, "dataset_inputs")]
    digests = [text(required(dataset, "digest"), "digest") for dataset in datasets]
    names = [text(required(dataset, "name"), "name") for dataset in datasets]
    return LoggedRun(
        Run(
            run_id=text(required(info, "run_id"), "run_id"),
            experiment_id=str(info.get("experiment_id", "")),
            artifact_uri=text(info.get("artifact_uri"), "artifact_uri"),
            git_commit=_tags(data).get(_COMMIT_TAG),
            datasets=tuple(f"{name}:{digest}" for name, digest in zip(names, digests, strict=True)),
        ),
        deleted=info.get("lifecycle_stage") == "deleted",
        metrics={each.key: each.value for each in metrics_from_json(data)},
        digests=frozenset(digests),
        params={
            text(required(each, "key"), "key"): text(each.get("value"), "value") for each in mappings(data, "params")
        },
    )


def runs_from_json(document: Mapping[str, Any]) -> list[LoggedRun]:
    """Return the runs in the JSON of one page of ``runs/search``."""
    return [run_from_json({"run": each}) for each in mappings(document, "runs")]


def metrics_from_json(document: Mapping[str, Any]) -> list[Metric]:
    """Return the metrics in the JSON of a run's or a logged model's data, or of ``metrics/get-history``."""
    return [
        Metric(
            text(required(entry, "key"), "key"),
            _float(entry.get("value", 0.0), "value"),
            _whole(entry.get("timestamp"), "timestamp"),
            _whole(entry.get("step"), "step"),
            text(entry.get("run_id"), "run_id"),
            text(entry.get("dataset_digest"), "dataset_digest") or None,
        )
        for entry in mappings(document, "metrics")
    ]


def logged_model_from_json(document: Mapping[str, Any]) -> LoggedModel:
    """Return the JSON of ``logged-models/ID`` as ours."""
    return _logged_model_from_json(_mapping(required(document, "model"), "model"))


def logged_models_from_json(document: Mapping[str, Any]) -> list[LoggedModel]:
    """Return the models in the JSON of ``logged-models/search``."""
    return [_logged_model_from_json(model) for model in mappings(document, "models")]


def _logged_model_from_json(model: Mapping[str, Any]) -> LoggedModel:
    """Return the JSON of one logged model as ours."""
    info = _mapping(required(model, "info"), "info")
    return LoggedModel(
        text(required(info, "model_id"), "model_id"),
        text(info.get("name"), "name"),
        text(info.get("source_run_id"), "source_run_id") or None,
        text(info.get("artifact_uri"), "artifact_uri"),
        _whole(info.get("creation_timestamp_ms"), "creation_timestamp_ms"),
        tuple(metrics_from_json(_mapping(model.get("data"), "data"))),
    )


def version_from_json(document: Mapping[str, Any]) -> ModelVersion:
    """Return the JSON of ``model-versions/get`` as ours."""
    return _version_from_json(_mapping(required(document, "model_version"), "model_version"))


def is_prompt(model: Any) -> bool:
    """Tell whether a registered model is one of MLflow's prompts, which share the table."""
    return marks_a_prompt(_texts(model.tags, "tags"))


def run(entity: Any, *, keeps_datasets: bool) -> LoggedRun:
    """Return MLflow's run entity as ours; the entity of clients before 2.4.0 has no datasets.

    Parameters
    ----------
    entity
        MLflow's.
    keeps_datasets
        Whether the store may hold datasets that such a client does not show.
    """
    inputs = getattr(entity, "inputs", None)
    datasets = [entry.dataset for entry in (inputs.dataset_inputs if inputs else None) or []]
    digests = frozenset(str(dataset.digest) for dataset in datasets)
    return LoggedRun(
        Run(
            run_id=text(entity.info.run_id, "run_id"),
            experiment_id=str(entity.info.experiment_id),
            artifact_uri=text(entity.info.artifact_uri, "artifact_uri"),
            git_commit=_texts(entity.data.tags, "tags").get(_COMMIT_TAG),
            datasets=tuple(f"{dataset.name}:{dataset.digest}" for dataset in datasets),
        ),
        deleted=entity.info.lifecycle_stage == "deleted",
        metrics={str(name): float(value) for name, value in entity.data.metrics.items()},
        digests=None if keeps_datasets and not hasattr(entity, "inputs") else digests,
        params=_texts(entity.data.params, "params"),
    )


def metric(entity: Any) -> Metric:
    """Return MLflow's metric entity as ours; that of a run names neither run nor dataset in every client."""
    return Metric(
        str(entity.key),
        float(entity.value),
        int(entity.timestamp),
        int(entity.step),
        str(getattr(entity, "run_id", None) or ""),
        getattr(entity, "dataset_digest", None) or None,
    )


def logged_model(entity: Any) -> LoggedModel:
    """Return MLflow's logged model entity as ours."""
    return LoggedModel(
        entity.model_id,
        entity.name,
        entity.source_run_id or None,
        entity.artifact_location,
        entity.creation_timestamp,
        tuple(metric(each) for each in entity.metrics or []),
    )


def version_number(value: object) -> int:
    """Return the number of a version: an int, or the text of one in plain digits; 1 is the first."""
    return _int(value, "is not the number of a version", 1, _LARGEST)


def count(value: object) -> int:
    """Return a count of bytes: an int from 0 on, or its text."""
    return _int(value, "is not a count", 0, _LARGEST)


def _int(value: object, wrong: str, least: int, most: int) -> int:
    """Return an int of a range, or the text of one in plain digits."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise malformed(f"{_shown(value)} {wrong}")
    return value


def _newest(versions: list[ModelVersion]) -> dict[str | None, ModelVersion]:
    """Return the highest-numbered version of each stage."""
    newest: dict[str | None, ModelVersion] = {}
    for version in sorted(versions, key=lambda each: each.version):
        newest[version.stage] = version
    return newest


def marks_a_prompt(tags: Mapping[str, str]) -> bool:
    """Tell whether tags are those of a prompt."""
    return tags.get(_PROMPT_TAG, "").lower() == "true"


def _tags(document: Mapping[str, Any]) -> dict[str, str]:
    """Return REST's list of tags as a mapping."""
    tags = mappings(document, "tags")
    return {text(required(tag, "key"), "key"): text(tag.get("value"), "value") for tag in tags}


def required(document: Mapping[str, Any], key: str) -> Any:
    """Return the value of a key that every answer of this kind has."""
    return _present(document.get, key)


def _present(get: Callable[[str], Any], key: str) -> Any:
    value = get(key)
    if value is None:
        raise malformed(f"it has no {key!r}")
    return value


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    """Return a mapping; a missing one is empty."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise malformed(f"{what!r} is {_shown(value)} and not an object")
    return value


def mappings(document: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """Return a list of objects; a missing one is empty, as MLflow leaves empty lists out."""
    values = document.get(key)
    if values is None:
        return []
    if not isinstance(values, list):
        raise malformed(f"{key!r} is {_shown(values)} and not a list")
    for value in values:
        if not isinstance(value, Mapping):
            raise malformed(f"{key!r} holds {_shown(value)} and not objects alone")
    return values


def _texts(value: object, what: str) -> dict[str, str]:
    """Return a mapping of texts; a missing one is empty."""
    return {text(key, what): text(each, what) for key, each in _mapping(value, what).items()}


def text(value: object, what: str) -> str:
    """Return a text that can be written; a missing one is empty."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise malformed(f"{what!r} is {_shown(value)} and not text")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise malformed(f"{what!r} is not Unicode")
    return value


def _float(value: object, what: str) -> float:
    """Return a number; over REST one that is none, or infinite, is text."""
    try:
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise malformed(f"{what!r} is {_shown(value)} and not a number")


def _whole(value: object, what: str) -> int:
    """Return a whole number of either sign, or its text; a missing one is 0."""
    if isinstance(value, str) and _DIGITS.fullmatch(value.removeprefix("-")):
        value = int(value)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int):
        raise malformed(f"{what!r} is {_shown(value)} and not a whole number")
    return value


def _time(value: object, what: str) -> datetime | None:
    """Return a time, which is a count of milliseconds since 1970 or its text; None where there is none."""
    return (
        None
        if value is None
        else utc_from_millis(_int(value, f"is not a time in milliseconds ({what})", 0, _LAST_MILLIS))
    )


def _shown(value: object) -> str:
    """Return a short form of a value: numbers may have any length, which Python refuses to write."""
    if isinstance(value, list | Mapping):
        return f"a {'list' if isinstance(value, list) else 'mapping'}"
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a huge number"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

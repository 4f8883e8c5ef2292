"""MLflow's entities, and its JSON, as our values.

What comes from a registry may be anything. Each function here returns values of the types it names or raises
``RegistryError``: a key is missing, or a value is of another type or out of range.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from prodpointer.errors import RegistryError
from prodpointer.records import ModelReply, ModelVersion, Run, utc_from_millis

_PROMPT_TAG = "mlflow.prompt.is_prompt"
_DIGITS = re.compile(r"[0-9]{1,18}")  # what fits into the 64 bits of a database
_LAST_MILLIS = 253_402_300_799_999  # the end of the year 9999, the last that Python's times hold


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
    return ModelVersion(
        name=text(version.name, "name"),
        version=version_number(version.version),
        stage=stage_name(version.current_stage),
        status=text(version.status, "status"),
        source=text(version.source, "source"),
        run_id=text(version.run_id, "run_id") or None,
        created_at=_time(version.creation_timestamp, "creation_timestamp"),
        updated_at=_time(version.last_updated_timestamp, "last_updated_timestamp"),
        tags=_texts(version.tags, "tags"),
    )


def reply(model: Any) -> ModelReply:
    """Return MLflow's registered model entity as ours; before 2.3.0 it has no aliases."""
    aliases = _mapping(getattr(model, "aliases", None), "aliases")
    newest = [model_version(version) for version in model.latest_versions or []]
    return ModelReply(
        name=text(model.name, "name"),
        aliases={text(alias, "alias"): version_number(version) for alias, version in aliases.items()},
        newest=_newest(newest),
        tags=_texts(model.tags, "tags"),
        created_at=_time(model.creation_timestamp, "creation_timestamp"),
        updated_at=_time(model.last_updated_timestamp, "last_updated_timestamp"),
    )


def reply_from_json(document: Mapping[str, Any]) -> ModelReply:
    """Return the JSON of ``registered-models/get`` as ours; an answer about no model has an empty name.

    Clients whose entity drops the aliases need it too.
    """
    return _reply_from_json({"name": "", **_mapping(document.get("registered_model"), "registered_model")})


def replies_from_json(document: Mapping[str, Any]) -> list[ModelReply]:
    """Return the models in the JSON of one page of ``registered-models/search``, prompts left out."""
    models = mappings(document, "registered_models")
    return [_reply_from_json(model) for model in models if not _marks_a_prompt(_tags(model))]


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


def digests_from_json(document: Mapping[str, Any]) -> frozenset[str]:
    """Return the digests of the datasets in the JSON of ``runs/get``; a server before 2.4.0 tells of none."""
    inputs = _mapping(_mapping(required(document, "run"), "run").get("inputs"), "inputs")
    datasets = [_mapping(required(entry, "dataset"), "dataset") for entry in mappings(inputs, "dataset_inputs")]
    return frozenset(text(required(dataset, "digest"), "digest") for dataset in datasets)


def _reply_from_json(model: Mapping[str, Any]) -> ModelReply:
    """Return the JSON of one registered model as ours."""
    newest = [_version_from_json(version) for version in mappings(model, "latest_versions")]
    return ModelReply(
        name=text(required(model, "name"), "name"),
        aliases={
            text(required(entry, "alias"), "alias"): version_number(required(entry, "version"))
            for entry in mappings(model, "aliases")
        },
        newest=_newest(newest),
        tags=_tags(model),
        created_at=_time(model.get("creation_timestamp"), "creation_timestamp"),
        updated_at=_time(model.get("last_updated_timestamp"), "last_updated_timestamp"),
    )


def version_from_json(document: Mapping[str, Any]) -> ModelVersion:
    """Return the JSON of ``model-versions/get`` as ours."""
    return _version_from_json(_mapping(required(document, "model_version"), "model_version"))


def is_prompt(model: Any) -> bool:
    """Tell whether a registered model is one of MLflow's prompts, which share the table."""
    return _marks_a_prompt(_texts(model.tags, "tags"))


def run(entity: Any) -> Run:
    """Return MLflow's run entity as ours; before 2.4.0 runs have no datasets."""
    inputs = getattr(entity, "inputs", None)
    datasets = [entry.dataset for entry in (inputs.dataset_inputs if inputs else None) or []]
    tags = _texts(entity.data.tags, "tags")
    return Run(
        run_id=text(entity.info.run_id, "run_id"),
        experiment_id=str(entity.info.experiment_id),
        artifact_uri=text(entity.info.artifact_uri, "artifact_uri"),
        git_commit=tags.get("mlflow.source.git.commit"),
        datasets=tuple(f"{dataset.name}:{dataset.digest}" for dataset in datasets),
    )


def version_number(value: object) -> int:
    """Return the number of a version: an int, or the text of one in plain digits; 1 is the first."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 10**18:
        raise malformed(f"{_shown(value)} is not the number of a version")
    return value


def count(value: object) -> int:
    """Return a count of bytes: an int from 0 on, or its text."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**18:
        raise malformed(f"{_shown(value)} is not a count")
    return value


def _newest(versions: list[ModelVersion]) -> dict[str | None, ModelVersion]:
    """Return the highest-numbered version of each stage."""
    newest: dict[str | None, ModelVersion] = {}
    for version in sorted(versions, key=lambda each: each.version):
        newest[version.stage] = version
    return newest


def _marks_a_prompt(tags: Mapping[str, str]) -> bool:
    """Tell whether tags are those of a prompt."""
    return tags.get(_PROMPT_TAG, "").lower() == "true"


def _version_from_json(version: Mapping[str, Any]) -> ModelVersion:
    """Return the JSON of one version as ours."""
    return ModelVersion(
        name=text(required(version, "name"), "name"),
        version=version_number(required(version, "version")),
        stage=stage_name(version.get("current_stage")),
        status=text(version.get("status", "READY"), "status"),
        source=text(version.get("source"), "source"),
        run_id=text(version.get("run_id"), "run_id") or None,
        created_at=_time(version.get("creation_timestamp"), "creation_timestamp"),
        updated_at=_time(version.get("last_updated_timestamp"), "last_updated_timestamp"),
        tags=_tags(version),
    )


def _tags(document: Mapping[str, Any]) -> dict[str, str]:
    """Return REST's list of tags as a mapping."""
    tags = mappings(document, "tags")
    return {text(required(tag, "key"), "key"): text(tag.get("value"), "value") for tag in tags}


def required(document: Mapping[str, Any], key: str) -> Any:
    """Return the value of a key that every answer of this kind has."""
    value = document.get(key)
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


def _time(value: object, what: str) -> datetime | None:
    """Return a time, which is a count of milliseconds since 1970 or its text; None where there is none."""
    if value is None:
        return None
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LAST_MILLIS:
        raise malformed(f"{what!r} is {_shown(value)} and not a time in milliseconds")
    return utc_from_millis(value)


def _shown(value: object) -> str:
    """Return a short form of a value: numbers may have any length, which Python refuses to write."""
    if isinstance(value, list | Mapping):
        return f"a {'list' if isinstance(value, list) else 'mapping'}"
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a huge number"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

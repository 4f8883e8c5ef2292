"""MLflow's entities, and its JSON, as our values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from prodpointer.records import ModelReply, ModelVersion, Run, utc_from_millis

_PROMPT_TAG = "mlflow.prompt.is_prompt"


def stage_name(stage: str | None) -> str | None:
    """Return a stage, or None for MLflow's text ``"None"``."""
    return None if stage in (None, "", "None") else stage


def model_version(version: Any) -> ModelVersion:
    """Return MLflow's version entity as ours; its number is text over REST and an int on a database."""
    return ModelVersion(
        name=version.name,
        version=int(version.version),
        stage=stage_name(version.current_stage),
        status=version.status,
        source=version.source or "",
        run_id=version.run_id or None,
        created_at=utc_from_millis(version.creation_timestamp),
        updated_at=utc_from_millis(version.last_updated_timestamp),
        tags=dict(version.tags or {}),
    )


def reply(model: Any) -> ModelReply:
    """Return MLflow's registered model entity as ours; before 2.3.0 it has no aliases."""
    aliases = getattr(model, "aliases", None) or {}
    newest = [model_version(version) for version in model.latest_versions or []]
    return ModelReply(
        name=model.name,
        aliases={alias: int(version) for alias, version in aliases.items()},
        newest=_newest(newest),
        tags=dict(model.tags or {}),
        created_at=utc_from_millis(model.creation_timestamp),
        updated_at=utc_from_millis(model.last_updated_timestamp),
    )


def reply_from_json(document: Mapping[str, Any]) -> ModelReply:
    """Return the JSON of ``registered-models/get`` as ours, for clients whose entity drops the aliases."""
    return _reply_from_json(document.get("registered_model", {}))


def replies_from_json(document: Mapping[str, Any]) -> list[ModelReply]:
    """Return the models in the JSON of one page of ``registered-models/search``, prompts left out."""
    models = document.get("registered_models", [])
    return [_reply_from_json(model) for model in models if not _marks_a_prompt(_tags(model))]


def versions_from_json(document: Mapping[str, Any]) -> list[ModelVersion]:
    """Return the versions in the JSON of one page of ``model-versions/search``."""
    return [_version_from_json(version) for version in document.get("model_versions", [])]


def _reply_from_json(model: Mapping[str, Any]) -> ModelReply:
    """Return the JSON of one registered model as ours."""
    newest = [_version_from_json(version) for version in model.get("latest_versions", [])]
    return ModelReply(
        name=str(model.get("name", "")),
        aliases={entry["alias"]: int(entry["version"]) for entry in model.get("aliases", [])},
        newest=_newest(newest),
        tags=_tags(model),
        created_at=_time(model.get("creation_timestamp")),
        updated_at=_time(model.get("last_updated_timestamp")),
    )


def version_from_json(document: Mapping[str, Any]) -> ModelVersion:
    """Return the JSON of ``model-versions/get`` as ours."""
    return _version_from_json(document["model_version"])


def is_prompt(model: Any) -> bool:
    """Tell whether a registered model is one of MLflow's prompts, which share the table."""
    return _marks_a_prompt(model.tags or {})


def run(entity: Any) -> Run:
    """Return MLflow's run entity as ours; before 2.4.0 runs have no datasets."""
    inputs = getattr(entity, "inputs", None)
    datasets = [entry.dataset for entry in (inputs.dataset_inputs if inputs else None) or []]
    tags = entity.data.tags
    return Run(
        run_id=entity.info.run_id,
        experiment_id=str(entity.info.experiment_id),
        artifact_uri=entity.info.artifact_uri,
        git_commit=tags.get("mlflow.source.git.commit"),
        datasets=tuple(f"{dataset.name}:{dataset.digest}" for dataset in datasets),
    )


def _newest(versions: list[ModelVersion]) -> dict[str | None, ModelVersion]:
    """Return the highest-numbered version of each stage."""
    newest: dict[str | None, ModelVersion] = {}
    for version in sorted(versions, key=lambda each: each.version):
        newest[version.stage] = version
    return newest


def _marks_a_prompt(tags: Mapping[str, Any]) -> bool:
    """Tell whether tags are those of a prompt."""
    return str(tags.get(_PROMPT_TAG, "")).lower() == "true"


def _version_from_json(version: Mapping[str, Any]) -> ModelVersion:
    """Return the JSON of one version as ours."""
    return ModelVersion(
        name=version["name"],
        version=int(version["version"]),
        stage=stage_name(version.get("current_stage")),
        status=version.get("status", "READY"),
        source=version.get("source", ""),
        run_id=version.get("run_id") or None,
        created_at=_time(version.get("creation_timestamp")),
        updated_at=_time(version.get("last_updated_timestamp")),
        tags=_tags(version),
    )


def _tags(document: Mapping[str, Any]) -> dict[str, str]:
    """Return REST's list of tags as a mapping."""
    return {tag["key"]: tag.get("value", "") for tag in document.get("tags", [])}


def _time(millis: int | str | None) -> datetime | None:
    """Return a time of REST's, which is a number or its text."""
    return None if millis is None else utc_from_millis(int(millis))

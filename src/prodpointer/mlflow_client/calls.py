"""The calls to a registry: to a server by REST, to a database or a plugin's registry through MLflow's client."""

from __future__ import annotations

import inspect
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from prodpointer.errors import RegistryError
from prodpointer.mlflow_client import converters
from prodpointer.mlflow_client.rest import API, MODELS_API, Rest, pages
from prodpointer.types import ModelReply, ModelVersion

# Versions of one page: about 5 MB of JSON with the record of a few moves each. In this order a version that changes
# meanwhile stays on its page; the search of 2.0.1 has neither pages nor an order.
_PAGING: Mapping[str, Any] = {"max_results": 5_000, "order_by": ["name ASC", "version_number ASC"]}
MODELS_PAGE = 1000
"""The largest page of models that every MLflow takes."""

_VERSIONS_API = f"{API}/model-versions"
_PENDING = "PENDING_REGISTRATION"
_FAILED = "FAILED_REGISTRATION"
_LOOK_AGAIN = 1.0  # seconds between two looks at a version that is being made
_MANAGED_MAKING = 300.0  # seconds that a managed registry may take for it, as in MLflow


class Calls(Protocol):
    """The calls to a registry. They raise MLflow's own errors; reads may be repeated."""

    @abstractmethod
    def model(self, name: str, *, retried: bool = False) -> ModelReply:
        """Return what one reply says of a model; ``retried`` unless a service waits for it."""

    @abstractmethod
    def model_pages(self) -> Iterator[list[ModelReply]]:
        """Yield each page of the models, prompts left out."""

    @abstractmethod
    def version(self, name: str, version: str) -> ModelVersion:
        """Return one version."""

    @abstractmethod
    def version_pages(self, name: str | None, tag: str | None = None) -> Iterator[list[ModelVersion]]:
        """Yield each page of the versions of one model, or of all models; of those with a tag, where one is given."""

    @abstractmethod
    def download_uri(self, name: str, version: str) -> str:
        """Return where the artifact of a version is."""

    @abstractmethod
    def create_model(self, name: str) -> None:
        """Create a model."""

    @abstractmethod
    def delete_model(self, name: str) -> None:
        """Delete a model with its versions."""

    @abstractmethod
    def new_version(self, name: str, source: str, *, tags: Mapping[str, str], **details: Any) -> int:
        """Create a version of a source and return its number; ``details`` are ``run_id`` and ``model_id``."""

    @abstractmethod
    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Set an alias."""

    @abstractmethod
    def delete_alias(self, name: str, alias: str) -> None:
        """Delete an alias, if it is set."""

    @abstractmethod
    def move_to_stage(self, name: str, version: str, stage: str) -> None:
        """Move a version to a stage, and no other version."""

    @abstractmethod
    def tag_version(self, name: str, version: str, key: str, value: str) -> None:
        """Set a tag of a version."""

    @abstractmethod
    def untag_version(self, name: str, version: str, key: str) -> None:
        """Delete a tag of a version, if it is there."""

    @abstractmethod
    def tag_model(self, name: str, key: str, value: str) -> None:
        """Set a tag of a model."""

    @abstractmethod
    def untag_model(self, name: str, key: str) -> None:
        """Delete a tag of a model, if it is there."""

    @abstractmethod
    def plain_alias(self, name: str, alias: str) -> int:
        """Return what plain MLflow loads for ``models:/name@alias``."""

    @abstractmethod
    def plain_stage(self, name: str, stage: str) -> list[int]:
        """Return what plain MLflow loads for ``models:/name/stage``; nothing where the stage is empty."""


class _ServerCalls(Calls):
    """The calls to a server, by REST: from any thread, and several at the same time."""

    def __init__(self, rest: Rest, timeout: float) -> None:
        self._rest = rest
        self._timeout = timeout

    def model(self, name: str, *, retried: bool = False) -> ModelReply:
        ask = self._rest.retried if retried else self._rest.once
        return converters.reply_from_json(ask("GET", f"{MODELS_API}/get", params={"name": name}))

    def model_pages(self) -> Iterator[list[ModelReply]]:
        """Yield each page, asked without the client's filter, which servers up to 2.20.4 answer with nothing."""
        return map(converters.replies_from_json, self._rest.pages(f"{MODELS_API}/search", max_results=MODELS_PAGE))

    def version(self, name: str, version: str) -> ModelVersion:
        asked = {"name": name, "version": version}
        return converters.version_from_json(self._rest.once("GET", f"{_VERSIONS_API}/get", params=asked))

    def version_pages(self, name: str | None, tag: str | None = None) -> Iterator[list[ModelVersion]]:
        patience = None if name is None else 1.0
        asked = {"filter": _filter(name, tag), **_PAGING}
        found = self._rest.pages(f"{_VERSIONS_API}/search", patience=patience, **asked)
        return map(converters.versions_from_json, found)

    def download_uri(self, name: str, version: str) -> str:
        asked = {"name": name, "version": version}
        return converters.download_uri_from_json(
            self._rest.once("GET", f"{_VERSIONS_API}/get-download-uri", params=asked)
        )

    def create_model(self, name: str) -> None:
        self._rest.retried("POST", f"{MODELS_API}/create", json={"name": name})

    def delete_model(self, name: str) -> None:
        self._rest.retried("DELETE", f"{MODELS_API}/delete", json={"name": name})

    def new_version(self, name: str, source: str, *, tags: Mapping[str, str], **details: Any) -> int:
        """Create a version, and wait within the timeout for a server that makes it by and by."""
        made = {"name": name, "source": source, "tags": [{"key": key, "value": tags[key]} for key in tags], **details}
        answer = self._rest.retried("POST", f"{_VERSIONS_API}/create", repeatable=False, json=made)
        return _wait_until_made(self, converters.version_from_json(answer), self._timeout)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        self._rest.retried("POST", f"{MODELS_API}/alias", json={"name": name, "alias": alias, "version": version})

    def delete_alias(self, name: str, alias: str) -> None:
        self._rest.retried("DELETE", f"{MODELS_API}/alias", json={"name": name, "alias": alias})

    def move_to_stage(self, name: str, version: str, stage: str) -> None:
        moved = {"name": name, "version": version, "stage": stage, "archive_existing_versions": False}
        self._rest.retried("POST", f"{_VERSIONS_API}/transition-stage", json=moved)

    def tag_version(self, name: str, version: str, key: str, value: str) -> None:
        tag = {"name": name, "version": version, "key": key, "value": value}
        self._rest.retried("POST", f"{_VERSIONS_API}/set-tag", json=tag)

    def untag_version(self, name: str, version: str, key: str) -> None:
        tag = {"name": name, "version": version, "key": key}
        self._rest.retried("DELETE", f"{_VERSIONS_API}/delete-tag", json=tag)

    def tag_model(self, name: str, key: str, value: str) -> None:
        self._rest.retried("POST", f"{MODELS_API}/set-tag", json={"name": name, "key": key, "value": value})

    def untag_model(self, name: str, key: str) -> None:
        self._rest.retried("DELETE", f"{MODELS_API}/delete-tag", json={"name": name, "key": key})

    def plain_alias(self, name: str, alias: str) -> int:
        asked = {"name": name, "alias": alias}
        return converters.number_from_json(self._rest.retried("GET", f"{MODELS_API}/alias", params=asked))

    def plain_stage(self, name: str, stage: str) -> list[int]:
        asked = {"name": name, "stages": [stage]}
        answer = self._rest.retried("POST", f"{MODELS_API}/get-latest-versions", json=asked)
        return converters.numbers_from_json(answer)


class _ClientCalls(Calls):
    """The calls to a database or a plugin's registry, through MLflow's client.

    Parameters
    ----------
    client
        MLflow's client, in the workspace; each of its calls within the time where it needs one.
    making
        The same for the creation of a version, which a managed registry may copy files for.
    server
        The server behind a plugin that speaks MLflow's REST API, None where there is none: for what this client cannot.
    """

    def __init__(self, client: Any, making: Any, server: Calls | None) -> None:
        self._client = client
        self._making = making
        self._server = server
        has_aliases = hasattr(client, "set_registered_model_alias")
        self._server_of_aliases = None if has_aliases else server

    def model(self, name: str, *, retried: bool = False) -> ModelReply:
        if self._server_of_aliases is not None:
            return self._server_of_aliases.model(name, retried=retried)
        return converters.reply(self._client.get_registered_model(name))

    def model_pages(self) -> Iterator[list[ModelReply]]:
        """Yield each page; a server that answers the client's filter with nothing is asked without it."""
        empty = True

        def ask(token: str | None) -> tuple[Any, Any]:
            page = self._client.search_registered_models(max_results=MODELS_PAGE, page_token=token)
            return page, page.token

        for page in pages(ask):
            empty = empty and not page
            yield [converters.reply(model) for model in page if not converters.is_prompt(model)]
        if empty and self._server is not None:
            yield from self._server.model_pages()

    def version(self, name: str, version: str) -> ModelVersion:
        return converters.model_version(self._client.get_model_version(name, version))

    def version_pages(self, name: str | None, tag: str | None = None) -> Iterator[list[ModelVersion]]:
        """Yield each page; the client of 2.0.1 takes nothing but the filter and answers with everything."""
        search = self._client.search_model_versions
        paging = dict(_PAGING) if "page_token" in inspect.signature(search).parameters else {}

        def ask(token: str | None) -> tuple[Any, Any]:
            page = search(_filter(name, tag), **(paging if token is None else {**paging, "page_token": token}))
            return page, getattr(page, "token", None) if paging else None

        for page in pages(ask):
            yield [converters.model_version(version) for version in page]

    def download_uri(self, name: str, version: str) -> str:
        return converters.text(self._client.get_model_version_download_uri(name, version), "artifact_uri")

    def create_model(self, name: str) -> None:
        self._client.create_registered_model(name)

    def delete_model(self, name: str) -> None:
        self._client.delete_registered_model(name)

    def new_version(self, name: str, source: str, *, tags: Mapping[str, str], **details: Any) -> int:
        # MLflow's own waiting says so on standard error, to people who asked for no such thing.
        made = self._making.create_model_version(name, source, tags=dict(tags), await_creation_for=0, **details)
        return _wait_until_made(self, converters.model_version(made), _MANAGED_MAKING)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        if self._server_of_aliases is not None:
            self._server_of_aliases.set_alias(name, alias, version)
        else:
            self._client.set_registered_model_alias(name, alias, version)

    def delete_alias(self, name: str, alias: str) -> None:
        if self._server_of_aliases is not None:
            self._server_of_aliases.delete_alias(name, alias)
        else:
            self._client.delete_registered_model_alias(name, alias)

    def move_to_stage(self, name: str, version: str, stage: str) -> None:
        """Move a version to a stage.

        MLflow's method warns on every call from 2.9.0 on; what it wraps is called instead, since switching warnings
        off is a change to the whole process that other threads would see.
        """
        from mlflow import MlflowClient

        transition = inspect.unwrap(MlflowClient.transition_model_version_stage)
        self._client.within(transition, name, version, stage)

    def tag_version(self, name: str, version: str, key: str, value: str) -> None:
        self._client.set_model_version_tag(name, version, key, value)

    def untag_version(self, name: str, version: str, key: str) -> None:
        self._client.delete_model_version_tag(name, version, key)

    def tag_model(self, name: str, key: str, value: str) -> None:
        self._client.set_registered_model_tag(name, key, value)

    def untag_model(self, name: str, key: str) -> None:
        self._client.delete_registered_model_tag(name, key)

    def plain_alias(self, name: str, alias: str) -> int:
        if self._server is not None:
            return self._server.plain_alias(name, alias)
        return converters.version_number(self._client.get_model_version_by_alias(name, alias).version)

    def plain_stage(self, name: str, stage: str) -> list[int]:
        """Return what plain MLflow loads for a stage; its method warns on every call from 2.9.0 on."""
        from mlflow import MlflowClient

        if self._server is not None:
            return self._server.plain_stage(name, stage)
        latest = self._client.within(inspect.unwrap(MlflowClient.get_latest_versions), name, [stage])
        return [converters.version_number(version.version) for version in latest]


def make_calls(client: Any, making: Any, rest: Rest | None, *, is_server: bool, timeout: float) -> Calls:
    """Return the calls to a registry.

    Parameters
    ----------
    client, making
        MLflow's client, in the workspace and within the time, for all calls and for the creation of a version.
    rest
        The way to the server, where there is one.
    is_server
        Whether the registry is that server, and not a plugin that speaks its API.
    timeout
        Seconds for each call.
    """
    server = None if rest is None else _ServerCalls(rest, timeout)
    return server if server is not None and is_server else _ClientCalls(client, making, server)


def _wait_until_made(calls: Calls, version: ModelVersion, seconds: float) -> int:
    """Return the number of a version that was created, at the latest after so many seconds; raise where that failed."""
    until = time.monotonic() + seconds
    while version.status == _PENDING and time.monotonic() + _LOOK_AGAIN < until:
        time.sleep(_LOOK_AGAIN)
        version = calls.version(version.name, str(version.version))
    if version.status == _FAILED:
        raise RegistryError(
            f"Version {version.version} is {_FAILED}.", next_step="Look at the version in the registry's own page."
        )
    return version.version


def _filter(name: str | None, tag: str | None) -> str:
    """Return the filter for the versions of one model, or of all, and with a tag."""
    quote = '"' if name and "'" in name else "'"
    wanted = [] if name is None else [f"name={quote}{name}{quote}"]
    wanted += [] if tag is None else [f"tags.`{tag}` LIKE '%'"]
    return " AND ".join(wanted)

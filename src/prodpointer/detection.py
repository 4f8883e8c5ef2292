"""What this client and this registry can do, found out once for each process and registry."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from prodpointer.errors import AccessDenied, RegistryError, RegistryUnavailable, RegistryUnsupported
from prodpointer.mlflow_border.addresses import Place
from prodpointer.mlflow_border.registry import Registry
from prodpointer.mlflow_border.rest import (
    CONTROL_ALIAS_ENDPOINT,
    CONTROL_LOGGED_MODEL_ENDPOINT,
    CONTROL_MODEL_ENDPOINT,
    Rest,
)
from prodpointer.mlflow_border.translation import NO_SUCH_CALL_STEP

ASK_AGAIN_AFTER = 300.0
"""Seconds after which the registry is asked for its version again before a write: servers get upgraded."""

_FIRST_WITH_ALIASES = Version("2.3.0")

_locks: dict[str, threading.Lock] = {}
_answers: dict[str, tuple[float, Capabilities]] = {}


@dataclass(frozen=True)
class Capabilities:
    """What a registry can hold, and how that is known.

    ``version`` is None where a registry does not tell its own. ``is_three`` says whether it belongs to MLflow's world
    of aliases.
    """

    version: Version | None
    is_three: bool
    aliases: bool
    stages: bool
    how: str

    @property
    def shown_version(self) -> str | None:
        """The version as text, or None."""
        return str(self.version) if self.version else None


def client_version() -> Version:
    """Return the version of the installed MLflow."""
    from prodpointer.mlflow_border.installed import installed_version

    return Version(installed_version())


def lists_nothing(found: Capabilities) -> bool:
    """Tell whether this client may get an empty list of models from such a server, whatever it holds.

    Measured: clients from 2.21 on add a filter that servers up to 2.20.4 answer with nothing, in silence. Without a
    version to go by, any server of MLflow 2 may be one of those.
    """
    old = found.version <= Version("2.20.4") if found.version else not found.is_three
    return old and client_version() >= Version("2.21")


def capabilities(registry: Registry, *, max_age: float | None = None) -> Capabilities:
    """Return what the registry can do, from this process's memory where it has been asked before.

    Parameters
    ----------
    registry
        The registry.
    max_age
        Seconds after which an answer is too old, None for never; after a failed connection every answer is.

    Raises
    ------
    RegistryUnavailable, AccessDenied, RegistryUnsupported
        A question was not answered by a model registry; a failed probe never looks like an old server.
    """
    key = registry.addresses.registry_uri
    with _locks.setdefault(key, threading.Lock()):  # one for each registry, so that a dead one holds up nobody else
        known = _answers.get(key)
        if known and not registry.connection_failed and (max_age is None or time.monotonic() - known[0] < max_age):
            return known[1]
        found = _ask(registry)
        _answers[key] = (time.monotonic(), found)
        registry.connection_restored()
        return found


def forget() -> None:
    """Forget every answer, so that the next question asks the registry again."""
    _answers.clear()


def _ask(registry: Registry) -> Capabilities:
    """Find out what a registry is, by the kind of place it is."""
    ours = client_version()
    if registry.rest is not None:
        return _ask_server(registry, registry.rest)
    if registry.place is Place.UNITY_CATALOG:
        return Capabilities(None, True, registry.client_has_aliases, False, "Unity Catalog has aliases and no stages")
    if registry.place is Place.WORKSPACE:
        return Capabilities(None, False, False, True, "the Databricks workspace registry has stages and no aliases")
    if registry.place is Place.PLUGIN:
        how = f"the registry is a plugin's, so the client's version {ours} decides"
    else:
        how = f"the database is opened directly, so the client's version {ours} decides"
    return Capabilities(ours, ours.major >= 3, registry.client_has_aliases, True, how)


def _ask_server(registry: Registry, rest: Rest) -> Capabilities:
    """Ask a server for its version; where it has no such answer, make sure it is a registry before calling it old."""
    status, text = _get(registry, rest, "/version")
    if status in (401, 403):
        raise AccessDenied(
            f"The registry refuses to tell its version: HTTP {status}.",
            where=registry.addresses.shown,
            next_step="Check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or the token.",
        )
    version = _version(text) if status == 200 else None
    if version is None:
        return _probe(registry, rest)
    how = f"the server says it is MLflow {version}"
    return Capabilities(version, version.major >= 3, version >= _FIRST_WITH_ALIASES, True, how)


def _probe(registry: Registry, rest: Rest) -> Capabilities:
    """Learn what a registry without a version endpoint can do: 2.0.x, a managed one, or one behind a proxy."""
    status, text = _get(registry, rest, CONTROL_MODEL_ENDPOINT)
    if status in (401, 403):
        raise AccessDenied(
            f"The registry refuses access: HTTP {status}.",
            where=registry.addresses.shown,
            next_step="Check the rights.",
        )
    if _code(text) != "RESOURCE_DOES_NOT_EXIST":
        raise RegistryUnsupported(
            f"What answers is not a model registry: HTTP {status} to a question that every registry knows.",
            where=registry.addresses.shown,
            next_step=NO_SUCH_CALL_STEP,
        )
    # An unknown alias is INVALID_PARAMETER_VALUE up to 3.9 and RESOURCE_DOES_NOT_EXIST from 3.10 on; no aliases: HTML.
    has = _code(_get(registry, rest, CONTROL_ALIAS_ENDPOINT)[1])
    aliases = has in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
    logged = _code(_get(registry, rest, CONTROL_LOGGED_MODEL_ENDPOINT)[1]) if aliases else ""
    is_three = logged not in ("", "ENDPOINT_NOT_FOUND")
    world = f"{'has' if aliases else 'lacks'} aliases and answers like MLflow {3 if is_three else 2}"
    how = f"the server does not tell its version; it {world}"
    return Capabilities(None, is_three, aliases, True, how)


def _get(registry: Registry, rest: Rest, endpoint: str) -> tuple[int, str]:
    """Ask one question of a server."""
    doing = "ask the registry what it is"
    with registry.asking(doing):
        status, text = rest.answer(endpoint)
        if status in (429, 502, 503, 504):
            raise RegistryUnavailable(
                f"Could not {doing}: HTTP {status}, nobody is behind that gateway or it is too busy.",
                where=registry.addresses.shown,
                next_step="Check that the server is running, then try again.",
            )
    if status >= 500:
        failure = RegistryError(f"Could not {doing}: HTTP {status}.", where=registry.addresses.shown)
        failure.code = "INTERNAL_ERROR"
        raise failure
    return status, text


def _version(text: str) -> Version | None:
    """Return the version in an answer, or None: other servers answer /version too, with a page or a JSON text."""
    try:
        return Version(text.strip()) if len(text) < 64 else None
    except InvalidVersion:
        return None


def _code(text: str) -> str:
    """Return the error code of a JSON answer, or the empty string."""
    try:
        document = json.loads(text)
    except ValueError:
        return ""
    return str(document.get("error_code", "")) if isinstance(document, dict) else ""

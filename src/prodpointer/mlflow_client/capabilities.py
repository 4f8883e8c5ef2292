"""What this client and this registry can do, found out once for each process and registry."""

from __future__ import annotations

import copy
import json
import os
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from packaging.version import InvalidVersion, Version

from prodpointer.errors import AccessDenied, InvalidName, ProdpointerError, RegistryError, RegistryUnsupported
from prodpointer.mlflow_client.exceptions import denied_step
from prodpointer.mlflow_client.installed import client_version, keeps_workspaces
from prodpointer.mlflow_client.registry import Registry
from prodpointer.mlflow_client.rest import (
    BUSY_STATUSES,
    CONTROL_ALIAS_ENDPOINT,
    CONTROL_LOGGED_MODEL_ENDPOINT,
    CONTROL_MODEL_ENDPOINT,
    NO_ENDPOINT,
    Rest,
    unavailable,
)
from prodpointer.mlflow_client.uris import Place, root_of
from prodpointer.mlflow_client.workspaces import (
    SERVER_INFO_ENDPOINT,
    WORKSPACE_STEP,
    WORKSPACE_VARIABLE,
    no_workspace,
    says_no_workspace,
)

_ASK_AGAIN_AFTER = 300.0  # seconds: servers get upgraded under running services
_ASK_FOR_WORKSPACE_AFTER = 30.0  # a server from before workspaces ignores their header, and no answer of it says so

_FIRST_WITH_ALIASES = Version("2.3.0")
# Measured: the client of 2.3.0 drops the aliases of Unity Catalog's replies, that of 2.9.2 keeps them.
_FIRST_FOR_UNITY_CATALOG = Version("2.9")
_LOGIN_STEP = "Check the URL. If a login page answers, set MLFLOW_TRACKING_TOKEN or use the address behind the login."

_answers: dict[str, tuple[float, Capabilities]] = {}
_asking: dict[tuple[str, float], Future[Capabilities]] = {}


@dataclass(frozen=True)
class Capabilities:
    """What a registry can hold, and how that is known.

    ``version`` is None where a registry does not report its own. ``is_three`` says whether it belongs to MLflow's world
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


def lists_nothing(found: Capabilities) -> bool:
    """Tell whether this client may get an empty list of models from such a server, whatever it holds.

    Measured: clients from 2.21 on add a filter that servers up to 2.20.4 answer with nothing, in silence. Without a
    version to go by, any server of MLflow 2 may be one of those.
    """
    old = found.version <= Version("2.20.4") if found.version else not found.is_three
    return old and client_version() >= Version("2.21")


def probe_capabilities(registry: Registry, *, max_age: float | None = None) -> Capabilities:
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
    known = _answers.get(registry.addresses.identity)
    if known and not registry.connection_failed and (max_age is None or time.monotonic() - known[0] < max_age):
        return known[1]
    # Threads that ask the same share one answer or one failure; those that have less time wait for no one.
    key = registry.addresses.identity, registry.timeout
    mine: Future[Capabilities] = Future()
    if (asked := _asking.setdefault(key, mine)) is not mine:
        return _share(asked) or probe_capabilities(registry, max_age=max_age)
    try:
        found = _probe(registry)
        _answers[registry.addresses.identity] = (time.monotonic(), found)
        registry.connection_restored()
        mine.set_result(found)
    except BaseException as error:
        mine.set_exception(error)
        raise
    finally:
        _asking.pop(key, None)
    return found


def _share(asked: Future[Capabilities]) -> Capabilities | None:
    """Return the answer that another thread waits for, raise its failure, or return None where it was interrupted."""
    error = asked.exception()
    if error is None:
        return asked.result()
    if not isinstance(error, ProdpointerError):
        return None
    raise copy.copy(error) from error.__cause__  # a copy, since an exception belongs to the thread that raises it


def ask_again_after(registry: Registry) -> float:
    """Return the seconds after which a registry is asked again what it is."""
    return _ASK_AGAIN_AFTER if registry.addresses.workspace is None else _ASK_FOR_WORKSPACE_AFTER


def forget() -> None:
    """Forget every answer, so that the next question asks the registry again."""
    _answers.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, where no process is forked
    # The threads that were asking are not in the child, which would wait for their answers for ever.
    os.register_at_fork(after_in_child=_asking.clear)


def _probe(registry: Registry) -> Capabilities:
    """Find out what a registry is, by the kind of place it is, and that its workspace exists."""
    if registry.rest is not None:
        return _Server(registry, registry.rest).capabilities()
    _check_database_workspace(registry)
    if registry.place in (Place.WORKSPACE, Place.UNITY_CATALOG, Place.OPEN_UNITY_CATALOG):
        return _of_catalog(registry)
    ours, has_aliases, has_stages = client_version(), registry.client_has_aliases, True
    how = f"the database is opened directly, so the client's version {ours} decides"
    if registry.place is Place.PLUGIN:
        has_aliases = has_aliases and registry.store_has("set_registered_model_alias")
        has_stages = registry.store_has("transition_model_version_stage")
        how = f"the registry is a plugin's, so what it defines and the client's version {ours} decide"
    return Capabilities(ours, ours.major >= 3, has_aliases, has_stages, how)


def _check_database_workspace(registry: Registry) -> None:
    """Raise where a workspace is named and there is none, or where it has to be named.

    A database has workspaces where ``MLFLOW_ENABLE_WORKSPACES`` says so to a client from 3.10 on. That client answers
    with nothing for one that does not exist (3.17.2, measured).
    """
    workspace = registry.addresses.workspace
    enabled = registry.place is Place.DATABASE and keeps_workspaces()
    if not enabled and workspace is not None:
        raise _no_workspaces(registry)
    if enabled and workspace is None:
        raise RegistryUnsupported(
            "The database has workspaces (MLFLOW_ENABLE_WORKSPACES is set), and none is named.",
            where=registry.addresses.shown,
            next_step=WORKSPACE_STEP,
        )
    if enabled:
        registry.check_workspace()


def _no_workspaces(registry: Registry) -> RegistryUnsupported:
    return RegistryUnsupported(
        f"The registry has no workspaces, and {registry.addresses.workspace!r} is named.",
        where=registry.addresses.shown,
        next_step=f"Name none (unset {WORKSPACE_VARIABLE}), or use a server of MLflow 3.10 or later that runs with "
        "--enable-workspaces.",
    )


def _of_catalog(registry: Registry) -> Capabilities:
    """Return what MLflow's client can do with the registries that it has a client of their own for.

    None is asked, not even for credentials: Databricks' library may try for minutes to reach a host (3.17.2).
    """
    ours = client_version()
    if registry.place is Place.OPEN_UNITY_CATALOG:
        raise RegistryUnsupported(
            "MLflow's client for the open-source Unity Catalog has neither aliases nor stages nor tags (up to 3.17.2).",
            where=registry.addresses.shown,
            next_step="Use an MLflow server, or Unity Catalog on Databricks (databricks-uc).",
        )
    if registry.place is Place.WORKSPACE:
        return Capabilities(None, False, False, True, "the Databricks workspace registry has stages and no aliases")
    if ours < _FIRST_FOR_UNITY_CATALOG:
        raise RegistryUnsupported(
            f"MLflow {ours} cannot read the aliases of Unity Catalog, which has no other pointer.",
            where=registry.addresses.shown,
            next_step="Use a client of MLflow 2.9 or later.",
        )
    return Capabilities(None, True, True, False, "Unity Catalog has aliases and no stages")


@dataclass(frozen=True)
class _Server:
    """A registry that speaks REST, asked what it is."""

    registry: Registry
    rest: Rest

    def capabilities(self) -> Capabilities:
        """Return what the server can do, once its workspace is known to exist."""
        may_have_workspaces = self._check_workspace()
        found = self._by_version()
        if not may_have_workspaces:
            raise _no_workspaces(self.registry)
        return found

    @property
    def _where(self) -> str:
        return self.registry.addresses.shown

    def _check_workspace(self) -> bool:
        """Return False for a server too old to say, if it is a registry; raise where the named workspace is missing.

        A refusal is left to the verbs: a user who may read one model alone is refused all else (basic-auth of 3.17.2,
        measured).
        """
        workspace = self.registry.addresses.workspace
        if workspace is None:
            return True
        status, text = self._get(SERVER_INFO_ENDPOINT)
        if status != 200:
            return False
        if _document(text).get("workspaces_enabled") is not True:  # it answers all else with 500 (3.17.2, measured)
            raise _no_workspaces(self.registry)
        text = self._get(CONTROL_MODEL_ENDPOINT)[1]
        message = str(_document(text).get("message", ""))
        if says_no_workspace(message):
            raise no_workspace(self._where)
        if _code(text) == "INVALID_PARAMETER_VALUE":
            raise InvalidName(
                f"Invalid workspace {workspace!r}: {message}", where=self._where, next_step=WORKSPACE_STEP
            )
        return True

    def _by_version(self) -> Capabilities:
        """Ask for the version; without one, make sure that this is a registry before calling it old."""
        status, text = self._get("/version")
        version = _version(text) if status == 200 else None
        if version is None:
            refused = status in (401, 403)
            said = f"refuses to report its version (HTTP {status})" if refused else "does not report its version"
            return self._by_answers(f"the server {said}")
        how = f"the server says it is MLflow {version}"
        return Capabilities(version, version.major >= 3, version >= _FIRST_WITH_ALIASES, True, how)

    def _by_answers(self, silence: str) -> Capabilities:
        """Learn what a registry without a version endpoint can do: 2.0.x, a managed one, or one behind a proxy.

        Each answer is compared with what such a server says to a call that no registry has, so that a server with one
        answer for everything is neither old nor new.
        """
        status, text = self._allowed(CONTROL_MODEL_ENDPOINT)
        if _code(text) != "RESOURCE_DOES_NOT_EXIST":
            raise self._no_registry(status, text)
        nonsense = _code(self._get(NO_ENDPOINT)[1])
        if nonsense == "RESOURCE_DOES_NOT_EXIST":
            raise self._no_registry(status, text)
        # An unknown alias is INVALID_PARAMETER_VALUE up to 3.9, RESOURCE_DOES_NOT_EXIST from 3.10 on; no aliases: HTML.
        status, text = self._allowed(CONTROL_ALIAS_ENDPOINT)
        aliases = _code(text) in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
        if not aliases and status < 400:  # a registry without that call says so
            raise self._no_registry(status, text)
        logged = _code(self._allowed(CONTROL_LOGGED_MODEL_ENDPOINT)[1]) if aliases else ""
        is_three = logged not in ("", "ENDPOINT_NOT_FOUND", nonsense)
        how = f"{silence}; it {'has' if aliases else 'lacks'} aliases and answers like MLflow {3 if is_three else 2}"
        return Capabilities(None, is_three, aliases, True, how)

    def _allowed(self, endpoint: str) -> tuple[int, str]:
        """Ask one question, and raise ``AccessDenied`` for a refusal, which says nothing about what there is."""
        status, text = self._get(endpoint)
        if status in (401, 403):
            raise AccessDenied(
                f"The registry refuses access: HTTP {status}.", where=self._where, next_step=denied_step(text)
            )
        return status, text

    def _no_registry(self, status: int, text: str) -> RegistryUnsupported:
        """Return the error for a server that is not a model registry, with the address to try where there is one."""
        page = status < 400 and _code(text) == ""
        return RegistryUnsupported(
            f"The server is not a model registry: HTTP {status} to a request that every registry answers.",
            where=self._where,
            next_step=_LOGIN_STEP if page else self._other_address(),
        )

    def _other_address(self) -> str:
        """Return where else the API may be: MLflow 3.7 moved it from the root to below ``--static-prefix``.

        Measured: 2.22.5 with a prefix answers at the root alone, 3.17.2 below the prefix alone, and neither names the
        prefix to a client that asks at the root. So only the way up can be tried.
        """
        uri = self.registry.addresses.registry_uri
        root = root_of(uri) if self.registry.place is Place.SERVER else None
        moved = "MLflow 3.7 moved the API of a server with --static-prefix under that prefix"
        if root is None:
            return f"Check the URL. {moved}: after an upgrade try {uri.rstrip('/')}/PREFIX."
        if self._answers_at_root():
            return f"There is a registry at {root}: use that address. Before MLflow 3.7 a --static-prefix has no API."
        return f"Check the URL: there is none at {root} either. {moved}."

    def _answers_at_root(self) -> bool:
        """Tell whether a registry answers at the address without its path; only for a hint, so no failure counts."""
        try:
            return _code(self._get(CONTROL_MODEL_ENDPOINT, at_root=True)[1]) == "RESOURCE_DOES_NOT_EXIST"
        except ProdpointerError:
            return False

    def _get(self, endpoint: str, *, at_root: bool = False) -> tuple[int, str]:
        """Ask one question."""
        doing = "probe the registry"
        with self.registry.translate(doing):
            status, text = self.rest.answer(endpoint, at_root=at_root)
            if status in BUSY_STATUSES:
                raise unavailable(doing, status, self._where)
        if status >= 500:
            failure = RegistryError(
                f"Could not {doing}: HTTP {status}.",
                where=self._where,
                next_step="Look into the server's log, then try again.",
            )
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
    return str(_document(text).get("error_code", ""))


def _document(text: str) -> dict[str, Any]:
    """Return the object in a JSON answer; an empty one for anything else."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}

"""The workspace of an MLflow server that a registry belongs to, sent with each request from every client.

A server from 3.10 on that runs with ``--enable-workspaces`` keeps one registry for each workspace and reads its name
from a header. MLflow's client sends the one that is active in the process at that moment (3.10.0 to 3.17.2), and
clients before 3.10 send none. Here the header comes from a request header provider, MLflow's own way for plugins (2.0.1
to 3.17.2), which names the workspace that the handle was bound to.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from typing import Any, TypeVar

from prodpointer.errors import InvalidName, WorkspaceNotFound
from prodpointer.mlflow_client.call_log import log_call

T = TypeVar("T")

HEADER = "X-MLFLOW-WORKSPACE"
WORKSPACE_VARIABLE = "MLFLOW_WORKSPACE"
SERVER_INFO_ENDPOINT = "/api/3.0/mlflow/server-info"
"""Says whether a server has workspaces; public, and the same whichever workspace is named (3.10.0, 3.17.2 measured)."""

# What a server says to any call with a workspace that does not exist (3.10.0, 3.17.2 measured).
_NO_WORKSPACE = re.compile(r"(RESOURCE_DOES_NOT_EXIST: )?Workspace '[^']*' not found\.?")
WORKSPACE_STEP = f"Name an existing workspace: workspace=, --workspace or {WORKSPACE_VARIABLE}."
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")  # of MLflow's own (3.10.0, 3.17.2)

_bound: ContextVar[tuple[str | None] | None] = ContextVar("prodpointer_workspace", default=None)


def active_workspace(chosen: object) -> str | None:
    """Return the workspace that was chosen, else the one that is active in MLflow now, else None.

    Parameters
    ----------
    chosen
        The caller's, or None.

    Raises
    ------
    InvalidName
        MLflow has no workspaces of such names.
    """
    source = "workspace="
    if chosen is None:
        source, chosen = WORKSPACE_VARIABLE, _active() or ""
    name = chosen.strip() if isinstance(chosen, str) else None
    if name == "":
        return None
    if name is None or not _NAME.fullmatch(name):
        raise InvalidName(
            f"Invalid workspace {str(chosen)[:80]!r}.",
            where=source,
            next_step="Use lower-case letters, digits and '-' inside.",
        )
    return name


def _active() -> str | None:
    """Return MLflow's active workspace; clients before 3.10 know none, and the variable counts for them too."""
    try:
        from mlflow.utils.workspace_context import get_request_workspace
    except ImportError:
        return os.environ.get(WORKSPACE_VARIABLE)
    found: str | None = get_request_workspace()
    return found


def says_no_workspace(text: str) -> bool:
    """Tell whether a server's error is about the workspace and not about what was asked for."""
    return _NO_WORKSPACE.fullmatch(text.strip()) is not None


def no_workspace(where: str) -> WorkspaceNotFound:
    """Return the error for a workspace that does not exist; ``where`` names it."""
    return WorkspaceNotFound("The workspace does not exist.", where=where, next_step=WORKSPACE_STEP)


@contextmanager
def bind_workspace(workspace: str | None) -> Iterator[None]:
    """Send this workspace with each request of MLflow's client until the block ends; with None, send no workspace.

    For the current thread and context alone. MLflow's own setters change the environment of the whole process.
    """
    _register_provider()
    token = _bound.set((workspace,))
    try:
        with ExitStack() as stack:
            if workspace is not None and (context := _mlflow_context()) is not None:
                stack.enter_context(context(workspace))
            yield
    finally:
        _bound.reset(token)


def call_in(workspace: str | None, work: Callable[[], T]) -> T:
    """Return what ``work`` returns, called with the workspace bound."""
    with bind_workspace(workspace):
        return work()


class InWorkspace:
    """Something of MLflow's whose methods are called with a workspace bound.

    Parameters
    ----------
    inner
        What has the methods.
    workspace
        The workspace.
    """

    def __init__(self, inner: Any, workspace: str | None) -> None:
        self._inner = inner
        self._workspace = workspace

    def __getattr__(self, name: str) -> Any:
        """Return an attribute; a method is called in the workspace."""
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        @wraps(found)
        def called(*args: Any, **options: Any) -> Any:
            return self._logged(name, lambda: found(*args, **options))

        return called

    def within(self, method: Callable[..., T], *args: Any) -> T:
        """Call a method of the inner's class in the same way."""
        return self._logged(method.__name__, lambda: method(self._inner, *args))

    def _logged(self, name: str, work: Callable[[], T]) -> T:
        """Return what a call returns, and log its time."""
        began = time.monotonic()
        outcome: object = "done"
        try:
            return self._call(work)
        except BaseException as error:
            outcome = error
            raise
        finally:
            log_call(name, outcome, began)

    def _call(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns, called in the workspace."""
        return call_in(self._workspace, work)


def _mlflow_context() -> Any:
    """Return what sets MLflow's own workspace in the current context alone, or None before 3.10."""
    try:
        from mlflow.utils.workspace_context import ServerWorkspaceContext
    except ImportError:
        return None
    return ServerWorkspaceContext


class _Provider:
    """What MLflow asks for headers of its requests: see ``mlflow.tracking.request_header``."""

    def in_context(self) -> bool:
        """Tell whether a request belongs to a handle of ours; others are left as they are."""
        return _bound.get() is not None

    def request_headers(self) -> dict[str, str | None]:
        """Return the header; None keeps ``requests`` from sending one, also where MLflow would add its own."""
        bound = _bound.get()
        return {} if bound is None else {HEADER: bound[0]}


@cache
def _register_provider() -> None:
    """Make MLflow ask for the header, once in each process."""
    from mlflow.tracking.request_header import registry

    registry._request_header_provider_registry.register(_Provider)  # noqa: SLF001  # its one name in 2.0.1 to 3.17.2

"""Completion of model names and versions in a shell: what the registry says within seconds, else nothing."""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from prodpointer.cli.options import Settings

_SECONDS = 4.0  # for all of it, MLflow's import included
_TIMEOUT = 2.0  # for each request


def complete_name(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the registered models whose names begin with a text."""
    return _in_time(lambda: [CompletionItem(each) for each in _settings(ctx).names() if each.startswith(incomplete)])


def complete_version(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the versions of the model named before, the newest first, each with what points to it."""
    name = ctx.params.get("name")
    if not name:
        return []

    def find() -> list[CompletionItem]:
        versions = _settings(ctx).model(name).versions(metrics=False)
        return [
            CompletionItem(str(each.version), help=" ".join(each.pointers) or each.status)
            for each in reversed(versions)
            if str(each.version).startswith(incomplete)
        ]

    return _in_time(find)


def _settings(ctx: click.Context) -> Settings:
    """Return the settings of the line so far, with a short timeout."""
    keys = {"tracking_uri", "registry_uri", "workspace", "pointer", "alias", "profile"}
    before, own = (
        Settings(**{key: each.params[key] for key in keys & each.params.keys()}) for each in (ctx.find_root(), ctx)
    )
    return replace(before.overridden_by(own).with_profile(), timeout=_TIMEOUT)


def _in_time(find: Callable[[], list[CompletionItem]]) -> list[CompletionItem]:
    """Return what is found within a few seconds, else nothing; nothing of it reaches the user's shell but the result.

    What it is may be wrong in any way: a registry that is down, a profile with a typo, an MLflow that does not import.
    """
    found: list[CompletionItem] = []

    def run() -> None:
        with contextlib.suppress(BaseException):
            found.extend(find())

    with _silent():
        worker = threading.Thread(target=run, daemon=True)
        worker.start()
        worker.join(_SECONDS)
    return list(found)


@contextlib.contextmanager
def _silent() -> Any:
    """Send what is printed on standard error nowhere: libraries warn and log as they are imported."""
    with contextlib.ExitStack() as stack:
        nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
        stack.enter_context(contextlib.redirect_stderr(nowhere))
        stack.enter_context(contextlib.redirect_stdout(nowhere))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield

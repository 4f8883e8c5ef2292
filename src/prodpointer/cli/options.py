"""The options that every command shares, and their values."""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import click

from prodpointer.cli.group import SharedOption
from prodpointer.cli.profiles import PROFILE_VARIABLE, load_profile, profile_names
from prodpointer.connection import connect, registered_model_names, registered_model_statuses
from prodpointer.errors import InvalidName, ModelNotFound, without_credentials
from prodpointer.promotion.statuses import Statuses
from prodpointer.registered_model import RegisteredModel
from prodpointer.types import POINTERS

_PATTERN = re.compile(r"[*?\[]")
DEFAULT_TIMEOUT = 10.0
"""Seconds for each request."""

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Settings:
    """The options that every command shares; None and False mean "not given"."""

    tracking_uri: str | None = None
    registry_uri: str | None = None
    workspace: str | None = None
    pointer: str | None = None
    alias: str | None = None
    timeout: float | None = None
    as_json: bool = False
    profile: str | None = None

    def overridden_by(self, other: Settings) -> Settings:
        """Return these settings, overridden by those given in ``other``: options work before and after a command."""
        given = {key: value for key, value in vars(other).items() if _is_set(key, value)}
        return replace(self, **given)

    def with_profile(self) -> Settings:
        """Return these settings, completed by those of the profile that is named here or in the environment."""
        name = self.profile or os.environ.get(PROFILE_VARIABLE)
        return Settings(**load_profile(name)).overridden_by(self) if name else self

    @property
    def shown(self) -> str:
        """The options that select the registry and the pointer, each after a blank, for a command to copy."""
        names = ("profile", "tracking_uri", "registry_uri", "workspace", "pointer", "alias")
        given = {name: getattr(self, name) for name in names}
        return "".join(
            f" --{name.replace('_', '-')} {shlex.quote(without_credentials(value))}"
            for name, value in given.items()
            if _is_set(name, value)
        )

    @property
    def _registry(self) -> dict[str, Any]:
        """The arguments of the API that select the registry."""
        return {
            "tracking_uri": self.tracking_uri,
            "registry_uri": self.registry_uri,
            "workspace": self.workspace,
            "timeout": self.timeout or DEFAULT_TIMEOUT,
        }

    @property
    def _pointer(self) -> dict[str, Any]:
        """The arguments of the API that select the registry and the pointer."""
        return {**self._registry, "pointer": self.pointer or "auto", "alias": self.alias or "production"}

    def model(self, name: str, *, create_database: bool | None = False) -> RegisteredModel:
        """Connect to one registered model; unless allowed, a missing SQLite file is not created."""
        return connect(name, **self._pointer, create_database=create_database)

    def names(self) -> list[str]:
        """Return the names of every registered model."""
        return registered_model_names(**self._registry)

    def statuses(self, names: Container[str] | None) -> Statuses:
        """Return the status of every registered model, or of those named, or the errors of models."""
        return registered_model_statuses(**self._pointer, names=names)

    def matching(self, patterns: Sequence[str]) -> list[str]:
        """Return the models that names and patterns such as ``churn-*`` stand for, each once; all without any.

        Raises
        ------
        ModelNotFound
            No model matches a pattern.
        """
        if not patterns:
            return self.names()
        if not any(map(is_pattern, patterns)):
            return list(dict.fromkeys(patterns))
        every = self.names()
        found: list[str] = []
        for pattern in patterns:
            is_name = pattern in every or not is_pattern(pattern)
            matching = [pattern] if is_name else fnmatch.filter(every, pattern)
            if not matching:
                raise ModelNotFound(
                    f"No registered model matches {pattern!r}.", next_step="`prodpointer status` lists the models."
                )
            found += matching
        return list(dict.fromkeys(found))


def _is_set(name: str, value: object) -> bool:
    """Tell whether an option has a value: the empty text is one of the workspace alone, where it means none."""
    return bool(value) or (name == "workspace" and value == "")


def is_pattern(name: str) -> bool:
    """Tell whether a name may stand for several models."""
    return _PATTERN.search(name) is not None


def _complete_profile(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the profiles whose names begin with a text; none where the file cannot be read."""
    with suppress(InvalidName):
        return [name for name in profile_names() if name.startswith(incomplete)]
    return []


JSON = click.option(
    "--json", "as_json", cls=SharedOption, is_flag=True, help="Print one JSON document instead of a table."
)
TIMEOUT = click.option(
    "--timeout",
    cls=SharedOption,
    type=click.FloatRange(0, min_open=True),
    help="Seconds for each request (default: 10).",
)
REGISTRY_URI = click.option(
    "--registry-uri",
    cls=SharedOption,
    help="The model registry, if not the tracking server (default: MLFLOW_REGISTRY_URI).",
)
WORKSPACE = click.option(
    "--workspace",
    cls=SharedOption,
    help="The workspace, on a server with workspaces (default: MLflow's active workspace).",
)
TRACKING_URI = click.option(
    "--tracking-uri", cls=SharedOption, help="The MLflow server or database (default: MLFLOW_TRACKING_URI)."
)


PROFILE = click.option(
    "--profile",
    cls=SharedOption,
    shell_complete=_complete_profile,
    help="The profile of the configuration file to take these options from (default: PRODPOINTER_PROFILE).",
)


def shared_options(command: Command) -> Command:
    """Add the options that every command shares."""
    for option in (
        JSON,
        TIMEOUT,
        click.option("--alias", cls=SharedOption, help="Name of the pointer (default: production)."),
        click.option(
            "--pointer", cls=SharedOption, type=click.Choice(POINTERS), help="The pointer to use (default: auto)."
        ),
        WORKSPACE,
        REGISTRY_URI,
        TRACKING_URI,
        PROFILE,
    ):
        command = option(command)
    return command


BY = click.option("--by", help="Who acts, for the record (default: the CI job and who started it, else the user).")
REASON = click.option("--reason", default="", help="The reason, recorded in the history.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Read and check everything, show the result, and write nothing.")
YES = click.option("--yes", "-y", is_flag=True, help="Do not ask on a terminal.")


def move_options(command: Command) -> Command:
    """Add the options of what moves a pointer: who, why, and whether at all."""
    for option in (DRY_RUN, BY, REASON):
        command = option(command)
    return command


def settings_of(ctx: click.Context, options: dict[str, Any]) -> Settings:
    """Return the settings of a command: its own options, then those of the group, then those of the profile."""
    return _given(ctx).overridden_by(Settings(**options)).with_profile()


def keep_settings(ctx: click.Context, options: dict[str, Any]) -> None:
    """Keep the options of the group for its commands."""
    ctx.obj = Settings(**options)


def _given(ctx: click.Context) -> Settings:
    """Return the options that were given before the command."""
    return ctx.obj if isinstance(ctx.obj, Settings) else Settings()


def is_given(ctx: click.Context, *names: str) -> bool:
    """Tell whether one of these options was given before the command, and not by a profile alone."""
    return any(getattr(_given(ctx), name) for name in names)

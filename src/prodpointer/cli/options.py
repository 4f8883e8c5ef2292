"""The options that every command shares, and their values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import click

from prodpointer.cli.group import SharedOption
from prodpointer.connection import connect, registered_model_names
from prodpointer.registered_model import RegisteredModel
from prodpointer.types import POINTERS

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

    def overridden_by(self, other: Settings) -> Settings:
        """Return these settings, overridden by those given in ``other``: options work before and after a command."""
        given = {key: value for key, value in vars(other).items() if value}
        return replace(self, **given)

    def model(self, name: str, *, create_database: bool | None = False) -> RegisteredModel:
        """Connect to one registered model; unless allowed, a missing SQLite file is not created."""
        pointer: Any = self.pointer or "auto"
        return connect(
            name,
            tracking_uri=self.tracking_uri,
            registry_uri=self.registry_uri,
            workspace=self.workspace,
            pointer=pointer,
            alias=self.alias or "production",
            timeout=self.timeout or DEFAULT_TIMEOUT,
            create_database=create_database,
        )

    def names(self) -> list[str]:
        """Return the names of every registered model."""
        timeout = self.timeout or DEFAULT_TIMEOUT
        return registered_model_names(
            tracking_uri=self.tracking_uri,
            registry_uri=self.registry_uri,
            workspace=self.workspace,
            timeout=timeout,
        )


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
    ):
        command = option(command)
    return command


def settings_of(ctx: click.Context, options: dict[str, Any]) -> Settings:
    """Return the settings of a command: its own options, then those of the group."""
    above = ctx.obj if isinstance(ctx.obj, Settings) else Settings()
    return above.overridden_by(Settings(**options))

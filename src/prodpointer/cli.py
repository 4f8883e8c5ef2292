"""The command line: one thin layer over the API.

Results go to standard output, as tables for people or as one JSON document with ``--json``; progress and errors go to
standard error. MLflow is imported by the commands that need it, never by ``--help`` or ``--version``.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from prodpointer.connecting import connect, registered_model_names
from prodpointer.demo import MODEL, demonstrate, registry_uri
from prodpointer.errors import ProdpointerError, without_credentials
from prodpointer.records import POINTERS, PointerStatus, Promotion
from prodpointer.registered_model import NOT_GIVEN, RegisteredModel

DISAGREE = 4
"""The exit code that says: pointers disagree."""

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Settings:
    """The options that every command shares; None and False mean "not given"."""

    tracking_uri: str | None = None
    registry_uri: str | None = None
    pointer: str | None = None
    alias: str | None = None
    as_json: bool = False

    def overridden_by(self, other: Settings) -> Settings:
        """Return these settings with those of ``other`` that were given: options count before and after a command."""
        given = {key: value for key, value in vars(other).items() if value}
        return replace(self, **given)

    def model(self, name: str, *, create_database: bool | None = False) -> RegisteredModel:
        """Connect to one registered model; a mistyped SQLite file is not made by looking at it."""
        pointer: Any = self.pointer or "auto"
        return connect(
            name,
            tracking_uri=self.tracking_uri,
            registry_uri=self.registry_uri,
            pointer=pointer,
            alias=self.alias or "production",
            create_database=create_database,
        )

    def names(self) -> list[str]:
        """Return the names of every registered model."""
        return registered_model_names(tracking_uri=self.tracking_uri, registry_uri=self.registry_uri)


class _Commands(click.Group):
    """A group that ends with the contract's exit codes and shows errors and warnings as one line each."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, or say in one line why it could not be done."""
        try:
            with _quietly():
                return super().invoke(ctx)
        except ProdpointerError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(error.exit_code)


def _shared_options(command: Command) -> Command:
    """Add the options that every command shares and hand them over as one value."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table."),
        click.option("--alias", help="Name of the pointer (default: production)."),
        click.option("--pointer", type=click.Choice(POINTERS), help="Override which pointer is used (default: auto)."),
        click.option("--registry-uri", help="The model registry, where it is not the tracking server."),
        click.option("--tracking-uri", help="The MLflow server or database (default: MLFLOW_TRACKING_URI)."),
    ):
        command = option(command)
    return command


def _settings(ctx: click.Context, options: dict[str, Any]) -> Settings:
    """Return the settings in force for a command, and keep them for those below it."""
    above = ctx.obj if isinstance(ctx.obj, Settings) else Settings()
    return above.overridden_by(Settings(**options))


@click.group(cls=_Commands)
@click.version_option(package_name="prodpointer")
@_shared_options
@click.pass_context
def main(ctx: click.Context, /, **options: Any) -> None:
    """Say which version of a model is live and move that pointer, the same way on MLflow 2 and MLflow 3.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 promotion refused or lost, 4 pointers disagree, 5 registry
    unavailable.
    """
    ctx.obj = _settings(ctx, options)


@main.command()
@click.option(
    "--dir", "directory", type=click.Path(file_okay=False, path_type=Path), help="Where to keep the registry."
)
@_shared_options
@click.pass_context
def demo(ctx: click.Context, /, directory: Path | None, **options: Any) -> None:
    """Run the whole loop on this machine: train, register, promote, load, go back. Needs no server."""
    settings = _settings(ctx, options)
    directory = directory or Path(tempfile.mkdtemp(prefix="prodpointer-demo-"))
    steps = []
    for step in demonstrate(directory):
        steps.append(step)
        if not settings.as_json:
            click.echo(f"{len(steps)}. {step}")
    uri = registry_uri(directory.absolute())
    if settings.as_json:
        _print_json({"directory": str(directory), "tracking_uri": uri, "steps": [step.as_json() for step in steps]})
    else:
        click.echo(f"Look at it again: prodpointer --tracking-uri {uri} status {MODEL}")


@main.command()
@click.argument("name")
@click.argument("run_id")
@click.argument("artifact")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="A tag of the version; may be repeated.")
@click.option("--sha256", help="The artifact's digest, to save the download that computes it.")
@click.option(
    "--local-path", type=click.Path(exists=True, path_type=Path), help="A local copy to take the digest from."
)
@click.option("--no-digest", is_flag=True, help="Record no digest; loading will warn.")
@_shared_options
@click.pass_context
def register(  # noqa: PLR0917  # click passes them by name
    ctx: click.Context,
    /,
    name: str,
    run_id: str,
    artifact: str,
    tags: tuple[str, ...],
    sha256: str | None,
    local_path: Path | None,
    no_digest: bool,
    **options: Any,
) -> None:
    """Register ARTIFACT of the run RUN_ID as a new version of NAME; nothing goes live."""
    settings = _settings(ctx, options)
    model = settings.model(name, create_database=None)
    number = model.register(
        run_id, artifact, tags=_tags(tags), sha256=sha256, local_path=local_path, digest=not no_digest
    )
    version = model.version(number)
    if settings.as_json:
        _print_json({"name": name, "version": number, "sha256": version.sha256})
    else:
        click.echo(f"{name}: registered version {number}, SHA-256 {version.sha256 or 'not recorded'}")


@main.command()
@click.argument("name")
@click.argument("version")
@click.option("--expected", help="Refuse unless this version is live now; 'none' for nothing.")
@click.option("--reason", default="", help="Why, for the record.")
@_shared_options
@click.pass_context
def promote(ctx: click.Context, /, name: str, version: str, expected: str | None, reason: str, **options: Any) -> None:
    """Make VERSION of NAME live; an older one too."""
    settings = _settings(ctx, options)
    model = settings.model(name)
    wanted: Any = NOT_GIVEN if expected is None else None if expected.lower() == "none" else expected
    _print_move(settings, model.promote(version, expected=wanted, reason=reason))


@main.command()
@click.argument("name")
@click.option("--reason", default="", help="Why, for the record.")
@_shared_options
@click.pass_context
def withdraw(ctx: click.Context, /, name: str, reason: str, **options: Any) -> None:
    """Make nothing of NAME live any more; its versions stay."""
    settings = _settings(ctx, options)
    _print_move(settings, settings.model(name).withdraw(reason=reason))


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@_shared_options
@click.pass_context
def status(ctx: click.Context, /, names: tuple[str, ...], **options: Any) -> None:
    """Show what both pointers say, of every model or of those named. Exit code 4 where they disagree."""
    settings = _settings(ctx, options)
    found = [settings.model(name).status() for name in names or settings.names()]
    if settings.as_json:
        _print_json({"models": [each.as_json() for each in found]})
    else:
        _print_statuses(found)
    if not all(each.agreed for each in found):
        ctx.exit(DISAGREE)


@main.command()
@click.argument("name")
@click.argument("destination", type=click.Path(file_okay=False, path_type=Path))
@_shared_options
@click.pass_context
def pull(ctx: click.Context, /, name: str, destination: Path, **options: Any) -> None:
    """Copy the live version's artifact of NAME, its digest checked, into the directory DESTINATION."""
    settings = _settings(ctx, options)
    pulled = settings.model(name).pull(destination)
    if pulled is None:
        raise ProdpointerError(f"Nothing of {name!r} is live.", next_step="Promote a version first.")
    if settings.as_json:
        _print_json(pulled.as_json())
    else:
        click.echo(f"{name}: version {pulled.version} is at {pulled.path}")


@main.command()
@_shared_options
@click.pass_context
def doctor(ctx: click.Context, /, **options: Any) -> None:
    """Tell what there is, what was chosen and why, and what will not work."""
    from prodpointer.diagnosis import diagnose

    settings = _settings(ctx, options)
    found = diagnose(
        tracking_uri=settings.tracking_uri,
        registry_uri=settings.registry_uri,
        pointer=settings.pointer or "auto",
        alias=settings.alias or "production",
    )
    if settings.as_json:
        _print_json(found.as_json())
    else:
        click.echo(f"registry          {found.registry}")
        click.echo(f"client version    {found.client_version}")
        click.echo(f"registry version  {found.registry_version or 'not told'}")
        click.echo(f"pointer           {found.pointer or 'none'}: {found.reason}")
        for problem in found.problems or ("none found",):
            click.echo(f"problem           {problem}")
    ctx.exit(found.exit_code)


def _tags(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return KEY=VALUE pairs as a mapping."""
    for pair in pairs:
        if "=" not in pair:
            raise click.BadParameter(f"{pair!r} is not KEY=VALUE", param_hint="--tag")
    return dict(pair.split("=", 1) for pair in pairs)


def _print_json(document: dict[str, Any]) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def _print_move(settings: Settings, move: Promotion) -> None:
    """Print one move of a pointer."""
    if settings.as_json:
        _print_json(move.as_json())
        return
    now = "nothing is live" if move.to_version is None else f"version {move.to_version} is live"
    before = "nothing" if move.from_version is None else f"version {move.from_version}"
    moved = f"was {before}; moved {' and '.join(move.pointers)}" if move.pointers else "nothing had to move"
    click.echo(f"{move.name}: {now} ({moved})")


def _print_statuses(found: list[PointerStatus]) -> None:
    """Print one line a model."""
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "live", "alias", "stage", "agreed", "pointer")
    for each in found:
        alias = f"{each.alias} (deleted)" if each.dangling else _cell(each.alias)
        stage = ", ".join(map(str, each.in_stage)) if len(each.in_stage) > 1 else _cell(each.stage)
        table.add_row(each.name, _cell(each.live), alias, stage, "yes" if each.agreed else "no", each.pointer)
    width = None if sys.stdout.isatty() else 1000  # a pipe has no width to fit
    console = Console(markup=False, emoji=False, highlight=False, width=width)
    console.print(table if found else "There are no registered models.")


def _cell(version: int | None) -> str:
    """Return a version as a table shows it."""
    return "-" if version is None else str(version)


@contextmanager
def _quietly() -> Iterator[None]:
    """Show warnings as one line each and keep MLflow's migration log away from the results."""
    disabled = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        logging.disable(logging.INFO)
        try:
            yield
        finally:
            logging.disable(disabled)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Print a warning to standard error: this library's as it is, others by their kind."""
    kind = "" if category.__module__.startswith("prodpointer") else f"{category.__name__}: "
    click.echo(f"warning: {kind}{without_credentials(str(message))}", err=True)

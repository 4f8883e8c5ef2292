"""The commands that show pointers and their history: ``status`` and ``history``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

import click

from prodpointer.cli.completion import complete_name
from prodpointer.cli.group import Command
from prodpointer.cli.options import Settings, is_pattern, settings_of, shared_options
from prodpointer.cli.output import DISAGREE, json_text, print_error, print_history, print_json, print_statuses, say
from prodpointer.cli.terminal import write
from prodpointer.cli.times import WHEN
from prodpointer.cli.watch import open_watched
from prodpointer.errors import AccessDenied, InvalidName, ModelNotFound, PointerUnsupported, ProdpointerError
from prodpointer.registered_model import RegisteredModel
from prodpointer.types import PointerStatus, called


@click.command(
    cls=Command,
    examples=(
        "history news-recommender",
        "history news-recommender --at 2026-11-23T12:00",
        "history m --json",
        "history --all --since 2026-01-01 --jsonl",
    ),
)
@click.argument("name", required=False, shell_complete=complete_name)
@click.option(
    "--at", "when", type=WHEN, help="Show the version that was live at this time, such as 2026-11-23T12:00 (UTC)."
)
@click.option("--all", "every", is_flag=True, help="Export the events of all models and pointers, with --jsonl.")
@click.option("--since", type=WHEN, help="Leave out earlier events.")
@click.option("--until", type=WHEN, help="Leave out events from this time on.")
@click.option("--jsonl", is_flag=True, help="Print one JSON document per event and line, with the keys of watch.")
@shared_options
@click.pass_context
def history(  # noqa: PLR0917  # click passes them by name
    ctx: click.Context,
    /,
    name: str | None,
    when: datetime | None,
    every: bool,
    since: datetime | None,
    until: datetime | None,
    jsonl: bool,
    **options: Any,
) -> None:
    """Show each move of the pointer of NAME, oldest first.

    Moves by other tools are included where they can be seen, as unrecorded. With --all the events of each model are
    in order, and --alias limits them to one pointer. For a model that cannot be read the error is printed and sets the
    exit code; the others are exported.
    """
    settings = settings_of(ctx, options)
    if every == (name is not None) or (when is not None and (every or jsonl or since or until)):
        raise click.UsageError("Give NAME, with or without --at, or --all --jsonl.")
    if (every or since or until) and not jsonl:
        raise click.UsageError("--all, --since and --until need --jsonl.")
    if jsonl or name is None:
        ctx.exit(_export(settings, name, since, until))
    model = settings.model(name)
    if when is not None:
        _print_live_at(settings, model, when)
        return
    found = model.history()
    if settings.as_json:
        print_json({"name": name, "events": [event.as_json() for event in found]})
    else:
        print_history(found)


@click.command(cls=Command, examples=("status", "status news-recommender 'churn-*'", "status --json"))
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_name)
@shared_options
@click.pass_context
def status(ctx: click.Context, /, names: tuple[str, ...], **options: Any) -> None:
    """Show the live version, the alias and the stage of models.

    NAME may be a pattern such as 'churn-*'; without NAME: all models. Exit code 4: the pointers of a model disagree.
    For a model that cannot be read the error is printed and sets the exit code; the others are shown.
    """
    settings = settings_of(ctx, options)
    results = list(_statuses(settings, names))
    found = [each for each in results if isinstance(each, PointerStatus)]
    errors = [each for each in results if isinstance(each, ProdpointerError)]
    for error in {str(each): each for each in errors}.values():
        print_error(error)
    if found or not errors:
        _show_statuses(settings, found)
    if errors:
        ctx.exit(errors[0].exit_code)
    if not all(each.agreed for each in found):
        ctx.exit(DISAGREE)


def _statuses(settings: Settings, names: tuple[str, ...]) -> Iterable[PointerStatus | ProdpointerError]:
    """Return the statuses of named models one by one, and those of many by pages."""
    if not names:
        return settings.statuses(None)
    matching = settings.matching(names)
    if any(map(is_pattern, names)):
        return settings.statuses(set(matching))
    return (_status(settings, name) for name in matching)


def _status(settings: Settings, name: str) -> PointerStatus | ProdpointerError:
    """Return the status of a model, or the error if it concerns this model only."""
    try:
        return settings.model(name).status()
    except (ModelNotFound, InvalidName, PointerUnsupported, AccessDenied) as error:
        return error


def _show_statuses(settings: Settings, found: list[PointerStatus]) -> None:
    """Print the status of models, as a table or as JSON."""
    if settings.as_json:
        print_json({"models": [each.as_json() for each in found]})
    else:
        print_statuses(found, options=settings.shown)


def _export(settings: Settings, name: str | None, since: datetime | None, until: datetime | None) -> int:
    """Print events as they are read, one per line, and return the exit code."""
    from prodpointer.watch.export import export, export_model

    failures: list[ProdpointerError] = []

    def failed(name: str, error: ProdpointerError) -> None:
        failures.append(error)
        print_error(error, about=name)

    if name is None:
        documents = export(open_watched(settings, ()), since=since, until=until, failed=failed)
    else:
        chosen = replace(settings, alias=settings.alias or "production")
        documents = export_model(open_watched(chosen, ()), name, since=since, until=until)
    for document in documents:
        write(json_text(document, indent=None))
    return failures[0].exit_code if failures else 0


def _print_live_at(settings: Settings, model: RegisteredModel, at: datetime) -> None:
    """Print the version that was live at a time."""
    version = model.live_at(at)
    if settings.as_json:
        print_json({"name": model.name, "at": at.isoformat(), "version": version.version if version else None})
    else:
        say(f"{model.name}: {called(version.version if version else None)} was live at {at.isoformat()}")

"""The commands for a registry as a whole: ``doctor`` and ``conformance``."""

from __future__ import annotations

from typing import Any

import click

from prodpointer._text import visible
from prodpointer.cli.group import Command
from prodpointer.cli.options import DEFAULT_TIMEOUT, settings_of, shared_options
from prodpointer.cli.output import print_conformance, print_json
from prodpointer.cli.signals import interrupted_by_signals
from prodpointer.cli.terminal import can_write, has_colour, write
from prodpointer.diagnostics.conformance import check_registry
from prodpointer.types import POINTERS

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command(cls=Command, examples=("doctor", "doctor --model news-recommender", "doctor --try"))
@click.option("--try", "trying", is_flag=True, help="Try every move on a scratch model, which is deleted afterwards.")
@click.option("--model", help="Check your permissions on this registered model, without changing it.")
@shared_options
@click.pass_context
def doctor(ctx: click.Context, /, trying: bool, model: str | None, **options: Any) -> None:
    """Show what this registry can do and what to do next.

    Shows the versions, the chosen pointer and why, known problems and permissions.
    """
    from prodpointer.diagnostics.doctor import diagnose, screen

    settings = settings_of(ctx, options)
    with interrupted_by_signals():
        found = diagnose(
            tracking_uri=settings.tracking_uri,
            registry_uri=settings.registry_uri,
            workspace=settings.workspace,
            pointer=settings.pointer or "auto",
            alias=settings.alias or "production",
            timeout=settings.timeout or DEFAULT_TIMEOUT,
            model=model,
            trying=trying,
        )
    if settings.as_json:
        print_json(found.as_json())
    else:
        for line in screen(found, symbols=can_write("\u2713\u2717")):
            _say_state(line)
    ctx.exit(found.exit_code)


def _say_state(line: str) -> None:
    """Print a line of the screen, its state in colour on a terminal that has some."""
    text = visible(line)
    state = next((each for each in _COLOURS if each in text[:10]), None)
    if state is not None and has_colour():
        head, rest = text.split(state, 1)
        text = click.style(head + state, fg=_COLOURS[state]) + rest
    write(text)


@click.command(cls=Command, examples=("conformance", "conformance --pointer both --prefix catalog.schema."))
@click.option("--prefix", default="", help="Prefix of the model names, such as 'catalog.schema.'.")
@shared_options
@click.pass_context
def conformance(ctx: click.Context, /, prefix: str, **options: Any) -> None:
    """Check this registry with temporary models and runs.

    They are deleted afterwards. Checks all four pointers, or the one given by --pointer. Exit code 1: a check failed,
    or something remains.
    """
    settings = settings_of(ctx, options)
    with interrupted_by_signals():
        found = check_registry(
            tracking_uri=settings.tracking_uri,
            registry_uri=settings.registry_uri,
            workspace=settings.workspace,
            pointers=(settings.pointer,) if settings.pointer else POINTERS,
            prefix=prefix,
            timeout=settings.timeout or DEFAULT_TIMEOUT,
        )
    if settings.as_json:
        print_json(found.as_json())
    else:
        print_conformance(found)
    ctx.exit(1 if found.failed or found.left else 0)

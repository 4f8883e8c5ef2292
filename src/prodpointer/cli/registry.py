"""The commands that are about a registry as a whole and not about a model: ``doctor`` and ``conformance``."""

from __future__ import annotations

from typing import Any

import click

from prodpointer.cli.options import DEFAULT_TIMEOUT, settings_of, shared_options
from prodpointer.cli.output import print_conformance, print_json, say
from prodpointer.cli.signals import interrupted_by_signals
from prodpointer.diagnostics.conformance import try_registry
from prodpointer.types import POINTERS


@click.command()
@click.option("--try", "trying", is_flag=True, help="Try every move on a scratch model, and remove it again.")
@click.option("--model", help="Ask what you may do with this registered model; nothing of it is changed.")
@shared_options
@click.pass_context
def doctor(ctx: click.Context, /, trying: bool, model: str | None, **options: Any) -> None:
    """Tell what there is, what was chosen and why, what will not work, and what to do next."""
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
        for line in screen(found):
            say(line)
    ctx.exit(found.exit_code)


@click.command()
@click.option("--prefix", default="", help="What the models' names start with, such as 'catalog.schema.'.")
@shared_options
@click.pass_context
def conformance(ctx: click.Context, /, prefix: str, **options: Any) -> None:
    """Try the laws on this registry: fresh models and runs are made, tried, and deleted again.

    Tried are all four pointers, or the one that --pointer names. Exit code 1 where a law is broken.
    """
    settings = settings_of(ctx, options)
    with interrupted_by_signals():
        found = try_registry(
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

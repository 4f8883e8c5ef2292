"""The command ``report``: one model as an HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from prodpointer.cli.completion import complete_name
from prodpointer.cli.group import Command
from prodpointer.cli.options import settings_of, shared_options
from prodpointer.cli.output import print_json, say
from prodpointer.errors import ProdpointerError


@click.command(cls=Command, examples=("report news-recommender --html news-recommender.html",))
@click.argument("name", shell_complete=complete_name)
@click.option(
    "--html",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The file to write; it is replaced if it exists.",
)
@shared_options
@click.pass_context
def report(ctx: click.Context, /, name: str, file: Path, **options: Any) -> None:
    """Write the status and history of NAME as an HTML page.

    The page shows what was live when, who moved the pointer and why, and what the gates measured. It needs no other
    file and no network.
    """
    settings = settings_of(ctx, options)
    write_page(file, settings.model(name).report())
    if settings.as_json:
        print_json({"name": name, "html": str(file)})
    else:
        say(f"{name}: wrote {file}")


def write_page(file: Path, text: str) -> None:
    """Write an HTML page."""
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ProdpointerError(
            f"The page could not be written: {error.strerror}.", where=str(file), next_step="Give another file."
        ) from error

"""The commands that move a pointer: ``promote``, ``rollback``, ``withdraw`` and ``repair``."""

from __future__ import annotations

from typing import Any

import click

from prodpointer.cli.completion import complete_name, complete_version
from prodpointer.cli.group import Command
from prodpointer.cli.options import DRY_RUN, YES, Settings, move_options, settings_of, shared_options
from prodpointer.cli.output import DISAGREE, ask, move_line, print_json, print_move, say
from prodpointer.cli.terminal import may_ask
from prodpointer.promotion.promoter import NOT_GIVEN
from prodpointer.types import Promotion


@click.command(
    cls=Command,
    examples=(
        "promote news-recommender 4",
        "promote news-recommender 4 --expected 3 --reason 'weekly retrain'",
        "promote news-recommender 4 --gate 'auc >= production + 0.002' --dry-run",
    ),
)
@click.argument("name", shell_complete=complete_name)
@click.argument("version", shell_complete=complete_version)
@click.option("--expected", help="Refuse unless this version is live; 'none': no version is live.")
@click.option(
    "--gate",
    "gates",
    multiple=True,
    help="Refuse unless this condition holds, such as 'auc >= production + 0.002'; may be repeated.",
)
@click.option("--across-datasets", is_flag=True, help="Compare metrics even if the runs logged different datasets.")
@move_options
@shared_options
@click.pass_context
def promote(  # noqa: PLR0917  # click passes them by name
    ctx: click.Context,
    /,
    name: str,
    version: str,
    expected: str | None,
    gates: tuple[str, ...],
    across_datasets: bool,
    reason: str,
    by: str | None,
    dry_run: bool,
    **options: Any,
) -> None:
    """Make VERSION of NAME live.

    VERSION may be older than the live version.
    """
    settings = settings_of(ctx, options)
    model = settings.model(name)
    move = model.promote(
        version,
        expected=_expected(expected),
        gates=gates,
        across_datasets=across_datasets,
        reason=reason,
        by=by,
        dry_run=dry_run,
    )
    _show_move(settings, move, dry_run=dry_run)


@click.command(
    cls=Command, examples=("withdraw news-recommender --reason 'wrong labels'", "withdraw news-recommender --yes")
)
@click.argument("name", shell_complete=complete_name)
@click.option("--expected", help="Refuse unless this version is live; 'none': no version is live.")
@move_options
@YES
@shared_options
@click.pass_context
def withdraw(  # noqa: PLR0917  # click passes them by name
    ctx: click.Context,
    /,
    name: str,
    expected: str | None,
    reason: str,
    by: str | None,
    dry_run: bool,
    yes: bool,
    **options: Any,
) -> None:
    """Unset the pointers of NAME, so that no version is live.

    On a terminal it asks first. The versions stay, and `rollback` undoes it.
    """
    settings = settings_of(ctx, options)
    model = settings.model(name)
    only = _expected(expected)
    if not (yes or dry_run) and may_ask():
        planned = model.withdraw(expected=only, reason=reason, by=by, dry_run=True)
        if planned.pointers:
            ask(move_line(planned))
        only = planned.from_version  # another version may go live meanwhile
    _show_move(settings, model.withdraw(expected=only, reason=reason, by=by, dry_run=dry_run), dry_run=dry_run)


@click.command(cls=Command, examples=("rollback news-recommender", "rollback news-recommender --to 2 --expected 4"))
@click.argument("name", shell_complete=complete_name)
@click.option(
    "--to", shell_complete=complete_version, help="The version to roll back to (default: the one that was live before)."
)
@click.option("--expected", help="Refuse unless this version is live; 'none': no version is live.")
@move_options
@shared_options
@click.pass_context
def rollback(  # noqa: PLR0917  # click passes them by name
    ctx: click.Context,
    /,
    name: str,
    to: str | None,
    expected: str | None,
    reason: str,
    by: str | None,
    dry_run: bool,
    **options: Any,
) -> None:
    """Make the version live that was live before.

    Twice goes back two versions; a withdrawal is undone.
    """
    settings = settings_of(ctx, options)
    model = settings.model(name)
    move = model.rollback(to=to, expected=_expected(expected), reason=reason, by=by, dry_run=dry_run)
    _show_move(settings, move, dry_run=dry_run)


@click.command(cls=Command, examples=("repair news-recommender", "repair news-recommender --dry-run"))
@click.argument("name", shell_complete=complete_name)
@DRY_RUN
@shared_options
@click.pass_context
def repair(ctx: click.Context, /, name: str, dry_run: bool, **options: Any) -> None:
    """Set the other pointers of NAME to the live version.

    For use after an interrupted promotion, or a move by another tool. What is live does not change.
    """
    settings = settings_of(ctx, options)
    found = settings.model(name).repair(dry_run=dry_run)
    if settings.as_json:
        print_json({"models": [found.as_json()], **_dry(dry_run=dry_run)})
    else:
        for text in found.mended or ("nothing to repair",):
            say(f"{'dry run: ' if dry_run and found.mended else ''}{name}: {text}")
    if not found.agreed:
        ctx.exit(DISAGREE)


def _expected(text: str | None) -> Any:
    """Return the value of ``--expected``: a version, None for no live version, or NOT_GIVEN."""
    return NOT_GIVEN if text is None else None if text.lower() == "none" else text


def _show_move(settings: Settings, move: Promotion, *, dry_run: bool) -> None:
    """Print one move of a pointer, as text or as JSON."""
    if settings.as_json:
        print_json({**move.as_json(), **_dry(dry_run=dry_run)})
    else:
        print_move(move, dry_run=dry_run)


def _dry(*, dry_run: bool) -> dict[str, bool]:
    """Return the key that marks the document of a dry run."""
    return {"dry_run": True} if dry_run else {}

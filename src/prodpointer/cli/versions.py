"""The commands that show versions: ``versions``, ``compare`` and ``open``."""

from __future__ import annotations

from typing import Any

import click

from prodpointer._text import number_text, shortened
from prodpointer.cli.completion import complete_name, complete_version
from prodpointer.cli.group import Command
from prodpointer.cli.options import settings_of, shared_options
from prodpointer.cli.output import actor_cell, print_json, say
from prodpointer.cli.tables import Cell, Column, Row, print_table
from prodpointer.cli.terminal import stop_waiting
from prodpointer.types import Comparison, Difference, ModelVersion
from prodpointer.validation import version_number

_DIGEST = 12  # characters of a digest on a terminal
_LONGEST_VALUE = 60  # characters of a parameter or tag on a terminal


@click.command(cls=Command, examples=("versions news-recommender", "versions news-recommender --json"))
@click.argument("name", shell_complete=complete_name)
@shared_options
@click.pass_context
def versions(ctx: click.Context, /, name: str, **options: Any) -> None:
    """List the versions of NAME with their metrics.

    Shows which one is live, aliases and stages, the metrics of the runs, owner, datasets and digest; the newest first.
    """
    settings = settings_of(ctx, options)
    found = settings.model(name).versions()
    if settings.as_json:
        print_json({"name": name, "versions": [each.as_json() for each in found]})
        return
    columns = (
        Column("version"),
        Column("pointers"),
        Column("status", optional=True),
        Column("metrics", wraps=True),
        Column("created (UTC)"),
        Column("owner", wraps=True, optional=True),
        Column("datasets", wraps=True, optional=True),
        Column("digest", optional=True),
        Column("live", only="pipe"),
        Column("run", only="pipe"),
    )
    print_table(columns, [_version_row(each) for each in reversed(found)], empty=f"{name} has no versions.")


def _version_row(version: ModelVersion) -> Row:
    """Return the cells of one version."""
    pointers = version.pointers
    metrics = " ".join(f"{name}={number_text(value)}" for name, value in sorted(version.metrics.items()))
    created, digest = version.created_at, version.sha256 or "-"
    return (
        Cell(str(version.version), "good" if version.live else ""),
        Cell(" ".join(pointers) or "-", "good" if version.live else "", piped=" ".join(pointers)),
        Cell(version.status, "" if version.status == "READY" else "warning"),
        Cell(metrics or version.metrics_note or "-", "" if metrics else "aside", piped=metrics),
        Cell(f"{created:%Y-%m-%d %H:%M:%S}" if created else "-", piped=created.isoformat() if created else ""),
        actor_cell(version.owner or "-"),
        " ".join(version.datasets) or "-",
        Cell(digest[:_DIGEST], piped=version.sha256 or ""),
        "yes" if version.live else "no",
        version.run_id or "",
    )


@click.command(cls=Command, examples=("compare news-recommender 3 4", "compare news-recommender 3 4 --json"))
@click.argument("name", shell_complete=complete_name)
@click.argument("a", shell_complete=complete_version)
@click.argument("b", shell_complete=complete_version)
@click.option("--all", "everything", is_flag=True, help="Show parameters and tags that are equal too.")
@shared_options
@click.pass_context
def compare(  # click passes them by name
    ctx: click.Context, /, name: str, a: str, b: str, everything: bool, **options: Any
) -> None:
    """Show versions A and B of NAME side by side.

    Shows the metrics and parameters of their runs, their tags, and whether the runs logged the same datasets.
    """
    settings = settings_of(ctx, options)
    found = settings.model(name).compare(a, b)
    if settings.as_json:
        print_json(found.as_json())
        return
    columns = (
        Column("kind"),
        Column("name"),
        Column(f"version {found.a.version}", wraps=True),
        Column(f"version {found.b.version}", wraps=True),
        Column("change"),
    )
    print_table(columns, _comparison_rows(found, everything=everything), empty="Nothing is recorded that differs.")
    for version in (found.a, found.b):
        if version.metrics_note:
            say(f"version {version.version} has no metrics: {version.metrics_note}", err=True, meaning="warning")
    if not found.same_datasets and found.a != found.b:
        logged = "did not log the same datasets" if any(found.datasets) else "logged no datasets"
        say(f"The runs {logged}; their metrics may not be comparable.", err=True, meaning="warning")


def _comparison_rows(found: Comparison, *, everything: bool) -> list[Row]:
    """Return every metric, the datasets, and of parameters and tags those that differ, or all."""
    rows = [_difference_row("metric", each) for each in found.metrics]
    datasets = Difference("datasets", *(" ".join(each) or None for each in found.datasets))
    kinds = (("run", (datasets,)), ("parameter", found.params), ("tag", found.tags))
    for kind, values in kinds:
        rows += [_difference_row(kind, each) for each in values if everything or each.differs]
    return rows


def _difference_row(kind: str, value: Difference) -> Row:
    """Return the cells of one value of two versions."""
    is_metric = kind == "metric"
    change = value.change if is_metric else None
    shown = "" if change is None else f"{'+' if change > 0 else ''}{number_text(change)}" if change else "="
    cells = [_value(each, other) for each, other in ((value.a, value.b), (value.b, value.a))]
    return (kind, value.name, *cells, shown)


def _value(value: Any, other: Any) -> Cell:
    """Return one value; of a number as many digits as tell it from the other one."""
    if isinstance(value, float):
        beside = (other,) if isinstance(other, float) else ()
        return Cell(number_text(value, *beside), piped=repr(value))
    text = "-" if value is None else str(value)
    return Cell(shortened(text, _LONGEST_VALUE), piped="" if value is None else text)


@click.command(
    "open",
    cls=Command,
    examples=("open news-recommender", "open news-recommender --version 4", "open news-recommender --print"),
)
@click.argument("name", shell_complete=complete_name)
@click.option("--version", help="Open the page of this version.", shell_complete=complete_version)
@click.option("--print", "only_print", is_flag=True, help="Print the address, and open nothing.")
@shared_options
@click.pass_context
def open_page(  # click passes them by name
    ctx: click.Context, /, name: str, version: str | None, only_print: bool, **options: Any
) -> None:
    """Open the page of NAME in MLflow's UI.

    Prints the address too, so that it can be opened elsewhere.
    """
    settings = settings_of(ctx, options)
    model = settings.model(name)
    address = model.page(None if version is None else version_number(version))
    number = None if version is None else model.version(version).version
    if number is None:
        model.live_version()  # which raises for a model that does not exist
    if settings.as_json:
        print_json({"name": name, "version": number, "url": address})
    else:
        say(address)
    if not only_print:
        stop_waiting()
        click.launch(address)

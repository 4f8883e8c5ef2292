"""Progress of a run: a bar with rate and remaining time on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import click

from prodpointer.cli.terminal import can_redraw, stop_waiting

T = TypeVar("T")

_INTERVAL = 5.0  # seconds between two plain lines


def show_progress(results: Iterable[T], total: int, verb: str) -> Iterator[T]:
    """Yield the results as they arrive, and report the progress on standard error.

    Parameters
    ----------
    results
        The results.
    total
        How many results there will be.
    verb
        The command that is running.
    """
    stop_waiting()
    if can_redraw(err=True):
        yield from _with_bar(results, total, verb)
    else:
        yield from _with_lines(results, total, verb)


def _with_bar(results: Iterable[T], total: int, verb: str) -> Iterator[T]:
    """Show a bar with rate and remaining time."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    speed = TextColumn("{task.fields[rate]}")
    columns = (TextColumn(verb), BarColumn(), TaskProgressColumn(), MofNCompleteColumn(), speed, TimeRemainingColumn())
    began = time.monotonic()
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(verb, total=total, rate="")
        for done, result in enumerate(results, start=1):
            shown.update(task, advance=1, rate=f"{_rate(done, began):.1f} models/s")
            yield result


def _with_lines(results: Iterable[T], total: int, verb: str) -> Iterator[T]:
    """Print a line every few seconds, and one at the end."""
    began = last = time.monotonic()
    done = 0
    for result in results:
        done += 1
        if time.monotonic() - last >= _INTERVAL:
            last = time.monotonic()
            rate = _rate(done, began)
            left = (total - done) / rate
            click.echo(f"{verb}: {done} of {total} models, {rate:.1f} models/s, {left:.0f} s left", err=True)
        yield result
    seconds = time.monotonic() - began
    click.echo(f"{verb}: {done} of {total} models in {seconds:.1f} s", err=True)


def _rate(done: int, began: float) -> float:
    """Return the number of results per second."""
    return done / max(time.monotonic() - began, 1e-3)

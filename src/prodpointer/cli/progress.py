"""How far a run is: a bar with rate and time left on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import click

T = TypeVar("T")

_A_WHILE = 5.0  # seconds between two plain lines


def told(results: Iterable[T], total: int, verb: str) -> Iterator[T]:
    """Yield the results as they come, and tell on standard error how many there were.

    Parameters
    ----------
    results
        What comes, in its own time.
    total
        How many will come.
    verb
        What is being done.
    """
    if sys.stderr.isatty():
        yield from _with_bar(results, total, verb)
    else:
        yield from _with_lines(results, total, verb)


def _with_bar(results: Iterable[T], total: int, verb: str) -> Iterator[T]:
    """Show a bar with rate and time left."""
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
    """Print a line now and then, and one at the end of what took longer."""
    began = last = time.monotonic()
    done = 0
    for result in results:
        done += 1
        if time.monotonic() - last >= _A_WHILE:
            last = time.monotonic()
            rate = _rate(done, began)
            left = (total - done) / rate
            click.echo(f"{verb}: {done} of {total} models, {rate:.1f} a second, {left:.0f} s left", err=True)
        yield result
    seconds = time.monotonic() - began
    click.echo(f"{verb}: {done} of {total} models in {seconds:.1f} s", err=True)


def _rate(done: int, began: float) -> float:
    """Return how many were done in a second."""
    return done / max(time.monotonic() - began, 1e-3)

"""The command ``watch``: each event of a fleet, once or for ever."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prodpointer.cli.completion import complete_name
from prodpointer.cli.group import Command
from prodpointer.cli.options import DEFAULT_TIMEOUT, Settings, settings_of, shared_options
from prodpointer.cli.output import json_text, say
from prodpointer.cli.signals import stopped_by_signals
from prodpointer.cli.terminal import write
from prodpointer.cli.times import WHEN
from prodpointer.connection import rule_for
from prodpointer.errors import ProdpointerError

if TYPE_CHECKING:
    from prodpointer.watch.delivery import Failure, Receiver
    from prodpointer.watch.listing import Watched
    from prodpointer.watch.sweep import Swept


_STOPPING = "Stopping after the event that is being sent. Press Ctrl-C again to interrupt it."


def _check_every(_: click.Context, __: click.Parameter, value: float) -> float:
    """Refuse what cannot be waited for."""
    if not 0 < value <= threading.TIMEOUT_MAX:
        raise click.BadParameter("must be > 0 (seconds), and finite.")
    return value


@click.command(
    cls=Command,
    runs_on=True,
    examples=(
        "watch",
        "watch 'news-*' churn --every 30 --since 2026-11-01",
        "watch --once --exec 'python notify.py'",
        "watch --webhook https://hooks.example.com/models",
    ),
)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_name)
@click.option(
    "--every",
    type=click.FloatRange(0, min_open=True),
    callback=_check_every,
    default=10.0,
    show_default=True,
    help="Seconds between sweeps.",
)
@click.option("--once", is_flag=True, help="Run one sweep, send what is due and exit, for use with a scheduler.")
@click.option("--since", type=WHEN, help="Where a new cursor begins, such as 2026-11-01T12:00 (default: now).")
@click.option(
    "--cursor",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with what was sent (default: one for each registry, in the user's state directory).",
)
@click.option("--webhook", "url", metavar="URL", help="Post each event as a signed CloudEvent instead of printing it.")
@click.option("--exec", "command", metavar="COMMAND", help="Run a command with each event on its standard input.")
@shared_options
@click.pass_context
def watch(  # noqa: PLR0917  # click passes them by name
    ctx: click.Context,
    /,
    names: tuple[str, ...],
    every: float,
    once: bool,
    since: Any,
    file: Path | None,
    url: str | None,
    command: str | None,
    **options: Any,
) -> None:
    """Print each move of a fleet's pointers as one JSON line.

    Runs until SIGTERM or Ctrl-C. NAME may be a pattern; without NAME: all models. All pointers are watched unless
    --alias names one. Moves by other tools are included. The cursor keeps what was sent, so that nothing is lost
    between two runs. Exit code 1 with --once: a receiver refused events, or a model could not be read; the next run
    tries again.
    """
    from prodpointer.watch.cursor import open_cursor
    from prodpointer.watch.delivery import Delivery
    from prodpointer.watch.service import default_cursor, run
    from prodpointer.watch.sweep import Sweeper

    if url is not None and command is not None:
        raise click.UsageError("Give --webhook or --exec, not both.")
    settings = settings_of(ctx, options)
    watched = open_watched(settings, names, even_if_down=not once)
    identity = watched.registry.addresses.identity
    file = file or default_cursor(identity, watched.alias, names)
    about = {"registry": identity, "pointer": watched.alias or "", "models": " ".join(sorted(names))}
    stopped = threading.Event()
    with open_cursor(file, about) as cursor, stopped_by_signals(stopped, _STOPPING):
        sweeper = Sweeper(watched, cursor, since=since)
        receiver = _receiver(settings, sweeper.source, url, command)
        delivery = Delivery(cursor, receiver, failed=_say_not_taken)
        talk = _Talk()
        if not once:
            say(f"watch: every {every:g} s, until SIGTERM or Ctrl-C; cursor {file}", err=True)
            run(sweeper, delivery, stopped, every=every, swept=talk.swept, failed=talk.failed)
            return
        swept = sweeper.sweep(stopped.is_set)
        interrupted = stopped.is_set()
        talk.swept(swept)
        delivery.send_due(stopped, math.inf)
        left = cursor.count_pending()
    if left or swept.failed or interrupted:
        ctx.exit(1)


def open_watched(settings: Settings, names: Sequence[str], *, even_if_down: bool = False) -> Watched:
    """Open the registry, with the models and pointers to watch; ``even_if_down`` accepts one that does not answer."""
    from prodpointer.mlflow_client import open_registry
    from prodpointer.watch.listing import Watched

    registry = open_registry(
        settings.tracking_uri,
        settings.registry_uri,
        workspace=settings.workspace,
        timeout=settings.timeout or DEFAULT_TIMEOUT,
        even_if_down=even_if_down,
    )
    pointer = settings.pointer or "auto"
    alias = rule_for(settings.alias, None, pointer).alias if settings.alias else None
    return Watched(registry, lambda each: rule_for(each, None, pointer), names, alias)


def _receiver(settings: Settings, source: str, url: str | None, command: str | None) -> Receiver:
    """Return where events go."""
    from prodpointer.watch.receivers import SECRET_VARIABLE, Lines, Webhook
    from prodpointer.watch.receivers import Command as CommandReceiver

    if url is not None:
        secrets = os.environ.get(SECRET_VARIABLE, "").split()
        return Webhook(url, secrets, source=source, timeout=settings.timeout or DEFAULT_TIMEOUT)
    return CommandReceiver(command) if command is not None else Lines(_print_line)


def _print_line(document: Mapping[str, Any]) -> None:
    """Print one event."""
    write(json_text(dict(document), indent=None))


def _say_not_taken(failure: Failure) -> None:
    """Say that an event was not taken."""
    event = failure.document
    name = f"{event['name']}@{event['alias']}"
    when = f"next attempt in {failure.again_in:.0f} s"
    say(f"warning: {event['id']} of {name} was not delivered: {failure.why}; {when}", err=True)


class _Talk:
    """Says what goes wrong when it begins, and when it ends, and not at each sweep."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def swept(self, swept: Swept) -> None:
        """Say which models cannot be read."""
        if self._said.pop("", None):
            say("The registry answers again.", err=True)
        self._say({name: f"error: {name}: {error}" for name, error in swept.failed.items()})

    def failed(self, error: ProdpointerError) -> None:
        """Say why a sweep failed."""
        self._say({"": f"error: {error}"})

    def _say(self, texts: Mapping[str, str]) -> None:
        """Say what was not said before."""
        for key, text in texts.items():
            if self._said.get(key) != text:
                say(text, err=True)
        self._said.update(texts)

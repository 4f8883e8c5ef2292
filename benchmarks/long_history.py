"""Does a long history slow a model down? One event, and 2,000 events over 500 versions, on a real server.

``python -m benchmarks.long_history`` from the root of a checkout, in an environment with this package. It ends with 1
where reading the pointer takes another number of requests, or 1.3 times as long as in a model of as many versions.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import mlflow
from rich import box
from rich.console import Console
from rich.table import Table
from tests.proxy import Proxy, proxy
from tests.servers import serve

import prodpointer
from prodpointer import RegisteredModel
from prodpointer.history import log, record

VERSIONS = 500
EVENTS = 2000
READS = 200
SLOWEST = 1.3


def versions(client: mlflow.MlflowClient, name: str, count: int) -> None:
    """Make versions that point nowhere: their bytes are not read here."""
    client.create_registered_model(name)
    for _ in range(count):
        client.create_model_version(name, "s3://benchmark/nothing")


def written(client: mlflow.MlflowClient, model: RegisteredModel, count: int) -> None:
    """Write as many events as promotions would, with the tags that they write and none of their moves."""
    model.promote(1)
    (last,) = model.history()
    for number in range(2, count + 1):
        version = (number - 1) % VERSIONS + 1
        event, reason = log.next_id([last]), f"run {number}"
        last = replace(last, event=event, from_version=last.to_version, to_version=version, reason=reason)
        text = record.event_text(last)
        client.set_model_version_tag(model.name, str(version), f"{record.EVENT_TAG}{last.event}", text)


def requests_of(between: Proxy, verb: Callable[[], object]) -> int:
    """Return how many requests a verb sends."""
    between.clear()
    verb()
    return between.count


def milliseconds(verbs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median time of each verb, taken in turns so that what else the machine does meets all alike."""
    took: dict[str, list[float]] = {name: [] for name in verbs}
    for _ in range(READS):
        for name, verb in verbs.items():
            started = time.perf_counter()
            verb()
            took[name].append((time.perf_counter() - started) * 1000)
    return {name: statistics.median(times) for name, times in took.items()}


def main() -> int:
    """Measure the three models and print the table."""
    sizes = {"new": (1, 1), "wide": (VERSIONS, 1), "long": (VERSIONS, EVENTS)}
    with (
        tempfile.TemporaryDirectory() as scratch,
        serve(sys.executable, Path(scratch), version=mlflow.__version__) as server,
        proxy(server.uri) as between,
    ):
        client = mlflow.MlflowClient(server.uri)
        for name, (count, moves) in sizes.items():
            versions(client, name, count)
            written(client, prodpointer.connect(name, tracking_uri=server.uri), moves)
        counted = {name: prodpointer.connect(name, tracking_uri=between.uri) for name in sizes}
        reads = {name: requests_of(between, model.live_version) for name, model in counted.items()}
        histories = {name: requests_of(between, model.history) for name, model in counted.items()}
        direct = {name: prodpointer.connect(name, tracking_uri=server.uri) for name in sizes}
        took = milliseconds({name: model.live_version for name, model in direct.items()})
        kept = len([event for event in direct["long"].history() if event.event])
    heads = [f"{count} versions, {moves} events" for count, moves in sizes.values()]
    table = Table("MLflow " + mlflow.__version__, *heads, box=box.MARKDOWN)
    table.add_row("requests of live_version", *(str(reads[name]) for name in sizes))
    table.add_row("median of live_version, ms", *(f"{took[name]:.1f}" for name in sizes))
    table.add_row("requests of history", *(str(histories[name]) for name in sizes))
    Console(width=120).print(table)
    same = len(set(reads.values())) == 1 and max(histories.values()) <= 3 and kept == EVENTS
    return 0 if same and took["long"] < SLOWEST * took["wide"] else 1


if __name__ == "__main__":
    sys.exit(main())

"""How long it takes to read ``live.model`` while the pointer is followed, and what it asks of the server.

``python -m benchmarks.live_reads`` from the root of a checkout, in an environment with this package. It ends with 1
where the 99th percentile is a microsecond or more, or a read sent a request.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import mlflow
from tests.proxy import proxy
from tests.servers import serve

import prodpointer
from benchmarks.request_counts import logged_run

READS = 1_000_000
EVERY = 30.0
SLOWEST = 1000  # nanoseconds


def nanoseconds(live: prodpointer.Live) -> list[int]:
    """Return the time of each read, that of the clock included, shortest first."""
    clock = time.perf_counter_ns
    times = [0] * READS
    for at in range(READS):
        began = clock()
        live.model  # noqa: B018  # what is measured
        times[at] = clock() - began
    return sorted(times)


def main() -> int:
    """Measure and print one line."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        tempfile.TemporaryDirectory() as cache,
        serve(sys.executable, Path(scratch), version=mlflow.__version__) as server,
        proxy(server.uri) as between,
    ):
        news = prodpointer.connect("news-recommender", tracking_uri=between.uri, cache_dir=cache)
        news.promote(news.register(logged_run(server.uri), "bundle"))
        with news.follow(EVERY) as live:
            live.wait_ready(60)
            between.clear()
            times = nanoseconds(live)
            asked = between.count
    middle, late = times[READS // 2], times[READS * 99 // 100]
    print(f"live.model, {READS:,} reads: median {middle} ns, 99th percentile {late} ns, {asked} requests")
    return 0 if late < SLOWEST and asked == 0 else 1


if __name__ == "__main__":
    sys.exit(main())

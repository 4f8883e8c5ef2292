"""Ten minutes of promotions and faults on a server of each major, with services of both that read all the time.

``python -m benchmarks.bad_days`` from the root of a checkout; it makes the environments itself and writes its part of
``docs/reliability.md``, or prints it where ``--print`` is given. It ends with 1 where a read failed, a wrong version
was served, or the last version was not served within two intervals after the registry was back.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests import mlflow_table
from tests.majors.bad_day import SLACK, Day, bad_day
from tests.majors.racing import MAJORS
from tests.servers import environment, unpacked

from benchmarks.reliability_page import keep, table

HEAD = (
    "server",
    "minutes",
    "promotions",
    "faults",
    "reads",
    "failed",
    "wrong",
    "of another team",
    "left behind",
    "swaps",
    "last version served after",
)

TEXT = """## Services through a bad day

Services with the clients {clients} follow one model with `follow(every={every:g})` through a proxy, and read
`live.model` about 500 times a second. Meanwhile versions are promoted, some of them bad: pickles that raise or end the
process, models whose warm-up fails, ends, interrupts or cancels. Faults come one after the other: a registry that
refuses, hangs, drops connections, answers 500 or is killed; bytes that are corrupted or break off in the middle of a
download; a store that answers 403; {disk}; a process that forks in an outage, has no more
descriptors, or whose clock jumps by a day; a process without a home where it may write; all of MLflow in the process
turned to another team's registry, which holds the same names and numbers: a workspace of the same server from 3.10 on,
a server of its own before. Measured on {day}, on {cores} cores; `nox -s faults` does it again and writes this part.

"Failed" counts reads that found no model and forked processes that failed or hung, "wrong" counts versions served that
were not promoted by then or are bad, "of another team" counts reads of the other registry's bytes, "left behind" counts
threads, descriptors and files that are more than before once the services have stopped to follow. The last column is
how long after the last fault, during which another version went live, every service served it: at most two intervals,
and {slack:g} s to load it.

{rows}

The faults, by kind: {kinds}.
"""

REAL_DISK = "a cache on a full file system, on one that is read-only, or of another user"
LIMITED = "a process that may write no byte more"


def row(version: str, day: Day, seconds: float) -> str:
    """Return the row of one server."""
    cells = (
        version,
        f"{seconds / 60:.1f}",
        len(day.promotions),
        len(day.faults),
        f"{day.reads:,}",
        len(day.failed),
        len(day.wrong),
        day.foreign,
        len(day.left),
        day.swaps,
        f"{day.back_after:.1f} s",
    )
    return f"| {' | '.join(map(str, cells))} |"


def python_of(version: str) -> Path:
    """Return the Python of an environment with one row's MLflow."""
    return environment(mlflow_table.row(version), install=mlflow_table.requirements())


def main(arguments: Sequence[str]) -> int:
    """Run the days and write their part of the page; return 0 where the promise was kept."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers are ended, whoever ends this
    parser = argparse.ArgumentParser(prog="benchmarks.bad_days", description="Services through a bad day.")
    parser.add_argument("--seconds", type=float, default=600.0, help="how long the day of each server is")
    parser.add_argument(
        "--major", type=int, choices=(2, 3), help="the day of one server alone; then nothing is written"
    )
    parser.add_argument("--every", type=float, default=2.0, help="the interval of the services")
    parser.add_argument("--print", action="store_true", help="print the part and leave docs/reliability.md as it is")
    options = parser.parse_args(arguments)
    chosen = [version for version in MAJORS if options.major in (None, int(version.partition(".")[0]))]
    days: list[Day] = []
    rows: list[str] = []
    with tempfile.TemporaryDirectory(prefix="prodpointer-days-") as scratch:
        package = unpacked(mlflow_table.ROOT, Path(scratch))
        for version in chosen:
            began = time.monotonic()

            def tell(kind: str, version: str = version, began: float = began) -> None:
                print(f"{time.monotonic() - began:5.0f} s  {version}  {kind}", file=sys.stderr, flush=True)

            directory = Path(scratch) / version
            directory.mkdir()
            day = bad_day(
                python_of,
                directory,
                version=version,
                seconds=options.seconds,
                every=options.every,
                package=package,
                tell=tell,
                long=True,
            )
            days.append(day)
            rows.append(row(version, day, time.monotonic() - began))
            print(rows[-1], day.failed, day.wrong, day.left, file=sys.stderr, flush=True)
    kinds = Counter(kind for day in days for kind in day.faults)
    text = TEXT.format(
        clients=" and ".join(MAJORS),
        every=options.every,
        day=dt.datetime.now(tz=dt.timezone.utc).date().isoformat(),
        cores=os.cpu_count(),
        slack=SLACK,
        disk=REAL_DISK if all(day.real_disk for day in days) else LIMITED,
        rows=table(HEAD, rows),
        kinds=", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())),
    )
    if options.print or options.major:
        print(text)
    else:
        keep("bad days", text)
    return 0 if all(day.kept for day in days) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

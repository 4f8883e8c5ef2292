"""Ten minutes of promotions and faults on a server of each major, with services of both that read all the time.

``python -m benchmarks.bad_days`` from the root of a checkout; it makes the environments itself and writes its part of
``docs/reliability.md``, or prints it where ``--print`` is given. It ends with 1 where a read failed, a wrong version
was served, or the last version was not served within two intervals after the registry was back.
"""

from __future__ import annotations

import argparse
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

from benchmarks.pages import RELIABILITY, cores, table, today, write_or_print

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


def row(version: str, day: Day, seconds: float) -> tuple[object, ...]:
    """Return the row of one server."""
    return (
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
    rows: list[tuple[object, ...]] = []
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
            print(*rows[-1], day.failed, day.wrong, day.left, file=sys.stderr, flush=True)
    kinds = Counter(kind for day in days for kind in day.faults)
    conditions = [
        today(),
        cores(),
        ("clients", ", ".join(MAJORS)),
        ("interval of the services", f"{options.every:g} s"),
        ("time to load, beside two intervals", f"{SLACK:g} s"),
        ("a full, a read-only and a foreign cache", "yes" if all(day.real_disk for day in days) else "needs root"),
    ]
    parts = {
        "faults: conditions": table(["condition", "value"], conditions),
        "faults": table(HEAD, rows),
        "faults by kind": table(["fault", "times"], sorted(kinds.items())),
    }
    write_or_print(RELIABILITY, parts, only_print=options.print or options.major is not None)
    return 0 if all(day.kept for day in days) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Two fleets at once: processes of both majors promote and read models while these are migrated again and again.

``python -m benchmarks.two_fleets`` from the root of a checkout, in an environment with the newest MLflow and this
package; it writes its part of ``docs/reliability.md``, or prints it where ``--print`` is given.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests import mlflow_table
from tests.majors.soaking import MAJORS, Soak, soak
from tests.postgres import postgres
from tests.servers import environment, serve, wheel

from benchmarks.pages import RELIABILITY, cores, table, today, write_or_print

WORKERS = 4
SEEN_PROBLEMS = 20


def parts(found: dict[str, Soak], options: argparse.Namespace) -> dict[str, str]:
    """Return what the soaks found, as a generated part of the page."""
    conditions = [
        today(),
        cores(),
        ("seconds for each server", f"{options.seconds:.0f}"),
        ("models", options.models),
        ("processes of each client", options.each),
    ]
    crowd = [
        [version, client, *(f"{did[what]:,}" for what in ("read", "promoted", "lost"))]
        for version, each in found.items()
        for client, did in each.did.items()
    ]
    runs = []
    for version, each in found.items():
        ran = ", ".join(f"{verb} {count}" for verb, count in each.runs.items())
        moved = sum(count for outcome, count in each.outcomes.items() if outcome.endswith(" moved"))
        runs.append([version, ran, f"{moved:,}", len(each.wrong) + len(each.failed), len(each.broken)])
    tables = [
        table(["condition", "value"], conditions),
        table(["server", "clients", "reads", "promotions", "lost to another"], crowd),
        table(["server", "runs", "pointers moved by them", "reads of nothing and errors", "broken in the end"], runs),
    ]
    return {"soak": "\n\n".join(tables)}


def main(arguments: Sequence[str]) -> int:
    """Run the soaks and write the page; return 0 where nothing was wrong."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers are ended, whoever ends this
    parser = argparse.ArgumentParser(prog="benchmarks.two_fleets", description="A migration beside promotions.")
    parser.add_argument("--seconds", type=float, default=300.0, help="how long, in front of each server")
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--each", type=int, default=4, help="processes of each major")
    parser.add_argument("--print", action="store_true", help="print the part and leave docs/reliability.md as it is")
    options = parser.parse_args(arguments)
    logging.disable(logging.INFO)
    found: dict[str, Soak] = {}
    with tempfile.TemporaryDirectory(prefix="prodpointer-soak-") as scratch:
        directory = Path(scratch)
        package = wheel(mlflow_table.ROOT, directory / "built")
        pythons = {
            version: environment(mlflow_table.row(version), install=[package, "psycopg2-binary"]) for version in MAJORS
        }
        with postgres(directory / "postgresql") as database:
            for version in MAJORS:
                backend = database.create(f"soak_{version.replace('.', '_')}")
                place = directory / version
                with serve(pythons[version], place, version=version, backend=backend, workers=WORKERS) as server:
                    found[version] = soak(
                        server.uri,
                        pythons.__getitem__,
                        place,
                        models=options.models,
                        each=options.each,
                        seconds=options.seconds,
                    )
    write_or_print(RELIABILITY, parts(found, options), only_print=options.print)
    problems = [text for each in found.values() for text in (*each.wrong, *each.failed, *each.broken)]
    print("\n".join(problems[:SEEN_PROBLEMS]) or "nothing was wrong", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

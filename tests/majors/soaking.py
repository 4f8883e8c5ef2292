"""Migration beside promotions: processes of both majors use models while these are migrated again and again."""

from __future__ import annotations

import json
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

import prodpointer
from prodpointer.errors import InvalidName
from prodpointer.migration.apply import PairResult
from prodpointer.migration.migration import Migration, flatten, run_name
from tests import mlflow_table
from tests.majors.processes import listening

MAJORS = (mlflow_table.newest_of_major(2).version, mlflow_table.newest_of_major(3).version)
VERSIONS = 4
EACH_TIME = {"plan", "apply", "verify", "finish"}
"""What runs at least once, however slow the machine is."""


@dataclass
class Soak:
    """What came of it: what the crowd did, what went wrong, the runs of the migration, and the models in the end."""

    did: dict[str, Counter[str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    runs: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)


def soak(
    uri: str, python_of: Callable[[str], Path], directory: Path, *, models: int, each: int, seconds: float
) -> Soak:
    """Let ``each`` processes of both majors work on ``models`` models for a while, and migrate them meanwhile."""
    prefix = f"soak{uuid.uuid4().hex[:8]}"
    names = made(uri, prefix, models)
    found = Soak()
    with ExitStack() as stack:
        crowd = []
        for version in MAJORS:
            for number in range(each):
                log = directory / f"crowd-{version}-{number}.log"
                process = stack.enter_context(listening(python_of(version), "crowd.py", log))
                assert process.stdin is not None
                process.stdin.write(json.dumps([uri, names, VERSIONS, seconds, number]) + "\n")
                process.stdin.flush()
                crowd.append((process, log))
        end = time.monotonic() + seconds
        for verb, globs in verbs(prefix):
            if time.monotonic() > end and set(found.runs) >= EACH_TIME:
                break
            run(found, uri, verb, globs)
        for process, log in crowd:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, log.read_text()[-3000:]
            told = json.loads(line)
            found.did.setdefault(told["mlflow"], Counter()).update(told["did"])
            found.wrong += told["wrong"]
    settle(found, uri, prefix)
    for name in names:
        judge(found, uri, name)
    return found


def made(uri: str, prefix: str, models: int) -> list[str]:
    """Make models as jobs of MLflow 2 leave them: one version in Production."""
    client = MlflowClient(uri)
    names = [f"{prefix}-{number:03d}" for number in range(models)]
    for name in names:
        client.create_registered_model(name)
        for _ in range(VERSIONS):
            client.create_model_version(name, "s3://models/bundle")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's own, that stages are deprecated
            client.transition_model_version_stage(name, "1", "Production")
    return names


def verbs(prefix: str) -> Iterator[tuple[str, str]]:
    """Yield what a platform team does, again and again: some of the models are ended and brought back each time."""
    for number in range(10**6):
        some = f"{prefix}-*{number % 10}"
        yield "plan", f"{prefix}-*"
        yield "apply", f"{prefix}-*"
        yield "verify", f"{prefix}-*"
        yield "finish", some
        if number % 2:
            yield "undo", some
            yield "start", some


def run(found: Soak, uri: str, verb: str, glob: str) -> list[PairResult]:
    """Execute one of them, and count the result."""
    migration = Migration(tracking_uri=uri, models=[glob], most_failures=10**6)
    name = f"{verb}-{found.runs[verb]}" if verb != "undo" else f"finish-{found.runs['finish'] - 1}"
    steps: list[PairResult] = []
    if verb == "plan":
        migration.plan()
    elif verb == "verify":
        results = list(migration.verify())
        found.failed += [f"verify: {result.error}" for result in results if result.error]
    elif verb == "apply":
        steps = flatten(migration.apply(migration.plan(), name, prefer="journal"))
    else:
        with suppress(InvalidName):  # no run of that name: its models were all being promoted when it came
            steps = flatten(getattr(migration, verb)(name))
    found.runs[verb] += 1
    found.outcomes.update(f"{verb} {step.outcome}" for step in steps)
    found.failed += [f"{verb} {step.name}: {step.reason}" for step in steps if step.outcome == "failed"]
    return steps


def settle(found: Soak, uri: str, prefix: str) -> None:
    """Migrate the rest once all promotions have ended, as ``migrate apply`` does after a window."""
    migration = Migration(tracking_uri=uri, models=[f"{prefix}-*"])
    steps = flatten(migration.apply(migration.plan(), run_name("settled"), prefer="journal"))
    found.broken += [
        f"{step.name}: {step.outcome}: {step.reason}" for step in steps if step.outcome in ("left", "failed")
    ]
    found.broken += [
        f"{check.name}: {check.problem}"
        for result in migration.verify()
        for check in result.value or ()
        if check.problem
    ]


def judge(found: Soak, uri: str, name: str) -> None:
    """Record the inconsistencies of one model: it must have one live version and a matching history."""
    client: Any = MlflowClient(uri)
    versions = client.search_model_versions(f"name='{name}'")
    in_stage = [int(each.version) for each in versions if each.current_stage == "Production"]
    alias = client.get_registered_model(name).aliases.get("production")
    model = prodpointer.connect(name, tracking_uri=uri)
    history = model.history()
    found.events.update(f"{event.kind} {event.state}" for event in history)
    live = model.live_version()
    if live is None or {*in_stage, int(alias or live)} != {live} or len(in_stage) > 1:
        found.broken.append(f"{name}: the alias names {alias}, Production holds {in_stage}")
    done = [event for event in history if event.state == "done"]
    if not done or done[-1].to_version != live:
        found.broken.append(f"{name}: version {live} is live, and the record ends with {done[-1:]}")
    found.broken += [f"{name}: {event.event} is still an intent" for event in history if event.state == "intended"]
    found.broken += [
        f"{name}: a move from {event.from_version} to {event.to_version} is not recorded"
        for event in history
        if event.kind == "unrecorded"
    ]

"""Events of a fleet on their way to a webhook: a sender that is killed, a receiver that is down, and a large export.

``python -m benchmarks.events_out`` from the root of a checkout, in an environment with this package, its extra
``events`` and the newest MLflow; ``kills``, ``down 600`` or ``export`` run one part, ``down`` for as many seconds. Node
and npm verify the signatures with the npm package ``standardwebhooks``. It ends with 1 where an event is lost, out of
order or sent twice with two ids, where a signature is not verified, or where an export needs more memory than a page.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import mlflow
from standardwebhooks.webhooks import Webhook as Verifier
from tests.receiver import Endpoint, Posted, endpoint

import prodpointer
from prodpointer.history import log, record
from prodpointer.types import ModelVersion, Promotion

MODELS = 6
VERSIONS = 4
KILLS = 20
DOWN = 600.0  # seconds
DRAINED = 400.0  # seconds: a pause of five minutes, and what is sent after it
SECRET = "whsec_" + "cHJvZHBvaW50ZXIgdGVzdCBzZWNyZXQsIDMyIGJ5dGU="
NPM_PACKAGE = "standardwebhooks@1.1.1"
EVENTS = 100_000
SMALL_EVENTS = 1_000
_EVENTS_OF_VERSION = 10
_VERSIONS_OF_MODEL = 10
_MOST_MEMORY = 150  # MB that a hundred times as many events may cost: MLflow's own page of versions, and the pointers

_VERIFY = """
const { Webhook } = require("standardwebhooks");
const lines = require("fs").readFileSync(process.argv[2], "utf8").trim().split("\\n").map(JSON.parse);
const RealDate = Date;
for (const { headers, body } of lines) {
  // The library refuses what is older than five minutes: verified as of the moment at which it was sent.
  Date.now = () => Number(headers["webhook-timestamp"]) * 1000;
  new Webhook(process.argv[3]).verify(body, headers);
}
console.log(lines.length);
"""


@dataclass
class Report:
    """What a part found; anything in ``wrong`` fails it."""

    lines: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def require(self, fine: bool, what: str) -> None:
        """Note what is wrong."""
        if not fine:
            self.wrong.append(what)


@dataclass
class Fleet:
    """Models in an SQLite registry, and what moves their pointers."""

    uri: str
    directory: Path
    models: list[prodpointer.RegisteredModel]
    moves: int = 0

    @classmethod
    def make(cls, directory: Path) -> Fleet:
        """Make the models, with versions that point nowhere: no bytes are read here."""
        uri = f"sqlite:///{(directory / 'registry.db').as_posix()}"
        prodpointer.connect("any", tracking_uri=uri)
        client = mlflow.MlflowClient(uri)
        names = [f"model-{number}" for number in range(MODELS)]
        for name in names:
            client.create_registered_model(name)
            for _ in range(VERSIONS):
                client.create_model_version(name, "s3://benchmark/nothing")
        return cls(uri, directory, [prodpointer.connect(name, tracking_uri=uri) for name in names])

    def move(self) -> None:
        """Move a pointer: mostly by prodpointer, at times as another tool does."""
        model = random.choice(self.models)
        version = random.randint(1, VERSIONS)
        if random.random() < 0.2:
            mlflow.MlflowClient(self.uri).set_registered_model_alias(model.name, "production", str(version))
        else:
            model.promote(version, reason=f"move {self.moves}")
        self.moves += 1

    @contextmanager
    def moving(self, every: float) -> Iterator[None]:
        """Move pointers until the block ends."""
        stopped = threading.Event()

        def run() -> None:
            while not stopped.wait(random.uniform(0, 2 * every)):
                self.move()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    @contextmanager
    def watching(self, url: str, every: float = 0.5) -> Iterator[subprocess.Popen[str]]:
        """Run a sender that has begun; it is killed if it runs at the end."""
        options = ("watch", "--every", str(every), "--cursor", str(self.directory / "cursor"), "--webhook", url)
        sender = subprocess.Popen(
            [sys.executable, "-m", "prodpointer", "--tracking-uri", self.uri, *options],
            env={**os.environ, "PRODPOINTER_WEBHOOK_SECRET": SECRET},
            stderr=subprocess.PIPE,
            text=True,
        )
        with sender:
            assert sender.stderr is not None
            began = sender.stderr.readline()
            if not began.startswith("watch: every"):
                raise SystemExit(f"the sender did not begin: {began}{sender.stderr.read()}")
            threading.Thread(target=sender.stderr.read, daemon=True).start()
            try:
                yield sender
            finally:
                sender.kill()

    @property
    def left(self) -> int:
        """How many events the cursor holds, read from a copy, since it is locked."""
        copy = self.directory / "copy"
        shutil.copyfile(self.directory / "cursor", copy)
        with closing(sqlite3.connect(copy)) as database:
            return int(database.execute("SELECT COUNT(*) FROM outbox").fetchone()[0])


def wait_until_taken(fleet: Fleet, receiving: Endpoint, seconds: float) -> None:
    """Wait until what is live at the end was taken of each model."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not all(_ends_live(model, receiving) for model in fleet.models):
        time.sleep(1)


def _ends_live(model: prodpointer.RegisteredModel, receiving: Endpoint) -> bool:
    """Tell whether the last move of a model that was taken is to what is live."""
    done = [each for each in taken_of(receiving, model.name) if each["state"] == "done"]
    return (done[-1]["to_version"] if done else None) == model.live_version()


def taken_of(receiving: Endpoint, name: str) -> list[dict[str, Any]]:
    """Return the events of a model in the order in which they were taken first."""
    found: dict[str, dict[str, Any]] = {}
    for posted in list(receiving.taken):
        document = posted.event["data"]
        if document["name"] == name:
            found.setdefault(document["id"], document)
    return list(found.values())


def check(fleet: Fleet, receiving: Endpoint, report: Report) -> None:
    """Compare what was taken with what the registry says happened, and verify every signature."""
    first: dict[str, Any] = {}
    for posted in receiving.posted:
        event = posted.event
        report.require(first.setdefault(event["id"], event) == event, f"two events have the id {event['id']}")
        report.require(event["id"] == posted.headers["webhook-id"], f"{event['id']} has another webhook-id")
    for model in fleet.models:
        done = [each for each in taken_of(receiving, model.name) if each["state"] == "done"]
        recorded = [each.event for each in model.history() if each.event and each.state == "done"]
        report.require(
            [each["event"] for each in done if each["event"]] == recorded, f"{model.name}: not the moves of the record"
        )
        chain = [None, *(each["to_version"] for each in done)]
        report.require([each["from_version"] for each in done] == chain[:-1], f"{model.name}: a gap in the moves")
        report.require(chain[-1] == model.live_version(), f"{model.name}: ends at {chain[-1]}, which is not live")
    unrecorded = sum(each["data"]["kind"] == "unrecorded" for each in first.values())
    report.lines.append(
        f"{fleet.moves} moves, {len(first)} events ({unrecorded} by another tool), "
        f"{len(receiving.taken)} taken, {len(receiving.posted)} posted"
    )
    verify(receiving.posted, fleet.directory, report)


def verify(posted: Sequence[Posted], directory: Path, report: Report) -> None:
    """Verify the signature of every request with the npm package, and of the last with the Python package."""
    headers = ("webhook-id", "webhook-timestamp", "webhook-signature")
    lines = [
        json.dumps({"headers": {name: each.headers[name] for name in headers}, "body": each.body.decode()})
        for each in posted
    ]
    (directory / "posted.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (directory / "verify.js").write_text(_VERIFY, encoding="utf-8")
    if shutil.which("npm") is None:
        report.wrong.append("npm is missing: apt-get install nodejs npm")
        return
    subprocess.run(["npm", "install", "--silent", "--no-fund", NPM_PACKAGE], cwd=directory, check=True)
    command = ["node", "verify.js", "posted.jsonl", SECRET]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    report.require(done.stdout.strip() == str(len(posted)), f"not verified by {NPM_PACKAGE}: {done.stderr[-500:]}")
    Verifier(SECRET).verify(posted[-1].body, dict(posted[-1].headers))
    report.lines.append(f"{done.stdout.strip()} signatures verified by {NPM_PACKAGE}")


def kills(directory: Path) -> Report:
    """Kill the sender at random moments while pointers move."""
    report, fleet = Report(), Fleet.make(directory)
    with endpoint() as receiving:
        with fleet.watching(receiving.url):
            time.sleep(3)  # the cursor begins now
        with fleet.moving(0.2):
            for _ in range(KILLS):
                with fleet.watching(receiving.url) as sender:
                    time.sleep(random.uniform(0, 3))
                    sender.kill()
        with fleet.watching(receiving.url):
            wait_until_taken(fleet, receiving, 120)
        report.lines.append(f"{KILLS} kills")
        check(fleet, receiving, report)
    return report


def down(directory: Path, seconds: float) -> Report:
    """Let pointers move while the receiver is down, and then with one at the same address."""
    report, fleet = Report(), Fleet.make(directory)
    with endpoint() as gone:
        url, port = gone.url, int(gone.url.rpartition(":")[2].partition("/")[0])
    with fleet.watching(url, every=2):
        time.sleep(5)  # the cursor begins now
        with fleet.moving(seconds / 100):
            time.sleep(seconds)
        back, waiting = time.monotonic(), fleet.left
        with endpoint(port) as receiving:
            wait_until_taken(fleet, receiving, DRAINED)
            took = time.monotonic() - back
            report.lines.append(
                f"{seconds:.0f} s down, {waiting} events waiting, the last one taken {took:.0f} s later"
            )
            check(fleet, receiving, report)
    return report


def fill(file: Path, count: int) -> None:
    """Fill a registry with as many events as promotions would have left, by direct inserts."""
    uri = f"sqlite:///{file.as_posix()}"
    prodpointer.connect("any", tracking_uri=uri)
    client = mlflow.MlflowClient(uri)
    client.create_registered_model("template")
    client.create_model_version("template", "s3://benchmark/nothing")
    client.set_model_version_tag("template", "1", "template", "")
    client.set_registered_model_alias("template", "production", "1")
    with closing(sqlite3.connect(file)) as database:
        database.row_factory = sqlite3.Row
        tables = ("registered_models", "model_versions", "model_version_tags", "registered_model_aliases")
        rows = {table: dict(database.execute(f"SELECT * FROM {table}").fetchone()) for table in tables}

        def insert(table: str, **values: Any) -> None:
            row = {**rows[table], **values}
            marks = ", ".join("?" * len(row))
            database.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))

        of_model = _EVENTS_OF_VERSION * _VERSIONS_OF_MODEL
        for number in range(count // of_model):
            name = f"model-{number:05d}"
            insert("registered_models", name=name)
            versions = recorded_versions(name, rows["model_versions"]["creation_time"])
            for version in versions:
                insert("model_versions", name=name, version=version.version)
                for key, text in version.tags.items():
                    insert("model_version_tags", name=name, version=version.version, key=key, value=text)
            insert("registered_model_aliases", name=name, version=versions[-1].version)
        database.commit()


def recorded_versions(name: str, created: int) -> list[ModelVersion]:
    """Return the versions of a model with the tags that promotions of all of them in turn leave."""
    at = datetime.fromtimestamp(created / 1000, timezone.utc)
    versions = {
        number: ModelVersion(name, number, None, "READY", "s3://benchmark/nothing", None, at, at)
        for number in range(1, _VERSIONS_OF_MODEL + 1)
    }
    last: Promotion | None = None
    for count in range(_EVENTS_OF_VERSION * _VERSIONS_OF_MODEL):
        number = count % _VERSIONS_OF_MODEL + 1
        event = Promotion(
            name,
            last.to_version if last else None,
            number,
            ("alias",),
            at + timedelta(seconds=count + 1),
            "ada",
            f"weekly retrain {count}",
            event=log.next_id([last] if last else []),
            after=last.event if last else "",
            passing="",
            holder_created_at=at,
        )
        for state in ("intended", "done"):
            closed = replace(event, state=state)
            versions[number] = record.changes(closed, versions[number], event.at).applied_to(versions[number])
        last = event
    return list(versions.values())


def export(directory: Path) -> Report:
    """Export few and many events, and compare the memory."""
    report = Report()
    peaks = []
    for count in (SMALL_EVENTS, EVENTS):
        file = directory / f"{count}.db"
        fill(file, count)
        began = time.monotonic()
        lines, peak = exported(f"sqlite:///{file.as_posix()}")
        seconds = time.monotonic() - began
        peaks.append(peak)
        report.require(lines == count, f"{lines} events of {count} were exported")
        report.lines.append(f"{lines} events exported in {seconds:.0f} s, {peak:.0f} MB at most")
    report.require(peaks[1] - peaks[0] < _MOST_MEMORY, f"{peaks[1] - peaks[0]:.0f} MB more than for {SMALL_EVENTS}")
    return report


def exported(uri: str) -> tuple[int, float]:
    """Export all events of a registry in a process, and return how many they were and the most memory in MB."""
    code = (
        "import resource, sys; from prodpointer.cli.main import main; main(sys.argv[1:], standalone_mode=False);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    arguments = ["--tracking-uri", uri, "history", "--all", "--since", "2020-01-01", "--jsonl"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        lines = sum(1 for line in running.stdout if json.loads(line)["state"] == "done")
        said = running.stderr.read()
    unit = 1024 if sys.platform != "darwin" else 1024**2
    return lines, int(said.split()[-1]) / unit


def main() -> None:
    """Run the parts that are named, or all of them."""
    named = sys.argv[1:] or ["kills", "down", "export"]
    seconds = float(named[1]) if len(named) > 1 and named[0] == "down" else DOWN
    parts = {"kills": kills, "down": lambda directory: down(directory, seconds), "export": export}
    failed = False
    for name in [each for each in named if each in parts]:
        with tempfile.TemporaryDirectory(prefix="prodpointer-events-") as directory:
            report = parts[name](Path(directory))
        for line in (*report.lines, *(f"WRONG: {each}" for each in dict.fromkeys(report.wrong))):
            print(f"{name}: {line}", flush=True)
        failed = failed or bool(report.wrong)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

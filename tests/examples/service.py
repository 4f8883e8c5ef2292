"""The news service in a separate process, and HTTP requests to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mlflow_table import ROOT
from tests.servers import FOREIGN_SETTINGS, SERVER_ENVIRONMENT, free_port

EXAMPLE = ROOT / "examples" / "news_api"
COMMAND = f"{sys.executable} -m uvicorn --factory --app-dir {EXAMPLE} news_api:create_app"
STARTUP_SECONDS = 60.0
STOP_SECONDS = 20.0
# A version that loads, and is no recommender.
NONSENSE = """
import os, pathlib, mlflow, pickle, prodpointer
pathlib.Path("nonsense.pkl").write_bytes(pickle.dumps({"recommender": None, "ranker": None}))
with mlflow.start_run() as run:
    mlflow.log_artifact("nonsense.pkl", "bundle")
news = prodpointer.connect(os.environ["NEWSRECO_MODEL"])
news.promote(news.register(run.info.run_id, "bundle"), reason="nonsense")
"""
# Each look at the pointer is a few requests; tests do not wait ten seconds for the next one.
FOLLOW_EVERY = "0.5"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body of one answer."""

    status: int
    body: str

    @property
    def json(self) -> Any:
        """Return the document in the body."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Service:
    """A running service; ``pid`` is its process, which stays the same whatever is promoted."""

    uri: str
    pid: int
    log: Path

    def get(self, path: str) -> Answer:
        """Return one answer, past any proxy the machine is configured with."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.uri}{path}", timeout=10) as reply:
                return Answer(reply.status, reply.read().decode())
        except urllib.error.HTTPError as refusal:
            with refusal:
                return Answer(refusal.code, refusal.read().decode())

    def live(self) -> dict[str, Any]:
        """Return what ``/live`` says."""
        return dict(self.get("/live").json)

    def becomes(self, within: float = 30.0, **expected: object) -> dict[str, Any]:
        """Return what ``/live`` says once it says what is expected."""
        last: dict[str, Any] = {}

        def agreed() -> bool:
            last.update(self.live())
            return expected.items() <= last.items()

        until(agreed, within, lambda: f"wanted {expected}, /live says {last}\n{tail(self.log)}")
        return last


def until(true: Callable[[], bool], within: float, otherwise: Callable[[], str]) -> None:
    """Return once something is true, and fail with a text when that takes too long."""
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.1)


def environment(directory: Path, **settings: str) -> dict[str, str]:
    """Return the environment of a user: the machine's without the settings of the tests, an empty cache, and these."""
    foreign = (*FOREIGN_SETTINGS, "NEWSRECO_", "PRODPOINTER_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, **SERVER_ENVIRONMENT, "PRODPOINTER_CACHE_DIR": str(directory / "cache"), **settings}


@contextmanager
def running(directory: Path, settings: Mapping[str, str], command: str = COMMAND) -> Iterator[Service]:
    """Run the service in a directory until the block ends, when it has to stop by itself once it is told to."""
    port = free_port()
    log = directory / "service.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            cwd=directory,
            env={**settings, "UVICORN_PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    service = Service(f"http://127.0.0.1:{port}", process.pid, log)
    try:
        until(lambda: _answers(service, process), STARTUP_SECONDS, lambda: f"no answer from {service.uri}: {tail(log)}")
        yield service
        os.killpg(process.pid, signal.SIGTERM)
        until(lambda: _has_ended(process), STOP_SECONDS, lambda: f"it does not stop: {tail(log)}")
    finally:
        if not _has_ended(process):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Tell whether the process has ended with all that it started."""
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return True
    return False


def _answers(service: Service, process: subprocess.Popen[bytes]) -> bool:
    """Tell whether the service answers; fail at once when its process has ended."""
    assert process.poll() is None, f"the service ended with code {process.returncode}:\n{tail(service.log)}"
    try:
        return service.get("/healthz").status == 200
    except OSError:
        return False


def train(directory: Path, settings: Mapping[str, str], *arguments: str) -> str:
    """Train as a pipeline would, in a process of its own, and return what it prints."""
    return run([sys.executable, str(EXAMPLE / "train.py"), *arguments], directory, settings)


def publish_nonsense(directory: Path, settings: Mapping[str, str]) -> None:
    """Make a version live that the service cannot serve."""
    run([sys.executable, "-c", NONSENSE], directory, settings)


def run(command: list[str], directory: Path, settings: Mapping[str, str]) -> str:
    """Return what a command prints; fail with all it said when it fails."""
    done = subprocess.run(command, cwd=directory, env=dict(settings), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def tail(log: Path) -> str:
    """Return the end of a log."""
    return log.read_text(encoding="utf-8", errors="replace")[-4000:]

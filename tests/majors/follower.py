"""A service in a separate process, with its own MLflow, that constantly reads its model; see ``bad_day``."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import resource
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import prodpointer

READ_EVERY = 0.002  # seconds
UNLIMITED = resource.getrlimit(resource.RLIMIT_FSIZE)
DESCRIPTORS = resource.getrlimit(resource.RLIMIT_NOFILE)
LONGEST = 60.0  # seconds for a forked process, and for the age of an answer: both are a few times the timeout
NOW = time.time  # also while the clock jumps
RAISED = {"error": ValueError, "exit": SystemExit, "interrupt": KeyboardInterrupt, "cancelled": asyncio.CancelledError}


def warm_up(model: dict[str, Any]) -> None:
    """Refuse a model that says it is bad, in the way that it says."""
    if model["bad"]:
        raise RAISED[model["bad"]]("a model that fails its warm-up")


class Service:
    """Follows one model and writes down what it reads: how often, and each change with its time."""

    def __init__(self, where: dict[str, Any], name: str, every: float, team: str) -> None:
        self._where = where
        self._name = name
        self._connect().load_production()  # what is imported and kept open by then is no concern of the handle
        self._team = team
        self._before = held()
        self.live = self._connect().follow(every, warm_up=warm_up, max_stale=LONGEST)
        assert self.live.wait_ready(120), self.live.last_error
        self.foreign = 0
        self.reads = 0
        self.failed: list[str] = []
        self.seen: list[tuple[float, int]] = []
        self.states: dict[str, int] = {}
        threading.Thread(target=self.read, name="reader", daemon=True).start()

    def read(self) -> None:
        """Read until the process ends."""
        while True:
            try:
                model = self.live.model
                number = int(model["number"])
                self.foreign += model["team"] != self._team
            except Exception as error:  # noqa: BLE001  # whatever a reader sees that is no model
                self.failed.append(repr(error))
            else:
                if not self.seen or self.seen[-1][1] != number:
                    self.seen.append((NOW(), number))
            self.reads += 1
            state = str(self.live.state)
            self.states[state] = self.states.get(state, 0) + 1
            time.sleep(READ_EVERY)

    def _connect(self) -> prodpointer.RegisteredModel:
        """Return the model anew."""
        return prodpointer.connect(self._name, **self._where)

    def fork(self) -> str | None:
        """Fork while the registry may be down, and say what went wrong in the child: it asks, loads and ends."""
        child = os.fork()
        if child == 0:
            self._in_child()
        end = time.monotonic() + LONGEST
        while time.monotonic() < end:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return f"a forked process ended with {status}" if status else None
            time.sleep(0.05)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "a forked process did not end"

    def _in_child(self) -> None:
        """Serve what was loaded, ask and load again, and end; an error of ours is as good as a model."""
        code = 1
        try:
            assert self.live.model["team"] == self._team
            model = self._connect().load_production(on_unavailable="last-known-good")
            code = 0 if model is not None and model["team"] == self._team else 1
        except prodpointer.ProdpointerError:
            code = 0
        finally:
            os._exit(code)  # nothing of the parent's is to end here

    def leave(self) -> list[str]:
        """Stop following and say what is left behind."""
        self.live.close()
        end = time.monotonic() + LONGEST / 2
        while (left := left_since(self._before)) and time.monotonic() < end:
            gc.collect()
            time.sleep(0.1)
        return left

    def report(self) -> dict[str, Any]:
        """Return what was read so far."""
        return {
            "reads": self.reads,
            "failed": self.failed[:10],
            "seen": self.seen,
            "foreign": self.foreign,
            "age": self.live.age,
            "states": self.states,
            "version": self.live.version,
            "state": str(self.live.state),
            "error": str(self.live.last_error),
        }


def fill_disk(full: bool) -> None:  # an order of the engine's
    """Make the system refuse every byte that this process writes to a file, or let it write again."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, UNLIMITED[1]) if full else UNLIMITED)


def few_descriptors(few: bool) -> None:
    """Limit this process to two more open files, or restore the limit."""
    now = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (now + 2, DESCRIPTORS[1]) if few else DESCRIPTORS)


def set_clock(ahead: float) -> None:
    """Let the wall clock of this process jump."""
    setattr(time, "time", lambda: NOW() + ahead)  # noqa: B010  # as tests patch it


def turn_to(uri: str | None, workspace: str | None) -> None:
    """Let all of MLflow in this process speak to another registry or workspace, as a job beside the service does."""
    import mlflow

    for variable, value in (("MLFLOW_TRACKING_URI", uri), ("MLFLOW_WORKSPACE", workspace)):
        os.environ.pop(variable, None)
        if value is not None:
            os.environ[variable] = value
    mlflow.set_tracking_uri(uri)
    if hasattr(mlflow, "set_workspace"):
        mlflow.set_workspace(workspace)


def load(where: dict[str, Any], name: str, times: int) -> list[list[Any]]:
    """Load what is live by the short way, again and again; return the number and the team of each."""
    found = []
    for _ in range(times):
        model = prodpointer.connect(name, **where).load_production()
        found.append([model["number"], model["team"]])
    return found


def held() -> tuple[set[str], int]:
    """Return the threads and the number of descriptors of this process."""
    descriptors = [each for each in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{each}")]  # noqa: PTH110, PTH208
    return {thread.name for thread in threading.enumerate()}, len(descriptors)


def left_since(before: tuple[set[str], int]) -> list[str]:
    """Return what this process holds more than before; its reader goes on."""
    threads, descriptors = held()
    more = threads - before[0] - {"reader"}
    return [*sorted(more), *([f"{descriptors - before[1]} descriptors"] if descriptors > before[1] else [])]


ORDERS: dict[str, Callable[..., Any]] = {
    "disk": fill_disk,
    "descriptors": few_descriptors,
    "clock": set_clock,
    "elsewhere": turn_to,
    "load": load,
}


def main() -> None:
    """Obey orders until there are no more."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    service: Service | None = None
    for line in sys.stdin:
        order, *arguments = json.loads(line)
        answer: Any = None
        if order == "follow":
            service = Service(*arguments)
        elif order in ORDERS:
            answer = ORDERS[order](*arguments)
        elif service is not None:
            answer = {"report": service.report, "fork": service.fork, "leave": service.leave}[order]()
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

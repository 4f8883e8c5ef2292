"""A service with a process and an MLflow of its own, that reads its model all the time; see ``bad_day``."""

from __future__ import annotations

import json
import logging
import resource
import signal
import sys
import threading
import time
import warnings
from typing import Any

import prodpointer

READ_EVERY = 0.002  # seconds
UNLIMITED = resource.getrlimit(resource.RLIMIT_FSIZE)


def warm_up(model: dict[str, Any]) -> None:
    """Refuse a model that says it is bad."""
    if model["bad"]:
        raise ValueError("a model that fails its warm-up")


class Service:
    """Follows one model and writes down what it reads: how often, and each change with its time."""

    def __init__(self, uri: str, name: str, every: float, timeout: float) -> None:
        self.live = prodpointer.connect(name, tracking_uri=uri, timeout=timeout).follow(every, warm_up=warm_up)
        assert self.live.wait_ready(120), self.live.last_error
        self.reads = 0
        self.failed: list[str] = []
        self.seen: list[tuple[float, int]] = []
        self.states: dict[str, int] = {}
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        """Read until the process ends."""
        while True:
            try:
                number = int(self.live.model["number"])
            except Exception as error:  # noqa: BLE001  # whatever a reader sees that is no model
                self.failed.append(repr(error))
            else:
                if not self.seen or self.seen[-1][1] != number:
                    self.seen.append((time.time(), number))
            self.reads += 1
            state = str(self.live.state)
            self.states[state] = self.states.get(state, 0) + 1
            time.sleep(READ_EVERY)

    def report(self) -> dict[str, Any]:
        """Return what was read so far."""
        return {
            "reads": self.reads,
            "failed": self.failed[:10],
            "seen": self.seen,
            "states": self.states,
            "version": self.live.version,
            "state": str(self.live.state),
            "error": str(self.live.last_error),
        }


def fill_disk(full: bool) -> None:  # an order of the engine's
    """Make the system refuse every byte that this process writes to a file, or let it write again."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, UNLIMITED[1]) if full else UNLIMITED)


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
        elif order == "disk":
            fill_disk(*arguments)
        elif service is not None:
            answer = service.report()
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

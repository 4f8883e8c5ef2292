"""Processes that live through many tests: they read commands and write answers, one per line."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def listening(python: Path, script: str, log: Path, package: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run a script of this directory until the block ends; it stops when there is nothing more to read.

    What it prints to standard error goes to ``log``. ``package`` is where this library is, if not in the environment.
    """
    settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": "" if package is None else str(package)}
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [str(python), str(Path(__file__).with_name(script))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **settings},
        ) as process,
    ):
        yield process

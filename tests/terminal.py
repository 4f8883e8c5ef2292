"""Run a command whose output is a terminal, as people see it: tables, not the tab-separated lines of a pipe."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path


def run_on_terminal(
    words: Sequence[str],
    directory: Path,
    environment: Mapping[str, str],
    *,
    columns: int = 100,
    terminal: str = "dumb",
    with_errors: bool = True,
    seconds: float = 180,
) -> tuple[int, str, str]:
    """Return the exit code of a command, what a terminal shows, and its errors where they are apart.

    Parameters
    ----------
    words, directory, environment
        The command, where it runs and with which variables.
    columns
        How wide the terminal is.
    terminal
        Which one it is; by default one without colours.
    with_errors
        Whether standard error is the terminal too.
    seconds
        After these the command is killed.
    """
    ours, theirs = pty.openpty()
    with tempfile.TemporaryFile() as errors:
        running = subprocess.Popen(
            words,
            cwd=directory,
            env={**environment, "COLUMNS": str(columns), "TERM": terminal},
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs if with_errors else errors,
        )
        os.close(theirs)
        expired = threading.Timer(seconds, running.kill)
        expired.start()
        shown = b""
        with contextlib.suppress(OSError):  # by which Linux tells the end of a terminal
            while part := os.read(ours, 65536):
                shown += part
        os.close(ours)
        code = running.wait()
        expired.cancel()
        errors.seek(0)
        told = errors.read().decode("utf-8", "replace")
    return code, shown.decode("utf-8", "replace").replace("\r\n", "\n"), told

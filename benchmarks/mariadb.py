"""A real MariaDB from the system's package ``mariadb-server``, on a unix socket, for as long as a block lasts."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STARTUP_SECONDS = 60.0
PROGRAMS = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin{os.pathsep}/usr/local/sbin"


class NoMariaDB(Exception):
    """The package is not installed, or its server does not start."""


class MariaDB:
    """A running MariaDB: its socket."""

    def __init__(self, socket: Path) -> None:
        """Bind the socket."""
        self._socket = socket

    def create(self, name: str) -> str:
        """Make a fresh database and return its SQLAlchemy URI."""
        self._run("mariadb", "--execute", f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return f"mysql+pymysql://root@localhost/{name}?unix_socket={self._socket}"

    def answers(self) -> bool:
        """Tell whether the server takes connections."""
        return self._run("mariadb", "--execute", "SELECT 1", check=False) == 0

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        """Run one of MariaDB's programs on this server and return its code."""
        command = [found(program), "--no-defaults", f"--socket={self._socket}", "--user=root", *arguments]
        return subprocess.run(command, check=check, capture_output=True).returncode


def found(program: str) -> str:
    """Return where a program is."""
    path = shutil.which(program, path=PROGRAMS)
    if path is None:
        raise NoMariaDB(f"there is no {program}: install Debian's package mariadb-server")
    return path


@contextmanager
def mariadb() -> Iterator[MariaDB]:
    """Run a MariaDB until the block ends; works as root too."""
    server, user = found("mariadbd"), ["--user=root"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="mariadb-") as scratch:
        data, socket, log = (Path(scratch, name) for name in ("data", "socket", "log"))
        base = f"--basedir={Path(server).parents[1]}"
        install = [found("mariadb-install-db"), "--no-defaults", base, f"--datadir={data}", *user]
        subprocess.run([*install, "--auth-root-authentication-method=normal"], check=True, capture_output=True)
        options = [base, f"--datadir={data}", f"--socket={socket}", "--skip-networking", "--max-connections=300", *user]
        with (
            log.open("wb") as output,
            subprocess.Popen([server, "--no-defaults", *options], stdout=output, stderr=output) as process,
        ):
            try:
                running = MariaDB(socket)
                _wait_for(running, process, log)
                yield running
            finally:
                process.terminate()


def _wait_for(running: MariaDB, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the server takes connections; fail at once when it has ended."""
    deadline = time.monotonic() + STARTUP_SECONDS
    while not running.answers():
        if process.poll() is not None or time.monotonic() > deadline:
            raise NoMariaDB(f"it did not start: {log.read_text()[-2000:]}")
        time.sleep(0.1)

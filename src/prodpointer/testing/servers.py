"""Real MLflow servers, started for a test and ended with it."""

from __future__ import annotations

import base64
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prodpointer.errors import without_credentials

STARTUP_SECONDS = 120.0
STARTS = 3
LOG_TAIL = 4000
# As gunicorn and as uvicorn say it.
PORT_TAKEN = re.compile(r"(connection|address already) in use", re.IGNORECASE)

# 3.x would start seven job workers of 235 MB each (measured, 3.17.2), and telemetry has no place in a test.
SERVER_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
# Settings of the test process that a server must not inherit.
FOREIGN_SETTINGS = ("MLFLOW_", "PYTHON", "COVERAGE_", "COV_CORE_", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Server:
    """A running MLflow server; ``pid`` also names its process group."""

    uri: str
    version: str
    python: Path
    pid: int
    directory: Path

    @property
    def log(self) -> Path:
        """Return the file that holds everything the server printed."""
        return self.directory / "server.log"


class ServerFailed(RuntimeError):
    """A server for a test did not start, or is not the version that was asked for; the text ends with its log."""


class _AnotherServer(ServerFailed):
    """Another version answers at the address, where another process may have taken the port."""


@contextmanager
def serve(
    python: Path | str,
    directory: Path,
    *,
    version: str,
    backend: str = "sqlite",
    artifacts: Literal["proxied", "direct"] = "proxied",
    workers: int = 1,
    extra_args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    credentials: tuple[str, str] | None = None,
    port: int | None = None,
) -> Iterator[Server]:
    """Run the MLflow server of one Python in a directory until the block ends.

    Parameters
    ----------
    python
        The interpreter whose MLflow serves.
    directory
        Where the database, the artifacts and the log are kept; made if it does not exist. It is left for a later
        server.
    version
        The MLflow version that has to answer. 2.0.1 does not tell its own and is believed.
    backend
        ``"sqlite"`` for a database in ``directory``, or a database URI.
    artifacts
        Whether the server hands artifacts out (``"proxied"``), or clients reach the directory (``"direct"``).
    workers
        Number of server processes.
    extra_args, env
        More arguments and environment variables of ``mlflow server``.
    credentials
        User and password for the questions asked at the start, where the server wants a login.
    port
        For a server that clients know already; by default a free one is taken.

    Raises
    ------
    ServerFailed
        The server ended, did not answer in 120 seconds, or is another version.
    """
    directory.mkdir(parents=True, exist_ok=True)
    options = [*_store_options(directory, backend, artifacts), "--workers", str(workers), *extra_args]
    process, server = _start(Path(python), directory, options, env or {}, credentials, version=version, port=port)
    try:
        yield server
    finally:
        _stop(process)


def _store_options(directory: Path, backend: str, artifacts: str) -> list[str]:
    """Return the options that say where runs, models and files are kept."""
    database = f"sqlite:///{directory / 'mlflow.db'}" if backend == "sqlite" else backend
    files = str(directory / "artifacts")
    if artifacts == "proxied":
        return ["--backend-store-uri", database, "--serve-artifacts", "--artifacts-destination", files]
    return ["--backend-store-uri", database, "--no-serve-artifacts", "--default-artifact-root", files]


def _start(
    python: Path,
    directory: Path,
    options: list[str],
    env: Mapping[str, str],
    credentials: tuple[str, str] | None,
    *,
    version: str,
    port: int | None,
) -> tuple[subprocess.Popen[bytes], Server]:
    """Start the server; start again when another process took its port in between, or has not let go of it yet.

    A server that took it may even answer in this one's place, in another version.
    """
    for attempt in range(1, STARTS + 1):
        chosen = free_port() if port is None else port
        uri = f"http://127.0.0.1:{chosen}"
        process = _launch(python, directory, ["--host", "127.0.0.1", "--port", str(chosen), *options], env)
        try:
            server = Server(uri, version, python, process.pid, directory)
            _wait_for_health(process, uri, server.log, credentials)
            _check_version(server, credentials)
        except BaseException as error:  # an interruption leaves no server behind either
            _stop(process)
            taken = isinstance(error, ServerFailed) and PORT_TAKEN.search(str(error))
            if attempt < STARTS and (taken or isinstance(error, _AnotherServer)):
                continue
            raise
        return process, server
    raise AssertionError("unreachable: the last attempt returns or raises")


def _launch(python: Path, directory: Path, options: list[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Run ``mlflow server`` at the head of a process group of its own, its output in the log."""
    with (directory / "server.log").open("wb") as output:
        return subprocess.Popen(  # noqa: S603  # the interpreter and the arguments are the caller's
            [str(python), "-m", "mlflow", "server", *options],
            cwd=directory,
            env=_server_environment(python, env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _server_environment(python: Path, env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a server: the machine's, without what configures the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_SETTINGS)}
    # Up to 2.3.0 the server looks for gunicorn on PATH.
    kept["PATH"] = f"{python.parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
    return {**kept, **SERVER_ENVIRONMENT, **env}


def _wait_for_health(
    process: subprocess.Popen[bytes], uri: str, log: Path, credentials: tuple[str, str] | None
) -> None:
    """Return once ``/health`` answers; fail at once when the process has ended."""
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise _failed(f"The MLflow server ended with code {process.returncode} instead of serving.", uri, log)
        with suppress(OSError):
            if _get(f"{uri}/health", credentials)[0] == 200:
                return
        time.sleep(0.1)
    raise _failed(f"The MLflow server did not answer /health in {STARTUP_SECONDS:.0f} s.", uri, log)


def _check_version(server: Server, credentials: tuple[str, str] | None) -> None:
    """Fail unless the server is the version asked for: another process may have taken the port."""
    if server.version == "2.0.1":  # has no /version
        return
    status, answer = _get(f"{server.uri}/version", credentials)
    if (status, answer) != (200, server.version):
        what = f"Asked for an MLflow {server.version}, but /version answers {status} {answer!r}."
        raise _failed(what, server.uri, server.log, _AnotherServer)


def _failed(what: str, uri: str, log: Path, kind: type[ServerFailed] = ServerFailed) -> ServerFailed:
    """Return the error that ends with what the server printed."""
    printed = log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:]
    return kind(without_credentials(f"{what} [{uri}] Its log, {log}, ends with:\n{printed}"))


def _get(url: str, credentials: tuple[str, str] | None) -> tuple[int, str]:
    """Return status and body of one request, past any proxy the machine is configured with."""
    request = urllib.request.Request(url)  # noqa: S310  # always a server of our own
    if credentials is not None:
        token = base64.b64encode(":".join(credentials).encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=5) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server with its workers: its own process group and nothing else."""
    # Before the leader is waited for: until then its number cannot belong to anyone else.
    if process.returncode is None or _group_lives(process.pid):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _group_lives(group: int) -> bool:
    """Tell whether workers outlived their leader; while one does, the group's number is not given again."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True

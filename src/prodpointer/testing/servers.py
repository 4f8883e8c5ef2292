"""Real MLflow servers, started for a test and stopped after it."""

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
# The messages of gunicorn and uvicorn.
PORT_TAKEN = re.compile(r"(connection|address already) in use", re.IGNORECASE)

# MLflow 3 would start seven job workers of 235 MB each (measured, 3.17.2); tests send no telemetry.
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
        """Return the file with the output of the server."""
        return self.directory / "server.log"


class ServerFailed(RuntimeError):
    """A server did not start, or has another version than requested; the text ends with its log."""


class _AnotherServer(ServerFailed):
    """A server of another version answers at the address: another process may have taken the port."""


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
    """Run an MLflow server in a directory until the block ends.

    Parameters
    ----------
    python
        The interpreter with the MLflow to run.
    directory
        Directory for the database, the artifacts and the log; created if it does not exist, and not deleted.
    version
        The expected MLflow version. 2.0.1 has no version endpoint and is not checked.
    backend
        ``"sqlite"`` for a database in ``directory``, or a database URI.
    artifacts
        Whether the server serves artifacts (``"proxied"``), or clients access the directory (``"direct"``).
    workers
        Number of server processes.
    extra_args, env
        Further arguments and environment variables of ``mlflow server``.
    credentials
        User and password for the startup requests, if the server requires a login.
    port
        The port; by default a free one.

    Raises
    ------
    ServerFailed
        The server exited, did not answer within 120 seconds, or has another version.
    """
    directory.mkdir(parents=True, exist_ok=True)
    options = [*_store_options(directory, backend, artifacts), "--workers", str(workers), *extra_args]
    process, server = _start(Path(python), directory, options, env or {}, credentials, version=version, port=port)
    try:
        yield server
    finally:
        _stop(process)


def _store_options(directory: Path, backend: str, artifacts: str) -> list[str]:
    """Return the storage options of the server."""
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
    """Start the server; retry if another process has taken the port in the meantime or still holds it.

    That process may be a server of another version, which then answers the requests.
    """
    for attempt in range(1, STARTS + 1):
        chosen = free_port() if port is None else port
        uri = f"http://127.0.0.1:{chosen}"
        process = _launch(python, directory, ["--host", "127.0.0.1", "--port", str(chosen), *options], env)
        try:
            server = Server(uri, version, python, process.pid, directory)
            _wait_for_health(process, uri, server.log, credentials)
            _check_version(server, credentials)
        except BaseException as error:  # stop the server after an interruption too
            _stop(process)
            taken = isinstance(error, ServerFailed) and PORT_TAKEN.search(str(error))
            if attempt < STARTS and (taken or isinstance(error, _AnotherServer)):
                continue
            raise
        return process, server
    raise AssertionError("unreachable: the last attempt returns or raises")


def _launch(python: Path, directory: Path, options: list[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Run ``mlflow server`` in a new process group, with its output in the log."""
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
    """Return a free port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _server_environment(python: Path, env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables of a server: the current ones, without those that configure the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_SETTINGS)}
    # Up to 2.3.0 the server searches gunicorn on PATH.
    kept["PATH"] = f"{python.parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
    return {**kept, **SERVER_ENVIRONMENT, **env}


def _wait_for_health(
    process: subprocess.Popen[bytes], uri: str, log: Path, credentials: tuple[str, str] | None
) -> None:
    """Wait until ``/health`` answers; fail at once if the process has exited."""
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise _failed(f"The MLflow server exited with code {process.returncode}.", uri, log)
        with suppress(OSError):
            if _get(f"{uri}/health", credentials)[0] == 200:
                return
        time.sleep(0.1)
    raise _failed(f"The MLflow server did not answer /health within {STARTUP_SECONDS:.0f} s.", uri, log)


def _check_version(server: Server, credentials: tuple[str, str] | None) -> None:
    """Fail if the server has another version: another process may have taken the port."""
    if server.version == "2.0.1":  # has no /version
        return
    status, answer = _get(f"{server.uri}/version", credentials)
    if (status, answer) != (200, server.version):
        what = f"Expected MLflow {server.version}, but /version answers {status} {answer!r}."
        raise _failed(what, server.uri, server.log, _AnotherServer)


def _failed(what: str, uri: str, log: Path, kind: type[ServerFailed] = ServerFailed) -> ServerFailed:
    """Return an error that ends with the output of the server."""
    printed = log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:]
    return kind(without_credentials(f"{what} [{uri}] The log {log} ends with:\n{printed}"))


def _get(url: str, credentials: tuple[str, str] | None) -> tuple[int, str]:
    """Return status and body of one request, without the configured proxy."""
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
    """Stop the server and its workers: only its own process group."""
    # Before wait() on the leader: until then its process id cannot be reused.
    if process.returncode is None or _group_lives(process.pid):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _group_lives(group: int) -> bool:
    """Return whether workers outlived their leader; while one is alive, the group id is not reused."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True

"""The one place that starts MLflow servers, and that makes the environments they run in.

``python -m tests.servers VERSION [REQUIREMENT ...]`` prints the Python of an environment with that MLflow.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tests import mlflow_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.mlflow_table import Row

STARTUP_SECONDS = 120.0
STARTS = 3
LOG_TAIL = 4000
# As gunicorn and as uvicorn say it.
PORT_TAKEN = re.compile(r"(connection|address already) in use", re.IGNORECASE)

# 3.x would start seven job workers of 235 MB each, and telemetry has no place in a test.
SERVER_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
# Settings of the test process that a server must not inherit.
FOREIGN_SETTINGS = ("MLFLOW_", "PYTHON", "COVERAGE_", "COV_CORE_", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
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


class ServerFailed(Exception):
    """A server did not start, or is not the version that was asked for; the message ends with its log."""


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
    """Run the MLflow server of ``python`` in ``directory`` until the block ends.

    ``backend`` is ``"sqlite"`` (a database in ``directory``) or a database URI. ``credentials`` are for the
    questions asked at the start, where the server wants a login. ``port`` is for a server that clients know already;
    without it a free one is taken. The database is left for a later server.
    """
    directory.mkdir(parents=True, exist_ok=True)
    options = [*_store_options(directory, backend, artifacts), "--workers", str(workers), *extra_args]
    process, uri = _start(Path(python), directory, options, env or {}, credentials, port=port)
    try:
        server = Server(uri, version, Path(python), process.pid, directory)
        _check_version(server, credentials)
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
    port: int | None,
) -> tuple[subprocess.Popen[bytes], str]:
    """Start the server; start again when another process took its port in between, or has not let go of it yet."""
    for attempt in range(1, STARTS + 1):
        chosen = free_port() if port is None else port
        uri = f"http://127.0.0.1:{chosen}"
        process = _launch(python, directory, ["--host", "127.0.0.1", "--port", str(chosen), *options], env)
        try:
            _wait_for_health(process, uri, directory / "server.log", credentials)
        except BaseException as error:
            _stop(process)
            if attempt < STARTS and isinstance(error, ServerFailed) and PORT_TAKEN.search(str(error)):
                continue
            raise
        return process, uri
    raise AssertionError("unreachable: the last attempt returns or raises")


def _launch(python: Path, directory: Path, options: list[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Run ``mlflow server`` at the head of a process group of its own, its output in the log."""
    with (directory / "server.log").open("wb") as output:
        return subprocess.Popen(
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
            raise ServerFailed(f"the server ended with code {process.returncode}:\n{_tail(log)}")
        with suppress(OSError):
            if _get(f"{uri}/health", credentials)[0] == 200:
                return
        time.sleep(0.1)
    raise ServerFailed(f"no answer from {uri}/health in {STARTUP_SECONDS:.0f} s:\n{_tail(log)}")


def _check_version(server: Server, credentials: tuple[str, str] | None) -> None:
    """Fail unless the server is the version asked for: another process may have taken the port."""
    if server.version == "2.0.1":  # has no /version
        return
    status, answer = _get(f"{server.uri}/version", credentials)
    if (status, answer) != (200, server.version):
        raise ServerFailed(
            f"asked for MLflow {server.version}, but {server.uri}/version answers {status} {answer!r}:\n"
            f"{_tail(server.log)}"
        )


def _get(url: str, credentials: tuple[str, str] | None) -> tuple[int, str]:
    """Return status and body of one request, past any proxy the machine is configured with."""
    request = urllib.request.Request(url)
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


def _tail(log: Path) -> str:
    """Return the end of a server's log."""
    return log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:]


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


def environment(row: Row, *, install: Sequence[str | Path] = (), under: Path | None = None) -> Path:
    """Return the Python of a virtual environment with one row's MLflow, made once and kept.

    ``install`` adds requirements or wheels. ``under`` is where environments are kept: by default what
    ``PRODPOINTER_ENVIRONMENTS`` names, else the user's cache. Processes that ask at once wait for each other.
    """
    kept = under or environments_directory()
    kept.mkdir(parents=True, exist_ok=True)
    home = kept / _environment_name(row, install)
    with (kept / f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Written last: without it, an earlier process was stopped half way.
        complete = home / "complete"
        if not complete.exists():
            shutil.rmtree(home, ignore_errors=True)
            _make_environment(home, row, install)
            complete.touch()
    return home / "bin" / "python"


def environments_directory() -> Path:
    """Return where environments are kept between runs."""
    chosen = os.environ.get("PRODPOINTER_ENVIRONMENTS")
    if chosen:
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "prodpointer" / "test-environments"


def _environment_name(row: Row, install: Sequence[str | Path]) -> str:
    """Return a name that differs wherever what is installed differs; a wheel counts by its bytes."""
    parts = [row.version, row.python, row.as_of, *row.extra]
    for each in install:
        file = Path(each)
        parts.append(hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else str(each))
    return f"mlflow-{row.version}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"


def _make_environment(home: Path, row: Row, install: Sequence[str | Path]) -> None:
    """Make one row's environment with the libraries of its day."""
    python = home / "bin" / "python"
    _uv("venv", "--quiet", "--python", interpreter(row.python), str(home))
    wanted = [f"mlflow=={row.version}", *row.extra, *(str(each) for each in install)]
    _uv("pip", "install", "--quiet", "--python", str(python), "--exclude-newer", row.as_of, *wanted)


def interpreter(version: str) -> str:
    """Return an interpreter of that Python, also one that pyenv has but has not selected."""
    if sys.version_info[:2] == tuple(int(part) for part in version.split(".")):
        return sys.executable
    pyenv = shutil.which("pyenv")
    if pyenv is not None:
        root = subprocess.run([pyenv, "root"], check=True, capture_output=True, text=True).stdout.strip()
        for found in sorted(Path(root).glob(f"versions/{version}.*/bin/python")):
            return str(found)
    return version


def wheel(project: Path, into: Path) -> Path:
    """Build the wheel of ``project`` with today's build tools and return it."""
    _uv("build", "--quiet", "--wheel", "--out-dir", str(into), str(project))
    (built,) = into.glob("*.whl")
    return built


def unpacked(project: Path, into: Path) -> Path:
    """Build the wheel of ``project`` and return a directory for ``PYTHONPATH`` that holds what it would install."""
    package = into / "package"
    with zipfile.ZipFile(wheel(project, into / "built")) as built:
        built.extractall(package)
    return package


def _uv(*arguments: str) -> None:
    """Run uv without the dates and projects that the test process is bound to."""
    beside = Path(sys.executable).parent
    found = shutil.which("uv", path=f"{beside}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    if found is None:
        raise FileNotFoundError("uv is not on PATH: install it with `pip install uv`")
    bound = ("UV_EXCLUDE_NEWER", "UV_PYTHON", "UV_CONSTRAINT", "VIRTUAL_ENV")
    env = {name: value for name, value in os.environ.items() if name not in bound}
    done = subprocess.run([found, *arguments], check=False, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"uv {' '.join(arguments)} failed:\n{done.stderr[-LOG_TAIL:]}")


def main(arguments: Sequence[str]) -> None:
    """Print the Python of a row's environment; the project's own directory is installed as a wheel."""
    version, *wanted = arguments
    with tempfile.TemporaryDirectory() as built:
        install = [wheel(Path(each), Path(built)) if Path(each).is_dir() else each for each in wanted]
        print(environment(mlflow_table.row(version), install=install))


if __name__ == "__main__":
    main(sys.argv[1:])

"""Run a page from top to bottom, in a separate directory, with a real registry and real servers."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import metadata, version
from pathlib import Path
from typing import Any

import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib
from packaging.requirements import Requirement

from prodpointer import _warnings
from prodpointer.mlflow_client import capabilities, process_settings
from prodpointer.testing.environments import ENVIRONMENTS_VARIABLE
from tests import mlflow_table
from tests.docs.blocks import Block
from tests.docs.comparing import difference
from tests.docs.logins import login_options
from tests.servers import Server, free_port, serve
from tests.terminal import run_on_terminal

MAJOR = int(version("mlflow").split(".")[0])
SECONDS = 180
FOREIGN = ("MLFLOW_", "PRODPOINTER_", "NEWSRECO_")
COMMANDS = re.compile(r"^\$ (?P<command>(?:.*\\\n)*.*\n)(?P<output>(?:(?!\$ ).*\n)*)", re.MULTILINE)
EXPORT = re.compile(r"export (?P<name>\w+)=(?P<value>\S+)")
# Not shown: what MLflow prints at the end of a run on a server, and how far a migration is (on a terminal, a bar).
PASSING = re.compile(r"^(🏃 View run|🧪 View experiment|\w+: \d+ of \d+ models) .*\n", re.MULTILINE)
APPLICATION = re.compile(r"uvicorn (\w+:\w+) --port (50\d\d)")
ADDRESS = re.compile(r"127\.0\.0\.1:(?P<port>50\d\d)\b")
SERVER = "mlflow server --backend-store-uri sqlite:///mlflow.db --artifacts-destination ./artifacts"
WITH_LOGIN = f"{SERVER} --app-name basic-auth"


class Wrong(AssertionError):
    """A page shows what is not so."""


class Page:
    """What has happened on a page so far: its directory, its names, its servers and what was printed last."""

    def __init__(self) -> None:
        """Begin in an empty directory, without any setting of the machine's."""
        self.stack = contextlib.ExitStack()
        self.directory = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="prodpointer-page-")))
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.printed: str | None = None
        self.changes: list[tuple[str, Block, str]] = []
        self._running: dict[str, tuple[contextlib.ExitStack, Server]] = {}
        self._ports: dict[str, int] = {}
        self.stack.enter_context(process_settings.set_aside(Path("mlruns")))
        self.stack.callback(self._leave, dict(os.environ), Path.cwd())
        os.chdir(self.directory)
        sys.path.insert(0, str(self.directory))
        _set_environment(self.directory)

    def close(self) -> None:
        """End what runs, and leave no trace."""
        for port in list(self._running):
            self.stop_server(port)
        self.stack.close()

    def run(self, block: Block, file: str) -> str | None:
        """Do what a block says; return what it should show where that is not what it shows."""
        if block.major not in (None, MAJOR):
            return None
        if block.kind == "python":
            self._run_python(block, file)
            return None
        does: dict[str, Callable[[Block], str | None]] = {
            "file": self._keep,
            "console": self._run_commands,
            "text": self._compared,
            "copy": _copied,
            "in .ci/run": _check_ci,
            "drawing": _check_drawing,
            "diagram": lambda _: None,
        }
        if block.kind not in does:
            raise Wrong(f"Nobody knows what a block of {block.language or 'no language'!r} is for.")
        return does[block.kind](block)

    def start_server(self, port: str, *, login: bool = False) -> None:
        """Start the server of the installed MLflow that a page calls by a port."""
        directory = self.directory / f"server-{port}"
        options = login_options(directory) if login else {}
        real = self._ports.setdefault(port, free_port())
        kept = contextlib.ExitStack()
        running = serve(sys.executable, directory, version=version("mlflow"), port=real, **options)
        self._running[port] = (kept, kept.enter_context(running))

    def stop_server(self, port: str) -> None:
        """Stop a server that runs; its database stays."""
        kept, _ = self._running.pop(port)
        kept.close()

    def _keep(self, block: Block) -> None:
        """Write a file that later commands use; one that cannot be read is wrong."""
        text = self._real(block.body)
        place = self.directory / block.title
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
        if block.language == "python":
            compile(text, block.title, "exec")
        if block.language != "yaml":
            return
        if block.language == "toml":
            tomllib.loads(text)
            return
        if block.language == "ini":  # a unit of systemd
            return
        for command in _steps(yaml.safe_load(text)):
            self._shell(command)

    def _run_python(self, block: Block, file: str) -> None:
        """Run a block with the names that the blocks before it made."""
        code = compile("\n" * block.line + self._real(block.body), file, "exec")
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, self.names)
        self.printed = self._shown(printed.getvalue())

    def _compared(self, block: Block) -> str | None:
        """Compare what the block before printed; a block of text says that and nothing else."""
        printed, self.printed = self.printed, None
        if printed is None:
            raise Wrong("A block of text shows what the Python block before it printed, and there is none.")
        return printed if difference(block.body, printed) else None

    def _run_commands(self, block: Block) -> str | None:
        """Run the commands of a terminal in order and compare what each prints."""
        self.printed = None
        written, differs = "", False
        commands = list(COMMANDS.finditer(block.body))
        if "".join(each[0] for each in commands) != block.body:
            raise Wrong("A block of a terminal begins with '$ ' and a command.")
        for each in commands:
            output = self._command(each["command"].strip())
            if difference(each["output"], output):
                written, differs = f"{written}$ {each['command']}{output}", True
            else:
                written += each[0]
        return written if differs else None

    def _command(self, command: str) -> str:
        """Run one command and return what a terminal would show."""
        export = EXPORT.fullmatch(command)
        if export:
            os.environ[export["name"]] = self._real(export["value"])
            return ""
        if command.startswith("mlflow server"):
            stated, _, port = " ".join(command.replace("\\\n", " ").split()).partition(" --port ")
            if stated not in (SERVER, WITH_LOGIN):
                raise Wrong(f"The servers of the tests are started as by: {SERVER} --port {port or 5000}")
            self.start_server(port, login=stated == WITH_LOGIN)
            return ""
        if application := APPLICATION.fullmatch(command):
            self._serve(*application.groups())
            return ""
        if command.startswith("pip install "):
            for each in shlex.split(command)[2:]:
                _check_installed(Requirement(each))
            return ""
        return self._shell(command)

    def _serve(self, application: str, port: str) -> None:
        """Start an application of the page's own on a free port, and wait until it takes requests."""
        real = self._ports.setdefault(port, free_port())
        command = [sys.executable, "-m", "uvicorn", application, "--port", str(real), "--log-level", "warning"]
        running = subprocess.Popen(command, cwd=self.directory, stdin=subprocess.DEVNULL)
        self.stack.callback(running.wait, SECONDS)
        self.stack.callback(running.terminate)
        until = time.monotonic() + SECONDS
        while running.poll() is None and time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", real), 1):
                return
            time.sleep(0.1)
        raise Wrong(f"{application} takes no requests")

    def _shell(self, command: str) -> str:
        """Run a line of shell in the page's directory; a page that shows a failure shows its exit code with ``||``."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "PYTHONIOENCODING": "utf-8"}
        words = ["bash", "-euo", "pipefail", "-c", self._real(command)]
        if command.startswith("prodpointer "):
            code, output, _ = run_on_terminal(words, self.directory, environment, seconds=SECONDS)
            if code != 0:
                raise Wrong(f"{command}\nended with {code}:\n{output}")
            return self._shown(output)
        done = subprocess.run(
            words,
            check=False,
            cwd=self.directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            # What a program of the page's own logs, and MLflow with it, is no part of what it answers.
            stderr=subprocess.PIPE if command.startswith("python ") else subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
        )
        if done.returncode != 0:
            raise Wrong(f"{command}\nended with {done.returncode}:\n{done.stdout}\n{done.stderr or ''}")
        return self._shown(done.stdout)

    def _real(self, text: str) -> str:
        """Return a text with the addresses of the servers that run in place of those on the page."""
        return ADDRESS.sub(lambda found: f"127.0.0.1:{self._ports.get(found['port'], found['port'])}", text)

    def _shown(self, text: str) -> str:
        """Return what was printed as a page shows it."""
        for port, real in self._ports.items():
            text = text.replace(f"127.0.0.1:{real}", f"127.0.0.1:{port}")
        return PASSING.sub("", text.replace(str(self.directory), "/home/ada/news"))

    def _leave(self, environment: dict[str, str], directory: Path) -> None:
        """Give the process back as it was, but for what is MLflow's."""
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(directory)
        sys.path.remove(str(self.directory))
        capabilities.forget()
        _warnings.forget()


def _check_ci(block: Block) -> None:
    """Require commands that CI itself runs as they stand."""
    ci = (mlflow_table.ROOT / ".ci" / "run").read_text(encoding="utf-8")
    missing = [line for line in block.body.splitlines() if line not in ci]
    if missing:
        raise Wrong(f".ci/run does not run: {missing}. Commands that run here stand in a block of 'console'.")


def _copied(block: Block) -> str | None:
    """Return the file of the project that a block shows, where it shows another text."""
    stands = (mlflow_table.ROOT / block.title).read_text(encoding="utf-8")
    return None if block.body == stands else stands


def _check_installed(wanted: Requirement) -> None:
    """Require what a page tells people to install: the examples run with it."""
    offered = metadata(wanted.name).get_all("Provides-Extra") or []
    if not wanted.extras <= set(offered):
        raise Wrong(f"{wanted.name} has no extra {', '.join(wanted.extras - set(offered))}.")


def _check_drawing(block: Block) -> None:
    """Require the files that a drawing of a directory names to be there."""
    directory = mlflow_table.ROOT / block.title
    named = re.findall(r"\b\w+(?:/\w+)?\.py\b", block.body)
    missing = [name for name in named if not (directory / name).is_file()]
    if missing or not named:
        raise Wrong(f"{block.title} has no {missing}.")


def _set_environment(directory: Path) -> None:
    """Take the machine's settings away and be Ada, who has a cache of her own."""
    for name in [name for name in os.environ if name.startswith(FOREIGN) and name != ENVIRONMENTS_VARIABLE]:
        del os.environ[name]
    os.environ.update(
        LOGNAME="ada",
        PRODPOINTER_CACHE_DIR=str(directory / ".cache"),
        MLFLOW_DISABLE_TELEMETRY="true",
        MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false",
        GIT_CEILING_DIRECTORIES=str(directory.parent),
    )
    capabilities.forget()
    _warnings.forget()


def _steps(document: Any) -> Iterator[str]:
    """Yield the shell of each step of a job in order, as CI services write it: ``run`` or ``script``."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key in ("run", "script"):
                yield from [value] if isinstance(value, str) else value
            else:
                yield from _steps(value)
    elif isinstance(document, list):
        for each in document:
            yield from _steps(each)

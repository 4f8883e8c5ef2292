"""Jobs of both majors, each in a process and an environment of its own, and servers of both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import mlflow_table
from tests.servers import Server, environment, serve, wheel

Job = Callable[..., Any]


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    return wheel(mlflow_table.ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def python_of(package: Path) -> Callable[[str], Path]:
    """Return the Python of an environment with a row's MLflow and this package; the Python at hand where it can be."""

    def python(version: str) -> Path:
        row = mlflow_table.row(version)
        if row.release >= (2, 22):  # older rows have libraries without builds for newer Pythons
            row = replace(row, python=f"{sys.version_info.major}.{sys.version_info.minor}")
        return environment(row, install=[package])

    return python


@pytest.fixture(scope="session")
def job(python_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    """Give a task to the job of one MLflow version; an error of this library comes back as its name."""
    directory = tmp_path_factory.mktemp("jobs")
    jobs: dict[str, subprocess.Popen[str]] = {}
    with ExitStack() as stack:

        def ask(version: str, uri: str, name: str, verb: str, argument: object = None) -> Any:
            if version not in jobs:
                jobs[version] = stack.enter_context(started(python_of(version), directory / f"{version}.log"))
            task = [uri, name, verb, None if argument is None else str(argument)]
            given, taken = jobs[version].stdin, jobs[version].stdout
            assert given is not None
            assert taken is not None
            given.write(json.dumps(task) + "\n")
            given.flush()
            line = taken.readline()
            assert line, (directory / f"{version}.log").read_text()[-3000:]
            answer = json.loads(line)
            assert answer["mlflow"] == version
            return answer.get("error") or answer["given"]

        yield ask


@contextmanager
def started(python: Path, log: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a job's process until the block ends; it stops when there is nothing more to read."""
    settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": ""}
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [str(python), str(Path(__file__).with_name("job.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **settings},
        ) as process,
    ):
        yield process


@pytest.fixture(scope="session", params=[2, 3], ids=["server-of-MLflow-2", "server-of-MLflow-3"])
def server(
    request: pytest.FixtureRequest, python_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A real server of the newest row of each major in turn."""
    version = mlflow_table.newest_of_major(request.param).version
    with serve(python_of(version), tmp_path_factory.mktemp(f"mlflow{request.param}"), version=version) as found:
        yield found


@pytest.fixture
def name() -> str:
    """A registered model that nobody has used."""
    return f"news-{uuid.uuid4().hex[:12]}"

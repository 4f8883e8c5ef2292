"""Starts MLflow servers for the tests, and creates their environments.

``python -m tests.servers VERSION [REQUIREMENT ...]`` prints the Python of an environment with that MLflow.
"""

from __future__ import annotations

import sys
import tempfile
import zipfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prodpointer.testing import environments, servers
from prodpointer.testing.environments import Release, uv
from prodpointer.testing.servers import FOREIGN_SETTINGS, SERVER_ENVIRONMENT, Server, ServerFailed, free_port
from tests import mlflow_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.mlflow_table import Row

__all__ = [
    "FOREIGN_SETTINGS",
    "SERVER_ENVIRONMENT",
    "Server",
    "ServerFailed",
    "environment",
    "free_port",
    "serve",
    "unpacked",
    "wheel",
]


def serve(
    python: Path | str, directory: Path, *, version: str, env: Mapping[str, str] | None = None, **options: Any
) -> AbstractContextManager[Server]:
    """Run a server as ``prodpointer.testing`` does; its SQLite does not wait for the disk."""
    quick = {"PYTHONPATH": str(mlflow_table.ROOT / "tests" / "quick_sqlite")}
    return servers.serve(python, directory, version=version, env={**quick, **(env or {})}, **options)


def environment(row: Row, *, install: Sequence[str | Path] = ()) -> Path:
    """Return the Python of a virtual environment with one row's MLflow, made once and kept."""
    return environments.environment(Release(row.version, row.python, row.as_of, row.extra), install=install)


def wheel(project: Path, into: Path) -> Path:
    """Build the wheel of ``project`` with today's build tools and return it."""
    uv("build", "--quiet", "--wheel", "--out-dir", str(into), str(project))
    (built,) = into.glob("*.whl")
    return built


def unpacked(project: Path, into: Path) -> Path:
    """Build the wheel of ``project`` and return a directory for ``PYTHONPATH`` that holds what it would install."""
    package = into / "package"
    with zipfile.ZipFile(wheel(project, into / "built")) as built:
        built.extractall(package)
    return package


def main(arguments: Sequence[str]) -> None:
    """Print the Python of a row's environment; the project's own directory is installed as a wheel."""
    version, *wanted = arguments
    with tempfile.TemporaryDirectory() as built:
        install = [wheel(Path(each), Path(built)) if Path(each).is_dir() else each for each in wanted]
        print(environment(mlflow_table.row(version), install=install))


if __name__ == "__main__":
    main(sys.argv[1:])

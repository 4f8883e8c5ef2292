"""The table of supported MLflow versions, read from ``pyproject.toml``, the only place that defines it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
FULL, SKINNY = "mlflow", "mlflow-skinny"


@dataclass(frozen=True, slots=True)
class Row:
    """One supported MLflow: where it runs, the day its libraries are from, and what makes it worth a row."""

    version: str
    python: str
    as_of: str
    extra: tuple[str, ...]
    why: str
    distribution: str = FULL

    @property
    def key(self) -> str:
        """Return what the table and the environments call the row."""
        return self.version if self.distribution == FULL else f"{self.version}-skinny"

    @property
    def major(self) -> int:
        """Return the MLflow major, 2 or 3."""
        return self.release[0]

    @property
    def release(self) -> tuple[int, ...]:
        """Return the version as numbers, to order rows by."""
        return tuple(int(part) for part in self.version.split("."))


@cache
def rows() -> tuple[Row, ...]:
    """Return the rows of the whole MLflow, oldest first: each can be client, and server for any other."""
    return tuple(each for each in all_rows() if each.distribution == FULL)


@cache
def skinny_rows() -> tuple[Row, ...]:
    """Return the rows of ``mlflow-skinny``, oldest first: clients without a server or a database of their own."""
    return tuple(each for each in all_rows() if each.distribution == SKINNY)


@cache
def all_rows() -> tuple[Row, ...]:
    """Return every row, oldest MLflow first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    table = project["tool"]["prodpointer"]["mlflow"]
    found = (
        Row(
            key.removesuffix("-skinny"),
            line["python"],
            line["as-of"],
            tuple(line["with"]),
            line["why"],
            line.get("distribution", FULL),
        )
        for key, line in table.items()
    )
    return tuple(sorted(found, key=lambda each: (each.release, each.distribution)))


def installed() -> tuple[str, str] | None:
    """Return which distribution of MLflow is installed here, and its version; the whole one brings the other along.

    None where there is none: ``tests/unit`` needs no MLflow.
    """
    versions = ((distribution, _installed_version(distribution)) for distribution in (FULL, SKINNY))
    return next(((distribution, version) for distribution, version in versions if version), None)


def _installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


@cache
def requirements() -> tuple[str, ...]:
    """Return what the package requires beside MLflow, for environments that get it by ``PYTHONPATH``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return tuple(each for each in project["dependencies"] if not each.startswith("mlflow"))


def row(version: str) -> Row:
    """Return the row of one whole MLflow; a version outside the table is a mistake of the caller."""
    for each in rows():
        if each.version == version:
            return each
    listed = ", ".join(each.version for each in rows())
    raise LookupError(f"MLflow {version} has no row in pyproject.toml; it lists {listed}")


def newest_of_major(major: int) -> Row:
    """Return the newest row of MLflow 2 or 3."""
    found = [each for each in rows() if each.major == major]
    if not found:
        raise LookupError(f"the table in pyproject.toml has no MLflow {major}")
    return found[-1]

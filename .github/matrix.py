"""Print the matrices of the workflow ``tests`` for ``$GITHUB_OUTPUT``: its environments of tox and its Pythons.

The MLflow versions come from ``[tool.prodpointer.mlflow]`` in ``pyproject.toml``, the other environments from
``tox.ini``: a new row or environment runs without a change to the workflow.
"""

from __future__ import annotations

import configparser
import json
import re
import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
# `unit` has a job for each Python; `coverage` combines what the others measured.
OWN_JOBS = re.compile(r"unit(-.*)?|coverage")


def pyproject() -> dict[str, Any]:
    """Return ``pyproject.toml``."""
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8")))


def environments() -> list[str]:
    """Return the environments of tox: the rows of the table, then every other one that is not a row."""
    parsed = configparser.RawConfigParser()
    parsed.read(ROOT / "tox.ini", encoding="utf-8")
    named = {section.removeprefix("testenv:") for section in parsed.sections() if section.startswith("testenv:")}
    rows = [f"mlflow-{row}" for row in pyproject()["tool"]["prodpointer"]["mlflow"]]
    return [*rows, *sorted(name for name in named - set(rows) if not OWN_JOBS.fullmatch(name))]


def pythons() -> list[str]:
    """Return the supported versions of Python, from the classifiers."""
    found = (
        re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line)
        for line in pyproject()["project"]["classifiers"]
    )
    return [match[1] for match in found if match]


if __name__ == "__main__":
    sys.stdout.write(f"environments={json.dumps(environments())}\npythons={json.dumps(pythons())}\n")

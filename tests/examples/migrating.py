"""Run the commands of ``docs/migrating.md`` on a real server, and compare their output with the page.

``python -m tests.examples.migrating`` writes the page anew, in an environment with this package and the newest MLflow.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

from mlflow import MlflowClient

import prodpointer
from tests import mlflow_table
from tests.servers import serve
from tests.terminal import run_on_terminal

PAGE = mlflow_table.ROOT / "docs" / "migrating.md"
BLOCK = re.compile(r"^```console\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"^<!-- (?P<name>\w+) -->$", re.MULTILINE)

# What differs from one run to the next.
CHANGES = (
    (re.compile(r"\b(\d{12})-[0-9a-f]{8}\b"), r"\1-00000000"),
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b"), "2026-11-28 12:00:00"),
    (re.compile(r"(?<= )\d\d:\d\d:\d\d(?= )"), "12:00:00"),
)

JOBS = {
    "jobs/score.py": """import mlflow


def model():
    return mlflow.pyfunc.load_model("models:/news-ranker/Production")
""",
    "jobs/train.py": """from mlflow import MlflowClient

client = MlflowClient()


def promote(name, version):
    client.transition_model_version_stage(name, version, "Production", archive_existing_versions=True)
""",
    "jobs/nightly.yaml": """steps:
  - run: mlflow models predict --model-uri models:/churn/Production
""",
}


class Story:
    """What happens between the commands: each is named by a comment of the page."""

    def __init__(self, uri: str, directory: Path) -> None:
        """Bind the registry and the directory in which commands run."""
        self._client = MlflowClient(uri)
        self._uri = uri
        self._directory = directory

    def happen(self, name: str) -> None:
        """Let one of them happen."""
        told: dict[str, Callable[[], None]] = {
            "fleet": self._fleet,
            "source": self._source,
            "jobs": self._jobs,
            "promoted": self._promoted,
        }
        told[name]()

    def _fleet(self) -> None:
        """Make the models, as jobs of both majors leave them."""
        for name, versions in (
            ("news-ranker", 3),
            ("search-embeddings", 2),
            ("ads-ctr", 2),
            ("churn", 2),
            ("prototype", 1),
        ):
            self._client.create_registered_model(name)
            for _ in range(versions):
                self._client.create_model_version(name, "s3://models/bundle")
        for name, version, stage in (
            ("news-ranker", "1", "Archived"),
            ("news-ranker", "2", "Staging"),
            ("news-ranker", "3", "Production"),
            ("ads-ctr", "2", "Production"),
            ("churn", "1", "Production"),
            ("churn", "2", "Production"),
        ):
            self._to_stage(name, version, stage)
        for name in ("search-embeddings", "ads-ctr"):
            self._client.set_registered_model_alias(name, "production", "1")

    def _source(self) -> None:
        """Write the jobs of a team that has not moved yet."""
        for path, text in JOBS.items():
            (self._directory / path).parent.mkdir(exist_ok=True)
            (self._directory / path).write_text(text, encoding="utf-8")

    def _jobs(self) -> None:
        """Promote as jobs of plain MLflow do, one of each major."""
        self._to_stage("news-ranker", "3", "Archived")
        self._to_stage("news-ranker", "1", "Production")
        self._client.set_registered_model_alias("search-embeddings", "production", "2")

    def _promoted(self) -> None:
        """Promote with this library, so that there is something that a run is not undone over."""
        prodpointer.connect("churn", tracking_uri=self._uri).promote(1, reason="better recall")

    def _to_stage(self, name: str, version: str, stage: str) -> None:
        """Move a version to a stage as plain MLflow does."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's own, that stages are deprecated
            self._client.transition_model_version_stage(name, version, stage)


def told(page: str, uri: str, directory: Path) -> str:
    """Return the page with what its commands print now, everything between them having happened in its order."""
    story = Story(uri, directory)
    steps = sorted([*BLOCK.finditer(page), *MARK.finditer(page)], key=lambda step: step.start())
    written, end = [], 0
    for step in steps:
        written.append(page[end : step.start()])
        end = step.end()
        if step.re is MARK:
            story.happen(step["name"])
            written.append(step[0])
        else:
            commands = [line[2:] for line in step["body"].splitlines() if line.startswith("$ ")]
            written.append("```console\n" + "".join(_run(command, uri, directory) for command in commands) + "```")
    return "".join([*written, page[end:]])


def _run(command: str, uri: str, directory: Path) -> str:
    """Run one command as a shell would, and return it with what it printed."""
    settings = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_DISABLE_TELEMETRY": "true"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, **settings, "PATH": path, "PYTHONIOENCODING": "utf-8"}
    code, output, errors = run_on_terminal(["sh", "-c", command], directory, env, with_errors=False)
    if code not in (0, 4):
        raise RuntimeError(f"{command} ended with {code}:\n{errors}")
    for pattern, instead in CHANGES:
        output = pattern.sub(instead, output)
    return f"$ {command}\n" + "".join(f"{line.rstrip()}\n" for line in output.splitlines())


def page_now() -> str:
    """Return the page as its commands make it on a fresh server of the newest MLflow."""
    with tempfile.TemporaryDirectory(prefix="prodpointer-migrating-") as scratch:
        directory = Path(scratch)
        with serve(sys.executable, directory / "server", version=mlflow_table.rows()[-1].version) as server:
            return told(PAGE.read_text(encoding="utf-8"), server.uri, directory)


if __name__ == "__main__":
    logging.disable(logging.INFO)
    PAGE.write_text(page_now(), encoding="utf-8")

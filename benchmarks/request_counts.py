"""How many requests each verb sends to a real server of the installed MLflow, counted by a proxy between the two.

``python -m benchmarks.request_counts`` from the root of a checkout, in an environment with this package.
"""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import mlflow
from rich import box
from rich.console import Console
from rich.table import Table
from tests.proxy import Proxy, proxy
from tests.servers import serve

import prodpointer
from prodpointer import RegisteredModel
from prodpointer.mlflow_client import capabilities

HAS_ALIASES = hasattr(mlflow.MlflowClient, "set_registered_model_alias")
POINTERS = ("alias", "stage", "both") if HAS_ALIASES else ("stage",)


def logged_run(uri: str) -> str:
    """Log a small bundle in a directory and return the run."""
    os.environ["MLFLOW_TRACKING_URI"] = uri
    client = mlflow.MlflowClient(uri)
    run_id = str(client.create_run("0").info.run_id)
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "newsreco.pkl").write_bytes(pickle.dumps({"recommender": 1, "ranker": 2}))
        client.log_artifacts(run_id, scratch, "bundle")
    del os.environ["MLFLOW_TRACKING_URI"]
    return run_id


def measured(between: Proxy, pointer: str, run_id: str) -> Iterator[tuple[str, int]]:
    """Yield each step of a model's life and the requests it took."""
    name = f"news-{uuid.uuid4().hex[:12]}"

    def counted(verb: Callable[[], object]) -> int:
        between.clear()
        verb()
        return between.count

    def connect() -> RegisteredModel:
        return prodpointer.connect(name, tracking_uri=between.uri, pointer=pointer)  # type: ignore[arg-type]

    capabilities.forget()
    yield "connect, the first in a process", counted(connect)
    yield "connect, each further one", counted(connect)
    news = connect()
    yield "register a directory with one file", counted(lambda: news.register(run_id, "bundle"))
    yield "register, digest given", counted(lambda: news.register(run_id, "bundle", sha256="0" * 64))
    yield "promote, the first time", counted(lambda: news.promote(1))
    yield "promote another version", counted(lambda: news.promote(2))
    yield "promote an older version", counted(lambda: news.promote(1))
    yield "promote what is live", counted(lambda: news.promote(1))
    yield "live_version", counted(news.live_version)
    yield "production", counted(news.production)
    yield "status", counted(news.status)
    yield "load_production, new on this machine", counted(news.load_production)
    yield "load_production, kept here", counted(news.load_production)
    yield "withdraw", counted(news.withdraw)


def main() -> None:
    """Print one table: verbs by pointer."""
    counts: dict[str, dict[str, int]] = {}
    with (
        tempfile.TemporaryDirectory() as scratch,
        tempfile.TemporaryDirectory() as cache,
        serve(sys.executable, Path(scratch), version=mlflow.__version__) as server,
        proxy(server.uri) as between,
    ):
        os.environ["PRODPOINTER_CACHE_DIR"] = cache
        run_id = logged_run(server.uri)
        for pointer in POINTERS:
            for step, requests in measured(between, pointer, run_id):
                counts.setdefault(step, {})[pointer] = requests
    table = Table(f"requests to MLflow {mlflow.__version__}", *POINTERS, box=box.MARKDOWN)
    for step, by_pointer in counts.items():
        table.add_row(step, *(str(by_pointer[pointer]) for pointer in POINTERS))
    Console().print(table)


if __name__ == "__main__":
    main()

"""Actions between the blocks of a page, each named by a comment: ``<!-- meanwhile: the server stops -->``."""

from __future__ import annotations

import os
import pickle
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow

import prodpointer
from tests.docs.running import Page, Wrong


class Ranker:
    """A ranker that finds all articles equally good."""

    def rank(self, articles: list[str]) -> list[str]:
        """Return the articles in the order they have."""
        return list(articles)


def happen(what: str, page: Page) -> None:
    """Perform one of the actions."""
    if what not in HAPPENINGS:
        raise Wrong(f"Unknown action: {what}. Known: {', '.join(HAPPENINGS)}.")
    HAPPENINGS[what](page)


def _run_of_a_bundle(page: Page) -> None:
    """Log two runs of a bundle, the first of them live, and give the run id of the second."""
    # The whole path: MLflow keeps a database open, and other pages have one of the same name.
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{page.directory}/news.db"
    mlflow.set_tracking_uri(None)
    mlflow.set_experiment("news")
    first, second = (_logged(auc) for auc in (0.8, 0.9))
    news = prodpointer.connect("news-recommender")
    news.promote(news.register(first, "bundle"))
    page.names["run_id"] = second


def _logged(auc: float) -> str:
    """Log a run with a bundle, as a directory and as a single file, and return its id."""
    bundle: dict[str, Any] = {"recommender": ["a", "b"], "ranker": Ranker()}
    with mlflow.start_run() as run, tempfile.TemporaryDirectory() as directory:
        mlflow.log_metric("auc", auc)
        file = Path(directory, "newsreco.pkl")
        file.write_bytes(pickle.dumps(bundle))
        mlflow.log_artifact(str(file))
        mlflow.log_artifact(str(file), "bundle")
    return str(run.info.run_id)


def _three_versions(page: Page) -> None:
    """Register three versions, none of them live, in the registry that the page has named."""
    _registered("churn", os.environ["MLFLOW_TRACKING_URI"], versions=3)


def _registered(name: str, uri: str, *, versions: int, experiment: str = "0") -> prodpointer.RegisteredModel:
    """Register versions of a bundle of its own each."""
    model = prodpointer.connect(name, tracking_uri=uri)
    client = mlflow.MlflowClient(uri)
    for number in range(1, versions + 1):
        run = client.create_run(experiment).info.run_id
        with tempfile.TemporaryDirectory() as directory:
            Path(directory, f"{name}.pkl").write_bytes(pickle.dumps({"number": number}))
            client.log_artifacts(run, directory, "bundle")
        model.register(run, "bundle")
    return model


def _moved_by_plain_mlflow(page: Page) -> None:
    """Move the stage alone, as a job of MLflow 2 does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, that stages are deprecated
        mlflow.MlflowClient().transition_model_version_stage("churn", "3", "Production", archive_existing_versions=True)


def _one_live(page: Page) -> None:
    """Register a version whose artifact is in the directory ``artifacts``, and make it live."""
    mlflow.MlflowClient().create_experiment("churn", artifact_location=str(page.directory / "artifacts"))
    _registered("churn", os.environ["MLFLOW_TRACKING_URI"], versions=1, experiment="1").promote(1)


def _of_no_known_kind(page: Page) -> None:
    """Register a file that no loader is known for, and make it live."""
    client = mlflow.MlflowClient()
    run = client.create_run("1").info.run_id
    client.log_artifact(run, "weights.onnx", "bundle")
    weights = prodpointer.connect("weights")
    weights.promote(weights.register(run, "bundle"))


HAPPENINGS: dict[str, Callable[[Page], None]] = {
    "a run with a bundle": _run_of_a_bundle,
    "three versions of churn": _three_versions,
    "plain MLflow moves the stage to version 3": _moved_by_plain_mlflow,
    "a live version of churn": _one_live,
    "weights.onnx is live": _of_no_known_kind,
    "the server stops": lambda page: page.stop_server("5000"),
    "the server starts again": lambda page: page.start_server("5000"),
}

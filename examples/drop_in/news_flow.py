"""The flow: train, log, register, promote. ``python news_flow.py climate football`` publishes a bundle."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import mlflow

import prodpointer

# The line that was `import by_hand as registry`.
registry = prodpointer.drop_in("news-recommender", artifact_file="newsreco.pkl", on_unavailable="none")

LOCAL = Path("newsreco.pkl")
Bundle = dict[str, list[str]]


def train(articles: list[str]) -> Bundle:
    """Return a recommender and a ranker, as small as they can be."""
    return {"recommender": articles, "ranker": sorted(articles)}


def publish(bundle: Bundle) -> int:
    """Keep the bundle in a file here, log it, register it and make it live; return its version."""
    LOCAL.write_bytes(pickle.dumps(bundle))
    mlflow.set_experiment("news")
    with mlflow.start_run() as run:
        mlflow.log_artifact(str(LOCAL))
    version = registry.register(run.info.run_id)
    registry.promote(version)
    return version


if __name__ == "__main__":
    print(f"version {publish(train(sys.argv[1:]))} is live")

"""Train the recommender, register it with MLflow and promote it, if it is good enough.

``MLFLOW_TRACKING_URI=sqlite:///news.db python examples/news_api/train.py``; a server's address does as well. The bundle
is logged as a pickle inside a directory, since plain ``models:/`` URIs cannot load a single file in any MLflow.
"""

from __future__ import annotations

import argparse
import os
import pickle
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import mlflow
import newsreco

import prodpointer

MODEL = os.environ.get("NEWSRECO_MODEL", "news-recommender")
METRIC = "hit_rate_at_5"
GATES = [f"{METRIC} >= 0.4", f"{METRIC} >= production - 0.05"]


def publish(bundle: newsreco.Bundle, weeks: int, *, reason: str) -> prodpointer.Promotion:
    """Log a run with the bundle and its metric, register it as a new version, and make that live if the gates pass."""
    news = prodpointer.connect(MODEL)  # first: where there is no registry, nothing is logged
    mlflow.set_experiment(MODEL)
    with mlflow.start_run() as run, tempfile.TemporaryDirectory() as directory:
        mlflow.log_param("weeks", weeks)
        mlflow.log_metric(METRIC, newsreco.hit_rate(bundle))
        Path(directory, "newsreco.pkl").write_bytes(pickle.dumps(bundle))
        mlflow.log_artifacts(directory, "bundle")
    version = news.register(run.info.run_id, "bundle", tags={"clicks": f"the first {weeks} weeks"})
    return news.promote(version, gates=GATES, reason=reason)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, then publish; with ``--pickle`` write a file instead, for a service without a registry."""
    parser = argparse.ArgumentParser(description="Train the news recommender, register it and promote it.")
    parser.add_argument("--weeks", type=int, choices=range(1, 9), default=1, help="how many weeks of clicks to learn")
    parser.add_argument("--reason", default="weekly retrain", help="why, for the record")
    parser.add_argument("--pickle", type=Path, metavar="FILE", help="write this file; no registry is asked")
    options = parser.parse_args(arguments)

    bundle = newsreco.trained(newsreco.clicks_of(options.weeks))
    print(f"trained on {options.weeks} week(s) of clicks: {METRIC} is {newsreco.hit_rate(bundle):.3f}")
    if options.pickle is not None:
        options.pickle.write_bytes(pickle.dumps(bundle))
        print(f"wrote {options.pickle}")
        return
    try:
        moved = publish(bundle, options.weeks, reason=options.reason)
    except prodpointer.ProdpointerError as error:
        sys.exit(f"not live: {error}")
    print(f"version {moved.to_version} of {MODEL} is live; before it: {moved.from_version or 'nothing'}")


if __name__ == "__main__":
    main()

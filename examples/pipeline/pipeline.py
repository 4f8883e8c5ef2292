"""A training job for CI: train, evaluate, register, and promote if better.

It runs unchanged under MLflow 2 and MLflow 3: MLflow logs, prodpointer says which version is live and moves that.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split

import prodpointer

MODEL = "digit-reader"
DATASET = "scikit-learn digits, 30 % held out"
# Good enough at all, and no worse than what is live.
GATES = ["accuracy >= 0.8", "accuracy >= production"]
REFUSED = 3  # the exit code of `prodpointer promote` for the same


def train(strength: float) -> dict[str, Any]:
    """Return a classifier and what it was trained with; a small strength regularises more."""
    rows, _, labels, _ = split()
    classifier = LogisticRegression(C=strength, max_iter=200).fit(rows / 16, labels)
    return {"classifier": classifier, "scale": 16, "strength": strength}


def read(bundle: dict[str, Any], rows: Any) -> Any:
    """Return the digits that a bundle reads in rows of 64 pixels: what a service calls."""
    return bundle["classifier"].predict(rows / bundle["scale"])


def evaluate(bundle: dict[str, Any]) -> dict[str, float]:
    """Return the metrics of a bundle on rows that it was not trained on."""
    _, rows, _, labels = split()
    likelihoods = bundle["classifier"].predict_proba(rows / bundle["scale"])
    return {
        "accuracy": float(accuracy_score(labels, read(bundle, rows))),
        "log_loss": float(log_loss(labels, likelihoods)),
    }


def log(bundle: dict[str, Any], metrics: dict[str, float]) -> str:
    """Log a bundle as a directory with one pickle, and its metrics, in a run of its own; return the run's id."""
    with mlflow.start_run() as run, tempfile.TemporaryDirectory() as directory:
        Path(directory, "digits.pkl").write_bytes(pickle.dumps(bundle))
        mlflow.log_artifacts(directory, "bundle")
        mlflow.log_metrics(metrics)
    return str(run.info.run_id)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, evaluate, register, promote if better; return 0 where the new version is live, 3 where it may not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strength", type=float, default=1.0, help="inverse regularisation strength")
    parser.add_argument("--reason", default="", help="why, for the record of promotions")
    options = parser.parse_args(arguments)
    bundle = train(options.strength)
    metrics = evaluate(bundle)
    model = prodpointer.connect(MODEL)
    version = model.register(log(bundle, metrics), "bundle", tags={"dataset": DATASET})
    print(f"registered version {version}: " + ", ".join(f"{name} {value:.3f}" for name, value in metrics.items()))
    try:
        move = model.promote(version, gates=GATES, reason=options.reason)
    except prodpointer.GateFailed as refusal:
        print(refusal, file=sys.stderr)
        return REFUSED
    print(f"version {move.to_version} is live, before it was {move.from_version or 'none'}")
    return 0


def split() -> Any:
    """Return training rows, held-out rows and the labels of each, the same each time."""
    rows, labels = load_digits(return_X_y=True)
    return train_test_split(rows, labels, test_size=0.3, random_state=7)


if __name__ == "__main__":
    sys.exit(main())

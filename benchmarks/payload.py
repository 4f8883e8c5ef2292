"""What the benchmark loads: a pickled bundle of so many bytes, inside a pyfunc directory that MLflow itself saved."""

from __future__ import annotations

import pickle
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = "bundle.pkl"
IN_MODEL = f"data/{FILE}"
"""Where MLflow puts the file in the directory that it saves."""

LOADER = "benchmarks.payload"
"""The module that MLflow calls to load the directory."""


@dataclass(frozen=True)
class Bundle:
    """The bundle as a pyfunc."""

    content: dict[str, bytes]

    def predict(self, model_input: Any, params: Any = None) -> int:  # noqa: ARG002  # MLflow's signature
        """Return how many bytes of weights were loaded."""
        return len(self.content["weights"])


def _load_pyfunc(path: str) -> Bundle:
    """Load the bundle for MLflow, which calls a loader by this name."""
    return Bundle(unpickled(Path(path)))


def unpickled(path: Path) -> dict[str, bytes]:
    """Return the bundle in a file."""
    with path.open("rb") as file:
        content: dict[str, bytes] = pickle.load(file)
    return content


def weights_in(loaded: Any) -> int:
    """Return how many bytes of weights something loaded has: a bundle, or MLflow's pyfunc of one."""
    return len(loaded["weights"]) if isinstance(loaded, dict) else int(loaded.predict(None))


def saved(directory: Path, size: int) -> Path:
    """Save a bundle whose weights are ``size`` bytes as a pyfunc directory, and return the directory."""
    import mlflow

    shutil.rmtree(directory, ignore_errors=True)
    source = directory / "source"
    source.mkdir(parents=True)
    made = random.Random(size)
    megabyte = 1_000_000
    parts = [made.randbytes(min(megabyte, size - start)) for start in range(0, size, megabyte)]
    (source / FILE).write_bytes(pickle.dumps({"weights": b"".join(parts)}))
    model = directory / "model"
    mlflow.pyfunc.save_model(model, loader_module=LOADER, data_path=str(source / FILE), pip_requirements=["mlflow"])
    shutil.rmtree(source)
    return model

"""Registries that tests may fill: a database of the test's own, or a real server."""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prodpointer.connection import connect
from prodpointer.mlflow_client.open import open_registry
from prodpointer.mlflow_client.registry import Registry
from prodpointer.mlflow_client.run_logging import ScratchExperiment
from prodpointer.registered_model import RegisteredModel

ARTIFACT = "bundle"
_TIMEOUT = 60.0  # seconds: a server that tests load heavily


@dataclass(frozen=True)
class ScratchRegistry:
    """A registry that a test may fill as it likes.

    Parameters
    ----------
    uri
        The tracking URI; the fixtures that name one registry set ``MLFLOW_TRACKING_URI`` to it for the test.
    version
        The version of the MLflow that keeps it.
    artifacts
        The directory in which the artifacts of its runs end up.
    """

    uri: str
    version: str
    artifacts: Path

    def log(self, bundle: Any, *, metrics: Mapping[str, float] | None = None) -> str:
        """Log an object, pickled in a directory ``bundle``, in a new run and return the run's id.

        Parameters
        ----------
        bundle
            Anything that can be pickled.
        metrics
            Metrics of the run, for gates.
        """
        registry = self._opened()
        experiment = ScratchExperiment(registry, f"scratch-{uuid.uuid4().hex}", self.artifacts / "scratch")
        return experiment.log({f"{ARTIFACT}/bundle.pkl": pickle.dumps(bundle)}, metrics)

    def make_live(self, name: str, bundle: Any, *, metrics: Mapping[str, float] | None = None) -> RegisteredModel:
        """Log and register an object, make it live, and return the registered model.

        Parameters
        ----------
        name
            Name of the registered model, made if it does not exist; one that does gets one more version.
        bundle, metrics
            As for ``log``.
        """
        model = connect(name, tracking_uri=self.uri)
        model.promote(model.register(self.log(bundle, metrics=metrics), ARTIFACT))
        return model

    def delete_models(self) -> None:
        """Delete every registered model with its versions; the runs stay."""
        registry = self._opened()
        for name in registry.names():
            registry.delete_model(name)

    def _opened(self) -> Registry:
        """Open the registry."""
        return open_registry(self.uri, None, timeout=_TIMEOUT, create_database=False, upgrade_database=False)

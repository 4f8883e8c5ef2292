"""Registries for tests: a temporary database, or a real server."""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prodpointer.connection import connect
from prodpointer.mlflow_client import Registry, ScratchExperiment, open_registry
from prodpointer.registered_model import RegisteredModel

ARTIFACT = "bundle"
_TIMEOUT = 60.0  # seconds: test servers can be slow under load


@dataclass(frozen=True)
class ScratchRegistry:
    """A registry that a test may change freely.

    Parameters
    ----------
    uri
        The tracking URI. The fixtures that return one registry set ``MLFLOW_TRACKING_URI`` to it for the test.
    version
        The MLflow version of the registry.
    artifacts
        The directory for the artifacts of its runs.
    """

    uri: str
    version: str
    artifacts: Path

    def log(self, bundle: Any, *, metrics: Mapping[str, float] | None = None) -> str:
        """Log an object as a pickle in the directory ``bundle`` of a new run, and return the run's id.

        Parameters
        ----------
        bundle
            Any object that can be pickled.
        metrics
            Metrics of the run, for gates.
        """
        registry = self._open()
        experiment = ScratchExperiment(registry, f"scratch-{uuid.uuid4().hex}", self.artifacts / "scratch")
        return experiment.log({f"{ARTIFACT}/bundle.pkl": pickle.dumps(bundle)}, metrics)

    def make_live(self, name: str, bundle: Any, *, metrics: Mapping[str, float] | None = None) -> RegisteredModel:
        """Log and register an object, make it live, and return the registered model.

        Parameters
        ----------
        name
            Name of the registered model. It is created if it does not exist; otherwise it gets another version.
        bundle, metrics
            As for ``log``.
        """
        model = connect(name, tracking_uri=self.uri)
        model.promote(model.register(self.log(bundle, metrics=metrics), ARTIFACT))
        return model

    def delete_models(self) -> None:
        """Delete all registered models with their versions; the runs remain."""
        registry = self._open()
        for name in registry.names():
            registry.delete_model(name)

    def _open(self) -> Registry:
        """Open the registry."""
        return open_registry(self.uri, None, timeout=_TIMEOUT)

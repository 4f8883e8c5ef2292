"""Fixtures that every room of the tests shares."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from prodpointer import detection, notices

# Before anything imports MLflow: no telemetry, and failures that would be retried for minutes take seconds.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep settings of whoever runs the tests away from them."""
    for name in list(os.environ):
        if (
            name.startswith(("MLFLOW_TRACKING_", "MLFLOW_REGISTRY_", "PRODPOINTER_"))
            and name != "PRODPOINTER_ENVIRONMENTS"
        ):
            monkeypatch.delenv(name)


@pytest.fixture
def forgetful() -> Iterator[None]:
    """Forget what the process knows of registries and has warned of, before and after a test."""
    detection.forget()
    notices.forget()
    yield
    detection.forget()
    notices.forget()

"""A list of a database that is opened directly, page by page."""

from __future__ import annotations

import pytest

from prodpointer.mlflow_client import calls, open_registry
from tests.integration.conftest import Lab


def test_a_database_has_pages(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its store gives the token of the next page as bytes, a server as text."""
    names = {f"page-{number}" for number in range(3)}
    for name in names:
        lab.client.create_registered_model(name)
        lab.client.create_model_version(name, "s3://models/bundle")
    monkeypatch.setattr(calls, "MODELS_PAGE", 1)
    monkeypatch.setattr(calls, "_PAGING", {"max_results": 1, "order_by": ["name ASC"]})
    registry = open_registry(lab.uri, None, timeout=10.0)
    assert names == {reply.name for page in registry.model_pages() for reply in page}
    assert names == {version.name for page in registry.version_pages() for version in page}

"""The versions of a server: how many requests their runs take, and the address of a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

import pytest

import prodpointer
from tests.integration.stub import Request, Stub, document, registry, stub

COUNT = 250
MODEL = {"name": "news", "creation_timestamp": 1, "last_updated_timestamp": 1}
VERSIONS = [
    {
        "name": "news",
        "version": str(number),
        "source": "s3://b",
        "run_id": f"{number:032x}",
        "creation_timestamp": number,
    }
    for number in range(1, COUNT + 1)
]


def run(number: int) -> dict[str, object]:
    """Return a run as a server describes it."""
    info = {"run_id": f"{number:032x}", "experiment_id": "1", "artifact_uri": "s3://b", "lifecycle_stage": "active"}
    return {"info": info, "data": {"metrics": [{"key": "auc", "value": number / 1000, "timestamp": 1, "step": 0}]}}


@pytest.fixture
def server() -> Iterator[Stub]:
    """Return a server with one model of many versions; of a search it answers with every run of the experiment."""
    runs = [run(number) for number in range(1, COUNT + 1)]

    def answer(_: Stub, request: Request) -> Iterable[bytes]:
        path = urlsplit(request.path).path
        if path.endswith("runs/get"):
            return [document({"run": runs[int(request.path.rpartition("run_id=")[2], 16) - 1]})]
        if path.endswith("runs/search"):
            return [document({"runs": runs})]
        if path.endswith("model-versions/search"):
            return [document({"model_versions": VERSIONS})]
        return registry(MODEL)(request)

    with stub(answer) as running:
        yield running


def test_runs_take_a_request_for_each_hundred(server: Stub) -> None:
    """One run tells the experiment; of each further version nothing is asked by itself."""
    news = prodpointer.connect("news", tracking_uri=server.uri)
    found = news.versions()
    assert [each.metrics for each in found] == [{"auc": number / 1000} for number in range(1, COUNT + 1)]
    asked = [path for path in server.paths if "/runs/" in path]
    assert len([path for path in asked if path.endswith("runs/get")]) == 1
    assert len([path for path in asked if path.endswith("runs/search")]) <= 3


def test_a_server_has_pages(server: Stub) -> None:
    """Of the model and of each version, and no request is sent."""
    news = prodpointer.connect("news", tracking_uri=server.uri)
    count = len(server.requests)
    assert (news.page(), news.page(4)) == (f"{server.uri}/#/models/news", f"{server.uri}/#/models/news/versions/4")
    assert len(server.requests) == count


def test_a_page_names_no_login(server: Stub) -> None:
    """The address is printed."""
    with_login = server.uri.replace("http://", "http://ada:s3cr3t@")
    assert prodpointer.connect("news", tracking_uri=with_login).page() == f"{server.uri}/#/models/news"

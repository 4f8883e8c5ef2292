"""``prodpointer.drop_in``, and ``examples/drop_in``: the page of code that one line replaces, its flow and its API."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import sys
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import prodpointer
from prodpointer import InvalidName, LastKnownGoodWarning, RegistryUnavailable
from tests.integration.conftest import Lab
from tests.mlflow_table import ROOT

EXAMPLE = ROOT / "examples" / "drop_in"
MODULES = ("by_hand", "news_flow", "news_web")


@pytest.fixture
def example(lab: Lab, name: str, tmp_path: Path, forgetful: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The example's modules, a registry of the environment, and a model of this test's own in their place."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", lab.uri)
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page"
    page.mkdir()
    for module in MODULES:
        text = (EXAMPLE / f"{module}.py").read_text().replace('"news-recommender"', f'"{name}"')
        (page / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(page)
    monkeypatch.setattr("mlflow.tracking.fluent._active_experiment_id", None)  # of the process; put back afterwards
    yield page
    for module in MODULES:
        sys.modules.pop(module, None)


def flow() -> ModuleType:
    """Return the module of the flow; the others come with it."""
    import news_flow

    return news_flow


def served() -> Any:
    """Return what the API answers after it has started."""
    import news_web

    sent: list[dict[str, Any]] = []

    async def ask() -> None:
        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(dict(message))

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request"}

        scope = {"type": "http", "method": "GET", "path": "/recommend", "query_string": b"", "headers": []}
        async with news_web.lifespan(news_web.app):
            await news_web.app(scope, receive, send)

    asyncio.run(ask())
    assert sent[0]["status"] == 200
    return json.loads(b"".join(each.get("body", b"") for each in sent))


def test_the_flow_publishes_and_goes_back(example: Path) -> None:
    """Two bundles are published; the second is live, and after a rollback the first, without a name anywhere."""
    page = flow()
    assert [page.publish(page.train([topic])) for topic in ("science", "culture")] == [1, 2]
    assert page.registry.load_production()["ranker"] == ["culture"]
    page.registry.rollback()
    assert page.registry.load_production()["ranker"] == ["science"]


def test_the_api_serves_the_live_bundle(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``NEWSRECO_USE_REGISTRY=1`` the API serves what is live, without it the local file."""
    page = flow()
    page.publish(page.train(["science"]))
    page.LOCAL.write_bytes(pickle.dumps(page.train(["local"])))
    assert served() == {"items": ["local"], "source": "file"}
    monkeypatch.setenv("NEWSRECO_USE_REGISTRY", "1")
    assert served() == {"items": ["science"], "source": "registry"}


def test_the_api_falls_back_to_its_file(
    example: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While the registry is down the API serves the local pickle, and the log says why."""
    page = flow()
    page.LOCAL.write_bytes(pickle.dumps(page.train(["local"])))
    monkeypatch.setenv("NEWSRECO_USE_REGISTRY", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed_port}")
    with caplog.at_level(logging.WARNING, "prodpointer"):
        assert served() == {"items": ["local"], "source": "file"}
    assert "@production: the registry is down, load_production returns None: " in caplog.text
    assert f"127.0.0.1:{closed_port}" in caplog.text


def test_the_page_by_hand_does_the_same(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: with the line as it was the same flow and API run where aliases alone are used."""
    text = (example / "news_flow.py").read_text()
    (line,) = [each for each in text.splitlines() if each.startswith("registry = prodpointer.drop_in(")]
    assert "# The line that was `import by_hand as registry`." in text
    (example / "news_flow.py").write_text(text.replace(line, "import by_hand as registry"))
    page = flow()
    assert [page.publish(page.train([topic])) for topic in ("science", "culture")] == [1, 2]
    page.registry.rollback()
    monkeypatch.setenv("NEWSRECO_USE_REGISTRY", "1")
    assert served() == {"items": ["science"], "source": "registry"}


def test_the_line_of_the_readme_is_that_of_the_flow() -> None:
    """What the README says to write is what the flow has."""
    (line,) = [each for each in (EXAMPLE / "news_flow.py").read_text().splitlines() if "drop_in(" in each]
    assert f"\n+ {line}\n" in (EXAMPLE / "README.md").read_text()


# The object


def test_an_outage_raises_by_default(closed_port: int, forgetful: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless told otherwise a registry that is down is an error."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed_port}")
    with pytest.raises(RegistryUnavailable):
        prodpointer.drop_in("news", artifact_file="newsreco.pkl").load_production()


def test_an_outage_may_load_the_last_known_good_version(
    lab: Lab, name: str, forgetful: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``on_unavailable="last-known-good"`` loads the version that was verified on this machine."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", lab.uri)
    lab.model(name).promote(1)
    registry = prodpointer.drop_in(name, artifact_file="bundle", on_unavailable="last-known-good")
    assert registry.load_production() == {"n": 1}
    away = lab.file.rename(lab.file.with_suffix(".away"))
    lab.file.mkdir()  # no database can be opened there
    try:
        with pytest.warns(LastKnownGoodWarning):
            assert registry.load_production() == {"n": 1}
    finally:
        lab.file.rmdir()
        away.rename(lab.file)


def test_names_and_aliases_may_be_given(lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each default gives way to an argument, by name or by its place in the functions."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", lab.uri)
    lab.model(name, 2).promote(1)
    registry = prodpointer.drop_in("another", artifact_file="newsreco.pkl")
    assert registry.promote(2, name, "staging").to_version == 2
    assert registry.load_production(name) == {"n": 1}
    assert registry.load_production(name, "staging") == {"n": 2}
    assert registry.load_production() is None


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"alias": "a b"}, {"on_unavailable": "null"}], ids=["name", "alias", "on_unavailable"]
)
def test_wrong_arguments_are_refused_at_once(wrong: dict[str, Any]) -> None:
    """A typo is found when the module is imported, and not when the registry is down."""
    with pytest.raises(InvalidName):
        prodpointer.drop_in(**{"name": "news", "artifact_file": "newsreco.pkl", **wrong})

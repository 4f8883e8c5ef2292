"""Whatever a server answers, each call returns a value or raises a prodpointer error."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

import prodpointer
from prodpointer import _warnings
from prodpointer.errors import ProdpointerError
from prodpointer.mlflow_client import capabilities
from prodpointer.mlflow_client.artifact_store import ArtifactStore
from prodpointer.mlflow_client.open import open_registry
from tests.fuzz.broken import texts
from tests.fuzz.conftest import Driven
from tests.fuzz.registry import ANSWERS, NAME, Reply, Stub

# What Hypothesis does while memory is collected may come upon the end of the stack too, and nothing is lost by that.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

LISTING = "/api/2.0/mlflow-artifacts/artifacts"
STATUSES = st.sampled_from([*[200] * 12, 201, 204, 302, 400, 401, 403, 404, 409, 500])
WHEN = datetime(2026, 11, 30, tzinfo=timezone.utc)


def one_of(questions: list[str]) -> st.SearchStrategy[Any]:
    """Draw another answer to one of these questions."""
    return st.one_of(
        [
            st.fixed_dictionaries({"path": st.just(path), "status": STATUSES, "body": texts(ANSWERS[path])})
            for path in questions
        ]
    )


def told(stub: Stub, value: Any, version: str = "3.17.2") -> None:
    """Let the server give the drawn answer to one question and right ones to all others."""
    stub.replies.clear()
    for path, document in ANSWERS.items():
        stub.replies[path] = Reply(200, json.dumps(document).encode())
    stub.replies["/version"] = Reply(200, version.encode())
    stub.replies[value["path"]] = Reply(value["status"], value["body"].encode(errors="surrogatepass"))
    capabilities.forget()
    _warnings.forget()


def all_of(*verbs: Callable[[], object]) -> None:
    """Call each; an error of ours is as good as a value."""
    for verb in verbs:
        with suppress(ProdpointerError):
            verb()


READS = [path for path in ANSWERS if path != LISTING]


@pytest.mark.parametrize("version", ["2.22.5", "3.17.2"])
def test_reading(driven: Driven, stub: Stub, version: str) -> None:
    """Status, record and versions are read, or it is said why not."""

    def check(value: Any) -> None:
        told(stub, value, version)
        with suppress(ProdpointerError):
            model = prodpointer.connect(NAME, tracking_uri=stub.uri, timeout=5)
            all_of(model.status, model.history, model.production, model.live_version, lambda: model.live_at(WHEN))

    driven(one_of(READS), check, short=12)


def test_writing(driven: Driven, stub: Stub) -> None:
    """A move ends, or it is said why not."""

    def check(value: Any) -> None:
        told(stub, value)
        with suppress(ProdpointerError):
            model = prodpointer.connect(NAME, tracking_uri=stub.uri, timeout=5)
            moves = {"promote": lambda: model.promote(3), "rollback": model.rollback, "withdraw": model.withdraw}
            all_of(moves.get(value["verb"], model.repair))

    verbs = st.sampled_from(["promote", "rollback", "withdraw", "repair"])
    values = st.tuples(one_of(READS), verbs).map(lambda drawn: {**drawn[0], "verb": drawn[1]})
    driven(values, check, short=10)


def test_lists_of_models(driven: Driven, stub: Stub) -> None:
    """All models are listed, by MLflow's client and without it."""

    def check(value: Any) -> None:
        told(stub, value)
        with suppress(ProdpointerError):
            registry = open_registry(stub.uri, None, timeout=5, create_database=False, upgrade_database=False)
            all_of(registry.names, lambda: registry.versions(NAME))

    driven(one_of([path for path in READS if path.endswith("search")]), check)


@st.composite
def what_it_is(draw: st.DrawFn) -> Any:
    """Draw the answer to the questions that tell what a server is."""
    paths = ["/version", "/api/2.0/mlflow/server-info", "/api/2.0/mlflow/registered-models/get"]
    error = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none", "workspaces_enabled": True}
    versions = st.sampled_from(["3.17.2", "2.0.1", "v3", "3.17.2.dev0+abc", "9" * 60, "1!2", "\u0663.0"])
    return {
        "path": draw(st.sampled_from(paths)),
        "status": draw(STATUSES),
        "body": draw(st.one_of(texts(error), versions)),
        "workspace": draw(st.sampled_from([None, "team-a"])),
    }


def test_what_a_server_is(driven: Driven, stub: Stub) -> None:
    """It is a registry that can do this and that, or it is none."""

    def check(value: Any) -> None:
        told(stub, value, "no version")
        with suppress(ProdpointerError):
            registry = open_registry(
                stub.uri,
                None,
                timeout=5,
                create_database=False,
                upgrade_database=False,
                workspace=value["workspace"],
            )
            capabilities.probe_capabilities(registry)

    driven(what_it_is(), check)


def test_listings_of_artifacts(driven: Driven, stub: Stub, tmp_path: Path) -> None:
    """What a server lists is copied below the directory that was given, or nothing is."""

    def check(value: Any) -> None:
        told(stub, value)
        registry = open_registry(stub.uri, None, timeout=5, create_database=False, upgrade_database=False)
        store = ArtifactStore(registry)
        with suppress(ProdpointerError):
            store.kind(f"{stub.uri}{LISTING}/1", "bundle")
        with suppress(ProdpointerError):
            store.download(f"{stub.uri}{LISTING}/1/model.pkl", tmp_path)

    driven(one_of([LISTING]), check)

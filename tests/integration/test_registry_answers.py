"""Responses of a registry are read as MLflow documents them, or raise a prodpointer error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import prodpointer
from prodpointer import RegistryError, RegistryUnsupported
from prodpointer.mlflow_client import converters
from prodpointer.mlflow_client.metrics import read_evidence
from prodpointer.mlflow_client.registry import Registry
from prodpointer.mlflow_client.uris import Addresses
from prodpointer.types import ModelVersion, utc_from_millis
from tests.integration.conftest import quiet
from tests.integration.stub import Stub, body, document, registry, stub

pytestmark = pytest.mark.usefixtures("forgetful")

VERSION: dict[str, Any] = {"name": "news", "version": "3", "status": "READY", "source": "runs:/1/m", "run_id": "1"}
MODEL: dict[str, Any] = {"name": "news", "latest_versions": [VERSION], "aliases": [{"alias": "a", "version": "3"}]}
HUGE = 10**400
NUMBERS = [-5, 0, 2.7, True, "1_0", "-5", "2.7", " 3", "\uff13", "", "x", [3], {"a": 3}, None, 10**18, HUGE]
TIMES = [-1, 2.7, True, "1_0", "x", [1], {"a": 1}, 253_402_300_800_000, 10**18, HUGE]
TEXTS = [5, True, 2.7, ["a"], {"a": 1}, "\ud800"]


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
def test_a_version_is_a_whole_number(number: object) -> None:
    """What is no number of a version is not read as one."""
    with pytest.raises(RegistryError, match=r"not the number of a version|has no 'version'"):
        converters.version_from_json({"model_version": {**VERSION, "version": number}})
    with pytest.raises(RegistryError):
        converters.reply_from_json({"registered_model": {**MODEL, "aliases": [{"alias": "a", "version": number}]}})


@pytest.mark.parametrize("number", [3, "3", "003"])
def test_a_version_is_a_number_or_its_text(number: object) -> None:
    """Numbers come as text over REST and as numbers from some servers."""
    assert converters.version_from_json({"model_version": {**VERSION, "version": number}}).version == 3


@pytest.mark.parametrize("key", ["creation_timestamp", "last_updated_timestamp"])
@pytest.mark.parametrize("time", TIMES, ids=repr)
def test_a_time_is_in_range(time: object, key: str) -> None:
    """A time that Python cannot hold is an error, as is what is none."""
    with pytest.raises(RegistryError, match="not a time"):
        converters.version_from_json({"model_version": {**VERSION, key: time}})
    with pytest.raises(RegistryError):
        converters.reply_from_json({"registered_model": {**MODEL, key: time}})


def test_times_come_as_numbers_and_as_text() -> None:
    """Both are what MLflow's servers send."""
    for time in (1_700_000_000_000, "1700000000000"):
        read = converters.version_from_json({"model_version": {**VERSION, "creation_timestamp": time}})
        assert read.created_at == utc_from_millis(1_700_000_000_000)


@pytest.mark.parametrize(("fields", "status"), [({}, "READY"), ({"status": None}, ""), ({"status": ""}, "")])
def test_only_a_version_without_a_status_is_taken_for_ready(fields: dict[str, Any], status: str) -> None:
    """MLflow leaves out what has its default; a null says nothing."""
    version = {key: value for key, value in VERSION.items() if key != "status"}
    assert converters.version_from_json({"model_version": {**version, **fields}}).status == status


def test_a_version_of_a_store_whose_status_is_none_is_not_ready() -> None:
    """A plugin's store may know no status."""
    times = dict.fromkeys(["creation_timestamp", "last_updated_timestamp"], 1)
    entity = SimpleNamespace(**{**VERSION, **times, "current_stage": "None", "status": None, "tags": {}})
    assert converters.model_version(entity).status == ""


@pytest.mark.parametrize("key", ["name", "current_stage", "status", "source", "run_id"])
@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_a_text_is_text(text: object, key: str) -> None:
    """A value of another type is no text."""
    with pytest.raises(RegistryError):
        converters.version_from_json({"model_version": {**VERSION, key: text}})


@pytest.mark.parametrize(
    "tags",
    [5, "a", {"a": "b"}, [5], ["a"], [{}], [{"key": 5}], [{"value": "a"}], [{"key": "a", "value": {}}]],
    ids=repr,
)
def test_tags_are_pairs_of_texts(tags: object) -> None:
    """A list of tags is a list of keys and values."""
    for read in (
        lambda: converters.version_from_json({"model_version": {**VERSION, "tags": tags}}),
        lambda: converters.replies_from_json({"registered_models": [{**MODEL, "tags": tags}]}),
        lambda: converters.versions_from_json({"model_versions": [{**VERSION, "tags": tags}]}),
    ):
        with pytest.raises(RegistryError):
            read()


def test_a_missing_value_is_empty() -> None:
    """MLflow leaves out what is empty."""
    read = converters.version_from_json({"model_version": {"name": "news", "version": "3", "tags": [{"key": "a"}]}})
    assert read == ModelVersion("news", 3, None, "READY", "", None, None, None, {"a": ""})


DECODERS: dict[str, Callable[[Mapping[str, Any]], object]] = {
    "registered_model": converters.reply_from_json,
    "registered_models": converters.replies_from_json,
    "model_versions": converters.versions_from_json,
    "model_version": converters.version_from_json,
    "latest": converters.numbers_from_json,
    "alias": converters.number_from_json,
    "artifact_uri": converters.download_uri_from_json,
    "run": converters.run_from_json,
    "metrics": converters.metrics_from_json,
    "logged model": converters.logged_model_from_json,
    "logged models": converters.logged_models_from_json,
}
NESTED = ["registered_model", "registered_models", "model_version", "model_versions", "tags", "key", "value", "alias"]
RUN = ["info", "data", "metrics", "model", "models", "run_id", "timestamp"]
OTHERS = ["artifact_uri", "run", "inputs", "dataset_inputs", "dataset", "digest", "creation_timestamp", *RUN]
KEYS = st.sampled_from([*MODEL, *VERSION, *NESTED, *OTHERS])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["3", "news"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("decoder", DECODERS)
@given(answer=st.dictionaries(KEYS, ANYTHING, max_size=4))
def test_any_document_is_read_or_refused(decoder: str, answer: dict[str, Any]) -> None:
    """A decoder returns a value or raises ``RegistryError``, whatever it is given."""
    with suppress(RegistryError):
        DECODERS[decoder](answer)


ODD: dict[str, bytes] = {
    "a list": b"[1]",
    "a text": b'"a"',
    "nothing": b"",
    "a page": b"<html>welcome</html>",
    "half of it": b'{"registered_model": {"name": "ne',
    "depth": b'{"registered_model":' + b"[" * 100_000,
    "other bytes": b'{"registered_model": {"name": "\xff\xfe"}}',
    "a long number": b'{"registered_model": {"name": "news", "creation_timestamp": ' + b"9" * 10_000 + b"}}",
    "no model": b'{"registered_model": 5}',
    "a stage in place of a list": b'{"registered_model": {"name": "news", "latest_versions": "a"}}',
}
VERBS: dict[str, Callable[[prodpointer.RegisteredModel], object]] = {
    "live_version": lambda news: news.live_version(),
    "status": lambda news: news.status(),
    "promote": lambda news: news.promote(3),
    "load_production": lambda news: news.load_production(),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("answer", ODD)
def test_a_verb_says_what_it_cannot_read(answer: str, verb: str) -> None:
    """A verb that gets an odd answer says so, where, and what to do."""
    with stub(lambda _, request: [body(b"3.17.2" if "version" in request.path else ODD[answer])]) as server:
        news = prodpointer.connect("news", tracking_uri=server.uri, timeout=5)
        with quiet(), pytest.raises((RegistryError, RegistryUnsupported)) as failed:
            VERBS[verb](news)
        assert "'news'" in failed.value.what
        assert server.uri in failed.value.where
    assert failed.value.next_step


READ = ModelVersion("news", 3, None, "READY", "runs:/1/m", "1", None, None, {})
# What is read beside the model: pages and runs.
BESIDE: dict[str, Callable[[Registry], object]] = {
    "versions": lambda asked: asked.versions("news"),
    "models": lambda asked: asked.names(),
    "a run": lambda asked: read_evidence(asked, READ, ["auc"]),
}
ILL_TYPED: list[object] = [
    {"model_versions": 5, "registered_models": 5, "run": 5, "model_version": 5},
    {"model_versions": [5], "registered_models": [5], "run": [5], "model_version": [5]},
    {"model_versions": [{"version": "x"}], "registered_models": [{"latest_versions": [{"version": "x"}]}]},
    {"model_versions": [{**VERSION, "version": "1_0"}], "registered_models": [{"name": 5}], "model_version": {}},
    {"model_versions": [{**VERSION, "creation_timestamp": 10**18}], "registered_models": [{"tags": {"a": 1}}]},
    {"model_versions": {"a": 1}, "registered_models": {"a": 1}, "run": {"info": {"artifact_uri": 5}}},
]


@pytest.mark.parametrize("asked", BESIDE)
@pytest.mark.parametrize("answer", ILL_TYPED, ids=range(len(ILL_TYPED)))
def test_a_page_or_a_run_that_cannot_be_read_is_an_error_of_ours(asked: str, answer: object) -> None:
    """Whatever the types, no bare ``KeyError`` or ``TypeError`` comes out."""
    with stub(lambda *_: [document(answer)]) as server, quiet(), suppress(RegistryError):  # some can be read
        BESIDE[asked](Registry(Addresses(server.uri, server.uri, chosen=True), timeout=5))


@pytest.mark.parametrize("version", [5, [5], {"version": 2.7}, {"tags": 5}], ids=repr)
def test_an_odd_answer_to_a_write_is_an_error_of_ours(version: object) -> None:
    """What a new version became may be anything too; the error says which registry answered, and what to do."""
    with stub(lambda *_: [document({"model_version": version})]) as server, quiet():
        asked = Registry(Addresses(server.uri, server.uri, chosen=True), timeout=5)
        with pytest.raises(RegistryError) as failed:
            asked.create_version("news", "runs:/1/m", run_id="1", model_id=None, tags={})
        assert failed.value.where == server.uri
    assert failed.value.next_step


@pytest.mark.parametrize("code", [5, None, ["a"], {"a": 1}, True, "NO_SUCH_CODE", ""], ids=repr)
@pytest.mark.parametrize("message", [5, None, ["a"], {"a": 1}, "text"], ids=repr)
def test_an_error_of_other_types_is_an_error_of_ours(code: object, message: object) -> None:
    """Also what a server says went wrong may be anything."""
    with stub(lambda *_: [document({"error_code": code, "message": message}, status=400)]) as server, quiet():
        asked = Registry(Addresses(server.uri, server.uri, chosen=True), timeout=5)
        with pytest.raises(RegistryError):
            asked.model("news")
        with pytest.raises(RegistryError):
            asked.versions("news")


@pytest.mark.parametrize("answer", [{}, {"model_version": 5}, {"model_version": {"version": "x"}}], ids=repr)
def test_what_a_migration_asks_is_read_as_strictly(answer: object) -> None:
    """The version of a pointer is a number for a migration too."""
    with stub(lambda *_: [document(answer)]) as server, quiet(), pytest.raises(RegistryError):
        Registry(Addresses(server.uri, server.uri, chosen=True), timeout=5).plain_alias("news", "a")


def test_a_stub_that_answers_as_it_should_is_read() -> None:
    """The answers above fail for what is odd in them alone."""

    def answer(_: Stub, request: Any) -> Any:
        return registry(MODEL, search={"model_versions": [VERSION]})(request)

    with stub(answer) as server, quiet():
        asked = Registry(Addresses(server.uri, server.uri, chosen=True), timeout=5)
        assert asked.model("news").aliases == {"a": 3}
        assert [each.version for each in asked.versions("news")] == [3]

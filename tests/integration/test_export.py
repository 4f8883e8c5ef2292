"""`prodpointer history --all --jsonl`: every event of every model, as it is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from prodpointer.connection import rule_for
from prodpointer.errors import AccessDenied
from prodpointer.mlflow_client import Registry, open_registry
from prodpointer.watch.export import export
from prodpointer.watch.listing import Watched
from tests.integration.conftest import HAS_ALIASES, Command, Lab

Export = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def names(lab: Lab) -> list[str]:
    """Return the names of three models, two of them promoted, one of these by another tool too."""
    run_id = lab.run({"bundle/model.pkl": b"bundle"})
    source = f"{lab.client.get_run(run_id).info.artifact_uri}/bundle"
    for name in ("a", "b", "c"):
        lab.client.create_registered_model(name)
        for _ in range(3):
            lab.client.create_model_version(name, source, run_id)
    first, second = lab.model("a", 0, pointer="stage"), lab.model("b", 0, pointer="stage")
    first.promote(1), first.promote(2), second.promote(3)
    lab.to_stage("a", 2, "Archived")
    lab.to_stage("a", 3, "Production")
    if HAS_ALIASES:
        lab.model("b", 0, alias="champion").promote(1)
    return ["a", "b", "c"]


@pytest.fixture
def jsonl(lab: Lab, cli: Command, names: list[str]) -> Export:
    """Return a function that exports."""

    def run(*arguments: object) -> list[dict[str, Any]]:
        answer = cli("--tracking-uri", lab.uri, "--pointer", "auto", "history", *arguments, "--jsonl")
        assert (answer.exit_code, answer.err) == (0, "")
        return [json.loads(line) for line in answer.out.splitlines()]

    return run


def test_every_event_of_every_model_is_exported(jsonl: Export) -> None:
    """Of all pointers, with what other tools moved."""
    found = [(each["name"], each["alias"], each["kind"], each["to_version"]) for each in jsonl("--all")]
    champion = [("b", "champion", "promote", 1)] if HAS_ALIASES else []
    promotions = [("a", "production", "promote", 1), ("a", "production", "promote", 2)]
    assert found == [
        *promotions,
        ("a", "production", "unrecorded", 3),
        ("b", "production", "promote", 3),
        *champion,
    ]


def test_an_export_is_limited_to_a_time(jsonl: Export) -> None:
    """From a time on, and before another one."""
    every = jsonl("--all", "--alias", "production")
    second = every[1]["at"]
    assert [each["id"] for each in jsonl("--all", "--alias", "production", "--since", second)] == [
        each["id"] for each in every[1:]
    ]
    assert [each["id"] for each in jsonl("--all", "--until", second)] == [every[0]["id"]]


def test_one_model_is_exported_alike(jsonl: Export) -> None:
    """The same documents, but for the time by which an unrecorded move had happened."""
    ids = [each["id"] for each in jsonl("--all") if each["name"] == "a"]
    assert [each["id"] for each in jsonl("a")] == ids


def test_the_ids_are_those_of_watch(jsonl: Export, lab: Lab, cli: Command, tmp_path: Any) -> None:
    """So that an audit can be compared with what a receiver got."""
    sent = cli("--tracking-uri", lab.uri, "watch", "--once", "--since", "2020-01-01", "--cursor", tmp_path / "cursor")
    assert {json.loads(line)["id"] for line in sent.out.splitlines()} == {each["id"] for each in jsonl("--all")}


def test_an_export_reads_as_it_goes(lab: Lab, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The versions of the models to come are not in memory yet when the first event is there."""
    pages: list[int] = []
    real = Registry.version_pages

    def counted(registry: Registry, tag: str | None = None) -> Any:
        for page in real(registry, tag):
            for version in page:  # pages of one version
                pages.append(version.version)
                yield [version]

    monkeypatch.setattr(Registry, "version_pages", counted)
    reads = open_registry(lab.uri, None, timeout=10.0)
    found = export(Watched(reads, lambda alias: rule_for(alias, None, "auto")), failed=lambda *_: None)
    next(found)
    assert 3 <= len(pages) <= 4


def test_a_model_that_cannot_be_read_is_left_out(lab: Lab, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where models are named, the versions of each are listed for themselves."""
    real, failed = Registry.versions, dict[str, Exception]()

    def versions(registry: Registry, name: str, *tag: Any) -> Any:
        if name == "a":
            raise AccessDenied("no READ")
        return real(registry, name, *tag)

    monkeypatch.setattr(Registry, "versions", versions)
    watched = Watched(open_registry(lab.uri, None, timeout=10.0), lambda alias: rule_for(alias, None, "auto"), names)
    found = {each["name"] for each in export(watched, failed=failed.__setitem__)}
    assert (found, list(failed)) == ({"b"}, ["a"])


@pytest.mark.parametrize(
    "arguments",
    [(), ("a", "--all", "--jsonl"), ("--all",), ("a", "--since", "2026-01-01"), ("a", "--at", "x", "--jsonl")],
)
def test_what_is_not_meant_is_wrong_usage(cli: Command, arguments: tuple[str, ...]) -> None:
    """Neither an export of everything by accident, nor a limit that is passed over."""
    assert cli("history", *arguments).exit_code == 2

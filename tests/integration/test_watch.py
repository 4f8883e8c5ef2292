"""`prodpointer watch` on a real registry: every move of every pointer, once, in order, and few requests."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prodpointer.connection import rule_for
from prodpointer.errors import AccessDenied, RegistryUnavailable
from prodpointer.mlflow_client import Registry, open_registry
from prodpointer.promotion.promoter import Promoter
from prodpointer.promotion.recording import draft_event, write_event
from prodpointer.registered_model import RegisteredModel
from prodpointer.types import ModelReply, Promotion
from prodpointer.watch import sweep
from prodpointer.watch.cursor import Cursor, open_cursor
from prodpointer.watch.delivery import Delivery
from prodpointer.watch.listing import Watched
from prodpointer.watch.receivers import Lines
from prodpointer.watch.service import run
from prodpointer.watch.sweep import Sweeper, Swept
from tests.integration.conftest import HAS_ALIASES, IS_THREE, Command, Lab, quiet, silent
from tests.integration.stub import document, registry, stub

Watch = Callable[..., list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep cursors in a directory of the test."""
    monkeypatch.setattr("platformdirs.user_state_path", lambda _: tmp_path / "state")


@pytest.fixture(scope="module")
def bundle(lab: Lab) -> tuple[str, str]:
    """Return the source of a version, and its run."""
    run_id = lab.run({"bundle/model.pkl": b"bundle"})
    return f"{lab.client.get_run(run_id).info.artifact_uri}/bundle", run_id


Make = Callable[[str], RegisteredModel]


@pytest.fixture
def make(lab: Lab, bundle: tuple[str, str]) -> Make:
    """Return a function that makes a model with three versions, of which none is live."""

    def run(name: str) -> RegisteredModel:
        lab.client.create_registered_model(name)
        for _ in range(3):
            lab.client.create_model_version(name, *bundle)
        return lab.model(name, 0)

    return run


@pytest.fixture
def model(make: Make, name: str) -> RegisteredModel:
    """Return a model with three versions, of which none is live."""
    return make(name)


@pytest.fixture
def watch(lab: Lab, name: str, cli: Command) -> Watch:
    """Return a function that runs one sweep over the test's model and returns what is printed."""

    def run(*arguments: object) -> list[dict[str, Any]]:
        answer = cli("--tracking-uri", lab.uri, "watch", f"{name}*", "--once", *arguments)
        assert (answer.exit_code, answer.err) == (0, "")
        return [json.loads(line) for line in answer.out.splitlines()]

    return run


def moves(events: Iterable[dict[str, Any]]) -> list[tuple[str, int | None, int | None]]:
    """Return the kind of each event, and what it moved."""
    return [(event["kind"], event["from_version"], event["to_version"]) for event in events]


def move_elsewhere(lab: Lab, name: str, version: int) -> None:
    """Move the pointer of this registry's major as plain MLflow does."""
    if IS_THREE:
        lab.client.set_registered_model_alias(name, "production", str(version))
    else:
        with quiet():
            lab.client.transition_model_version_stage(name, str(version), "Production", True)


def test_each_move_is_printed_once_and_in_order(model: RegisteredModel, watch: Watch) -> None:
    """All that happened between two sweeps; what was before the first one is old."""
    model.promote(1)
    assert watch() == []
    model.promote(2)
    model.promote(3)
    model.rollback(reason="drops recommendations")
    assert moves(watch()) == [("promote", 1, 2), ("promote", 2, 3), ("rollback", 3, 2)]
    assert watch() == []


def test_a_line_is_the_event_of_the_history(model: RegisteredModel, watch: Watch, lab: Lab) -> None:
    """With an id of its own and the registry."""
    watch()
    done = model.promote(1, by="ada", reason="weekly retrain")
    (line,) = watch()
    assert line.pop("id").startswith("evt_")
    assert line.pop("registry").endswith(lab.file.name)
    assert line == {"schema_version": 1, **done.as_json()}


def test_a_move_by_another_tool_is_printed(model: RegisteredModel, watch: Watch, lab: Lab) -> None:
    """As unrecorded, also a second one, and none of them again after the next promotion."""
    model.promote(1)
    watch()
    move_elsewhere(lab, model.name, 2)
    first = watch()
    move_elsewhere(lab, model.name, 3)
    second = watch()
    assert moves([*first, *second]) == [("unrecorded", 1, 2), ("unrecorded", 2, 3)]
    model.promote(1)
    assert moves(watch()) == [("promote", 3, 1)]


def test_a_first_pointer_by_another_tool_is_printed(model: RegisteredModel, watch: Watch, lab: Lab) -> None:
    """Of a model of which nothing is recorded."""
    watch()
    move_elsewhere(lab, model.name, 2)
    assert moves(watch()) == [("unrecorded", None, 2)]


def test_a_model_made_meanwhile_is_new_as_a_whole(watch: Watch, make: Make, name: str, model: RegisteredModel) -> None:
    """All that happened to it is printed."""
    watch()
    other = make(f"{name}-other")
    other.promote(1)
    assert moves(watch()) == [("promote", None, 1)]


def test_a_model_made_anew_begins_anew(watch: Watch, make: Make, lab: Lab, model: RegisteredModel) -> None:
    """The position in the deleted model of its name says nothing about it, and its events have other ids."""
    watch()
    model.promote(1)
    before = watch()
    lab.client.delete_registered_model(model.name)
    again = make(model.name)
    again.promote(1)
    after = watch()
    assert moves(after) == [("promote", None, 1)]
    assert after[0]["id"] != before[0]["id"]


def test_a_new_cursor_begins_at_a_time(model: RegisteredModel, watch: Watch) -> None:
    """Events before it are left out; the next run goes on."""
    model.promote(1)
    second = model.promote(2)
    model.promote(3)
    found = watch("--since", second.at.isoformat())
    assert moves(found) == [("promote", 1, 2), ("promote", 2, 3)]
    assert watch("--since", second.at.isoformat()) == []


def test_another_cursor_finds_the_same_ids(model: RegisteredModel, watch: Watch, tmp_path: Path) -> None:
    """So that a receiver knows what it has."""
    model.promote(1)
    model.promote(2)
    found = [
        [event["id"] for event in watch("--since", "2020-01-01", "--cursor", tmp_path / each)] for each in ("a", "b")
    ]
    assert len(found[0]) == 2
    assert found[0] == found[1]


def test_a_refused_command_is_given_the_event_again(
    model: RegisteredModel, watch: Watch, lab: Lab, cli: Command, tmp_path: Path
) -> None:
    """The next run sends the same event, since nobody took it."""
    out = tmp_path / "events"
    watch()
    model.promote(1)
    once = ("--tracking-uri", lab.uri, "watch", f"{model.name}*", "--once", "--exec")
    refused = cli(*once, f"sh -c 'cat >> \"{out}\"; exit 9'")
    assert refused.exit_code == 1
    assert "was not delivered: exit code 9; next attempt in" in refused.err
    assert cli(*once, f"sh -c 'cat >> \"{out}\"'").exit_code == 0
    ids = [json.loads(line)["id"] for line in out.read_text().splitlines()]
    assert len(ids) == 2
    assert len(set(ids)) == 1


@pytest.mark.skipif(not HAS_ALIASES, reason="another pointer than production is an alias")
def test_every_pointer_is_watched(model: RegisteredModel, watch: Watch, lab: Lab, tmp_path: Path) -> None:
    """Or the one that --alias names."""
    every, one = ("--cursor", tmp_path / "every"), ("--cursor", tmp_path / "one", "--alias", "champion")
    assert watch(*every) + watch(*one) == []
    model.promote(1)
    lab.model(model.name, 0, alias="champion").promote(2)
    model.promote(3)
    found = [(event["alias"], event["to_version"]) for event in watch(*every)]
    assert found == [("production", 1), ("champion", 2), ("production", 3)]
    assert moves(watch(*one)) == [("promote", None, 2)]


@pytest.fixture
def opened(lab: Lab, name: str, tmp_path: Path) -> Iterator[tuple[Watched, Cursor]]:
    """Return what a sweep over the test's model works with, from now on."""
    reads = open_registry(lab.uri, None, timeout=10.0)
    watched = Watched(reads, lambda alias: rule_for(alias, None, "auto"), (f"{name}*",))
    with open_cursor(tmp_path / "cursor", {}) as cursor:
        yield watched, cursor


def sent(cursor: Cursor, model: RegisteredModel) -> list[Any]:
    """Return the events of a model that are to be sent."""
    return [each.document for each in cursor.pending(model.name, 9)]


def intend(lab: Lab, name: str, version: int) -> tuple[Promoter, Promotion]:
    """Write the intent of a promotion, as a promoter does before it moves anything."""
    promoter = Promoter(name, open_registry(lab.uri, None, timeout=10.0), rule_for("production", None, "auto"))
    snapshot = promoter.take_snapshot()
    intent = replace(draft_event(snapshot, version, at=snapshot.now), by="ada")
    write_event(promoter.registry, intent, promoter.registry.version(name, version))
    return promoter, intent


def test_a_promotion_under_way_is_printed_once_it_is_closed(model: RegisteredModel, watch: Watch, lab: Lab) -> None:
    """Not before; and it is looked for, though no pointer shows that it has ended."""
    watch()
    model.promote(1)
    promoter, intent = intend(lab, model.name, 2)
    assert moves(watch()) == [("promote", None, 1)]
    promoter.close(intent, "lost", promoter.take_snapshot())
    assert [(event["state"], event["to_version"]) for event in watch()] == [("lost", 2)]


def test_what_no_pointer_shows_is_found_by_a_full_sweep(
    model: RegisteredModel, opened: tuple[Watched, Cursor], lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A promotion of an older version that lost between two sweeps."""
    sweeper = Sweeper(*opened)
    model.promote(3)
    sweeper.sweep()
    promoter, intent = intend(lab, model.name, 1)
    promoter.close(intent, "lost", promoter.take_snapshot())
    found = [sweeper.sweep().events]
    monkeypatch.setattr(sweep, "FULL_EVERY", 0.0)
    found += [sweeper.sweep().events, sweeper.sweep().events]
    assert found == [0, 1, 0]


def test_a_sweep_that_was_stopped_goes_on(
    model: RegisteredModel, opened: tuple[Watched, Cursor], make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found before the registry stopped answering is kept, and found once."""
    sweeper = Sweeper(*opened)
    sweeper.sweep()
    other = make(f"{model.name}-z")
    model.promote(1), other.promote(1)
    real = Registry.versions

    def fail(registry: Registry, name: str, *tag: Any) -> Any:
        if name == other.name:
            raise RegistryUnavailable("down")
        return real(registry, name, *tag)

    with monkeypatch.context() as down:
        down.setattr(Registry, "versions", fail)
        with pytest.raises(RegistryUnavailable):
            sweeper.sweep()
    assert sweeper.sweep().events == 1
    assert opened[1].count_pending() == 2


def test_a_model_that_could_not_be_read_at_first_begins_with_the_others(
    model: RegisteredModel, opened: tuple[Watched, Cursor], make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is older than the cursor is not sent, also where the caller was granted READ later."""
    model.promote(1)
    make(f"{model.name}-z")
    real = Registry.model_pages

    def without(registry: Registry, *given: Any, **named: Any) -> Iterator[list[ModelReply]]:
        for page in real(registry, *given, **named):
            yield [reply for reply in page if reply.name != model.name]

    sweeper = Sweeper(*opened)
    with monkeypatch.context() as denied:
        denied.setattr(Registry, "model_pages", without)
        sweeper.sweep()
    model.promote(2)
    sweeper.sweep()
    assert moves(sent(opened[1], model)) == [("promote", 1, 2)]


def test_a_move_that_no_two_reads_agree_on_waits_for_the_next_sweep(
    model: RegisteredModel, opened: tuple[Watched, Cursor], lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another tool moves the pointer before each read; the promotion before that is certain."""
    sweeper, versions = Sweeper(*opened), iter((1, 2, 1))
    sweeper.sweep()
    model.promote(3)
    real = Watched.read

    def read(watched: Watched, name: str, *known: Any) -> Any:
        move_elsewhere(lab, name, next(versions))
        return real(watched, name, *known)

    with monkeypatch.context() as moving:
        moving.setattr(Watched, "read", read)
        sweeper.sweep()
    assert moves(sent(opened[1], model)) == [("promote", None, 3)]
    move_elsewhere(lab, model.name, 2)
    sweeper.sweep()
    assert moves(sent(opened[1], model)) == [("promote", None, 3), ("unrecorded", 3, 2)]


def test_a_model_that_moves_while_it_is_read_first_begins_later(
    model: RegisteredModel, opened: tuple[Watched, Cursor], lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its history is not sent then, and what happened meanwhile is."""
    model.promote(3)
    sweeper, versions = Sweeper(*opened), iter((1, 2))
    move_elsewhere(lab, model.name, 2)
    real = Watched.read

    def read(watched: Watched, name: str, *known: Any) -> Any:
        move_elsewhere(lab, name, next(versions))
        return real(watched, name, *known)

    with monkeypatch.context() as moving:
        moving.setattr(Watched, "read", read)
        sweeper.sweep()
    model.promote(3)
    sweeper.sweep()
    assert moves(sent(opened[1], model)) == [("unrecorded", 3, 2), ("promote", 2, 3)]


def test_a_model_that_cannot_be_read_holds_up_no_other(
    model: RegisteredModel, opened: tuple[Watched, Cursor], make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where models are named, the versions of each are listed for themselves."""
    other = make(f"{model.name}-z")
    model.promote(1), other.promote(1)
    real = Registry.versions

    def versions(registry: Registry, name: str, *tag: Any) -> Any:
        if name == model.name:
            raise AccessDenied("no READ")
        return real(registry, name, *tag)

    monkeypatch.setattr(Registry, "versions", versions)
    swept = Sweeper(replace(opened[0], globs=(model.name, other.name)), opened[1]).sweep()
    assert (list(swept.failed), swept.read) == ([model.name], 1)


def test_a_sweep_that_is_told_to_stop_ends_after_a_model(
    model: RegisteredModel, opened: tuple[Watched, Cursor], make: Make
) -> None:
    """The first one, which reads all records, and a later one; the next sweep goes on."""
    cursor, sweeper, other = opened[1], Sweeper(*opened), make(f"{model.name}-z")
    swept = [sweeper.sweep(lambda: cursor.mark(model.name) is not None), sweeper.sweep()]
    assert [each.read for each in swept] == [1, 1]
    model.promote(1), other.promote(1)
    swept = [sweeper.sweep(lambda: cursor.count_pending() > 0), sweeper.sweep()]
    assert [each.read for each in swept] == [1, 1]


def test_only_what_changed_is_read(model: RegisteredModel, opened: tuple[Watched, Cursor], make: Make) -> None:
    """Of two models, the one that was promoted, and no one while nothing changes."""
    make(f"{model.name}-z")
    sweeper = Sweeper(*opened)
    sweeper.sweep()
    model.promote(1)
    swept = [sweeper.sweep(), sweeper.sweep()]
    assert swept == [Swept(models=2, read=1, events=1), Swept(models=2, read=0, events=0)]


def test_a_sweep_is_one_request_while_nothing_changes(tmp_path: Path) -> None:
    """The page of models of a server, and no other request."""
    shown = {"name": "news", "aliases": [{"alias": "production", "version": "3"}], "latest_versions": []}
    version = {"name": "news", "version": "3", "current_stage": "None"}
    listing = document({"registered_models": [shown]})
    answer = registry(shown, alias={"model_version": version})

    def answers(_: object, request: Any) -> list[bytes]:
        if "registered-models/search" in request.path:
            return [listing]
        if "model-versions/search" in request.path:
            return [document({"model_versions": [version]})]
        return list(answer(request))

    with stub(answers) as server, open_cursor(tmp_path / "cursor", {}) as cursor:
        found = open_registry(server.uri, None, timeout=5.0)
        sweeper = Sweeper(Watched(found, lambda alias: rule_for(alias, None, "auto")), cursor)
        sweeper.sweep()
        del server.requests[:]
        for _ in range(3):
            sweeper.sweep()
        assert [path.rpartition("mlflow/")[2] for path in server.paths] == ["registered-models/search"] * 3


def test_it_goes_on_when_the_registry_answers_again(
    model: RegisteredModel, opened: tuple[Watched, Cursor], lab: Lab
) -> None:
    """A sweep that fails ends nothing, and what happened meanwhile is sent by a later one."""
    Sweeper(*opened).sweep()
    model.promote(1)
    stopped, failures, lines = threading.Event(), list[Exception](), list[Any]()
    sweeper = Sweeper(*opened)

    def failed(error: Exception) -> None:
        failures.append(error)
        back.close()

    def swept(_: Swept) -> None:
        delivery.send_due(stopped, float("inf"))
        stopped.set()

    delivery = Delivery(opened[1], Lines(lines.append), failed=lambda _: None)
    with ExitStack() as back:
        back.enter_context(silent(lab))
        run(sweeper, delivery, stopped, every=0.05, swept=swept, failed=failed)
    assert len(failures) == 1
    assert moves(lines) == [("promote", None, 1)]


def test_it_runs_until_it_is_told_to_end(
    model: RegisteredModel, watch: Watch, lab: Lab, cli: Command, capfd: pytest.CaptureFixture[str]
) -> None:
    """SIGTERM ends it after the event that is being sent, here by the command that takes it."""
    watch()
    model.promote(1)
    sent = ("--exec", "sh -c 'kill -TERM $PPID'")
    answer = cli("--tracking-uri", lab.uri, "watch", f"{model.name}*", "--every", 0.05, *sent)
    assert answer.exit_code == 0
    assert answer.err.startswith("watch: every 0.05 s, until SIGTERM or Ctrl-C; cursor ")
    assert "Stopping after the event that is being sent." in capfd.readouterr().err
    assert watch() == []


def test_a_name_that_matches_nothing_is_wrong_usage(lab: Lab, cli: Command) -> None:
    """A typing error does not watch nothing for ever."""
    answer = cli("--tracking-uri", lab.uri, "watch", "no-such-*", "--once")
    assert answer.exit_code == 2
    assert "No registered model matches 'no-such-*'" in answer.err


def test_a_registry_that_is_down_is_exit_code_5(cli: Command, closed_port: int) -> None:
    """With --once; else it is tried again."""
    answer = cli("--tracking-uri", f"http://127.0.0.1:{closed_port}", "--timeout", 1, "watch", "--once")
    assert answer.exit_code == 5


def test_one_receiver_at_a_time(lab: Lab, cli: Command) -> None:
    """Two of them would need two cursors."""
    answer = cli("--tracking-uri", lab.uri, "watch", "--exec", "true", "--webhook", "https://example.com")
    assert (answer.exit_code, "not both" in answer.err) == (2, True)

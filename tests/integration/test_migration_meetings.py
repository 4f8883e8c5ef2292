"""A migration beside concurrent promotions: decisions by people stay, and nothing is reverted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from prodpointer.errors import RegistryUnavailable
from prodpointer.history.record import EVENT_TAG, PACK_TAG, RECORD_TAG
from prodpointer.migration.apply import Migrator
from prodpointer.pointers.alias import AliasPointer
from tests.integration.conftest import Lab
from tests.integration.fleet import Fleet, fresh, outcomes


@pytest.fixture
def fleet(lab: Lab) -> Fleet:
    """A fleet of this test alone."""
    return fresh(lab)


@contextmanager
def meanwhile(monkeypatch: pytest.MonkeyPatch, happen: Callable[[], object]) -> Iterator[None]:
    """Let something happen right before the first alias is set inside."""
    met: list[int] = []
    real = AliasPointer.set

    def set_after(pointer: AliasPointer, version: int) -> None:
        if not met:
            met.append(version)
            happen()
        real(pointer, version)

    monkeypatch.setattr(AliasPointer, "set", set_after)
    yield
    monkeypatch.undo()
    assert met


def test_a_promotion_that_was_done_is_not_reverted(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage was promoted, and its promoter is done, between the look and the move: the alias names that version."""
    name = fleet.add("model", stage=1)
    with meanwhile(monkeypatch, lambda: fleet.model(name).promote(2)):
        fleet.apply()
    aliases, stages = fleet.at(name)
    assert (aliases["production"], stages[2]) == (2, "Production")
    assert fleet.model(name).history()[-1].to_version == 2
    assert fleet.plan().is_done


def test_a_move_by_a_plain_tool_is_not_reverted(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the stage holds by then is what the alias names."""
    name = fleet.add("model", stage=1)
    with meanwhile(monkeypatch, lambda: fleet.to_stage(name, 2)):
        fleet.apply()
    assert fleet.at(name) == ({"production": 2}, {1: "Archived", 2: "Production"})


def test_a_withdrawal_that_was_done_is_not_reverted(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is live, and nothing is made live."""
    name = fleet.add("model", stage=1)
    with meanwhile(monkeypatch, lambda: fleet.model(name).withdraw()):
        fleet.apply()
    assert fleet.at(name) == ({}, {1: "Archived"})


def test_a_promotion_of_both_is_not_reverted_by_the_bridge(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """It copies a move by a plain tool while a user promotes another version: that version is live."""
    name = fleet.add("model")
    fleet.model(name, pointer="both").promote(2)
    bridge = fleet.bridge()
    fleet.to_stage(name, 1)
    with meanwhile(monkeypatch, lambda: fleet.model(name).promote(3)):
        bridge.sweep()
    aliases, stages = fleet.at(name)
    assert (aliases["production"], [each for each, stage in stages.items() if stage == "Production"]) == (3, [3])


def test_a_decision_that_was_interrupted_is_taken_up_as_it_was(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person preferred the alias: the next run copies the alias, never the stage."""
    name = fleet.add("apart", alias=1, stage=2)
    monkeypatch.setattr(Migrator, "_follow", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        fleet.apply(prefer="alias")
    monkeypatch.undo()
    fleet.bridge()
    assert fleet.at(name) == ({"production": 1}, {1: "Production", 2: "Archived"})
    assert {event.state for event in fleet.model(name).history()} == {"done"}


def _interrupted(*_: object) -> None:
    """Stand in for a process that ends here."""
    raise KeyboardInterrupt


def test_a_busy_moment_after_the_intent_makes_no_second_event(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again goes on with its own intent, also where the version is not the newest of its stage."""
    monkeypatch.setattr("prodpointer.migration.fleet._FIRST_PAUSE", 0.01)
    name = fleet.add("model", stage=1)
    met: list[int] = []
    real = AliasPointer.set

    def busy_once(pointer: AliasPointer, version: int) -> None:
        if not met:
            met.append(version)
            raise RegistryUnavailable("busy")
        real(pointer, version)

    monkeypatch.setattr(AliasPointer, "set", busy_once)
    fleet.apply()
    assert [(event.kind, event.state) for event in fleet.model(name).history()] == [("migrate", "done")]


def test_the_end_of_stages_is_not_undone_by_a_bridge(fleet: Fleet) -> None:
    """Neither a bridge that marks models nor one that copies moves of old jobs sets the stage again."""
    name = fleet.add("model", stage=1)
    fleet.start()
    fleet.apply()
    bridge = fleet.bridge(mark=True)
    fleet.finish()
    bridge.sweep()
    assert (fleet.at(name), fleet.tags(name)) == (({"production": 1}, {}), {})


def test_a_bridge_in_the_middle_of_the_end_brings_no_stage_back(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sweeps when the stage has just been emptied."""
    name = fleet.add("model", stage=1)
    fleet.start()
    fleet.apply()
    bridge = fleet.bridge()
    real = Migrator.read_back

    def read_back(migrator: Migrator, model: object) -> None:
        monkeypatch.undo()
        bridge.sweep()
        real(migrator, model)  # type: ignore[arg-type]

    monkeypatch.setattr(Migrator, "read_back", read_back)
    fleet.finish()
    assert fleet.at(name) == ({"production": 1}, {})


def test_an_old_job_after_the_end_is_a_decision(fleet: Fleet) -> None:
    """A stage that is set again is shown as a mismatch and not copied."""
    name = fleet.add("model", stage=1)
    fleet.apply()
    fleet.finish()
    bridge = fleet.bridge()
    fleet.to_stage(name, 2)
    assert [step.outcome for step in bridge.sweep().steps] == ["left"]
    assert fleet.at(name)[0] == {"production": 1}


@pytest.mark.parametrize("gone", ["alias", "stage"])
def test_what_was_taken_away_is_not_given_back(fleet: Fleet, gone: str) -> None:
    """Both were seen to agree, nothing is recorded, and one was taken away: for a person to say."""
    name = fleet.add("model", alias=1, stage=1)
    fleet.start()
    bridge = fleet.bridge()
    if gone == "alias":
        fleet.take_alias(name)
    else:
        fleet.to_stage(name, 1, "Archived")
    before = fleet.at(name)
    assert [step.outcome for step in bridge.sweep().steps] == ["left"]
    assert fleet.at(name) == before


def test_many_models_that_fail_starve_no_other(fleet: Fleet) -> None:
    """They are reported once, and the last model of the fleet is migrated."""
    for number in range(22):
        name = fleet.add(f"bad-{number:02d}", versions=1, alias=1)
        fleet.set_alias(name, 1, "Production")
    name = fleet.add("z", stage=1)
    bridge = fleet.bridge_failing()
    assert fleet.at(name)[0] == {"production": 1}
    assert bridge.bridge.sweep().steps == ()


def test_a_record_stays_small_however_often_it_is_carried(fleet: Fleet) -> None:
    """A version that two jobs move to and fro has three tags of its record."""
    name = fleet.add("model", versions=2)
    fleet.model(name, pointer="both").promote(1)
    bridge = fleet.bridge()
    for number in range(14):
        fleet.to_stage(name, 2 - number % 2)
        bridge.sweep()
    versions = fleet.lab.client.search_model_versions(f"name='{name}'")
    record = (RECORD_TAG, EVENT_TAG, PACK_TAG)
    assert max(sum(key.startswith(record) for key in each.tags) for each in versions) <= 3
    assert len([event for event in fleet.model(name).history() if event.kind == "bridge"]) == 14


def test_an_alias_alone_never_gets_a_stage_from_a_promoter_that_was_stopped(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bridge does not copy its intent."""
    name = fleet.add("model")
    fleet.model(name, pointer="alias").promote(1)
    monkeypatch.setattr(AliasPointer, "set", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        fleet.model(name).promote(2)
    monkeypatch.undo()
    monkeypatch.setattr("prodpointer.migration.assess.UNDER_WAY", timedelta(0))
    fleet.bridge()
    assert fleet.model(name).promote(3).pointers == ("alias",)
    assert fleet.at(name) == ({"production": 3}, {})
    assert outcomes(fleet.apply()) == {}


def test_a_promotion_in_the_middle_of_an_undo_is_not_recorded_over(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody promotes when the alias has just been put back: the undo says so, and its event is lost."""
    name = fleet.add("apart", alias=1, stage=2)
    fleet.apply("run", prefer="stage")
    real = Migrator.read_back

    def read_back(migrator: Migrator, model: object) -> None:
        monkeypatch.undo()
        fleet.model(name).promote(3)
        real(migrator, model)  # type: ignore[arg-type]

    monkeypatch.setattr(Migrator, "read_back", read_back)
    assert outcomes(fleet.undo("run"))[name, "production"] == "left"
    assert fleet.model(name).status().live == 3
    assert [(event.kind, event.state) for event in fleet.model(name).history() if event.kind == "undo"] == [
        ("undo", "lost")
    ]

"""The bridge with a real registry: moves by plain MLflow are copied to the other pointer, and nothing else is."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import pytest
from packaging.version import Version

from prodpointer.errors import RegistryUnavailable
from prodpointer.history import log, record
from prodpointer.migration.bridge import Bridge
from prodpointer.types import POINTER_TAG, Promotion
from tests.integration.conftest import MLFLOW, Command, Lab
from tests.integration.fleet import Fleet, fresh

ENDS_WITH_ITS_VERSION = Version("3.17") <= MLFLOW  # an alias: it went on naming a deleted version before (measured)


@pytest.fixture
def fleet(lab: Lab) -> Fleet:
    """A fleet of this test alone."""
    return fresh(lab)


@dataclass(frozen=True)
class Case:
    """What plain tools do to a model whose pointers both named version 2, and where both are after a sweep.

    ``events`` are the kinds of the events that there are then, after the promotion.
    """

    what: str
    alias: int | None = 2
    stage: int | None = 2
    deleted: int | None = None
    after: tuple[int | None, int | None] = (2, 2)
    events: tuple[str, ...] = ()

    def happen(self, fleet: Fleet, name: str) -> None:
        """Do it as plain MLflow does."""
        if self.stage is None:
            fleet.to_stage(name, 2, "Archived")
        elif self.stage != 2:
            fleet.to_stage(name, self.stage)
        if self.alias is None:
            fleet.take_alias(name)
        elif self.alias != 2:
            fleet.set_alias(name, self.alias)
        if self.deleted is not None:
            fleet.delete(name, self.deleted)


CASES = [
    Case("unchanged"),
    Case("the alias moved", alias=3, after=(3, 3), events=("unrecorded", "bridge")),
    Case("the stage moved", stage=3, after=(3, 3), events=("bridge",)),
    Case("the stage moved back", stage=1, after=(1, 1), events=("bridge",)),
    Case("both moved the same way", alias=3, stage=3, after=(3, 3), events=("unrecorded", "bridge")),
    Case("both moved apart", alias=1, stage=3, after=(1, 3), events=("unrecorded",)),
    Case("the alias was taken away", alias=None, after=(None, 2)),
    Case("the stage was emptied", stage=None, after=(2, None)),
    Case("one deleted: another version", deleted=1),
]


def promoted(fleet: Fleet, name: str = "model") -> str:
    """Return a model whose pointers were both moved to version 2 by this library."""
    name = fleet.add(name)
    fleet.model(name, pointer="both").promote(2)
    return name


def held(fleet: Fleet, name: str) -> tuple[int | None, int | None]:
    """Return what the alias names and what Production holds."""
    aliases, stages = fleet.at(name)
    in_production = [version for version, stage in stages.items() if stage == "Production"]
    assert len(in_production) < 2
    return aliases.get("production"), in_production[0] if in_production else None


def kinds(fleet: Fleet, name: str) -> tuple[str, ...]:
    """Return the kinds of the events after the first."""
    return tuple(event.kind for event in fleet.model(name).history()[1:])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_what_happens_while_it_runs_is_carried(fleet: Fleet, case: Case) -> None:
    """The side that moved is followed, with an event; what needs a person is left as it is."""
    name = promoted(fleet)
    bridge = fleet.bridge()
    case.happen(fleet, name)
    bridge.sweep()
    assert (held(fleet, name), kinds(fleet, name)) == (case.after, case.events)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_what_happened_before_it_began_is_carried(fleet: Fleet, case: Case) -> None:
    """The record tells the side that moved, whenever that was."""
    name = promoted(fleet)
    case.happen(fleet, name)
    fleet.bridge()
    assert held(fleet, name) == case.after


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_a_second_sweep_does_nothing(fleet: Fleet, case: Case) -> None:
    """Copied moves are not copied again, and skipped models are not read again until they change."""
    name = promoted(fleet)
    bridge = fleet.bridge()
    case.happen(fleet, name)
    bridge.sweep()
    before = fleet.at(name), kinds(fleet, name)
    sweep = bridge.sweep()
    assert (sweep.looked_at, sweep.steps) == (0, ())
    assert (fleet.at(name), kinds(fleet, name)) == before


def test_one_deleted_that_both_named_is_left(fleet: Fleet) -> None:
    """There is nothing to follow, and nothing is made live by itself."""
    name = promoted(fleet)
    bridge = fleet.bridge()
    fleet.delete(name, 2)
    bridge.sweep()
    assert fleet.at(name)[1] == {}
    assert fleet.model(name).live_version() == (None if ENDS_WITH_ITS_VERSION else 2)
    assert fleet.model(name).production() is None


def test_one_deleted_that_the_alias_named_leaves_the_stage_live(fleet: Fleet) -> None:
    """The alias dangles, or from 3.17 on went with its version: a person decides, and the stage is read meanwhile."""
    name = promoted(fleet)
    bridge = fleet.bridge()
    fleet.to_stage(name, 3)
    fleet.delete(name, 2)
    bridge.sweep()
    assert held(fleet, name) == (None if ENDS_WITH_ITS_VERSION else 2, 3)
    assert fleet.model(name).status().live == 3


@pytest.mark.parametrize(("alias", "stage", "after"), [(3, 2, 3), (2, 3, 3)], ids=["alias", "stage"])
def test_a_model_without_a_record_is_carried_by_what_was_seen(fleet: Fleet, alias: int, stage: int, after: int) -> None:
    """Both were seen to agree, so the one that no longer does has moved."""
    name = fleet.add("plain", alias=2, stage=2)
    bridge = fleet.bridge()
    fleet.set_alias(name, alias)
    fleet.to_stage(name, stage)
    bridge.sweep()
    assert held(fleet, name) == (after, after)


def test_a_model_never_seen_in_agreement_is_skipped(fleet: Fleet) -> None:
    """Neither a record nor a sweep tells which side moved."""
    name = fleet.add("apart", alias=1, stage=3)
    fleet.bridge()
    assert held(fleet, name) == (1, 3)


def test_moves_of_both_the_same_way_are_the_next_beginning(fleet: Fleet) -> None:
    """After both were moved to 3 by others, the alias alone to 1: the alias moved."""
    name = promoted(fleet)
    bridge = fleet.bridge()
    fleet.set_alias(name, 3)
    fleet.to_stage(name, 3)
    bridge.sweep()
    fleet.set_alias(name, 1)
    fleet.bridge()
    assert held(fleet, name) == (1, 1)


def test_two_in_production_are_found_where_something_moved(fleet: Fleet) -> None:
    """A job that forgot to archive: the version that readers of the stage load is copied, the other archived."""
    name = promoted(fleet)
    bridge = fleet.bridge()
    fleet.to_stage(name, 3, archive=False)
    bridge.sweep()
    assert held(fleet, name) == (3, 3)


def test_a_stage_alone_gets_its_alias(fleet: Fleet) -> None:
    """A model that a job of MLflow 2 makes meanwhile is found by readers of the alias."""
    bridge = fleet.bridge()
    name = fleet.add("made", stage=1)
    bridge.sweep()
    assert held(fleet, name) == (1, 1)


def test_an_alias_alone_gets_its_stage_in_the_window(fleet: Fleet) -> None:
    """A model that a job of MLflow 3 makes meanwhile is marked, and found by readers of the stage."""
    bridge = fleet.bridge(mark=True)
    name = fleet.add("made", alias=1)
    bridge.sweep()
    assert (held(fleet, name), fleet.tags(name)[POINTER_TAG]) == ((1, 1), "both")


def test_an_alias_alone_stays_alone_outside_it(fleet: Fleet) -> None:
    """Nobody asked for a stage."""
    bridge = fleet.bridge()
    name = fleet.add("made", alias=1)
    bridge.sweep()
    assert held(fleet, name) == (1, None)


def test_a_sweep_of_a_quiet_fleet_looks_at_no_model(fleet: Fleet) -> None:
    """Pages alone are read."""
    for number in range(3):
        promoted(fleet, f"model-{number}")
    bridge = fleet.bridge()
    sweep = bridge.sweep()
    assert (sweep.models, sweep.looked_at, sweep.steps) == (3, 0, ())


def test_a_promotion_of_this_library_is_not_carried(fleet: Fleet) -> None:
    """It moved both by itself; the bridge looks once and leaves it."""
    name = promoted(fleet)
    bridge = fleet.bridge()
    fleet.model(name).promote(3)
    assert bridge.sweep().steps == ()
    assert kinds(fleet, name) == ("promote",)


def test_a_promotion_under_way_is_looked_at_again(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """While its intent is fresh it goes on by itself; once it is old the stage follows the alias."""
    monkeypatch.setattr("prodpointer.migration.apply._A_LITTLE", 0.001)
    name = promoted(fleet)
    bridge = fleet.bridge()
    intended(fleet, name, 3, timedelta(seconds=1))
    fleet.set_alias(name, 3)
    assert [step.outcome for step in bridge.sweep().steps] == ["left"]
    assert held(fleet, name) == (3, 2)
    monkeypatch.setattr("prodpointer.migration.assess.UNDER_WAY", timedelta(0))
    bridge.sweep()
    assert held(fleet, name) == (3, 3)


def intended(fleet: Fleet, name: str, version: int, age: timedelta) -> None:
    """Write the intent of a promotion that has not ended."""
    last = fleet.model(name).history()[-1]
    at, event = datetime.now(timezone.utc) - age, log.next_id([last])
    move = Promotion(name, 2, version, ("alias", "stage"), at, "ada", event=event, state="intended")
    text = record.event_text(move)
    fleet.lab.client.set_model_version_tag(name, str(version), f"{record.EVENT_TAG}{event}", text)


def test_a_registry_that_is_down_ends_one_sweep_alone(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one goes on."""
    migration = fleet.migration()
    bridge = Bridge(migration, "bridge", every=0.01)
    sweeps = bridge.sweeps()
    next(sweeps)
    monkeypatch.setattr("prodpointer.migration.migration.models_like", _unavailable)
    monkeypatch.setattr("prodpointer.migration.fleet._FIRST_PAUSE", 0.001)
    assert isinstance(next(sweeps).error, RegistryUnavailable)
    monkeypatch.undo()
    assert next(sweeps).error is None


def _unavailable(*_: object) -> None:
    """Stand in for pages that do not come."""
    raise RegistryUnavailable("down")


def test_a_stop_ends_the_sweeps(fleet: Fleet) -> None:
    """At once, also in the middle of the pause between two."""
    migration = fleet.migration()
    timer = threading.Timer(0.3, migration.stopped.set)
    timer.start()
    assert len(list(Bridge(migration, "bridge", every=600).sweeps())) == 1
    timer.join()


def test_one_sweep_on_the_command_line(cli: Command, fleet: Fleet) -> None:
    """``bridge --once`` copies the moves and prints one line for each."""
    name = promoted(fleet)
    fleet.to_stage(name, 3)
    where = ("--tracking-uri", fleet.lab.uri, "migrate", "bridge", "--models", fleet.glob, "--once")
    answer = cli(*where)
    assert (answer.exit_code, held(fleet, name)) == (0, (3, 3))
    assert answer.out.startswith(f"{name}: moved the alias to version 3 (")
    assert cli(*where).out == ""


def test_one_sweep_as_a_document(cli: Command, fleet: Fleet) -> None:
    """With ``--json`` a line for each sweep that did something."""
    name = promoted(fleet)
    fleet.set_alias(name, 3)
    where = ("--tracking-uri", fleet.lab.uri, "migrate", "bridge", "--models", fleet.glob, "--once", "--json")
    (step,) = cli(*where).document["steps"]
    assert (step["name"], step["pointers"], step["to_version"]) == (name, ["stage"], 3)


def test_what_is_left_is_told_once(fleet: Fleet) -> None:
    """A decision is shown when it comes up, and not at every sweep."""
    name = promoted(fleet)
    bridge = fleet.bridge()
    fleet.set_alias(name, 1)
    fleet.to_stage(name, 3)
    assert [step.outcome for step in bridge.sweep().steps] == ["left"]
    assert bridge.sweep().steps == ()

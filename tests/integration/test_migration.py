"""Migration from stages to aliases with a real registry: plan, start, apply, verify, finish, undo."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from prodpointer.cli.migrate_output import print_checks
from prodpointer.errors import InvalidName
from prodpointer.migration.assess import Class
from prodpointer.migration.migration import Checked, rules_for, run_name
from prodpointer.types import POINTER_TAG
from tests.integration.conftest import IS_THREE, Answer, Command, Lab
from tests.integration.fleet import Fleet, fresh, outcomes

CARRIED = {"production": 3, "staging": 2}


@pytest.fixture
def fleet(lab: Lab) -> Fleet:
    """A fleet of this test alone."""
    return fresh(lab)


@pytest.fixture
def staged(fleet: Fleet) -> str:
    """A model with version 3 in Production, 2 in Staging, 1 Archived, as jobs of MLflow 2 leave it."""
    name = fleet.add("staged")
    for version, stage in ((1, "Production"), (3, "Production"), (2, "Staging")):
        fleet.to_stage(name, version, stage)
    return name


def snapshot(fleet: Fleet, name: str) -> tuple[Any, ...]:
    """Return everything a run could change of a model."""
    versions = fleet.lab.client.search_model_versions(f"name='{name}'")
    return fleet.at(name), fleet.tags(name), {int(each.version): dict(each.tags) for each in versions}


# A plan


def test_a_plan_changes_nothing(fleet: Fleet, staged: str) -> None:
    """Everything is as before."""
    before = snapshot(fleet, staged)
    fleet.plan()
    assert snapshot(fleet, staged) == before


def test_a_plan_tells_what_would_change(fleet: Fleet, staged: str) -> None:
    """Each stage with what it holds, the alias that it becomes, and the version that both are to name."""
    found = {pair.stage: (pair.holds, pair.names, pair.judgement.target) for pair in fleet.planned(staged).pairs}
    assert found == {"Production": ((3,), None, 3), "Staging": ((2,), None, 2)}


def test_a_plan_counts_the_classes(fleet: Fleet, staged: str) -> None:
    """How many models are of each class."""
    fleet.add("agreed", alias=1, stage=1)
    fleet.add("apart", alias=1, stage=2)
    assert fleet.plan().counts == {"SAFE": 1, "NEEDS A DECISION": 1, "NOTHING TO DO": 1}


def test_a_plan_has_the_models_that_were_asked_for(fleet: Fleet, staged: str) -> None:
    """The patterns are those of a shell, and their case counts."""
    fleet.add("other", stage=1)
    assert [model.name for model in fleet.plan(f"{fleet.prefix}-st*").models] == [staged]
    assert fleet.plan(f"{fleet.prefix.upper()}-*").models == ()


def test_prompts_are_no_models(fleet: Fleet) -> None:
    """MLflow keeps prompts in the same table; they are never planned."""
    name = fleet.add("prompt", stage=1)
    fleet.lab.client.set_registered_model_tag(name, "mlflow.prompt.is_prompt", "true")
    assert fleet.plan().models == ()


def test_aliases_that_differ_only_in_case_need_a_decision(fleet: Fleet) -> None:
    """Nobody can say which of them is meant."""
    name = fleet.add("case", alias=1, stage=1)
    fleet.set_alias(name, 2, "Production")
    found = fleet.planned(name)
    assert (found.kind, "differ only in case" in found.reasons[0]) == (Class.DECISION, True)


def test_models_that_differ_only_in_case_need_a_decision(fleet: Fleet) -> None:
    """A registry that folds case would take them for one; who names one in full means it."""
    name, twin = fleet.add("twin", stage=1), fleet.add("Twin", stage=1)
    assert {model.kind for model in fleet.plan().models} == {Class.DECISION}
    assert [model.kind for model in fleet.plan(twin, fleet.glob).models if model.name == twin] == [Class.SAFE]
    assert outcomes(fleet.apply()) == {(name, ""): "left", (twin, ""): "left"}
    assert fleet.at(name)[0] == {}


def test_a_tag_that_names_no_pointer_needs_a_decision(fleet: Fleet, staged: str) -> None:
    """A model with an unknown tag value is not changed."""
    fleet.lab.client.set_registered_model_tag(staged, POINTER_TAG, "both?")
    assert fleet.planned(staged).reasons[0] == "Invalid pointer 'both?'."
    assert outcomes(fleet.apply(prefer="stage")) == {(staged, ""): "left"}


def test_two_in_production_are_found(fleet: Fleet) -> None:
    """Only the versions themselves tell, and the plan reads them by pages."""
    name = fleet.add("two", stage=1)
    fleet.to_stage(name, 2, archive=False)
    assert "holds versions 1 and 2" in fleet.planned(name).reasons[0]


# What stages are called


def test_stages_keep_their_names(fleet: Fleet, staged: str) -> None:
    """By default Production becomes production and Staging staging."""
    assert [(rule.stage, rule.alias) for rule in rules_for()] == [("Production", "production"), ("Staging", "staging")]


def test_a_stage_can_become_another_alias(fleet: Fleet, staged: str) -> None:
    """``--map Production=champion``; and a stage that is skipped keeps to itself."""
    fleet.apply(mapping={"Production": "champion", "staging": "skip"})
    assert fleet.at(staged)[0] == {"champion": 3}


@pytest.mark.parametrize(
    "mapping",
    [
        {"Archived": "archived"},
        {"Prod": "production"},
        {"Production": "latest"},
        {"Production": "v2"},
        {"Production": "a b"},
        {"Production": "staging"},
        {"Production": "skip", "Staging": "skip"},
    ],
    ids=str,
)
def test_a_mapping_that_no_registry_can_hold_is_refused(mapping: dict[str, str]) -> None:
    """History is no pointer, reserved names are reserved, and two stages are not one alias."""
    with pytest.raises(InvalidName):
        rules_for(mapping)


@pytest.mark.parametrize("name", ["", "a b", "x/y", "n" * 65, "\udcff"])
def test_a_run_has_a_name_that_can_be_typed(name: str) -> None:
    """What cannot be typed again is no name."""
    with pytest.raises(InvalidName):
        run_name(name)


def test_two_runs_have_two_names() -> None:
    """Names are made up where none is given."""
    assert run_name() != run_name()


# To apply it


def test_applying_sets_what_is_missing(fleet: Fleet, staged: str) -> None:
    """Both aliases name what their stages hold, and the stages are as before."""
    stages = fleet.at(staged)[1]
    fleet.apply()
    assert fleet.at(staged) == (CARRIED, stages)


def test_applying_twice_ends_the_same(fleet: Fleet, staged: str) -> None:
    """The second time there is nothing to do, and nothing is written."""
    fleet.apply()
    before = snapshot(fleet, staged)
    assert fleet.apply() == []
    assert snapshot(fleet, staged) == before
    assert fleet.plan().is_done


def test_what_was_live_stays_live(fleet: Fleet, staged: str) -> None:
    """A migration changes no answer."""
    model = fleet.model(staged, pointer="stage")
    before = model.live_version()
    fleet.apply()
    assert (before, fleet.model(staged).live_version()) == (3, 3)


def test_each_model_gets_an_event(fleet: Fleet, staged: str) -> None:
    """Who, when, why, and by which run."""
    fleet.apply("run-1", reason="off stages")
    (event,) = fleet.model(staged).history()
    assert (event.kind, event.state, event.from_version, event.to_version) == ("migrate", "done", 3, 3)
    assert (event.pointers, event.reason, bool(event.by)) == (("alias",), "off stages", True)
    assert event.migration is not None
    assert (event.migration.run, event.migration.alias) == ("run-1", None)


def test_rolling_back_passes_a_migration_over(fleet: Fleet) -> None:
    """What was live before the migration's event is still what was live before."""
    name = f"{fleet.prefix}-rolled"
    model = fleet.lab.model(name, 2, pointer="stage")
    model.promote(1)
    model.promote(2)
    fleet.apply()
    back = fleet.model(name).rollback()
    assert (back.from_version, back.to_version, set(back.pointers)) == (2, 1, {"alias", "stage"})


def test_a_promotion_after_it_moves_both(fleet: Fleet, staged: str) -> None:
    """Readers of either major see what is promoted from now on."""
    fleet.apply()
    fleet.model(staged).promote(1)
    aliases, stages = fleet.at(staged)
    assert (aliases["production"], stages[1], stages[3]) == (1, "Production", "Archived")


def test_what_needs_a_decision_is_left_alone(fleet: Fleet) -> None:
    """Without a choice of side nothing of it is touched."""
    name = fleet.add("apart", alias=1, stage=2)
    before = snapshot(fleet, name)
    fleet.apply()
    assert snapshot(fleet, name) == before


def test_a_choice_that_decides_nothing_leaves_the_rest(fleet: Fleet) -> None:
    """What no side can decide is left and named."""
    name = fleet.add("two", stage=1)
    fleet.to_stage(name, 2, archive=False)
    assert outcomes(fleet.apply(prefer="alias")) == {(name, "production"): "left"}


def test_a_reason_that_no_registry_can_store_is_refused(fleet: Fleet, staged: str) -> None:
    """Before anything is written."""
    before = snapshot(fleet, staged)
    with pytest.raises(InvalidName):
        fleet.apply(reason="\udcff")
    assert snapshot(fleet, staged) == before


@pytest.mark.parametrize(("prefer", "version"), [("alias", 1), ("stage", 2)])
def test_a_preferred_side_decides(fleet: Fleet, prefer: str, version: int) -> None:
    """Both pointers name what the chosen side names, and the other version leaves the stage."""
    name = fleet.add("apart", alias=1, stage=2)
    fleet.apply(prefer=prefer)
    aliases, stages = fleet.at(name)
    assert (aliases, [number for number, stage in stages.items() if stage == "Production"]) == (
        {"production": version},
        [version],
    )


@pytest.mark.parametrize(("alias", "stage", "version"), [(3, 1, 3), (1, 3, 3), (2, 3, None)])
def test_the_journal_follows_the_side_that_moved(fleet: Fleet, alias: int, stage: int, version: int | None) -> None:
    """The side that no longer names what was promoted last; both moved apart is left for a person."""
    name = fleet.add("moved")
    fleet.model(name, pointer="both").promote(1)
    fleet.set_alias(name, alias)
    fleet.to_stage(name, stage)
    fleet.apply(prefer="journal")
    aliases, stages = fleet.at(name)
    held = [number for number, each in stages.items() if each == "Production"]
    assert (aliases["production"], held) == ((version, [version]) if version else (alias, [stage]))


def test_two_in_production_can_be_decided(fleet: Fleet) -> None:
    """The highest, which readers of the stage load, stays; the other is archived."""
    name = fleet.add("two", stage=1)
    fleet.to_stage(name, 2, archive=False)
    fleet.apply(prefer="stage")
    assert fleet.at(name) == ({"production": 2}, {1: "Archived", 2: "Production"})


def test_a_version_that_leaves_staging_for_production_is_not_staging(fleet: Fleet) -> None:
    """A version has one stage, so the one rule is judged after the move of the other."""
    name = fleet.add("both", alias=2, stage=3)
    fleet.to_stage(name, 2, "Staging")
    fleet.apply(prefer="alias")
    assert fleet.at(name) == ({"production": 2}, {2: "Production", 3: "Archived"})


def test_a_model_that_moved_since_the_plan_is_judged_anew(fleet: Fleet, staged: str) -> None:
    """``apply`` uses the version that is in the stage now, not the one in the plan."""
    migration = fleet.migration()
    plan = migration.plan()
    fleet.to_stage(staged, 1)
    list(migration.apply(plan, "late"))
    assert fleet.at(staged)[0]["production"] == 1


def test_a_model_that_needs_a_decision_by_now_is_left(fleet: Fleet, staged: str) -> None:
    """Somebody set another alias since the plan."""
    migration = fleet.migration()
    plan = migration.plan()
    fleet.set_alias(staged, 1)
    (result,) = migration.apply(plan, "late")
    assert [step.outcome for step in result.value or ()] == ["left", "moved"]
    assert fleet.at(staged)[0] == {"production": 1, "staging": 2}


def test_a_model_that_was_deleted_since_the_plan_is_none(fleet: Fleet, staged: str) -> None:
    """It is no failure."""
    migration = fleet.migration()
    plan = migration.plan()
    fleet.lab.client.delete_registered_model(staged)
    (result,) = migration.apply(plan, "late")
    assert (result.error, [step.outcome for step in result.value or ()]) == (None, ["nothing"])


def test_an_interrupted_run_is_taken_up(fleet: Fleet, staged: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An intent whose alias was not set yet goes on as the same event."""
    monkeypatch.setattr("prodpointer.pointers.alias.AliasPointer.set", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        fleet.apply("first")
    monkeypatch.undo()
    (intent,) = fleet.model(staged).history()
    assert intent.migration is not None
    fleet.apply("second")
    (event,) = fleet.model(staged).history()
    assert (event.event, event.state) == (intent.event, "done")
    assert fleet.at(staged)[0] == CARRIED


def test_a_promotion_after_an_interrupted_run_stays(fleet: Fleet, staged: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run had begun to set the alias to version 3; the stage was moved to 1 since, and that is what goes on."""
    monkeypatch.setattr("prodpointer.pointers.alias.AliasPointer.set", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        fleet.apply("first")
    monkeypatch.undo()
    fleet.to_stage(staged, 1)
    fleet.apply("second")
    aliases, stages = fleet.at(staged)
    assert aliases["production"] == 1
    assert [version for version, stage in stages.items() if stage == "Production"] == [1]
    assert [(event.to_version, event.state) for event in fleet.model(staged).history()] == [(3, "lost"), (1, "done")]


def _interrupted(*_: object) -> None:
    """Stand in for a process that ends here."""
    raise KeyboardInterrupt


def test_a_run_that_was_interrupted_before_its_last_write_is_closed(fleet: Fleet, staged: str) -> None:
    """Where the pointers are as they should be, only the record is closed."""
    fleet.apply("first")
    key = "prodpointer.record"
    text = fleet.lab.client.get_model_version(staged, "3").tags[key]
    fleet.lab.client.set_model_version_tag(staged, "3", key, text.replace('"done"', '"intended"'))
    assert fleet.planned(staged).kind is Class.SAFE
    assert outcomes(fleet.apply("second"))[staged, "production"] == "closed"
    assert [each.state for each in fleet.model(staged).history()] == ["done"]
    assert fleet.plan().is_done


# The window


def test_a_window_marks_the_models(fleet: Fleet, staged: str) -> None:
    """Every promotion moves both pointers from then on, also of a model that has an alias alone."""
    name = fleet.add("aliased", alias=1)
    fleet.start()
    fleet.model(name).promote(2)
    assert fleet.at(name) == ({"production": 2}, {2: "Production"})


def test_a_window_says_nothing_to_other_aliases(fleet: Fleet) -> None:
    """An alias that stands for no stage is read and moved as before."""
    name = fleet.add("canary", alias=1)
    fleet.start()
    canary = fleet.model(name, alias="canary")
    assert canary.promote(2).pointers == ("alias",)
    assert canary.live_version() == 2


@pytest.mark.parametrize("verb", ["start", "apply", "finish"])
def test_a_name_that_no_search_can_ask_for_is_never_touched(fleet: Fleet, verb: str) -> None:
    """It holds both kinds of quotes."""
    name = fleet.add('it\'s "new"', versions=0)
    fleet.lab.client.create_model_version(name, "s3://models/bundle")
    fleet.to_stage(name, 1)
    assert set(outcomes(getattr(fleet, verb)()).values()) == {"left"}
    assert dict(fleet.lab.client.get_registered_model(name).aliases) == {}
    assert fleet.tags(name) == {}


def test_a_window_leaves_other_tags(fleet: Fleet, staged: str) -> None:
    """A deliberate setting on a model counts."""
    fleet.lab.client.set_registered_model_tag(staged, POINTER_TAG, "stage")
    assert outcomes(fleet.start()) == {(staged, ""): "left"}
    assert fleet.tags(staged)[POINTER_TAG] == "stage"


def test_a_window_begun_twice_is_one(fleet: Fleet, staged: str) -> None:
    """The second time nothing is written."""
    fleet.start()
    before = snapshot(fleet, staged)
    assert outcomes(fleet.start()) == {(staged, ""): "nothing"}
    assert snapshot(fleet, staged) == before


def test_in_the_window_an_alias_alone_gets_its_stage(fleet: Fleet) -> None:
    """A model that an MLflow 3 job made is found by readers of the stage."""
    name = fleet.add("aliased", alias=2)
    fleet.start()
    fleet.apply()
    assert fleet.at(name) == ({"production": 2}, {2: "Production"})


def test_a_window_can_be_undone(fleet: Fleet, staged: str) -> None:
    """The tags that the run wrote are gone."""
    fleet.start("window")
    fleet.undo("window")
    assert fleet.tags(staged) == {}


# To prove it


def test_verifying_asks_as_plain_clients_ask(fleet: Fleet, staged: str) -> None:
    """Before: the alias is missing. After: nothing is."""
    assert "clients of the alias find nothing" in fleet.problems()[staged]
    fleet.apply()
    assert fleet.problems() == {}


def test_verifying_finds_what_is_apart(fleet: Fleet) -> None:
    """Two clients that load two versions are named with both."""
    name = fleet.add("apart", alias=1, stage=2)
    assert fleet.problems() == {name: "clients of the alias load version 1, clients of the stage version 2"}


def test_verifying_wants_a_stage_in_the_window(fleet: Fleet) -> None:
    """An alias alone is right, except where both are kept."""
    name = fleet.add("aliased", alias=1)
    assert fleet.problems() == {}
    fleet.start()
    assert fleet.problems() == {name: "clients of the alias load version 1, clients of the stage find nothing"}


def test_a_version_promoted_out_of_staging_is_right(fleet: Fleet, staged: str) -> None:
    """The alias staging still names it, its stage is empty, and there is nothing to do."""
    fleet.start()
    fleet.apply()
    fleet.model(staged).promote(2)
    assert fleet.problems() == {}
    assert fleet.plan().is_done


def test_a_model_that_is_deleted_while_it_is_verified_is_no_problem(fleet: Fleet, staged: str) -> None:
    """It is none any more."""
    migration = fleet.migration()
    results = migration.verify()
    fleet.lab.client.delete_registered_model(staged)
    assert [(result.value, result.error) for result in results] == [([], None)]


def test_verifying_asks_for_an_alias_as_it_is_spelled(fleet: Fleet) -> None:
    """Others wrote Production, and their clients ask for it so."""
    name = fleet.add("spelled", stage=1)
    fleet.set_alias(name, 1, "Production")
    assert fleet.problems() == {}


# The end of the stages


def test_finishing_empties_the_stages(fleet: Fleet, staged: str) -> None:
    """No version is in Production or Staging any more; what is archived stays, and the aliases say what is live."""
    fleet.apply()
    fleet.finish()
    assert fleet.at(staged) == (CARRIED, {1: "Archived"})


def test_after_it_the_alias_alone_is_followed(fleet: Fleet, staged: str) -> None:
    """A promotion sets no stage again, on either major."""
    fleet.start()
    fleet.apply()
    fleet.finish()
    assert fleet.model(staged).promote(1).pointers == ("alias",)
    assert fleet.at(staged)[1] == {1: "Archived"}
    assert fleet.tags(staged) == {}


def test_a_model_that_was_not_carried_is_not_finished(fleet: Fleet, staged: str) -> None:
    """Its readers would find nothing."""
    before = snapshot(fleet, staged)
    assert set(outcomes(fleet.finish()).values()) == {"left"}
    assert snapshot(fleet, staged) == before


def test_pointers_that_are_apart_are_not_finished(fleet: Fleet) -> None:
    """Readers of the stage have another version than they would get."""
    name = fleet.add("apart", alias=1, stage=2)
    assert set(outcomes(fleet.finish()).values()) == {"left"}
    assert fleet.at(name) == ({"production": 1}, {2: "Production"})


@pytest.mark.parametrize(("tag", "outcome", "stages"), [("stage", "left", {1: "Production"}), ("alias", "moved", {})])
def test_a_deliberate_setting_stays(fleet: Fleet, tag: str, outcome: str, stages: dict[int, str]) -> None:
    """A model that is told to follow its stage keeps it, and no tag is taken away but that of the window."""
    name = fleet.add("told", alias=1, stage=1)
    fleet.lab.client.set_registered_model_tag(name, POINTER_TAG, tag)
    assert outcomes(fleet.finish())[name, "production"] == outcome
    assert (fleet.at(name), fleet.tags(name)) == (({"production": 1}, stages), {POINTER_TAG: tag})


def test_finishing_twice_ends_the_same(fleet: Fleet, staged: str) -> None:
    """The second time there is nothing to do."""
    fleet.apply()
    fleet.finish()
    before = snapshot(fleet, staged)
    assert set(outcomes(fleet.finish()).values()) == {"nothing"}
    assert snapshot(fleet, staged) == before


def test_there_is_nothing_to_do_after_it(fleet: Fleet, staged: str) -> None:
    """A plan finds aliases alone."""
    fleet.apply()
    fleet.finish()
    assert fleet.plan().is_done


# The way back


def test_undoing_restores_what_was(fleet: Fleet, staged: str) -> None:
    """Pointers and tags of the model are exactly as before the run."""
    before = fleet.at(staged), fleet.tags(staged)
    fleet.apply("run")
    assert outcomes(fleet.undo("run")) == {(staged, "production"): "moved", (staged, "staging"): "moved"}
    assert (fleet.at(staged), fleet.tags(staged)) == before


def test_an_undone_model_is_as_safe_as_before(fleet: Fleet, staged: str) -> None:
    """It can be migrated again."""
    fleet.apply("run")
    fleet.undo("run")
    assert fleet.planned(staged).kind is Class.SAFE


def test_after_undoing_a_promotion_moves_what_it_moved_before(fleet: Fleet) -> None:
    """The alias that was taken back is no longer the model's; MLflow 3 gives a stage alone one of its own accord."""
    name = fleet.add("again", stage=1)
    fleet.apply("run")
    fleet.undo("run")
    assert fleet.model(name).promote(2).pointers == (("alias", "stage") if IS_THREE else ("stage",))


@pytest.mark.parametrize("prefer", ["alias", "stage"])
def test_undoing_restores_both_sides_of_a_decision(fleet: Fleet, prefer: str) -> None:
    """Also two versions in one stage, an alias beside them, and what was in no stage."""
    name = fleet.add("two", versions=4, alias=3, stage=1)
    fleet.to_stage(name, 2, archive=False)
    before = fleet.at(name)
    fleet.apply("run", prefer=prefer)
    assert fleet.at(name) != before
    fleet.undo("run")
    assert fleet.at(name) == before


def test_undoing_leaves_what_was_promoted_since(fleet: Fleet, staged: str) -> None:
    """The promotion counts; the other alias of the model is put back."""
    fleet.apply("run")
    fleet.model(staged).promote(1)
    found = outcomes(fleet.undo("run"))
    assert found == {(staged, "production"): "left", (staged, "staging"): "moved"}
    assert fleet.at(staged)[0] == {"production": 1}


def test_undoing_leaves_what_plain_tools_moved_since(fleet: Fleet, staged: str) -> None:
    """Also if it was not recorded."""
    fleet.apply("run")
    fleet.set_alias(staged, 1)
    assert outcomes(fleet.undo("run"))[staged, "production"] == "left"
    assert fleet.at(staged)[0]["production"] == 1


def test_undoing_twice_ends_the_same(fleet: Fleet, staged: str) -> None:
    """The second time there is nothing to do."""
    fleet.apply("run")
    fleet.undo("run")
    before = snapshot(fleet, staged)
    assert set(outcomes(fleet.undo("run")).values()) == {"nothing"}
    assert snapshot(fleet, staged) == before


def test_an_undo_that_was_interrupted_goes_on(fleet: Fleet, staged: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its intent is there and the alias still is too."""
    before = fleet.at(staged)
    fleet.apply("run")
    monkeypatch.setattr("prodpointer.pointers.alias.AliasPointer.clear", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        fleet.undo("run")
    monkeypatch.undo()
    fleet.undo("run")
    assert fleet.at(staged) == before
    assert {event.state for event in fleet.model(staged).history()} == {"done"}


def test_finishing_can_be_undone(fleet: Fleet, staged: str) -> None:
    """The stages hold what they held, and the window is open again."""
    fleet.start()
    fleet.apply()
    before = fleet.at(staged), fleet.tags(staged)
    fleet.finish("end")
    fleet.undo("end")
    assert (fleet.at(staged), fleet.tags(staged)) == before


def test_runs_can_be_undone_one_after_the_other(fleet: Fleet, staged: str) -> None:
    """The last one first, back to where it began."""
    before = fleet.at(staged), fleet.tags(staged)
    for run, verb in (("one", fleet.start), ("two", fleet.apply), ("three", fleet.finish)):
        verb(run)
    for run in ("three", "two", "one"):
        fleet.undo(run)
    assert (fleet.at(staged), fleet.tags(staged)) == before


def test_a_run_is_not_undone_under_a_later_one(fleet: Fleet, staged: str) -> None:
    """The later run is what has to be undone first."""
    fleet.apply("one")
    fleet.finish("two")
    assert set(outcomes(fleet.undo("one")).values()) == {"left"}
    assert fleet.at(staged) == (CARRIED, {1: "Archived"})


def test_a_run_with_other_aliases_is_undone_without_being_told_them(fleet: Fleet, staged: str) -> None:
    """The record says which alias stood for which stage."""
    before = fleet.at(staged)
    fleet.apply("run", mapping={"Production": "champion", "Staging": "skip"})
    fleet.undo("run")
    assert fleet.at(staged) == before


def test_undoing_goes_back_to_what_was_promoted_in_between(fleet: Fleet) -> None:
    """In a run that moved a model twice, only the move after another user's promotion still stands."""
    name = fleet.add("twice", versions=5)
    fleet.model(name, pointer="both").promote(1)
    for stage in (2, 4):
        fleet.to_stage(name, stage)
        fleet.apply("run", prefer="journal")
        if stage == 2:
            fleet.model(name).promote(3)
    fleet.undo("run")
    aliases, stages = fleet.at(name)
    assert (aliases["production"], stages[4]) == (3, "Production")


def test_a_name_used_twice_is_undone_by_its_last_run(fleet: Fleet, staged: str) -> None:
    """Applied, undone, applied again with the same name, and undone again."""
    before = fleet.at(staged)
    for _ in range(2):
        fleet.apply("run")
        fleet.undo("run")
        assert fleet.at(staged) == before


def test_undoing_compares_the_pointers_whatever_happened_between(fleet: Fleet, staged: str) -> None:
    """After a later run was taken back, a move of plain tools is still one."""
    fleet.apply("one")
    fleet.finish("two")
    fleet.undo("two")
    fleet.set_alias(staged, 1)
    fleet.to_stage(staged, 1)
    before = fleet.at(staged)
    assert outcomes(fleet.undo("one"))[staged, "production"] == "left"
    assert fleet.at(staged)[0]["production"] == before[0]["production"]
    assert fleet.at(staged)[1] == before[1]


def test_a_mark_of_ones_own_survives_the_end_and_the_way_back(fleet: Fleet, staged: str) -> None:
    """A tag set by hand is put back as it was, without one of a run."""
    fleet.lab.client.set_registered_model_tag(staged, POINTER_TAG, "both")
    fleet.apply()
    fleet.finish("end")
    assert fleet.tags(staged) == {}
    fleet.undo("end")
    assert fleet.tags(staged) == {POINTER_TAG: "both"}


def test_an_unknown_run_is_refused(fleet: Fleet, staged: str) -> None:
    """Nothing is touched, and the error names the run."""
    fleet.apply("run")
    with pytest.raises(InvalidName, match="No run 'walk' is recorded"):
        fleet.undo("walk")


def test_the_runs_are_listed(fleet: Fleet, staged: str) -> None:
    """The runs, their kinds, and how many models each moved."""
    fleet.start("zero")
    fleet.apply("one")
    found = [(run.name, run.kind, run.models) for run in fleet.migration().runs()]
    assert found == [("zero", "start", 1), ("one", "migrate", 1)]


# The command line


@pytest.fixture
def at(cli: Command, fleet: Fleet) -> Command:
    """Return a function that runs a command of ``migrate`` on this fleet."""

    def run(verb: str, *arguments: object) -> Answer:
        return cli("--tracking-uri", fleet.lab.uri, "migrate", verb, "--models", fleet.glob, *arguments)

    return run


def test_a_plan_with_work_ends_with_4(at: Command, staged: str) -> None:
    """There is something to do."""
    answer = at("plan")
    assert (answer.exit_code, staged in answer.out) == (4, True)
    assert answer.out.splitlines()[-1] == "1 SAFE, 0 NEEDS A DECISION, 0 NOTHING TO DO"


def test_a_plan_without_work_ends_with_0(at: Command, fleet: Fleet) -> None:
    """There is nothing to do, and no table."""
    fleet.lab.client.set_registered_model_tag(fleet.add("agreed", alias=1, stage=1), POINTER_TAG, "both")
    answer = at("plan")
    assert (answer.exit_code, answer.out) == (0, "0 SAFE, 0 NEEDS A DECISION, 1 NOTHING TO DO\n")


def test_a_plan_can_be_a_document(at: Command, staged: str) -> None:
    """With ``--json`` every model with its pairs."""
    document = at("plan", "--json").document
    assert document["counts"] == {"SAFE": 1, "NEEDS A DECISION": 0, "NOTHING TO DO": 0}
    (model,) = document["models"]
    assert (model["name"], model["class"], len(model["pairs"])) == (staged, "SAFE", 2)
    assert set(model["pairs"][0]) == {
        "stage",
        "alias",
        "stage_versions",
        "alias_version",
        "class",
        "reason",
        "target",
        "choices",
        "changes",
        "after_start",
    }


def test_the_document_of_nothing_is_one_too(cli: Command, lab: Lab) -> None:
    """No model has a pointer, and it is still JSON."""
    fleet = fresh(lab)
    fleet.add("bare")
    answer = cli("--tracking-uri", lab.uri, "--json", "migrate", "plan", "--models", fleet.glob)
    assert (answer.exit_code, [model["start"] for model in answer.document["models"]]) == (0, [True])


def test_a_plan_can_be_a_page(at: Command, staged: str, tmp_path: Path) -> None:
    """``--html`` writes it, whatever is printed beside it."""
    file = tmp_path / "plan.html"
    assert at("plan", "--html", file).exit_code == 4
    assert staged in file.read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_is_said_to_be(at: Command, staged: str, tmp_path: Path) -> None:
    """One line with the file."""
    answer = at("plan", "--html", tmp_path / "nowhere" / "plan.html")
    assert (answer.exit_code, "plan.html" in answer.err) == (1, True)


def test_the_whole_way_on_the_command_line(at: Command, fleet: Fleet, staged: str) -> None:
    """start, apply, verify, finish: each ends with 0 and tells its run."""
    for verb, more in (("start", ()), ("apply", ()), ("verify", ()), ("finish", ("--reason", "done"))):
        answer = at(verb, *(() if verb == "verify" else ("--run", f"{verb}-1")), *more)
        assert (answer.exit_code, answer.out.count("left")) == (0, 0), answer.out + answer.err
        assert verb == "verify" or f"run {verb}-1: " in answer.out
    assert fleet.at(staged) == (CARRIED, {1: "Archived"})


@pytest.mark.parametrize("verb", ["apply", "finish"])
def test_what_is_left_ends_with_4(at: Command, fleet: Fleet, verb: str) -> None:
    """A run that leaves decisions says so."""
    name = fleet.add("apart", alias=1, stage=2)
    answer = at(verb)
    assert (answer.exit_code, name in answer.out) == (4, True)


def test_a_run_can_be_a_document(at: Command, staged: str) -> None:
    """With ``--json``: the run, the counts and every step."""
    document = at("apply", "--json", "--run", "doc").document
    assert (document["run"], document["counts"]) == ("doc", {"moved": 2})
    assert {(step["alias"], step["to_version"]) for step in document["steps"]} == {("production", 3), ("staging", 2)}


def test_clients_that_differ_end_with_4(at: Command, staged: str) -> None:
    """``verify`` names them."""
    answer = at("verify")
    assert (answer.exit_code, staged in answer.out) == (4, True)
    assert at("verify", "--json").document["problems"][0]["name"] == staged


def test_problems_beyond_the_first_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """``verify`` prints 50 of them, says how many more there are, and where the whole list is."""
    print_checks([Checked(f"news-{number}", "production", "Production", 1, 2, "apart") for number in range(53)])
    assert "... and 3 more: see --json\n" in capsys.readouterr().out


def test_the_runs_are_shown(at: Command, staged: str) -> None:
    """``undo`` without a run lists them."""
    assert at("undo").err == "No runs are recorded.\n"
    at("apply", "--run", "shown")
    assert "shown" in at("undo").out
    assert [run["name"] for run in at("undo", "--json").document["runs"]] == ["shown"]


def test_a_run_is_undone_on_the_command_line(at: Command, fleet: Fleet, staged: str) -> None:
    """``undo RUN``."""
    at("apply", "--run", "back")
    assert at("undo", "back").exit_code == 0
    assert fleet.at(staged)[0] == {}


def test_finishing_wants_to_be_told_whom(cli: Command, lab: Lab) -> None:
    """Without ``--models`` it is wrong usage: the end of stages is never for everybody by accident."""
    assert cli("--tracking-uri", lab.uri, "migrate", "finish").exit_code == 2


@pytest.mark.parametrize(
    "arguments", [("--map", "Production"), ("--map", "Prod=x"), ("--map", "Archived=old"), ("--run", "a b")], ids=str
)
def test_wrong_usage_ends_with_2(at: Command, staged: str, arguments: tuple[str, ...]) -> None:
    """Before anything is asked."""
    assert at("apply", *arguments).exit_code == 2


@pytest.mark.parametrize("option", [("--pointer", "both"), ("--alias", "champion")], ids=str)
def test_other_options_have_no_part_in_it(cli: Command, lab: Lab, option: tuple[str, str]) -> None:
    """``--pointer`` and ``--alias`` are for one model."""
    assert cli("--tracking-uri", lab.uri, *option, "migrate", "plan").exit_code == 2


def test_how_far_it_is_goes_to_standard_error(at: Command, staged: str) -> None:
    """Plain lines where there is no terminal; standard output is one document."""
    answer = at("apply", "--json")
    json.loads(answer.out)
    assert "apply: 1 of 1 models in" in answer.err


def test_a_stop_ends_a_run_after_what_is_in_flight(fleet: Fleet) -> None:
    """What was begun is whole, and the rest is left for the next time."""
    names = [fleet.add(f"model-{number}", versions=1, stage=1) for number in range(4)]
    migration = fleet.migration()
    steps = []
    for result in migration.apply(migration.plan(), "stopped"):
        steps.append(result)
        migration.stopped.set()
    assert 1 <= len(steps) < len(names)
    assert {len(fleet.model(result.item.name).history()) for result in steps} == {1}


def test_a_drift_is_shown_with_the_side_that_moved(cli: Command, fleet: Fleet) -> None:
    """``status`` says it where the pointers differ."""
    name = fleet.add("drifted")
    fleet.model(name, pointer="both").promote(1)
    fleet.to_stage(name, 2)
    answer = cli("--tracking-uri", fleet.lab.uri, "status", name)
    assert (answer.exit_code, "the stage moved from version 1" in answer.out) == (4, True)


def test_a_run_knows_when_it_was(fleet: Fleet, staged: str) -> None:
    """From its first event to its last."""
    fleet.apply("timed")
    (run,) = fleet.migration().runs()
    assert run.first is not None
    assert run.last is not None
    assert timedelta(0) <= run.last - run.first < timedelta(minutes=1)

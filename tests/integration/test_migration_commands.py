"""What people see of a migration: plans that are what happens, dry runs, names that match nothing, runs, questions."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import click
import pytest

from prodpointer.cli import migrate as commands
from prodpointer.migration.migration import flatten
from prodpointer.mlflow_client import Registry
from prodpointer.types import POINTER_TAG
from tests.integration.conftest import Answer, Command, Lab
from tests.integration.fleet import Fleet, fresh, outcomes


@pytest.fixture
def fleet(lab: Lab) -> Fleet:
    """A fleet of this test alone."""
    return fresh(lab)


@pytest.fixture
def at(cli: Command, fleet: Fleet) -> Command:
    """Return a function that runs a command of ``migrate`` on this fleet."""

    def run(verb: str, *arguments: object) -> Answer:
        return cli("--tracking-uri", fleet.lab.uri, "migrate", verb, "--models", fleet.glob, *arguments)

    return run


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Return a list to which each write of a pointer or a mark is added; the writes are made."""
    found: list[tuple[Any, ...]] = []

    def counted(verb: str) -> Callable[..., Any]:
        real = getattr(Registry, verb)

        def write(self: Registry, *arguments: Any) -> Any:
            found.append((verb, *arguments))
            return real(self, *arguments)

        return write

    for verb in ("set_alias", "delete_alias", "move_to_stage", "tag_model"):
        monkeypatch.setattr(Registry, verb, counted(verb))
    return found


def state(fleet: Fleet, *names: str) -> list[object]:
    """Return the pointers and tags of models, as plain MLflow shows them."""
    return [(fleet.at(name), fleet.tags(name)) for name in names]


def every_kind(fleet: Fleet) -> None:
    """Make a model of every kind that a plan knows."""
    fleet.add("finished", stage=1)
    fleet.apply()
    fleet.finish()
    fleet.add("stage", stage=2)
    fleet.add("alias", alias=3)
    fleet.add("agreed", alias=1, stage=1)
    fleet.add("apart", alias=1, stage=2)
    fleet.add("bare")
    fleet.to_stage(fleet.add("two", stage=1), 2, archive=False)
    fleet.to_stage(fleet.add("staging", stage=3), 2, "Staging")
    fleet.set_alias(fleet.add("one-version", alias=2), 2, "staging")
    fleet.lab.client.set_registered_model_tag(fleet.add("tagged", alias=2), POINTER_TAG, "alias")
    fleet.lab.client.set_registered_model_tag(fleet.add("invalid", stage=2), POINTER_TAG, "both?")
    fleet.set_alias(fleet.add("cased", alias=1, stage=1), 2, "Production")


# A plan is what happens


def test_a_plan_is_what_start_and_apply_do(fleet: Fleet, made: list[tuple[Any, ...]]) -> None:
    """For a fleet of every kind of model: the same models are marked, the same pointers moved, and nothing else."""
    every_kind(fleet)
    plan = fleet.plan()
    planned = sorted(
        (model.name, change.pointer, change.name, change.to)
        for model in plan.models
        for pair in model.pairs
        for change in pair.changes
    )
    marked = {model.name for model in plan.models if model.marked}
    made.clear()
    flatten(fleet.migration().start("one"))
    flatten(fleet.migration().apply(plan, "two"))
    aliases = [(name, "alias", alias, version) for verb, name, alias, version in _of(made, "set_alias")]
    stages = [(name, "stage", stage, version) for verb, name, version, stage in _of(made, "move_to_stage")]
    assert planned == sorted(aliases + stages)
    assert {call[1] for call in _of(made, "tag_model")} == marked
    assert _of(made, "delete_alias") == []
    assert plan.changes == {"start": len(marked), "apply": len(aliases + stages)}


def _of(made: list[tuple[Any, ...]], verb: str) -> list[tuple[Any, ...]]:
    """Return the calls of one method."""
    return [call for call in made if call[0] == verb]


def test_after_start_and_apply_nothing_is_planned(fleet: Fleet) -> None:
    """The models that an alias alone named have their stage."""
    name = fleet.add("alias", alias=3)
    assert fleet.planned(name).pairs[0].after_start
    fleet.start()
    fleet.apply()
    assert (fleet.plan().is_done, fleet.plan().changes) == (True, {"start": 0, "apply": 0})


def test_without_start_what_waits_for_it_is_not_asked_for(fleet: Fleet) -> None:
    """An alias alone stays alone, and is no model of the run."""
    name = fleet.add("alias", alias=3)
    assert fleet.apply() == []
    assert fleet.at(name) == ({"production": 3}, {})


def test_a_finished_model_is_not_started_again(fleet: Fleet) -> None:
    """Also after a promotion; undoing the end is the way back."""
    name = fleet.add("done", stage=1)
    fleet.apply()
    fleet.finish("end")
    fleet.model(name).promote(2)
    assert (fleet.plan().is_done, fleet.plan().changes["start"]) == (True, 0)
    assert outcomes(fleet.start()) == {(name, ""): "nothing"}
    assert fleet.tags(name) == {}


def test_the_output_counts_marks_and_moves(at: Command, fleet: Fleet) -> None:
    """The two commands with what they do, and which move waits for the mark."""
    fleet.add("alias", alias=3)
    out = at("plan").out
    assert "stage Production: - → 3 (after start)" in out
    assert "start marks 1 model, then apply moves 1 pointer\n" in out


# Names that match nothing


@pytest.mark.parametrize(
    "arguments",
    [("plan",), ("start",), ("apply",), ("verify",), ("finish",), ("undo", "one"), ("bridge", "--once"), ("runs",)],
    ids=" ".join,
)
def test_a_pattern_that_matches_nothing_ends_with_2(cli: Command, fleet: Fleet, arguments: tuple[str, ...]) -> None:
    """The error names it, whatever matches the others, and nothing is changed."""
    name = fleet.add("one", stage=1)
    before = state(fleet, name)
    patterns = ("--models", fleet.glob, "--models", "nomatch*")
    answer = cli("--tracking-uri", fleet.lab.uri, "migrate", *arguments, *patterns)
    assert (answer.exit_code, answer.out) == (2, "")
    assert "No registered model matches 'nomatch*'" in answer.err
    assert state(fleet, name) == before


def test_a_run_that_does_not_exist_ends_with_2(at: Command, fleet: Fleet) -> None:
    """The error names it, and the command that lists the runs."""
    fleet.add("one", stage=1)
    answer = at("undo", "nosuch")
    assert (answer.exit_code, answer.out) == (2, "")
    assert "No run 'nosuch' is recorded" in answer.err
    assert "prodpointer migrate runs" in answer.err


# Dry runs


WOULD = {
    "start": "would be marked",
    "apply": "would move alias to version 3",
    "finish": "would empty the stage",
    "undo": "would restore alias",
}


@pytest.mark.parametrize(
    ("verb", "counted"), [("start", "2 marked"), ("apply", "2 moved"), ("finish", "2 moved"), ("undo", "2 moved")]
)
def test_a_dry_run_changes_nothing_and_says_what_the_run_does(
    at: Command, fleet: Fleet, made: list[tuple[Any, ...]], verb: str, counted: str
) -> None:
    """Exit code 4 while there is work; the same counts as the run that follows."""
    name = fleet.add("staged", stage=3)
    fleet.to_stage(name, 2, "Staging")
    if verb == "start":
        fleet.add("other", alias=1)
    elif verb != "apply":
        fleet.apply("run")
    made.clear()
    arguments = ("run",) if verb == "undo" else ()
    answer = at(verb, *arguments, "--dry-run")
    assert (answer.exit_code, made) == (4, [])
    assert answer.out.splitlines()[-1] == f"dry run: {counted}; nothing was changed"
    assert WOULD[verb] in answer.out
    assert f": {counted}" in at(verb, *arguments).out
    assert made != []


def test_a_dry_run_names_the_moves(at: Command, fleet: Fleet) -> None:
    """A line for each, with from and to; as a document the outcomes of the run."""
    name = fleet.add("apart", alias=1, stage=2)
    answer = at("apply", "--prefer", "stage", "--dry-run")
    assert "would move alias to version 2" in answer.out
    document = at("apply", "--prefer", "stage", "--dry-run", "--json").document
    assert (document["dry_run"], document["counts"]) == (True, {"moved": 1, "nothing": 1})
    assert fleet.at(name)[0] == {"production": 1}


def test_a_dry_run_without_work_ends_with_0(at: Command, fleet: Fleet) -> None:
    """Nothing is to be moved."""
    fleet.add("agreed", alias=1, stage=1)
    assert at("apply", "--dry-run").exit_code == 0


# Who moved it, and the runs


def test_the_history_has_who_moved_it(at: Command, fleet: Fleet) -> None:
    """``--by`` of each verb that writes an event."""
    name = fleet.add("staged", stage=3)
    for verb, run in (("apply", "--run=one"), ("finish", "--run=two"), ("undo", "two")):
        at(verb, run, "--by", f"ada of {verb}")
    assert [event.by for event in fleet.model(name).history()] == ["ada of apply", "ada of finish", "ada of undo"]


def test_the_runs_are_listed_with_who_and_state(at: Command, fleet: Fleet) -> None:
    """Done, undone and open; ``undo`` without a run lists the same."""
    fleet.add("staged", stage=3)
    at("start", "--run", "zero")
    at("apply", "--run", "one", "--by", "ada")
    at("finish", "--run", "two", "--by", "bob")
    at("undo", "two")
    document = at("runs", "--json").document
    assert [(run["name"], run["kind"], run["models"], run["by"], run["state"]) for run in document["runs"]] == [
        ("zero", "start", 1, [], "open"),
        ("one", "migrate", 1, ["ada"], "done"),
        ("two", "finish", 1, ["bob"], "undone"),
    ]
    assert at("undo", "--json").document == document


def test_an_interrupted_run_is_listed_as_such(at: Command, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its next run completes it."""
    fleet.add("staged", stage=3)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(Registry, "set_alias", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fleet.apply("one")
    assert [run.state for run in fleet.migration().runs()] == ["interrupted"]
    fleet.apply("one")
    assert [run.state for run in fleet.migration().runs()] == ["done"]


# Questions


def test_the_older_of_two_runs_is_not_undone_first(at: Command, fleet: Fleet) -> None:
    """The later run is named; nothing is changed without ``--yes``, and then only what the later one left."""
    name, other = fleet.add("staged", stage=3), fleet.add("other", stage=1)
    fleet.apply("one")
    fleet.finish("two", name)
    before = state(fleet, name, other)
    answer = at("undo", "one")
    assert (answer.exit_code, "'two' (1 model)" in answer.err, state(fleet, name, other)) == (1, True, before)
    answer = at("undo", "one", "--yes")
    assert "the run two changed it later" in " ".join(answer.out.replace("│", " ").split())
    assert state(fleet, name, other) == [before[0], (({}, {1: "Production"}), {})]


def test_the_last_run_is_undone_without_a_question(at: Command, fleet: Fleet) -> None:
    """And then the one before it."""
    name = fleet.add("staged", stage=3)
    fleet.apply("one")
    fleet.finish("two")
    assert [at("undo", run).exit_code for run in ("two", "one")] == [0, 0]
    assert fleet.at(name) == ({}, {3: "Production"})


@pytest.mark.parametrize(("sure", "stages"), [(False, {3: "Production"}), (True, {})])
def test_finishing_asks_on_a_terminal(
    at: Command, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, sure: bool, stages: dict[int, str]
) -> None:
    """With the number of models; nothing is changed without a yes."""
    name = fleet.add("staged", stage=3)
    fleet.apply()
    asked: list[str] = []

    def ask(question: str) -> None:
        asked.append(question)
        if not sure:
            raise click.exceptions.Exit(1)

    monkeypatch.setattr(commands, "may_ask", lambda: True)
    monkeypatch.setattr(commands, "ask", ask)
    assert at("finish").exit_code == (0 if sure else 1)
    (question,) = asked
    assert question.startswith("The stages Production and Staging of 1 model will be empty")
    assert fleet.at(name)[1] == stages


@pytest.mark.parametrize("words", [("finish",), ("undo", "one")], ids="-".join)
def test_a_question_can_be_interrupted(
    at: Command, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Ctrl-C ends the command while it asks: only what is under way is completed first."""
    name = fleet.add("staged", stage=3)
    fleet.apply("one")
    if words[0] == "undo":
        fleet.finish("two", name)
    handlers: list[object] = []
    monkeypatch.setattr(commands, "may_ask", lambda: True)
    monkeypatch.setattr(commands, "ask", lambda _: handlers.append(signal.getsignal(signal.SIGINT)))
    at(*words)
    assert handlers == [signal.getsignal(signal.SIGINT)]


def test_finishing_does_not_ask_with_yes(at: Command, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor in a dry run."""
    fleet.add("staged", stage=3)
    fleet.apply()
    monkeypatch.setattr(commands, "may_ask", lambda: True)
    monkeypatch.setattr(commands, "ask", lambda _: pytest.fail("asked"))
    assert [at("finish", option).exit_code for option in ("--dry-run", "--yes")] == [4, 0]


def test_one_sweep_does_not_promise_more(at: Command, fleet: Fleet) -> None:
    """``bridge --once`` says that it sweeps once."""
    fleet.add("staged", stage=3)
    first = at("bridge", "--once", "--run", "once").err.splitlines()[0]
    assert first == "bridge once: one sweep"

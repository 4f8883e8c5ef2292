"""Which pointer moved, and what to do, from the state of the registry and the history, without requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone

import pytest
from packaging.version import Version

from prodpointer.history.record import EVENT_TAG, UNDER_WAY, event_text
from prodpointer.migration.assess import Class, Judgement, judge
from prodpointer.mlflow_client.capabilities import Capabilities
from prodpointer.pointers.rule import Rule
from prodpointer.pointers.snapshot import ModelSnapshot, read_reply
from prodpointer.promotion.sync import Side, describe_mismatch, side_moved
from prodpointer.types import POINTER_TAG, Before, Kind, ModelReply, ModelVersion, Promotion, State

MLFLOW_2 = Capabilities(Version("2.22.5"), is_three=False, aliases=True, stages=True, how="MLflow 2.22.5")
MLFLOW_3 = Capabilities(Version("3.17.2"), is_three=True, aliases=True, stages=True, how="MLflow 3.17.2")
PRODUCTION = Rule("production", "Production", None, None)
STAGING = Rule("staging", "Staging", None, None)
BOTH, ALIAS, STAGE = ("alias", "stage"), ("alias",), ("stage",)


def event(
    count: int,
    to: int,
    pointers: tuple[str, ...] = BOTH,
    *,
    kind: Kind = "promote",
    state: State = "done",
    age: timedelta = timedelta(hours=1),
) -> Promotion:
    """Return the event number ``count``, by which a version went live."""
    migration = Before("run") if kind in ("migrate", "bridge", "finish", "undo") else None
    at, identifier = datetime.now(timezone.utc) - age, f"{count:012d}-00000000"
    return Promotion(
        "news", None, to, pointers, at, "ada", event=identifier, kind=kind, state=state, migration=migration
    )


def model(
    alias: int | None = None,
    stages: Mapping[int, str] | None = None,
    *,
    recorded: Sequence[Promotion] = (),
    tag: str | None = None,
    rule: Rule = PRODUCTION,
    deleted: int = 0,
    status: str = "READY",
    registry: Capabilities = MLFLOW_3,
) -> ModelSnapshot:
    """Return a model with versions 1 to 6 (one may be deleted), these pointers and this history."""
    versions = []
    for number in range(1, 7):
        tags = {f"{EVENT_TAG}{each.event}": event_text(each) for each in recorded if each.to_version == number}
        stage = (stages or {}).get(number)
        versions.append(ModelVersion("news", number, stage, status, "", None, None, None, tags))
    versions = [each for each in versions if each.version != deleted]
    newest = {each.stage: each for each in versions}
    tags = {POINTER_TAG: tag} if tag else {}
    reply = ModelReply("news", {} if alias is None else {rule.alias: alias}, newest, tags, versions=tuple(versions))
    return read_reply(rule, reply, registry, "here")


def production(*versions: int) -> dict[int, str]:
    """Return these versions in Production."""
    return dict.fromkeys(versions, "Production")


@dataclass(frozen=True)
class Moved:
    """Where the pointers are now, after a record that left both at version 2, and which side has moved."""

    what: str
    alias: int | None
    stage: int | None
    side: Side
    journal: int | None = None
    deleted: int = 0

    @property
    def snapshot(self) -> ModelSnapshot:
        """The model by now."""
        stages = {} if self.stage is None else production(self.stage)
        return model(self.alias, stages, recorded=[event(1, 2)], deleted=self.deleted)


CASES = [
    Moved("unchanged", 2, 2, Side.NONE),
    Moved("the alias moved", 4, 2, Side.ALIAS, journal=4),
    Moved("the stage moved", 2, 4, Side.STAGE, journal=4),
    Moved("both moved the same way", 4, 4, Side.SAME),
    Moved("both moved apart", 4, 5, Side.APART),
    Moved("the alias was taken away", None, 2, Side.ALIAS),
    Moved("the stage was emptied", 2, None, Side.STAGE),
    Moved("the version of the alias was deleted", 4, 2, Side.ALIAS, deleted=4),
    Moved("both are gone", None, None, Side.SAME),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_the_record_shows_which_pointer_moved(case: Moved) -> None:
    """The pointer that no longer names what the last recorded move left both at is the one that moved."""
    assert side_moved(case.snapshot) is case.side


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_the_record_decides_if_one_pointer_moved(case: Moved) -> None:
    """Preferring the journal follows the one side that moved to a version, and decides nothing else."""
    assert judge(case.snapshot).choices.get("journal") == case.journal


def test_without_a_record_the_moved_pointer_is_unknown() -> None:
    """Two pointers that differ and no event: unknown, and the journal decides nothing."""
    snapshot = model(2, production(4))
    assert side_moved(snapshot) is Side.UNKNOWN
    assert dict(judge(snapshot).choices) == {"alias": 2, "stage": 4}


@pytest.mark.parametrize(("alias", "stage", "side"), [(4, 2, Side.ALIAS), (2, 4, Side.STAGE)])
def test_without_a_record_the_previous_state_decides(alias: int, stage: int, side: Side) -> None:
    """What both were seen to name tells the side that moved since."""
    assert side_moved(model(alias, production(stage)), 2) is side


def test_the_record_counts_before_what_was_seen() -> None:
    """Where there is a record, what was seen once is not asked for."""
    assert side_moved(model(2, production(4), recorded=[event(1, 2)]), 4) is Side.STAGE


@dataclass(frozen=True)
class Case:
    """A model, and what there is to do about it."""

    what: str
    snapshot: ModelSnapshot
    kind: Class
    target: int | None = None
    choices: Mapping[str, int] = field(default_factory=dict)
    says: str = ""


WORK = [
    Case("a stage alone gets the alias", model(None, production(3)), Class.SAFE, 3, says="is not set"),
    Case("a stage alone on MLflow 2 too", model(None, production(3), registry=MLFLOW_2), Class.SAFE, 3),
    Case("an alias alone stays alone", model(3), Class.NOTHING, says="alias alone"),
    Case("an alias alone in the window gets the stage", model(3, tag="both"), Class.SAFE, 3, says="says both"),
    Case("two that agree", model(3, production(3)), Class.NOTHING, says="agree"),
    Case("nothing is live", model(), Class.NOTHING, says="nothing is live"),
    Case("nothing is live in the window", model(tag="both"), Class.NOTHING),
    Case(
        "two that differ",
        model(3, production(4)),
        Class.DECISION,
        choices={"alias": 3, "stage": 4},
        says="the alias names version 3, the stage version 4",
    ),
    Case(
        "two in Production and no alias",
        model(None, production(2, 3)),
        Class.DECISION,
        choices={"stage": 3},
        says="holds versions 2 and 3",
    ),
    Case(
        "two in Production and an alias", model(2, production(2, 3)), Class.DECISION, choices={"alias": 2, "stage": 3}
    ),
    Case(
        "two in Production where a job forgot to archive",
        model(2, production(2, 3), recorded=[event(1, 2)]),
        Class.DECISION,
        choices={"alias": 2, "stage": 3, "journal": 3},
    ),
    Case(
        "two in Production where going back forgot to archive",
        model(3, production(2, 3), recorded=[event(1, 3)]),
        Class.DECISION,
        choices={"alias": 3, "stage": 3, "journal": 3},
    ),
    Case("a dangling alias", model(3, deleted=3), Class.DECISION, says="was deleted"),
    Case(
        "a dangling alias before a stage",
        model(3, production(2), deleted=3),
        Class.DECISION,
        choices={"stage": 2},
        says="dangling",
    ),
    Case("a version that is not READY", model(None, production(3), status="PENDING_REGISTRATION"), Class.DECISION),
    Case(
        "the alias was taken away",
        model(None, production(3), recorded=[event(1, 3)]),
        Class.DECISION,
        choices={"stage": 3},
        says="removed, since event 000000000001",
    ),
    Case(
        "the stage was emptied",
        model(3, recorded=[event(1, 3)]),
        Class.DECISION,
        choices={"alias": 3},
        says="was emptied",
    ),
    Case(
        "the stage has ended",
        model(3, recorded=[event(1, 3), event(2, 3, STAGE, kind="finish")]),
        Class.NOTHING,
    ),
    Case(
        "the alias was taken back by an undo",
        model(None, production(3), recorded=[event(1, 3, ALIAS, kind="migrate"), event(2, 3, ALIAS, kind="undo")]),
        Class.SAFE,
        3,
    ),
    Case("the tag says stage", model(None, production(3), tag="stage"), Class.NOTHING, says="says stage"),
    Case("the tag says alias", model(3, tag="alias"), Class.NOTHING, says="says alias"),
    Case("the tag says stage and the alias differs", model(2, production(3), tag="stage"), Class.DECISION),
    Case("the tag says alias and only a stage is set", model(None, production(3), tag="alias"), Class.DECISION),
    Case(
        "staging never takes the live version out of production",
        model(3, {3: "Production", 4: "Staging"}, rule=STAGING),
        Class.DECISION,
        choices={"stage": 4},
        says="version 3 is in Production",
    ),
    Case("staging gets its alias", model(None, {4: "Staging"}, rule=STAGING), Class.SAFE, 4),
]


def test_a_stage_with_very_many_versions_is_left() -> None:
    """An event could not hold what each of them was in."""
    versions = tuple(ModelVersion("news", each, "Production", "READY", "", None, None, None) for each in range(1, 40))
    found = judge(model(1, production(1)).with_versions(versions))
    assert (found.kind, dict(found.choices), "39 versions" in found.reason) == (Class.DECISION, {}, True)


@pytest.mark.parametrize("case", WORK, ids=lambda case: case.what)
def test_each_model_is_judged(case: Case) -> None:
    """The class, the version that both are to name, and what a person may choose."""
    found = judge(case.snapshot)
    assert (found.kind, found.target, dict(found.choices)) == (case.kind, case.target, dict(case.choices))
    assert case.says in found.reason


def intent(to: int, age: float, kind: Kind = "promote", pointers: tuple[str, ...] = BOTH) -> Promotion:
    """Return a move to a version that was begun so many seconds ago and is not closed."""
    return event(2, to, pointers, kind=kind, state="intended", age=timedelta(seconds=age))


def half_way(age: float) -> Judgement:
    """Return the judgement of a promotion to 4 that has moved the alias and not yet the stage."""
    return judge(model(4, production(2), recorded=[event(1, 2), intent(4, age)]))


def test_a_promotion_in_progress_is_not_touched() -> None:
    """A recent intent is a promotion in progress."""
    found = half_way(1)
    assert (found.kind, found.target, found.under_way) == (Class.SAFE, None, True)


def test_a_promotion_that_has_moved_nothing_yet_is_in_progress_too() -> None:
    """Its intent alone says that it is about to."""
    assert judge(model(None, production(2), recorded=[intent(4, 1)])).under_way


def test_an_interrupted_promotion_needs_a_decision() -> None:
    """After a minute its alias counts, which is moved first."""
    found = half_way(UNDER_WAY.total_seconds() + 1)
    assert (found.kind, dict(found.choices)) == (Class.DECISION, {"alias": 4, "journal": 4})


def test_an_intent_is_ignored_if_the_pointers_agree() -> None:
    """Where both pointers name one version, an open intent hinders nothing."""
    found = judge(model(4, production(4), recorded=[event(1, 2), intent(4, 1)]))
    assert found.kind is Class.NOTHING


def test_a_run_that_was_interrupted_before_its_move_goes_on() -> None:
    """Its intent is no move: the alias is still to be set."""
    found = judge(model(None, production(3), recorded=[intent(3, 1, "migrate", ALIAS)]))
    assert (found.kind, found.target) == (Class.SAFE, 3)


def test_a_run_that_was_interrupted_after_its_move_is_to_be_closed() -> None:
    """Nothing has to move, and the record is still open."""
    found = judge(model(3, production(3), recorded=[intent(3, 1, "migrate", ALIAS)]))
    assert (found.kind, found.target) == (Class.SAFE, None)
    assert "interrupted" in found.reason


@pytest.mark.parametrize("alias", [None, 1])
def test_a_stage_that_moved_after_an_interrupted_run_counts(alias: int | None) -> None:
    """The intent to set the alias alone is of a stage at its target; a promotion since then is not undone."""
    found = judge(model(alias, production(2), recorded=[intent(1, 1, "migrate", ALIAS)]))
    assert found.target != 1
    assert 1 not in {found.target, found.choices.get("stage")}


@pytest.mark.parametrize(
    ("snapshot", "says"),
    [
        (model(4, production(2), recorded=[event(1, 2)]), "the alias moved from version 2"),
        (model(2, production(4), recorded=[event(1, 2)]), "the stage moved from version 2"),
        (model(4, production(5), recorded=[event(1, 2)]), "both moved from version 2, apart"),
        (model(4, production(5)), "nothing is recorded"),
    ],
)
def test_a_mismatch_is_described(snapshot: ModelSnapshot, says: str) -> None:
    """One sentence says what each pointer names and which of them moved."""
    assert says in describe_mismatch(snapshot)


@pytest.mark.parametrize("snapshot", [model(2, production(2)), model(2), model(None, production(2)), model()])
def test_without_a_mismatch_there_is_no_description(snapshot: ModelSnapshot) -> None:
    """Pointers that agree, or a single one, have no mismatch."""
    assert describe_mismatch(snapshot) == ""


def test_an_event_of_another_pointer_tells_nothing() -> None:
    """The record of staging is not the ancestor of production."""
    other = replace(event(1, 2), alias="staging")
    assert side_moved(model(2, production(4), recorded=[other])) is Side.UNKNOWN

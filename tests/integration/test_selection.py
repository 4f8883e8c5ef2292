"""The rule of ``auto`` and its overrides: which pointer counts, which are moved, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

import pytest
from packaging.version import Version

from prodpointer import AliasPointer, MirroredPointer, StagePointer
from prodpointer.connection import rule_for
from prodpointer.errors import InvalidName, PointerUnsupported
from prodpointer.mlflow_client.capabilities import Capabilities
from prodpointer.pointers.rule import POINTER_VARIABLE, Rule, known_pointer
from prodpointer.pointers.selection import (
    check_nothing_left_behind,
    check_readable,
    check_supported,
    pointer_for,
    pointers_to_move,
)
from prodpointer.pointers.snapshot import ModelSnapshot, read_reply
from prodpointer.types import POINTER_TAG, ModelReply, ModelVersion, Pointers, Promotion
from tests.integration.conftest import HAS_ALIASES, Lab

MLFLOW_2_2 = Capabilities(Version("2.2.2"), is_three=False, aliases=False, stages=True, how="MLflow 2.2.2")
MLFLOW_2 = Capabilities(Version("2.22.5"), is_three=False, aliases=True, stages=True, how="MLflow 2.22.5")
MLFLOW_3 = Capabilities(Version("3.17.2"), is_three=True, aliases=True, stages=True, how="MLflow 3.17.2")
UNITY_CATALOG = Capabilities(None, is_three=True, aliases=True, stages=False, how="Unity Catalog")
WORKSPACE = Capabilities(None, is_three=False, aliases=False, stages=True, how="the workspace registry")
# MLflow 3 behind a client that cannot move aliases there.
THREE_WITHOUT_ALIASES = Capabilities(
    Version("3.0"), is_three=True, aliases=False, stages=True, how="MLflow 3.0, no aliases"
)

PRODUCTION = Rule("production", "Production", None, None)
CHAMPION = Rule("champion", None, None, None)


@dataclass(frozen=True)
class Case:
    """One model in one registry, and what the rule says of it."""

    what: str
    registry: Capabilities
    live: int | None
    moved: Pointers
    alias: int | None = None
    stage: int | None = None
    last_moved: Pointers = Pointers.NONE
    dangling: bool = False
    rule: Rule = PRODUCTION
    tag: str | None = None

    def snapshot(self) -> ModelSnapshot:
        """Read the case's model by its rule."""
        tags = {POINTER_TAG: self.tag} if self.tag else {}
        read = read_reply(self.rule, reply(self.rule.alias, self.alias, self.stage, tags), self.registry, "here")
        last = Promotion("news", None, None, self.last_moved.names, datetime.now(timezone.utc), "ada")
        return replace(read, dangling=self.dangling, moves=[last] if self.last_moved else [])


def reply(alias: str, at: int | None, stage: int | None, tags: Mapping[str, str] | None = None) -> ModelReply:
    """Return a registry's answer for a model with these pointers."""
    newest: dict[str | None, ModelVersion] = {"Archived": version(9, "Archived"), None: version(10, None)}
    if stage is not None:
        newest["Production"] = version(stage, "Production")
    return ModelReply("news", {} if at is None else {alias: at}, newest, tags or {})


def version(number: int, stage: str | None) -> ModelVersion:
    """Return a version in a stage."""
    return ModelVersion("news", number, stage, "READY", "file:///x", None, None, None)


def overridden(argument: str, rule: Rule = PRODUCTION) -> Rule:
    """Return a rule with an override."""
    return replace(rule, argument=argument)


ALIAS, STAGE, BOTH = Pointers.ALIAS, Pointers.STAGE, Pointers.BOTH

AUTO = [
    Case("a new model on 3 gets an alias", MLFLOW_3, None, ALIAS),
    Case("a new model on 2 gets a stage", MLFLOW_2, None, STAGE),
    Case("a new model before aliases gets a stage", MLFLOW_2_2, None, STAGE),
    Case("a new model in Unity Catalog gets an alias", UNITY_CATALOG, None, ALIAS),
    Case("a new model in a workspace registry gets a stage", WORKSPACE, None, STAGE),
    Case("a new model on 3 without aliases gets a stage", THREE_WITHOUT_ALIASES, None, STAGE),
    Case("an alias alone on 3 stays alone", MLFLOW_3, 2, ALIAS, alias=2),
    Case("an alias alone on 2 stays alone", MLFLOW_2, 2, ALIAS, alias=2),
    Case("a stage alone on 3 gets the alias too", MLFLOW_3, 2, BOTH, stage=2),
    Case("a stage alone on 2 stays alone", MLFLOW_2, 2, STAGE, stage=2),
    Case("a stage alone before aliases stays alone", MLFLOW_2_2, 2, STAGE, stage=2),
    Case("a stage alone in a workspace registry stays alone", WORKSPACE, 2, STAGE, stage=2),
    Case("a stage alone on 3 without aliases stays alone", THREE_WITHOUT_ALIASES, 2, STAGE, stage=2),
    Case("both in agreement on 3 move together", MLFLOW_3, 2, BOTH, alias=2, stage=2),
    Case("both in agreement on 2 move together", MLFLOW_2, 2, BOTH, alias=2, stage=2),
    Case("of two that differ on 3 the alias is live", MLFLOW_3, 2, BOTH, alias=2, stage=3),
    Case("of two that differ on 2 the alias is live", MLFLOW_2, 3, BOTH, alias=3, stage=2),
    Case("a dangling alias alone counts as unset and is moved", MLFLOW_3, None, ALIAS, alias=2, dangling=True),
    Case("behind a dangling alias the stage is live", MLFLOW_3, 3, BOTH, alias=2, stage=3, dangling=True),
    Case("behind a dangling alias on 2 the stage is live", MLFLOW_2, 3, BOTH, alias=2, stage=3, dangling=True),
    Case("after both were withdrawn on 3 both return", MLFLOW_3, None, BOTH, last_moved=BOTH),
    Case("after both were withdrawn on 2 both return", MLFLOW_2, None, BOTH, last_moved=BOTH),
    Case("after an alias was withdrawn on 2 the alias returns", MLFLOW_2, None, ALIAS, last_moved=ALIAS),
    Case("after an alias was withdrawn on 3 the alias returns", MLFLOW_3, None, ALIAS, last_moved=ALIAS),
    Case("after a stage was withdrawn on 2 the stage returns", MLFLOW_2, None, STAGE, last_moved=STAGE),
    Case("after a stage was withdrawn on 3 the alias comes too", MLFLOW_3, None, BOTH, last_moved=STAGE),
    Case("a stage set since an alias was withdrawn moves too", MLFLOW_2, 2, BOTH, stage=2, last_moved=ALIAS),
    Case("another alias has no stage on 3", MLFLOW_3, None, ALIAS, rule=CHAMPION),
    Case("another alias has no stage on 2", MLFLOW_2, None, ALIAS, rule=CHAMPION),
    Case("another alias moves alone beside a stage in use", MLFLOW_3, 4, ALIAS, alias=4, stage=2, rule=CHAMPION),
    Case("another alias not set is not live by a stage", MLFLOW_2, None, ALIAS, stage=2, rule=CHAMPION),
]

ENVIRONMENT = replace(PRODUCTION, environment="both")

OVERRIDES = [
    Case("alias reads the alias alone", MLFLOW_2, None, ALIAS, stage=2, rule=overridden("alias")),
    Case("alias reads past a differing stage", MLFLOW_2, 3, ALIAS, alias=3, stage=2, rule=overridden("alias")),
    Case("stage reads the stage alone", MLFLOW_3, None, STAGE, alias=2, rule=overridden("stage")),
    Case("stage reads past a differing alias", MLFLOW_3, 3, STAGE, alias=2, stage=3, rule=overridden("stage")),
    Case("both reads the alias first", MLFLOW_2, 2, BOTH, alias=2, stage=3, rule=overridden("both")),
    Case("both reads a stage where there is no alias", MLFLOW_2, 3, BOTH, stage=3, rule=overridden("both")),
    Case("both gives an alias alone a stage", MLFLOW_3, 2, BOTH, alias=2, rule=overridden("both")),
    Case("both gives a new model on 2 both", MLFLOW_2, None, BOTH, rule=overridden("both")),
    Case("alias gives a new model on 2 an alias", MLFLOW_2, None, ALIAS, rule=overridden("alias")),
    Case("stage gives a new model on 3 a stage", MLFLOW_3, None, STAGE, rule=overridden("stage")),
    Case("an override ignores the last event", MLFLOW_3, None, STAGE, last_moved=BOTH, rule=overridden("stage")),
    Case("a dangling alias is not live", MLFLOW_3, None, ALIAS, alias=2, dangling=True, rule=overridden("alias")),
    Case("the model's tag overrides auto", MLFLOW_3, None, STAGE, tag="stage"),
    Case("the model's tag may say auto", MLFLOW_3, None, ALIAS, tag="auto"),
    Case("the argument overrides the tag", MLFLOW_2, None, ALIAS, tag="stage", rule=overridden("alias")),
    Case("the environment overrides auto", MLFLOW_2, None, BOTH, rule=ENVIRONMENT),
    Case("the tag overrides the environment", MLFLOW_2, None, ALIAS, tag="alias", rule=ENVIRONMENT),
    Case("a tag of auto overrides the environment", MLFLOW_2, None, STAGE, tag="auto", rule=ENVIRONMENT),
    Case("the argument overrides the environment", MLFLOW_3, None, ALIAS, rule=replace(ENVIRONMENT, argument="alias")),
]  # fmt: skip

each_case = pytest.mark.parametrize("case", AUTO + OVERRIDES, ids=lambda case: case.what)


@each_case
def test_what_is_live(case: Case) -> None:
    """The alias where one is set, else the stage; an override reads its own alone."""
    assert case.snapshot().live == case.live


@each_case
def test_what_a_write_moves(case: Case) -> None:
    """Every pointer that is set, every pointer the last event moved, for a new model the registry's own."""
    assert pointers_to_move(case.snapshot())[0] == case.moved


@each_case
def test_every_choice_has_a_reason(case: Case) -> None:
    """What was chosen comes with a reason in words."""
    assert len(pointers_to_move(case.snapshot())[1].split()) > 2


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (Case("a new model", MLFLOW_3, None, ALIAS), "MLflow 3.17.2, and a model with no pointer gets an alias there"),
        (Case("a new model on 2", MLFLOW_2, None, STAGE), "MLflow 2.22.5, and a model with no pointer gets a stage"),
        (Case("two pointers", MLFLOW_3, 2, BOTH, alias=2, stage=2), "the model has an alias and a stage"),
        (Case("a stage alone on 3", MLFLOW_3, 2, BOTH, stage=2), "a stage alone gets the alias too"),
        (Case("no stage", MLFLOW_2, None, ALIAS, rule=CHAMPION), "'champion' stands for no stage"),
        (Case("an argument", MLFLOW_2, None, ALIAS, rule=overridden("alias")), "the argument pointer= says alias"),
        (Case("a tag", MLFLOW_3, None, STAGE, tag="stage"), f"the model's tag {POINTER_TAG} says stage"),
    ],
    ids=lambda each: each.what if isinstance(each, Case) else "",
)
def test_the_reason_names_what_decided(case: Case, words: str) -> None:
    """The reason is the registry, the pointers that are set, or the override and where it came from."""
    assert words in pointers_to_move(case.snapshot())[1]


def test_the_environment_is_named_as_the_reason() -> None:
    """An override from the environment names its variable."""
    seen = Case("", MLFLOW_2, None, BOTH, rule=replace(PRODUCTION, environment="both")).snapshot()
    assert POINTER_VARIABLE in pointers_to_move(seen)[1]


@pytest.mark.parametrize(
    ("case", "drifted"),
    [
        (Case("both agree", MLFLOW_3, 2, BOTH, alias=2, stage=2), False),
        (Case("both differ", MLFLOW_3, 2, BOTH, alias=2, stage=3), True),
        (Case("an alias alone", MLFLOW_3, 2, ALIAS, alias=2), False),
        (Case("a stage alone", MLFLOW_3, 2, BOTH, stage=2), False),
        (Case("a dangling alias and a stage", MLFLOW_3, 3, BOTH, alias=2, stage=3, dangling=True), False),
        (Case("nothing", MLFLOW_3, None, ALIAS), False),
    ],
    ids=lambda each: each.what if isinstance(each, Case) else "",
)
def test_a_mismatch_is_two_pointers_that_count_and_differ(case: Case, drifted: bool) -> None:
    """A pointer that is not set, or names a deleted version, differs from nothing."""
    assert case.snapshot().differ is drifted


@pytest.mark.parametrize(
    ("capabilities", "pointers", "words"),
    [
        (MLFLOW_2_2, ALIAS, "no aliases here: MLflow 2.2.2"),
        (MLFLOW_2_2, BOTH, "no aliases here: MLflow 2.2.2"),
        (WORKSPACE, ALIAS, "no aliases here: the workspace registry"),
        (UNITY_CATALOG, STAGE, "no stages here: Unity Catalog"),
        (UNITY_CATALOG, BOTH, "no stages here: Unity Catalog"),
    ],
)
def test_a_pointer_the_registry_cannot_hold_is_refused(
    capabilities: Capabilities, pointers: Pointers, words: str
) -> None:
    """The refusal says what there is not, and how that is known."""
    with pytest.raises(PointerUnsupported, match=words):
        check_supported(Case("", capabilities, None, Pointers.NONE).snapshot(), pointers, "here")


def test_a_stage_for_an_alias_that_has_none_is_refused() -> None:
    """The refusal names the alias and the argument that gives it a stage."""
    with pytest.raises(
        PointerUnsupported, match=r"'champion' stands for no stage.*stages=\{'champion': 'Production'\}"
    ):
        check_supported(Case("", MLFLOW_2, None, Pointers.NONE, rule=CHAMPION).snapshot(), STAGE, "here")


@pytest.mark.parametrize("pointers", [ALIAS, STAGE, BOTH], ids=lambda pointers: pointers.choice)
@pytest.mark.parametrize("capabilities", [MLFLOW_2, MLFLOW_3], ids=["2", "3"])
def test_a_registry_with_both_takes_both(capabilities: Capabilities, pointers: Pointers) -> None:
    """Aliases and stages are both there from MLflow 2.3.0 on."""
    check_supported(Case("", capabilities, None, Pointers.NONE).snapshot(), pointers, "here")


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (Case("alias before aliases", MLFLOW_2_2, None, Pointers.NONE, rule=overridden("alias")), "no aliases"),
        (Case("both before aliases", MLFLOW_2_2, None, Pointers.NONE, rule=overridden("both")), "no aliases"),
        (Case("a tag before aliases", MLFLOW_2_2, None, Pointers.NONE, tag="alias"), "no aliases"),
        (Case("stage in Unity Catalog", UNITY_CATALOG, None, Pointers.NONE, rule=overridden("stage")), "no stages"),
        (Case("another alias before aliases", MLFLOW_2_2, None, Pointers.NONE, rule=CHAMPION), "no aliases"),
        (Case("another alias by stage", MLFLOW_2, None, Pointers.NONE, rule=overridden("stage", CHAMPION)), "no stage"),
    ],
    ids=lambda each: each.what if isinstance(each, Case) else "",
)
def test_reading_what_cannot_be_there_is_refused(case: Case, words: str) -> None:
    """Where a pointer cannot exist, None would be no answer."""
    with pytest.raises(PointerUnsupported, match=words):
        check_readable(case.snapshot(), "here")


@pytest.mark.parametrize(
    "capabilities", [MLFLOW_2_2, MLFLOW_2, MLFLOW_3, UNITY_CATALOG, WORKSPACE], ids=lambda each: each.how
)
def test_auto_reads_everywhere(capabilities: Capabilities) -> None:
    """Without an override every registry can be read: it has one of the two pointers."""
    check_readable(Case("", capabilities, None, Pointers.NONE).snapshot(), "here")


LEFT_BEHIND = [
    Case("alias beside a stage", MLFLOW_3, 2, ALIAS, stage=2, rule=overridden("alias")),
    Case("stage beside an alias", MLFLOW_2, 2, STAGE, alias=2, rule=overridden("stage")),
    Case("a tag of alias beside a stage", MLFLOW_3, 2, ALIAS, stage=2, tag="alias"),
    Case(
        "the environment's alias beside a stage",
        MLFLOW_3,
        2,
        ALIAS,
        stage=2,
        rule=replace(PRODUCTION, environment="alias"),
    ),
]


@pytest.mark.parametrize("case", LEFT_BEHIND, ids=lambda case: case.what)
@pytest.mark.parametrize("target", [3, None], ids=["promote", "withdraw"])
def test_an_override_leaves_no_set_pointer_behind(case: Case, target: int | None) -> None:
    """A write that would leave the other pointer naming another version names both ways out."""
    with pytest.raises(PointerUnsupported, match=r"set to version 2 and would be left behind.*'both'.*migrate finish"):
        check_nothing_left_behind(case.snapshot(), case.moved, target, "here")


@pytest.mark.parametrize("case", LEFT_BEHIND, ids=lambda case: case.what)
def test_an_override_may_move_to_what_the_other_pointer_names(case: Case) -> None:
    """A write after which both pointers agree leaves nothing behind."""
    check_nothing_left_behind(case.snapshot(), case.moved, 2, "here")


@pytest.mark.parametrize("target", [3, None], ids=["promote", "withdraw"])
@pytest.mark.parametrize("case", AUTO, ids=lambda case: case.what)
def test_auto_leaves_nothing_behind(case: Case, target: int | None) -> None:
    """Without an override every pointer that is set is moved."""
    check_nothing_left_behind(case.snapshot(), case.moved, target, "here")


def test_an_alias_in_another_case_is_read() -> None:
    """An alias that others spelled ``Production`` says what is live."""
    assert read_reply(PRODUCTION, reply("Production", 4, None), MLFLOW_3, "here").live == 4


def test_an_alias_is_moved_under_the_spelling_it_has() -> None:
    """The existing spelling is kept, so that its readers keep working."""
    assert read_reply(PRODUCTION, reply("PRODUCTION", 4, None), MLFLOW_3, "here").spelling == "PRODUCTION"


def test_a_new_alias_is_spelled_in_lower_case() -> None:
    """An alias that is not set yet gets the folded name."""
    assert read_reply(PRODUCTION, reply("other", 4, None), MLFLOW_3, "here").spelling == "production"


def test_two_spellings_of_one_alias_are_refused() -> None:
    """Nobody can say which of two is meant, so both are named."""
    both = replace(reply("production", 4, None), aliases={"Production": 3, "production": 4})
    with pytest.raises(InvalidName, match="'Production' and 'production' of 'news' differ only in case"):
        read_reply(PRODUCTION, both, MLFLOW_3, "here")


def test_an_alias_that_only_begins_alike_is_another() -> None:
    """Only the case is folded, nothing else."""
    assert read_reply(PRODUCTION, reply("production2", 4, None), MLFLOW_3, "here").live is None


@pytest.mark.parametrize("alias", ["production", "Production", "PRODUCTION"])
def test_the_rule_folds_the_alias(alias: str) -> None:
    """The caller's spelling does not matter either."""
    assert rule_for(alias, None, "auto") == PRODUCTION


def test_the_argument_auto_is_no_override() -> None:
    """``auto`` as an argument leaves the word to the tag and the environment."""
    assert rule_for("production", None, "auto").argument is None


def test_the_environment_is_read_for_each_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable counts from the moment it is set."""
    monkeypatch.setenv(POINTER_VARIABLE, "stage")
    assert rule_for("production", None, "auto").environment == "stage"


def test_an_empty_environment_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable set to nothing overrides nothing."""
    monkeypatch.setenv(POINTER_VARIABLE, "")
    assert rule_for("production", None, "auto").environment is None


def test_an_unknown_pointer_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal names the variable and what it may be."""
    monkeypatch.setenv(POINTER_VARIABLE, "aliases")
    with pytest.raises(InvalidName, match=f"Invalid pointer 'aliases'.*{POINTER_VARIABLE}.*auto, alias, stage, both"):
        rule_for("production", None, "auto")


def test_an_unknown_pointer_in_the_argument_is_refused() -> None:
    """The refusal names the argument."""
    with pytest.raises(InvalidName, match=r"Invalid pointer 'Alias'.*pointer="):
        rule_for("production", None, "Alias")


def test_an_unknown_pointer_in_the_tag_is_refused() -> None:
    """The refusal names the model's tag."""
    with pytest.raises(InvalidName, match=f"Invalid pointer 'champion'.*{POINTER_TAG}"):
        Case("", MLFLOW_3, None, Pointers.NONE, tag="champion").snapshot()


@pytest.mark.parametrize("pointer", ["auto", "alias", "stage", "both"])
def test_the_four_pointers_are_known(pointer: str) -> None:
    """These four words name a pointer and no others do."""
    assert known_pointer(pointer, "here") == pointer


def test_what_another_alias_moved_does_not_count(lab: Lab, name: str) -> None:
    """After production was withdrawn by its stage, an alias that stands for none is promoted as if nothing had been."""
    model = lab.model(name, pointer="stage")
    model.promote(1)
    model.withdraw()
    champion = lab.model(name, 0, alias="champion")
    if HAS_ALIASES:
        assert champion.promote(1).pointers == ("alias",)
    else:
        with pytest.raises(PointerUnsupported, match="no aliases"):
            champion.promote(1)


@dataclass(frozen=True)
class Choice:
    """Pointers to move, and the class that moves them."""

    pointers: Pointers
    kind: type = field(default=object)


@pytest.mark.parametrize(
    "choice",
    [Choice(ALIAS, AliasPointer), Choice(STAGE, StagePointer), Choice(BOTH, MirroredPointer)],
    ids=lambda choice: choice.kind.__name__,
)
def test_the_pointer_that_moves_a_choice(choice: Choice, lab: Lab) -> None:
    """An alias, a stage and both have one pointer each."""
    from prodpointer.mlflow_client.open import open_registry

    registry = open_registry(lab.uri, None, timeout=5, create_database=False, upgrade_database=False)
    seen = Case("", MLFLOW_3, None, Pointers.NONE).snapshot()
    assert type(pointer_for(choice.pointers, seen, registry, "news")) is choice.kind

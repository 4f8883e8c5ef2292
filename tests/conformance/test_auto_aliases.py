"""The rule of ``auto``: the cases with an alias.

An alias, where one is set, is the truth. A stage, where one is set, is kept in agreement. A model with neither gets an
alias on an MLflow 3 registry and a stage on an MLflow 2 registry.
"""

from __future__ import annotations

import warnings

import pytest

import prodpointer
from prodpointer import InvalidName, PointerDriftWarning, PointerUnsupported, StageOnlyWarning
from tests.conformance.conftest import Connect, Registry


def test_an_alias_alone_never_gets_a_stage(fresh: Connect, registry: Registry) -> None:
    """A model with an alias and no stage keeps it so, on either major."""
    news = fresh(2)
    registry.promoted_by_jobs(news, alias=1)
    assert news.live_version() == 1
    assert news.promote(2).pointers == ("alias",)
    assert registry.stages(news.name) == {1: "None", 2: "None"}
    assert registry.aliases(news.name) == {"production": 2}


def test_two_pointers_move_together(fresh: Connect, registry: Registry) -> None:
    """Where both are set, both move: jobs of either major see each promotion."""
    news = fresh(2)
    registry.promoted_by_jobs(news, alias=1, stage=1)
    assert news.status().agreed
    assert news.promote(2).pointers == ("alias", "stage")
    assert registry.pointers(news.name) == {2}


def test_if_two_pointers_differ_the_alias_is_live(fresh: Connect, registry: Registry) -> None:
    """The alias counts, the warning names both, and the status says that they disagree."""
    news = fresh(3)
    registry.promoted_by_jobs(news, alias=1, stage=2)
    with pytest.warns(PointerDriftWarning, match=r"names version 1, the stage Production names version 2") as warned:
        assert news.load_production() == {"recommender": "r1", "ranker": 1}
    assert warned[0].filename == __file__
    status = news.status()
    assert (status.live, status.alias, status.stage, status.agreed) == (1, 1, 2, False)
    news.promote(3)
    assert registry.pointers(news.name) == {3}
    assert news.status().agreed


def test_promoting_the_live_version_repairs_a_mismatch(fresh: Connect, registry: Registry) -> None:
    """Promoting what the alias names makes the stage follow."""
    news = fresh(2)
    registry.promoted_by_jobs(news, alias=1, stage=2)
    assert news.promote(1).pointers == ("alias", "stage")
    assert registry.pointers(news.name) == {1}


def test_an_alias_whose_version_was_deleted_counts_as_unset(fresh: Connect, registry: Registry) -> None:
    """Nothing is live by a dangling alias, and the status says dangling where MLflow kept the alias (before 3.17.0)."""
    news = fresh(2)
    registry.promoted_by_jobs(news, alias=2)
    registry.plain.delete_model_version(news.name, "2")
    kept = registry.aliases(news.name) == {"production": 2}
    assert news.production() is None
    assert news.load_production() is None
    status = news.status()
    assert (status.live, status.dangling, status.agreed) == (None, kept, not kept)
    assert news.promote(1, expected=None).from_version is None
    assert news.live_version() == 1
    assert not news.status().dangling


def test_the_stage_counts_if_the_alias_dangles(fresh: Connect, registry: Registry) -> None:
    """With the alias's version deleted, the stage says what is live, and a promotion mends both."""
    news = fresh(3)
    registry.promoted_by_jobs(news, alias=2, stage=1)
    registry.plain.delete_model_version(news.name, "2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StageOnlyWarning)
        version = news.production()
    assert version is not None
    assert version.version == 1
    assert news.status().live == 1
    news.promote(3)
    assert registry.pointers(news.name) == {3}


def test_a_promotion_after_a_withdrawal_restores_both(fresh: Connect, registry: Registry) -> None:
    """Both pointers cleared by a withdrawal are both set by the next promotion, and selection and status say so."""
    news = fresh(2)
    registry.promoted_by_jobs(news, alias=1, stage=1)
    assert news.withdraw().pointers == ("alias", "stage")
    assert registry.pointers(news.name) == set()
    assert (news.selection.pointer, news.status().pointer) == ("both", "both")
    assert news.promote(2).pointers == ("alias", "stage")
    assert registry.pointers(news.name) == {2}


def test_a_withdrawn_alias_comes_back_as_an_alias(fresh: Connect, registry: Registry) -> None:
    """A withdrawn alias does not come back as a stage, on MLflow 2 neither."""
    news = fresh(2)
    registry.promoted_by_jobs(news, alias=1)
    news.withdraw()
    assert news.promote(2).pointers == ("alias",)
    assert registry.stages(news.name) == {1: "None", 2: "None"}


@pytest.mark.parametrize(("pointer", "other"), [("alias", "stage"), ("stage", "alias")])
def test_an_override_reads_its_own_pointer(fresh: Connect, registry: Registry, pointer: str, other: str) -> None:
    """An override reads the pointer it names and no other."""
    news = fresh(2, pointer=pointer)
    registry.promoted_by_jobs(news, **{other: 1})
    assert (news.live_version(), news.production(), news.status().live) == (None, None, None)
    registry.promoted_by_jobs(news, **{pointer: 2})
    assert (news.live_version(), news.status().live) == (2, 2)


@pytest.mark.parametrize(("pointer", "other"), [("alias", "stage"), ("stage", "alias")])
def test_an_override_leaves_no_other_pointer_behind(
    fresh: Connect, registry: Registry, pointer: str, other: str
) -> None:
    """A write that would leave the other pointer behind is refused, naming the two ways on, and nothing moves."""
    news = fresh(2, pointer=pointer)
    registry.promoted_by_jobs(news, **{other: 1})
    before = registry.picture(news.name)
    with pytest.raises(PointerUnsupported, match=r"pointer='both'.*migrate finish"):
        news.promote(2)
    with pytest.raises(PointerUnsupported, match=r"pointer='both'.*migrate finish"):
        news.withdraw()
    assert registry.picture(news.name) == before
    assert news.promote(1).pointers == (pointer,)
    assert registry.pointers(news.name) == {1}


def test_both_sets_both(fresh: Connect, registry: Registry) -> None:
    """The override ``both`` sets both pointers of a model that has none."""
    news = fresh(2, pointer="both")
    assert news.promote(2).pointers == ("alias", "stage")
    assert (registry.aliases(news.name), registry.stages(news.name)) == (
        {"production": 2},
        {1: "None", 2: "Production"},
    )


@pytest.mark.parametrize("pointer", ["alias", "stage"])
def test_both_with_one_pointer_unset_disagrees(fresh: Connect, registry: Registry, pointer: str) -> None:
    """Under ``both`` a pointer that is missing is a disagreement: its readers see nothing."""
    news = fresh(1, pointer="both")
    registry.promoted_by_jobs(news, **{pointer: 1})
    assert (news.status().live, news.status().agreed) == (1, False)
    news.promote(1)
    assert news.status().agreed


def test_the_models_tag_overrides(fresh: Connect, registry: Registry) -> None:
    """The tag ``prodpointer.pointer`` decides where no argument does."""
    news = fresh(1)
    registry.plain.set_registered_model_tag(news.name, "prodpointer.pointer", "both")
    assert news.selection.requested == "both"
    assert "tag" in news.selection.reason
    assert news.promote(1).pointers == ("alias", "stage")


def test_an_argument_goes_before_the_tag_and_the_tag_before_the_environment(
    fresh: Connect, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Argument, then tag, then environment variable."""
    monkeypatch.setenv("PRODPOINTER_POINTER", "stage")
    news = fresh(1)
    assert (news.selection.requested, news.selection.pointer) == ("stage", "stage")
    registry.plain.set_registered_model_tag(news.name, "prodpointer.pointer", "both")
    assert news.selection.requested == "both"
    argued = prodpointer.connect(news.name, tracking_uri=registry.uri, pointer="alias")
    assert argued.selection.requested == "alias"


def test_an_alias_set_by_others_is_moved_under_its_spelling(fresh: Connect, registry: Registry) -> None:
    """``Production`` set by others is read as ``production`` and moved as it is spelled."""
    news = fresh(2)
    registry.set_alias(news.name, "Production", 1)
    assert news.live_version() == 1
    news.promote(2)
    assert registry.aliases(news.name) == {"Production": 2}
    news.withdraw()
    assert registry.aliases(news.name) == {}


def test_two_spellings_at_once_are_an_error(fresh: Connect, registry: Registry) -> None:
    """Two aliases that differ only in case raise InvalidName, because they are ambiguous; nothing moves."""
    news = fresh(2)
    registry.set_alias(news.name, "Production", 1)
    registry.set_alias(news.name, "production", 2)
    before = registry.picture(news.name)
    for verb in (news.production, news.status, news.withdraw, lambda: news.promote(1)):
        with pytest.raises(InvalidName, match=r"'Production' and 'production'.*differ only in case"):
            verb()
    assert registry.picture(news.name) == before


def test_an_alias_without_a_matching_stage_is_an_alias(fresh: Connect, registry: Registry) -> None:
    """A name without a stage uses the alias, on either major."""
    news = fresh(1, alias="challenger")
    assert news.promote(1).pointers == ("alias",)
    assert registry.aliases(news.name) == {"challenger": 1}
    assert news.live_version() == 1


def test_an_override_may_leave_a_dangling_alias(fresh: Connect, registry: Registry) -> None:
    """An alias whose version was deleted counts as unset, so it is nothing that a stage would leave behind."""
    news = fresh(2, pointer="stage")
    registry.promoted_by_jobs(news, alias=2)
    registry.plain.delete_model_version(news.name, "2")
    assert news.promote(1).pointers == ("stage",)
    assert news.live_version() == 1
    assert news.withdraw().pointers == ("stage",)
    assert news.live_version() is None


def test_a_promotion_moves_what_the_last_one_moved(fresh: Connect, registry: Registry) -> None:
    """A pointer that the last event moved is moved again, also where a tool has cleared it since."""
    news = fresh(2)
    registry.promoted_by_jobs(news, alias=1, stage=1)
    news.promote(2)
    registry.move_stage(news.name, 2, "Archived")
    assert news.promote(1).pointers == ("alias", "stage")
    assert registry.stages(news.name) == {1: "Production", 2: "Archived"}

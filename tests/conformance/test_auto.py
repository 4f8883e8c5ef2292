"""The rule of ``auto``, case by case, with plain MLflow jobs beside it.

An alias, where one is set, is the truth. A stage, where one is set, is kept in agreement. A model with neither gets an
alias on an MLflow 3 registry and a stage on an MLflow 2 registry.
"""

from __future__ import annotations

import warnings

import pytest

import prodpointer
from prodpointer import InvalidName, PointerUnsupported, PromotionRefused, StageOnlyWarning
from tests.conformance.conftest import IS_THREE, Connect, Registry


def test_a_model_without_pointers_gets_the_default_of_its_registry(fresh: Connect, registry: Registry) -> None:
    """The first promotion sets an alias on MLflow 3 and a stage on MLflow 2, and nothing else."""
    news = fresh(2)
    assert news.selection.pointer == ("alias" if IS_THREE else "stage")
    assert news.promote(2).pointers == (("alias",) if IS_THREE else ("stage",))
    assert registry.aliases(news.name) == ({"production": 2} if IS_THREE else {})
    assert registry.stages(news.name) == {1: "None", 2: "None" if IS_THREE else "Production"}


def test_a_stage_alone_is_live_on_either_major(fresh: Connect, registry: Registry) -> None:
    """Nothing goes dark on upgrade day: a version in Production is live, and MLflow 3 says so once."""
    news = fresh(2)
    registry.promoted_by_jobs(news, stage=2)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for _ in range(3):
            version = news.production()
            assert version is not None
            assert (version.version, news.live_version()) == (2, 2)
    ours = [each for each in warned if each.category is StageOnlyWarning]
    assert len(ours) == (1 if IS_THREE else 0)
    assert all(each.filename == __file__ for each in ours)


def test_a_stage_alone_also_gets_the_alias_on_mlflow_3(fresh: Connect, registry: Registry) -> None:
    """Promoting a model with a stage alone moves the stage, and on MLflow 3 sets the alias too."""
    news = fresh(2)
    registry.promoted_by_jobs(news, stage=1)
    assert news.selection.pointer == ("both" if IS_THREE else "stage")
    assert news.promote(2).pointers == (("alias", "stage") if IS_THREE else ("stage",))
    assert registry.stages(news.name) == {1: "Archived", 2: "Production"}
    assert registry.aliases(news.name) == ({"production": 2} if IS_THREE else {})


def test_promoting_the_staged_only_version_again_adds_the_alias(fresh: Connect, registry: Registry) -> None:
    """On MLflow 3 promoting what is live by its stage alone sets the alias; on MLflow 2 nothing has to move."""
    news = fresh(1)
    registry.promoted_by_jobs(news, stage=1)
    assert news.promote(1).pointers == (("alias", "stage") if IS_THREE else ())
    assert registry.aliases(news.name) == ({"production": 1} if IS_THREE else {})


def test_if_two_are_in_production_the_highest_is_live(fresh: Connect, registry: Registry) -> None:
    """As plain MLflow loads it the highest number counts, and the status says that there are two."""
    news = fresh(3)
    registry.promoted_by_jobs(news, stage=1)
    registry.promoted_by_jobs(news, stage=3)
    status = news.status()
    assert (status.live, status.stage, status.agreed, status.in_stage) == (3, 3, False, (1, 3))
    news.promote(3)
    assert registry.pointers(news.name) == {3}
    assert news.status().agreed


def test_withdrawing_two_in_production_leaves_none(fresh: Connect, registry: Registry) -> None:
    """A withdrawal clears every version in the stage."""
    news = fresh(3)
    registry.promoted_by_jobs(news, stage=1)
    registry.promoted_by_jobs(news, stage=3)
    news.withdraw()
    assert registry.pointers(news.name) == set()


def test_an_invalid_override_is_refused(fresh: Connect, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt pointer raises InvalidName that says where it stands: argument, tag or environment."""
    news = fresh(1)
    with pytest.raises(InvalidName, match="argument"):
        prodpointer.connect(news.name, tracking_uri=registry.uri, pointer="aliases")  # type: ignore[arg-type]
    registry.plain.set_registered_model_tag(news.name, "prodpointer.pointer", "aliases")
    with pytest.raises(InvalidName, match=r"tag prodpointer\.pointer"):
        news.live_version()
    monkeypatch.setenv("PRODPOINTER_POINTER", "stages")
    with pytest.raises(InvalidName, match="PRODPOINTER_POINTER"):
        prodpointer.connect(news.name, tracking_uri=registry.uri)


def test_staging_is_the_stage_staging(fresh: Connect, registry: Registry) -> None:
    """The pointer ``staging`` is the stage Staging, beside Production and without touching it."""
    staging = fresh(3, alias="staging", pointer="stage")
    registry.promoted_by_jobs(staging, stage=1)
    staging.promote(2)
    staging.promote(3)
    assert registry.stages(staging.name) == {1: "Production", 2: "Archived", 3: "Staging"}
    assert staging.live_version() == 3


def test_staging_never_removes_the_live_version_from_production(fresh: Connect, registry: Registry) -> None:
    """Setting ``staging`` onto the version in Production is refused, since a version has one stage; nothing moves."""
    staging = fresh(2, alias="staging", pointer="stage")
    registry.promoted_by_jobs(staging, stage=1)
    before = registry.picture(staging.name)
    with pytest.raises(PromotionRefused, match="out of production"):
        staging.promote(1)
    assert registry.picture(staging.name) == before


def test_the_staged_version_can_be_promoted(fresh: Connect, registry: Registry) -> None:
    """Promoting the version in Staging to production is normal."""
    news = fresh(2, pointer="stage")
    registry.move_stage(news.name, 2, "Staging")
    news.promote(2)
    assert registry.stages(news.name)[2] == "Production"


def test_another_alias_can_stand_for_a_stage(fresh: Connect, registry: Registry) -> None:
    """``stages={"champion": "Production"}`` makes the pointer ``champion`` the stage Production."""
    news = fresh(1, alias="Champion", stages={"champion": "production"}, pointer="stage")
    news.promote(1)
    assert registry.stages(news.name) == {1: "Production"}


@pytest.mark.parametrize("pointer", ["stage", "both"])
def test_an_override_to_a_missing_stage_is_refused(fresh: Connect, registry: Registry, pointer: str) -> None:
    """An alias that stands for no stage cannot be kept as one."""
    news = fresh(1, alias="challenger", pointer=pointer)
    before = registry.picture(news.name)
    for verb in (news.live_version, lambda: news.promote(1)):
        with pytest.raises(PointerUnsupported, match=r"stands for no stage|no aliases here"):
            verb()
    assert registry.picture(news.name) == before

"""Models of many versions: what a verb reads grows with the record and not with the versions."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from prodpointer import GateFailed, ModelVersion, RegisteredModel
from prodpointer.history.record import EVENT_TAG, RECORD_TAG
from prodpointer.mlflow_client.registry import Registry
from prodpointer.promotion import promoter
from tests.integration.conftest import Lab

VERSIONS = 12


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collect how many versions each request for versions returned, in models that count as large."""
    counts: list[int] = []
    real = Registry.versions

    def counted(registry: Registry, name: str, tag: str | None = None) -> Sequence[ModelVersion]:
        found = real(registry, name, tag)
        counts.append(len(found))
        return found

    monkeypatch.setattr(Registry, "versions", counted)
    monkeypatch.setattr(promoter, "SMALL", 5)
    return counts


@pytest.fixture
def large(lab: Lab, name: str, read: list[int]) -> RegisteredModel:
    """Return a model of many versions, two of which were live; the alias is what points to them."""
    model = lab.model(name, VERSIONS, pointer="alias")
    for version in (2, 4):
        model.promote(version)
    read.clear()
    return model


def test_a_verb_reads_the_versions_that_hold_events(large: RegisteredModel, read: list[int]) -> None:
    """Two of twelve, and the third once it was promoted."""
    assert large.status().last_event is not None
    assert [event.to_version for event in large.history()] == [2, 4]
    large.promote(VERSIONS)
    assert large.rollback().to_version == 4
    assert max(read) == 3


def test_a_version_that_is_neither_new_nor_recorded_can_be_promoted(large: RegisteredModel) -> None:
    """It is read by itself."""
    assert large.promote(7).from_version == 4
    assert large.live_version() == 7


def test_an_alias_that_another_tool_set_does_not_dangle(large: RegisteredModel, lab: Lab) -> None:
    """Its version holds no events and exists."""
    lab.client.set_registered_model_alias(large.name, "production", "6")
    status = large.status()
    assert (status.live, status.dangling) == (6, False)
    assert [event.kind for event in large.history()] == ["promote", "promote", "unrecorded"]
    assert large.rollback().to_version == 4


def test_an_alias_of_a_deleted_version_dangles(large: RegisteredModel, lab: Lab) -> None:
    """It is looked for by itself, and not there."""
    lab.client.set_registered_model_alias(large.name, "production", "6")
    lab.client.delete_model_version(large.name, "6")
    assert large.status().dangling == ("production" in lab.client.get_registered_model(large.name).aliases)


def test_all_versions_in_the_stage_are_shown(large: RegisteredModel, lab: Lab, read: list[int]) -> None:
    """Any version may be in the stage, so all are read where one is."""
    for version in (5, 6):
        lab.to_stage(large.name, version, "Production")
    assert lab.model(large.name, 0, pointer="auto").status().in_stage == (5, 6)
    assert read[-1] == VERSIONS


def test_early_events_are_found(large: RegisteredModel, lab: Lab, read: list[int]) -> None:
    """What was written before there was a tag to search for is read from all versions, until it has one."""
    for version in ("2", "4"):
        text = large.version(version).tags[RECORD_TAG]
        event = next(each for each in large.history() if each.to_version == int(version)).event
        lab.client.set_model_version_tag(large.name, version, f"{EVENT_TAG}{event}", text.split("\n")[1])
    for version in ("2", "4"):
        lab.client.delete_model_version_tag(large.name, version, RECORD_TAG)
    assert [event.to_version for event in large.history()] == [2, 4]
    assert read[-1] == VERSIONS
    large.promote(8)
    read.clear()
    assert [event.to_version for event in large.history()] == [2, 4, 8]
    assert read == [3]


def test_what_another_promoter_recorded_meanwhile_is_kept(
    large: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A promoter that was held up before it wrote reads the version again."""
    monkeypatch.setattr(promoter, "_FRESH", 0.0)
    snapshot = large._promoter.take_snapshot()  # noqa: SLF001  # what a promoter that is held up has seen
    large.promote(9)
    large.promote(2)
    large._promoter.promote(9, expected=promoter.NOT_GIVEN, reason="", by=None, snapshot=snapshot)  # noqa: SLF001
    assert [event.to_version for event in large.history()] == [2, 4, 9, 2, 9]


def test_a_refusal_is_recorded(large: RegisteredModel) -> None:
    """With its verdicts, beside the moves; nothing else changes."""
    with pytest.raises(GateFailed):
        large.promote(8, gates=["auc >= 0.9"], by="ada", reason="weekly retrain")
    refused = large.history()[-1]
    assert (refused.state, refused.to_version, refused.by) == ("refused", 8, "ada")
    assert refused.as_json()["gates"][0]["passed"] is False
    assert large.version(8).tags[RECORD_TAG].startswith("promotion refused ")
    assert large.status().last_event == large.history()[1]
    assert large.rollback().to_version == 2


def test_a_refusal_is_not_recorded_where_the_caller_wants_none(large: RegisteredModel) -> None:
    """``record_refusals=False`` leaves the candidate without a tag."""
    with pytest.raises(GateFailed):
        large.promote(8, gates=["auc >= 0.9"], record_refusals=False)
    assert RECORD_TAG not in large.version(8).tags

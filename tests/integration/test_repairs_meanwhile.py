"""Repairs and rollbacks while others promote, in a database that is read one request after the other."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from prodpointer import ModelVersion
from prodpointer.history.record import EVENT_TAG, RECORD_TAG
from prodpointer.mlflow_client.registry import Registry
from tests.integration.conftest import Lab


def test_a_repair_does_not_close_what_its_promoter_has_closed(
    lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look of the repair and its write the promotion ended."""
    model = lab.model(name, 2)
    model.promote(1)
    done = model.promote(2)
    text = model.version(2).tags[RECORD_TAG]
    lab.client.set_model_version_tag(name, "2", RECORD_TAG, text.replace('"done"', '"intended"'))
    real = Registry.version

    def version_after_the_end(registry: Registry, name: str, version: int) -> ModelVersion:
        lab.client.set_model_version_tag(name, "2", RECORD_TAG, text)
        return real(registry, name, version)

    monkeypatch.setattr(Registry, "version", version_after_the_end)
    model.repair()
    assert [(event.event, event.state) for event in model.history()][-1] == (done.event, "done")


def test_a_rollback_between_a_promotion_goes_back(lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pointers were read before the promotion and the record after it; they are read again."""
    model = lab.model(name, 3)
    for version in (1, 2):
        model.promote(version)
    real = Registry.versions

    def versions_after_a_promotion(registry: Registry, name: str, tag: str | None = None) -> Sequence[ModelVersion]:
        monkeypatch.setattr(Registry, "versions", real)
        model.promote(3)
        return real(registry, name, tag)

    monkeypatch.setattr(Registry, "versions", versions_after_a_promotion)
    assert model.rollback().to_version == 2
    assert [event.kind for event in model.history()] == ["promote", "promote", "promote", "rollback"]


def test_an_early_record_is_found_where_neither_the_newest_nor_the_live_version_holds_events(
    lab: Lab, name: str
) -> None:
    """Another tool moved the pointer after it was written."""
    model = lab.model(name, 4, pointer="alias")
    for version in (1, 2):
        model.promote(version)
    for number in (1, 2):
        event = next(each for each in model.history() if each.to_version == number).event
        text = model.version(number).tags[RECORD_TAG].split("\n")[1]
        lab.client.set_model_version_tag(name, str(number), f"{EVENT_TAG}{event}", text)
        lab.client.delete_model_version_tag(name, str(number), RECORD_TAG)
    lab.client.set_registered_model_alias(name, "production", "3")
    model.promote(4)
    assert [event.to_version for event in model.history()] == [1, 2, 3, 4]

"""Events belong to the version they were written to: events copied with its tags are ignored."""

from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from mlflow import MlflowClient

from prodpointer import NothingToRollBack
from prodpointer.history.record import EVENT_TAG, changes, event_text, events, read_record
from prodpointer.types import ModelVersion, Promotion
from tests.integration.conftest import Lab, quiet

MADE = datetime(2026, 11, 3, 12, tzinfo=timezone.utc)
EVENT = Promotion("dev", None, 3, ("alias",), MADE + timedelta(hours=1), "ada", holder_created_at=MADE)
ID = "000000000001-00000000"
LATER = "000000000041-00000000"
COPIES = pytest.mark.skipif(not hasattr(MlflowClient, "copy_model_version"), reason="MLflow copies none from 2.8 on")


def holding(text: str, name: str = "dev", number: int = 3, created: datetime | None = MADE) -> ModelVersion:
    """Return a version that holds the text of one event."""
    return ModelVersion(name, number, None, "READY", "", None, created, None, {f"{EVENT_TAG}{ID}": text})


NEW = event_text(EVENT)
OLD = event_text(replace(EVENT, holder_created_at=None)).replace(',"model":"dev"', "")


@pytest.mark.parametrize("text", [NEW, OLD], ids=["new", "old"])
def test_an_event_counts_where_it_was_written(text: str) -> None:
    """The version that the event names, and that was there by then, holds it; written by earlier code too."""
    assert [event.to_version for event in events([holding(text)])] == [3]


@pytest.mark.parametrize(
    "copy",
    [
        holding(NEW, "prod", created=MADE + timedelta(days=1)),
        holding(NEW, "dev", created=MADE + timedelta(days=1)),
        holding(NEW, "dev", created=MADE + timedelta(minutes=1)),
        holding(NEW, "dev", number=4),
        holding(NEW, "prod", created=None),
        holding(OLD, "prod", created=MADE + timedelta(days=1)),
        holding(OLD, "dev", number=4),
    ],
    ids=["model", "registry", "copied before", "number", "no times", "old, model", "old, number"],
)
def test_an_event_does_not_count_on_a_copy(copy: ModelVersion) -> None:
    """A version of another model, registry, number or time of creation holds what was copied, which is told apart."""
    found = read_record([copy])
    assert found.events == ()
    assert [(version, event.event) for version, event in found.foreign] == [(copy, ID)]


def test_an_earlier_event_stays_what_it_is_when_it_is_packed() -> None:
    """It names no model then either, and counts where it was written and on no copy."""
    version = replace(holding(OLD), tags={f"{EVENT_TAG}{count:012d}-00000000": OLD for count in range(1, 40)})
    written = changes(replace(events([version])[0], event=LATER), version, MADE).write
    assert [event.name for event in events([replace(version, tags=written)])] == ["dev"] * 40
    assert events([replace(version, tags=written, name="prod", created_at=MADE + timedelta(days=1))]) == []


def test_a_renamed_model_keeps_its_record() -> None:
    """The version is the same one, and its events are those of the model's new name."""
    assert [event.name for event in events([holding(NEW, "prod")])] == ["prod"]


def test_a_packed_event_does_not_count_on_a_copy() -> None:
    """What went into a pack says too which version it was written to."""
    tags = {f"{EVENT_TAG}{count:012d}-00000000": NEW for count in range(1, 40)}
    version = replace(holding(NEW), tags=tags)
    written = changes(replace(events([version])[0], event=LATER), version, MADE).write
    assert len(events([replace(version, tags=written)])) == 40
    assert events([replace(version, tags=written, created_at=MADE + timedelta(days=1))]) == []


def test_copied_events_are_not_packed_away() -> None:
    """They are not this version's to put in order."""
    tags = {f"{EVENT_TAG}{count:012d}-00000000": NEW for count in range(1, 40)}
    version = replace(holding(NEW, created=MADE + timedelta(days=1)), tags=tags)
    own = replace(events([holding(NEW)])[0], event=LATER, holder_created_at=version.created_at)
    written = changes(own, version, MADE)
    assert written.remove == ()
    assert [event.event for event in events([written.applied_to(version)])] == [LATER]


@COPIES
def test_a_copied_version_was_never_live(lab: Lab, name: str) -> None:
    """A model made of copies has no history, nothing was live, and there is nothing to go back to."""
    dev = lab.model(f"{name}-dev", 2)
    for version in (1, 2):
        dev.promote(version)
        with quiet():
            lab.client.copy_model_version(f"models:/{name}-dev/{version}", name)
    prod = lab.model(name, 0)
    assert (prod.history(), prod.live_at(datetime.now(timezone.utc))) == ([], None)
    with pytest.raises(NothingToRollBack, match="no promotion was recorded"):
        prod.rollback()


@COPIES
def test_a_rollback_goes_to_no_copied_version(lab: Lab, name: str) -> None:
    """After promotions of the model's own, what was promoted elsewhere is still no way back."""
    dev = lab.model(f"{name}-dev", 2)
    prod = lab.model(name)
    prod.promote(1)
    dev.promote(2)
    with quiet():
        lab.client.copy_model_version(f"models:/{name}-dev/2", name)
    number = prod.register(lab.run({"bundle/model.pkl": pickle.dumps(3)}), "bundle")
    prod.promote(number)
    assert [event.to_version for event in prod.history()] == [1, 3]
    assert prod.rollback().to_version == 1


@COPIES
def test_a_version_copied_into_its_own_model_was_not_promoted(lab: Lab, name: str) -> None:
    """The copy has another number than its tags tell of."""
    model = lab.model(name)
    model.promote(1)
    with quiet():
        lab.client.copy_model_version(f"models:/{name}/1", name)
    assert [event.to_version for event in model.history()] == [1]


def test_a_renamed_model_has_its_history(lab: Lab, name: str) -> None:
    """Renaming with plain MLflow takes the record along."""
    lab.model(name).promote(1)
    lab.client.rename_registered_model(name, f"{name}-renamed")
    assert [event.to_version for event in lab.model(f"{name}-renamed", 0).history()] == [1]

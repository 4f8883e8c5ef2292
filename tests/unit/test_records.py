"""The public values: frozen, in UTC, and unchanged after a round trip through text."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from prodpointer.history.events import event_from
from prodpointer.history.record import event_text
from prodpointer.types import (
    DIGEST_TAG,
    Diagnosis,
    ModelReply,
    ModelVersion,
    PointerStatus,
    Promotion,
    Pulled,
    Run,
    Selection,
    Verdict,
    utc_from_millis,
)

MOMENT = datetime(2026, 11, 3, 12, 30, 15, 123456, tzinfo=timezone.utc)
PROMOTION_KEYS = ["name", "from_version", "to_version", "pointers", "event", "at", "by", "reason", "gates"]
PROMOTION_KEYS += ["kind", "state", "alias", "workspace", "sha256", "migration", "source"]
STATUS_KEYS = ["name", "live", "alias", "stage", "agreed", "pointer", "last_event"]
STATUS_KEYS += ["mismatch", "dangling", "in_stage", "mended", "workspace"]


def promotion(**changes: Any) -> Promotion:
    """Return a move, with some fields changed."""
    values: dict[str, Any] = {
        "name": "news",
        "from_version": 3,
        "to_version": 4,
        "pointers": ("alias", "stage"),
        "at": MOMENT,
        "by": "ada",
        "reason": "weekly retrain",
        "gates": (Verdict("auc >= 0.3", "auc", 0.5, None, 0.3, passed=True),),
        "event": "000000000007-ab12cd34",
    }
    return Promotion(**{**values, **changes})


def version(**changes: Any) -> ModelVersion:
    """Return a version, with some fields changed."""
    values: dict[str, Any] = {
        "name": "news",
        "version": 4,
        "stage": None,
        "status": "READY",
        "source": "file:///x",
        "run_id": None,
        "created_at": MOMENT,
        "updated_at": None,
    }
    return ModelVersion(**{**values, **changes})


def status(**changes: Any) -> PointerStatus:
    """Return a status, with some fields changed."""
    values: dict[str, Any] = {
        "name": "news",
        "live": 4,
        "alias": 4,
        "stage": None,
        "agreed": True,
        "pointer": "alias",
        "last_event": None,
    }
    return PointerStatus(**{**values, **changes})


VALUES = [
    version(),
    ModelReply("news", {}, {}, {}),
    Run("r", "1", "file:///x", None, ()),
    promotion(),
    status(),
    Pulled("news", 4, Path("x"), None),
    Selection("alias", "auto", "because", "3.0.1", None),
    Diagnosis("sqlite:///x", "3.0.1", "3.0.1", "alias", "because", ()),
]


def test_milliseconds_become_an_aware_utc_time() -> None:
    """MLflow's timestamps are milliseconds since 1970, ours are in UTC and say so."""
    moment = utc_from_millis(1_762_173_015_123)
    assert moment == datetime(2025, 11, 3, 12, 30, 15, 123_000, tzinfo=timezone.utc)
    assert moment is not None
    assert moment.tzinfo is timezone.utc


def test_a_time_not_given_stays_not_given() -> None:
    """No timestamp is no time, not 1970."""
    assert utc_from_millis(None) is None


def test_zero_milliseconds_is_a_time() -> None:
    """The beginning of 1970 is a time like any other."""
    assert utc_from_millis(0) == datetime(1970, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_are_frozen(value: Any) -> None:
    """No field of a value can be changed."""
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)


def test_versions_can_be_kept_in_a_set() -> None:
    """A version has a hash, though its tags are a mapping."""
    assert len({version(tags={"a": "1"}), version(tags={"a": "1"})}) == 1


def test_a_version_tells_its_digest() -> None:
    """The digest is the tag that registering writes."""
    assert version(tags={DIGEST_TAG: "ab"}).sha256 == "ab"


def test_a_version_registered_elsewhere_has_no_digest() -> None:
    """Without the tag no digest is recorded."""
    assert version(tags={"sha256": "ab"}).sha256 is None


def test_two_versions_share_no_tags() -> None:
    """Each version without tags has a mapping of its own."""
    assert version().tags is not version().tags


def test_a_move_prints_the_keys_of_the_contract() -> None:
    """``promote --json`` prints these keys, in this order, and no others."""
    assert list(promotion().as_json()) == PROMOTION_KEYS


def test_a_move_can_be_printed_as_json() -> None:
    """Times are ISO texts with their zone, tuples are lists."""
    document = json.loads(json.dumps(promotion().as_json()))
    assert document["at"] == "2026-11-03T12:30:15.123456+00:00"
    assert document["pointers"] == ["alias", "stage"]
    assert document["gates"] == [
        {"gate": "auc >= 0.3", "candidate": 0.5, "production": None, "passed": True, "threshold": 0.3}
    ]


def test_printing_changes_no_gate() -> None:
    """The printed value is a copy: changing it does not change the move."""
    move = promotion()
    move.as_json()["gates"][0]["passed"] = False
    assert move.gates[0].passed is True


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"from_version": None},
        {"to_version": None},
        {"pointers": ()},
        {"gates": ()},
        {"reason": ""},
        {"reason": 'quotes " and \\ and\nlines'},
        {"reason": "\u00fcn\u00ef \U0001f680"},
        {"by": "a'b"},
    ],
    ids=str,
)
def test_a_move_is_the_same_after_a_round_trip_through_text(changes: dict[str, Any]) -> None:
    """What a tag holds, with the model's name and the event's id, is the whole move."""
    move = promotion(**changes)
    assert event_from(move.name, move.event or "", event_text(move)) == move


def test_the_text_of_a_move_is_two_lines() -> None:
    """A sentence and the event, whatever line breaks the reason has."""
    assert event_text(promotion(reason="a\nb")).count("\n") == 1


def test_the_text_of_a_move_names_its_model_and_not_its_event() -> None:
    """The id is in the key; the model is told, since tags are copied from one model to another."""
    document = json.loads(event_text(promotion()).split("\n")[1])
    assert document["model"] == "news"
    assert not {"name", "event"} & set(document)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "done",
        "null",
        "[]",
        "{}",
        '"x"',
        "3",
        '{"from_version": 1}',
        event_text(promotion())[:-1],
        event_text(promotion()).replace('"2026', '"soon'),
    ],
)
def test_an_invalid_move_is_refused(text: str) -> None:
    """A tag written by another tool is a ValueError, whatever its content."""
    with pytest.raises(ValueError, match=r".*"):
        event_from("news", "1", text)


def test_a_status_prints_the_keys_of_the_contract() -> None:
    """``status --json`` prints these keys for each model, in this order, and no others."""
    assert list(status().as_json()) == STATUS_KEYS


def test_a_status_prints_its_last_event_as_a_move() -> None:
    """The last event has the keys of a move, or is null."""
    assert status(last_event=promotion()).as_json()["last_event"] == promotion().as_json()
    assert status().as_json()["last_event"] is None


def test_a_pulled_copy_prints_its_keys() -> None:
    """``pull --json`` prints the version, where it is and what it was checked against."""
    printed = Pulled("news", 4, Path("there", "x"), "ab").as_json()
    assert printed == {"name": "news", "version": 4, "path": str(Path("there", "x")), "sha256": "ab"}


def test_a_diagnosis_prints_the_keys_of_the_contract() -> None:
    """``doctor --json`` prints these keys, in this order, and no others."""
    printed = Diagnosis("sqlite:///x", "3.0.1", None, None, "because", ("one", "two"), 5).as_json()
    keys = ["client_version", "registry_version", "pointer", "reason", "problems", "notes", "registry", "workspace"]
    assert list(printed) == [*keys, "permissions", "next_step"]
    assert printed["problems"] == ["one", "two"]

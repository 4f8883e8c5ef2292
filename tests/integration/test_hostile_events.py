"""Tags under an event's key that are not valid events are ignored and block nothing."""

from __future__ import annotations

import base64
import json
import time
import zlib
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from prodpointer.history.log import next_id
from prodpointer.history.record import EVENT_TAG, PACK_TAG, changes, event_text, events, read_record
from prodpointer.migration.migration import Migration
from prodpointer.types import Before, ModelVersion, Promotion, Verdict
from tests.integration.conftest import HAS_ALIASES, Lab

NOON = datetime(2026, 11, 3, 12, tzinfo=timezone.utc)
PASSED = Verdict("auc >= 0.5", "auc", 0.75, None, None, passed=True)
MOVE = Promotion("news", 1, 2, ("alias",), NOON, "ada", gates=(PASSED,), after="")
ID = "000000000001-00000000"
AHEAD = datetime(2126, 11, 3, 12, tzinfo=timezone.utc)
DOCUMENT: dict[str, Any] = json.loads(
    event_text(replace(MOVE, migration=Before("run", stages={1: "Production"}))).split("\n")[1]
)


def holding(**tags: str) -> ModelVersion:
    """Return a version with these tags."""
    return ModelVersion("news", 2, None, "READY", "", None, None, None, tags)


def tagged(text: str, event: str = ID) -> ModelVersion:
    """Return a version with one tag of an event."""
    return holding(**{f"{EVENT_TAG}{event}": text})


def changed(**values: Any) -> str:
    """Return the text of an event with other values."""
    return json.dumps({**DOCUMENT, **values})


BAD = {
    "a time without a zone": changed(at="2026-11-03T12:00:00"),
    "a time that is none": changed(at="soon"),
    "a number as time": changed(at=1),
    "a time beyond the calendar": changed(at="0001-01-01T00:00:00+14:00"),
    "a list as version": changed(to_version=[4]),
    "a text as version": changed(to_version="4"),
    "true as version": changed(to_version=True),
    "a fraction as version": changed(from_version=2.0),
    "version 0": changed(to_version=0),
    "a huge version": changed(to_version=10**30),
    "another kind": changed(kind="explode"),
    "unrecorded": changed(kind="unrecorded"),
    "a list as kind": changed(kind=[]),
    "another state": changed(state="won"),
    "a pointer that is none": changed(pointers=["tag"]),
    "pointers in lists": changed(pointers=[["alias"]]),
    "a text as pointers": changed(pointers="alias"),
    "an object as pointers": changed(pointers={}),
    "a number as alias": changed(alias=3),
    "a list as name": changed(by=["ada"]),
    "no reason": changed(reason=None),
    "a text as gates": changed(gates="passed"),
    "texts as gates": changed(gates=["passed"]),
    "a list as digest": changed(sha256=[]),
    "a text as creation": changed(holder_created="soon"),
    "creation in another age": changed(holder_created=10**18),
    "a list as model": changed(model=[]),
    "a text as migration": changed(migration="run"),
    "a migration without stages": changed(migration={"run": "x"}),
    "stages of no versions": changed(migration={"run": "x", "stages": {"1_0": None}}),
    "a migration without a run": changed(migration={"run": None, "stages": {}}),
    "a number that is none": changed(gates=[{"candidate": float("nan")}]),
    "an endless number": event_text(MOVE).replace("true", "1e999"),
    "half a character": changed(reason="\ud800"),
    "nested": changed(gates=[{"gate": [[[[[["deep"]]]]]]}]),
    "nested without end": "[" * 4000,
    "too long": changed(reason="x" * 6000),
    "a list": "[]",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_what_is_no_event_is_passed_over_and_told(text: str) -> None:
    """It is no event, as a tag and in a pack, and it is told which tag it is."""
    found = read_record([tagged(text)])
    assert (found.events, found.faulty) == ((), ((2, f"{EVENT_TAG}{ID}"),))


def pack(rows: object) -> str:
    """Return what a pack's text is made of."""
    return base64.b85encode(zlib.compress(json.dumps(rows).encode(), 9)).decode()


def row(event: str = ID, **values: Any) -> list[Any]:
    """Return an event as a pack keeps it."""
    return [event, *{**DOCUMENT, **values}.values()]


PACKS = {
    "a time without a zone": pack([row(at="2026-11-03T12:00:00")]),
    "a list as version": pack([row(to_version=[4])]),
    "nested": pack([row(gates=[{"gate": [[[[["deep"]]]]]}])]),
    "nested without end": base64.b85encode(zlib.compress(b"[" * 100_000)).decode(),
    "another id": pack([row("zzz")]),
    "a list as id": pack([[[]]]),
    "no rows": pack({"rows": []}),
    "an empty row": pack([[]]),
    "a text as row": pack(["0"]),
    "not compressed": base64.b85encode(b"text").decode(),
    "cut": pack([row()])[:-10],
    "huge": pack([row(reason="x" * 2_000_000)]),
}


@pytest.mark.parametrize("text", PACKS.values(), ids=PACKS)
def test_what_is_no_pack_is_passed_over_and_told(text: str) -> None:
    """Packs are read as strictly, and to a reasonable size."""
    found = read_record([holding(**{f"{PACK_TAG}1-2-abc": text})])
    assert (found.events, found.faulty) == ((), ((2, f"{PACK_TAG}1-2-abc"),))


def test_one_bad_row_hides_no_other() -> None:
    """What is an event in a pack counts."""
    version = holding(**{f"{PACK_TAG}1-2-abc": pack([row(), row("zzz"), row("000000000002-00000000")])})
    assert len(read_record([version]).events) == 2
    assert read_record([version]).faulty


def test_a_raised_event_is_no_fault() -> None:
    """What is left under an old id when an event gets a higher one is as it should be."""
    assert read_record([tagged("raised to 000000000002-00000000")]).faulty == ()


def test_a_new_key_in_an_event_is_no_fault() -> None:
    """A later version of this library may write more."""
    assert len(read_record([tagged(changed(workspace="team-a"))]).events) == 1


@pytest.mark.parametrize(
    "event",
    ["999999999999-00000000", "999999999999-ffffffff", "zzz", "000000000002", "000000000002-FFFFFFFF", "2-00000000",
     "\u0660" * 12 + "-00000000", "1000000000000-00000000"],
)  # fmt: skip
def test_an_impossible_id_raises_no_other(event: str) -> None:
    """An impossible id is ignored, so that the next id is readable."""
    good, bad = tagged(event_text(MOVE)), tagged(event_text(MOVE), event)
    versions = [replace(good, tags={**good.tags, **bad.tags})]
    assert read_record(versions).impossible == ((2, f"{EVENT_TAG}{event}"),)
    assert next_id(events(versions)).startswith("000000000002-")


def test_ids_may_have_gaps() -> None:
    """With a version its events are deleted, and those of others go on."""
    versions = [tagged(event_text(MOVE)), tagged(event_text(MOVE), "000000900000-00000000")]
    assert next_id(events(versions)).startswith("000000900001-")


def test_an_impossible_id_stays_a_tag_of_its_own() -> None:
    """It can be removed, and no promotion takes it into the record."""
    tags = {f"{EVENT_TAG}{number:012d}-00000000": event_text(MOVE) for number in range(1, 40)}
    version = holding(**tags, **{f"{EVENT_TAG}zzz": event_text(MOVE)})
    written = changes(replace(MOVE, event="000000000041-00000000"), version, NOON)
    assert len(events([written.applied_to(version)])) == 40
    assert f"{EVENT_TAG}zzz" not in written.remove


HOSTILE = {
    f"{EVENT_TAG}000000000009-00000000": changed(at="2026-11-03T12:00:00"),
    f"{EVENT_TAG}000000000010-00000000": changed(to_version=[4]),
    f"{EVENT_TAG}000000000011-00000000": "[" * 4000,
    f"{EVENT_TAG}999999999999-00000000": changed(
        from_version=None, to_version=1, model=None, migration=None, at=AHEAD.isoformat()
    ),
    f"{EVENT_TAG}zzz": event_text(MOVE),
    f"{PACK_TAG}1-2-abc": PACKS["nested without end"],
}


def spoil(lab: Lab, name: str) -> None:
    """Write every hostile tag to version 1 of a model, by a client whose clock is ahead."""
    for key, text in HOSTILE.items():
        lab.client.set_model_version_tag(name, "1", key, text)


def test_hostile_tags_stop_no_verb(lab: Lab, name: str) -> None:
    """Each verb of a model with such tags does what it did without them."""
    model = lab.model(name, 2)
    model.promote(1)
    spoil(lab, name)
    began = time.monotonic()
    assert model.promote(2).event is not None
    assert model.status().live == 2
    assert model.live_at(datetime.now(timezone.utc)) == model.version(2)
    assert model.rollback().to_version == 1
    assert model.withdraw().to_version is None
    assert [event.kind for event in model.history()] == ["promote", "promote", "rollback", "withdraw"]
    assert time.monotonic() - began < 15  # 35 seconds for each promotion once


def test_a_repair_removes_impossible_events(lab: Lab, name: str) -> None:
    """Tags with impossible ids are taken away and named; what a later version of this library may read stays."""
    model = lab.model(name)
    model.promote(1)
    spoil(lab, name)
    mended = model.repair().mended
    assert [text for text in mended if "zzz" in text and text.endswith(": not an event → removed")]
    left = set(model.version(1).tags) & set(HOSTILE)
    assert left == {key for key in HOSTILE if "zzz" not in key and "999999999999" not in key}
    assert model.repair().mended == ()


@pytest.mark.skipif(not HAS_ALIASES, reason="there is nothing to migrate to")
def test_hostile_tags_of_one_model_stop_no_plan(lab: Lab, name: str) -> None:
    """The plan of a fleet has every model in it."""
    for each in (f"{name}-a", f"{name}-b"):
        lab.model(each).promote(1)
    spoil(lab, f"{name}-a")
    plan = Migration(tracking_uri=lab.uri, models=[f"{name}-*"]).plan()
    assert [model.name for model in plan.models] == [f"{name}-a", f"{name}-b"]

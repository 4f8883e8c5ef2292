"""What notebooks show of values: small tables, escaped, in the notebook's own colours."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace
from datetime import datetime, timezone
from html.parser import HTMLParser
from typing import Any

import pytest

from prodpointer.types import ModelVersion, PointerStatus, Promotion, PromotionList, VersionList

MOMENT = datetime(2026, 11, 3, 12, 30, 15, 123456, tzinfo=timezone.utc)
MOVE = Promotion("news", 3, 4, ("alias", "stage"), MOMENT, "ada", "weekly retrain", event="000000000007-ab12cd34")
VERSION = ModelVersion(
    "news", 4, "Production", "READY", "file:///x", "r" * 32, MOMENT, MOMENT, {"prodpointer.sha256": "a" * 64}
)
STATUS = PointerStatus(
    "news", 4, 4, 3, agreed=False, pointer="both", last_event=MOVE, mismatch="another tool moved the stage"
)
HOSTILE = "<script>alert(1)</script>&\x1b[31m\u202e"


class Cells(HTMLParser):
    """The rows of the tables in a text, and the tags that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.attributes: list[Any] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag, and begin a row or a cell."""
        self.tags.add(tag)
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        """Add text to the cell that it is in."""
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def shown(value: Any) -> Cells:
    """Return what a notebook shows of a value."""
    return Cells(value._repr_html_())


def test_the_history_is_a_table() -> None:
    """A move is a row: when, what, from where to where, by whom and why."""
    head, row = shown(PromotionList([MOVE])).rows
    assert head == ["at", "event", "move", "pointers", "by", "reason"]
    assert row == ["2026-11-03 12:30:15 UTC", "promote", "3 → 4", "alias and stage", "ada", "weekly retrain"]


def test_a_move_that_was_not_done_says_so() -> None:
    """A lost promotion does not look like a done one, and nothing live is a word."""
    moves = PromotionList([replace(MOVE, state="lost"), replace(MOVE, kind="withdraw", to_version=None)])
    _, lost, withdrawn = shown(moves).rows
    assert (lost[1], withdrawn[2]) == ("promote (lost)", "3 → none")


def test_the_history_is_a_list() -> None:
    """Whatever is done with a list works; in a pickle it stays what it is."""
    moves = PromotionList([MOVE])
    assert moves == [MOVE]
    assert isinstance(moves, list)
    assert type(pickle.loads(pickle.dumps(moves))) is PromotionList
    assert repr(moves) == repr([MOVE])


def test_a_long_history_is_cut() -> None:
    """A notebook gets the newest fifty moves and the number of those before."""
    moves = PromotionList(replace(MOVE, to_version=number) for number in range(1, 1101))
    found = shown(moves)
    assert len(found.rows) == 51
    assert "→ 1100" in found.rows[-1][2]
    assert "<p>and 1,050 before these</p>" in moves._repr_html_()


def test_the_versions_are_a_table() -> None:
    """A version is a row, with its time, its run and the beginning of its digest."""
    head, row = shown(VersionList([VERSION])).rows
    assert head == ["version", "pointers", "status", "created", "run", "sha256"]
    assert row == ["4", "Production", "READY", "2026-11-03 12:30:15 UTC", "r" * 32, "a" * 12]


def test_what_a_version_lacks_is_an_empty_cell() -> None:
    """Neither a missing stage nor a missing digest is the word None."""
    _, row = shown(replace(VERSION, stage=None, run_id=None, created_at=None, tags={})).rows
    assert row == ["4", "", "READY", "", "", ""]


def test_the_status_is_a_table() -> None:
    """Both pointers, whether they agree and why not, and the last event."""
    assert shown(STATUS).rows == [
        ["model", "news"],
        ["live", "version 4"],
        ["alias", "version 4"],
        ["stage", "version 3"],
        ["agreed", "no: another tool moved the stage"],
        ["last event", "promote at 2026-11-03 12:30:15 UTC by ada"],
        ["reason", "weekly retrain"],
    ]


def test_a_deleted_version_behind_the_alias_is_seen() -> None:
    """So are several versions in the stage."""
    rows = dict(shown(replace(STATUS, dangling=True, in_stage=(2, 3))).rows)
    assert (rows["alias"], rows["stage"]) == ("version 4 (deleted)", "version 2, version 3")


VALUES = [
    PromotionList([replace(MOVE, by=HOSTILE, reason=HOSTILE)]),
    replace(MOVE, by=HOSTILE, reason=HOSTILE * 100),
    VersionList([replace(VERSION, stage=HOSTILE, status=HOSTILE, run_id=HOSTILE)]),
    replace(STATUS, name=HOSTILE, mismatch=HOSTILE, workspace=HOSTILE),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_no_text_is_taken_for_html(value: Any) -> None:
    """Whatever a registry holds is text: no tag of it, no control character, and no more than a cell's length."""
    text = value._repr_html_()
    assert shown(value).tags <= {"table", "thead", "tbody", "tr", "th", "td", "p"}
    assert "&lt;script&gt;" in text
    assert re.search("[\x00-\x1f\u202a-\u202e]", text) is None
    assert max(len(cell) for row in shown(value).rows for cell in row) < 250


@pytest.mark.parametrize(
    "value", [PromotionList([MOVE]), VersionList([VERSION]), STATUS], ids=lambda value: type(value).__name__
)
def test_the_notebook_chooses_the_colours(value: Any) -> None:
    """Without style or class a table is readable on dark and on light pages."""
    assert shown(value).attributes == []

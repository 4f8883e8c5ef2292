"""The HTML page of a model: its content, that it needs nothing else, and that what a registry says is escaped."""

from __future__ import annotations

import base64
import hashlib
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from prodpointer import RegisteredModel
from prodpointer.errors import ProdpointerError
from prodpointer.pages.model import model_page
from prodpointer.types import PointerStatus, Promotion, Verdict
from tests.unit.test_plan_page import HOSTILE, Element, Page

NOON = datetime(2026, 11, 28, 12, 30, 5, tzinfo=timezone.utc)
STATUS = PointerStatus("news", 2, 2, 2, agreed=True, pointer="both", last_event=None, in_stage=(2,))


def move(before: int | None, after: int | None, days: float = 1, **fields: Any) -> Promotion:
    """Return a move so many days before noon."""
    fields.setdefault("by", "ada")
    fields.setdefault("pointers", ("alias", "stage"))
    return Promotion("news", before, after, at=NOON - timedelta(days=days), **fields)


def verdict(gate: str, candidate: float | None, *, passed: bool = True, **fields: Any) -> Verdict:
    """Return a verdict as it is read from an event."""
    return Verdict.from_json({"gate": gate, "candidate": candidate, "production": None, "passed": passed, **fields})


def page(moves: Sequence[Promotion] = (), status: PointerStatus = STATUS, **options: Any) -> Page:
    """Return the page of a model."""
    places = {"alias": "production", "stage": "Production", "registry": "https://mlflow.example"}
    return Page(model_page(status, moves, at=NOON, **(places | options)))


STORY = (
    move(None, 1, 40, reason="the first", sha256="a" * 64),
    move(1, 2, 30, gates=(verdict("auc >= production", 0.93, production=0.9), verdict("loss <= 0.4", 0.3))),
    move(2, 3, 25, state="refused", gates=(verdict("auc >= production", 0.92, passed=False, reason="is below"),)),
    move(2, 1, 20, kind="rollback", by="oncall", reason="worse on Sundays"),
    move(1, None, 15, kind="withdraw"),
    move(None, 4, 10),
    move(4, 2, 5, kind="unrecorded", by="", pointers=()),
    move(2, 2, 5, kind="migrate", event="000000000007-1a2b3c4d"),
)


def rows(found: Page, **attributes: str) -> list[list[str]]:
    """Return the texts of the cells of each row of a table's body."""
    return [
        [each.text.strip() for each in found.elements if each.tag in ("th", "td") and row is each.parents[-1]]
        for row in found.all("tr")
        if row.within("tbody") and row.within("table", **attributes)
    ]


def moves_of(found: Page) -> list[list[str]]:
    """Return the cells of each move."""
    return rows(found, **{"class": "cards"})


def parts_of(found: Page) -> list[tuple[str, str]]:
    """Return the class of each part of the timeline, and what it says."""
    titles = [each for each in found.all("title") if each.within("div", **{"class": "row"})]
    return [(each.parents[-1].attributes["class"], each.text) for each in titles]


def section(found: Page, heading: str) -> str:
    """Return the text of one section."""
    (head,) = [each for each in found.all("h2") if each.text == heading]
    parent: Element = head.parents[-1]
    return parent.text


# What it says


def test_the_head_says_where_it_comes_from() -> None:
    """Registry, workspace, time and version are told."""
    text = page(STORY, replace(STATUS, workspace="team-a")).all("header")[0].text
    assert "https://mlflow.example" in text
    assert "team-a" in text
    assert "2026-11-28 12:30:05 UTC, by prodpointer " in text


def test_what_is_live_says_since_when_by_whom_and_why() -> None:
    """The move that made a version live is told with it."""
    text = section(page([move(None, 2, 2, reason="weekly")]), "Now")
    assert "Version 2 is live since 2026-11-26 12:30:05 UTC (2 d)" in text
    assert "promotion by ada: weekly" in text


def test_of_an_unrecorded_move_the_time_is_not_told() -> None:
    """Since when its version is live is not known, so the page does not say."""
    found = page([move(None, 1, 9), move(1, 2, 0, kind="unrecorded", by="")])
    assert "Version 2 is live, since an unknown time after 2026-11-19" in section(found, "Now")


def test_nothing_live_is_said() -> None:
    """A model without a live version has a page too."""
    status = PointerStatus("news", None, None, None, agreed=True, pointer="alias", last_event=None)
    assert "Nothing is live" in section(page((), status), "Now")


def test_without_a_record_the_page_says_so() -> None:
    """There is no timeline and no table of moves."""
    found = page()
    assert "No moves are recorded." in section(found, "What was live when")
    assert moves_of(found) == []


def test_agreeing_pointers_have_no_warning() -> None:
    """Nothing is to be repaired."""
    assert "repair" not in page(STORY).source


@pytest.mark.parametrize(
    ("differs", "text"),
    [
        ({"stage": 1, "mismatch": "the alias names version 2"}, "The alias names version 2."),
        ({"in_stage": (1, 2)}, "The stage holds several versions: 1, 2."),
        ({"dangling": True}, "The alias names version 2, which was deleted."),
        ({"alias": None, "in_stage": ()}, "The alias names nothing, the stage holds version 2."),
    ],
)
def test_what_disagrees_is_said_and_what_to_do(differs: dict[str, Any], text: str) -> None:
    """Each mismatch is a sentence, and the command that mends it is there."""
    found = section(page(STORY, replace(STATUS, agreed=False, **differs)), "Now")
    assert text in found
    assert "prodpointer repair news" in found


def test_an_alias_without_a_stage_has_no_line_for_one() -> None:
    """An alias such as ``champion`` stands for no stage."""
    found = section(page(alias="champion", stage=None), "Now")
    assert ("Alias champion" in found, "Stage" in found) == (True, False)


def test_the_timeline_has_a_part_for_each_period() -> None:
    """Gaps, rollbacks and unrecorded moves look and read differently from the rest."""
    found = parts_of(page(STORY))
    assert [css for css, _ in found] == ["even", "odd", "even", "nothing", "unsure", "now"]
    assert "rollback by oncall: worse on Sundays" in found[2][1]
    assert found[3][1].startswith("nothing, ")
    assert found[4][1].startswith("version 4, then version 2 by an unrecorded move")


def test_what_differs_is_not_told_by_colour_alone() -> None:
    """Each kind of period that is there has words in the legend, and what a row shows can be read aloud."""
    found = page(STORY)
    legend = " ".join(found.texts("ul", **{"class": "legend"}))
    for text in ("live now", "live then", "by a rollback", "nothing live", "another tool", "passed", "refused"):
        assert text in legend
    (label,) = [
        each.attributes["aria-label"] for each in found.all("svg", role="img") if each.within("div", **{"class": "row"})
    ]
    assert "nothing, 2026-11-13" in label


def test_moves_are_listed_newest_first() -> None:
    """Each with its kind, versions, who and why; a time by which something had happened is told so."""
    found = moves_of(page(STORY))
    assert [cells[1].split()[0] for cells in found] == ["2", "4", "nothing", "1", "2", "2", "1", "nothing"]
    assert found[4][2:4] == ["oncall", "worse on Sundays"]
    assert found[1][0] == "by 2026-11-23 12:30:05"
    assert "000000000007-1a2b3c4d" in found[0][0]


def test_a_refused_move_moved_no_pointer() -> None:
    """It says why it was refused, and names no pointer."""
    (cells,) = [cells for cells in moves_of(page(STORY)) if "refused" in cells[1]]
    assert "alias" not in cells[1]
    assert cells[4] == "✕ refused: auc >= production (is below)"


def test_verdicts_have_their_numbers() -> None:
    """Candidate and production stand beside each gate."""
    (cells,) = [cells for cells in moves_of(page(STORY)) if "passed" in cells[4]]
    assert "passed: auc >= production (candidate 0.93, production 0.9)" in cells[4]


def test_verdicts_that_did_not_fit_are_counted() -> None:
    """An event may say only how many more gates there were."""
    ((*_, gates),) = moves_of(page([move(None, 2, omitted_gates=3)]))
    assert gates == "… 3 more, not recorded"


def test_versions_have_metrics_digests_and_times() -> None:
    """The highest first; one that was compared with has a value too, and no verdict."""
    found = rows(page(STORY), **{"class": "metrics"})
    assert [cells[0] for cells in found] == ["4", "3", "2", "1"]
    assert [cells[1] for cells in found] == ["not known", "never", "15 d live", "15 d"]
    assert [cells[2] for cells in found] == ["—", "0.92 ✕", "0.93 ✓", "0.9 ○"]
    assert found[3][4] == "a" * 64


def test_a_metric_of_several_gates_passes_where_all_do() -> None:
    """One verdict stands beside the value."""
    gates = (verdict("auc >= 0.5", 0.6), verdict("auc >= production", 0.6, passed=False, production=0.7))
    found = page([move(None, 1, 3), move(1, 2, 2, state="refused", gates=gates)])
    assert [cells[2] for cells in rows(found, **{"class": "metrics"})] == ["0.6 ✕", "0.7 ○"]


@pytest.mark.parametrize("value", [None, True, "0.9", {}])
def test_what_is_not_a_number_is_not_shown_as_one(value: Any) -> None:
    """Whatever stands in the record, the page is made."""
    found = page([move(None, 1, gates=(verdict("auc >= 0.5", value, passed=False),))])
    assert rows(found, **{"class": "metrics"})[-1] == ["1", "1 d", "not recorded"]


def test_a_gate_that_was_cut_keeps_its_metric() -> None:
    """The beginning of its text says which one it is."""
    found = page([move(None, 1, gates=(verdict("auc >= pro...", 0.9),))])
    assert "auc" in found.texts("th")


def test_a_metric_of_two_versions_has_a_chart() -> None:
    """One of a single version has none, since there is nothing to compare."""
    assert page(STORY).texts("figcaption") == ["auc"]


def test_a_metric_that_never_changes_has_a_chart() -> None:
    """All points are at one height."""
    moves = [move(None, each, 9 - each, gates=(verdict("auc >= 0.5", 0.9),)) for each in (1, 2, 3)]
    assert "92.00%" not in page(moves).source


def test_two_hundred_moves_are_grouped() -> None:
    """The newest group is open, the others and the older versions wait for a click, and nothing is left out."""
    moves = [move(each or None, each + 1, 200 - each) for each in range(200)]
    found = page(moves)
    assert len(moves_of(found)) == 200
    groups = [each for each in found.all("details") if "events" in each.text]
    assert ["open" in each.attributes for each in groups] == [True, *[False] * 6]
    assert "180 earlier versions" in found.source
    assert len(found.source) < 400_000


def test_a_name_with_blanks_is_quoted_in_the_command() -> None:
    """The command can be copied as it is."""
    found = page((), replace(STATUS, name="my model", agreed=False, in_stage=(1, 2)))
    assert "prodpointer repair 'my model'" in found.texts("code")


# The page itself


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_registry_says_stays_text(text: str) -> None:
    """Wherever a text of others stands, the page has the same elements as with a harmless one."""
    found, plain = (
        page(
            [
                move(None, 1, 3, by=each, reason=each, event=each, sha256=each),
                move(
                    1,
                    2,
                    2,
                    gates=(verdict(each, 0.5, reason=each), verdict("auc >= 1", 1.0, passed=False, reason=each)),
                ),
                move(1, 2, 2, state="lost", by=each, kind="rollback"),
            ],
            replace(STATUS, name=each, workspace=each, agreed=False, mismatch=each),
            alias=each,
            stage=each,
            registry=each,
        )
        for each in (text, "harmless")
    )
    assert [each.tag for each in found.elements] == [each.tag for each in plain.elements]
    assert found.unbalanced == []
    seen = text.replace("\u202e", "\\u202e")
    assert found.texts("h1") == [seen]
    assert moves_of(found)[-1][2:4] == [seen.strip()] * 2


@pytest.mark.parametrize("moves", [(), STORY], ids=["empty", "story"])
def test_nothing_is_fetched(moves: Sequence[Promotion]) -> None:
    """No element names another file or address, and no style does."""
    found = page(moves)
    assert [each for each in found.elements if {"src", "href", "srcset", "action"} & set(each.attributes)] == []
    assert re.findall(r"url\((?!#)|@import|https?://(?!mlflow\.example)", found.source) == []


def test_the_policy_allows_the_style_that_is_there_and_no_script() -> None:
    """The policy names the digest of exactly the one style, and there is no script."""
    found = page(STORY)
    (meta,) = found.all("meta", **{"http-equiv": "Content-Security-Policy"})
    (style,) = re.findall(r"<style>(.*?)</style>", found.source, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert meta.attributes["content"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert found.all("script") == []


def test_no_element_has_a_style_or_a_handler_of_its_own() -> None:
    """What the policy would not let run is not there."""
    named = {name for each in page(STORY).elements for name in each.attributes}
    assert [name for name in named if name == "style" or name.startswith("on")] == []


def test_every_head_of_a_table_says_what_it_heads() -> None:
    """Each has a scope."""
    assert {each.attributes.get("scope") for each in page(STORY).all("th")} == {"col", "row"}


def test_headings_do_not_skip_a_level() -> None:
    """Readers of the page aloud go from heading to heading."""
    levels = [int(each.tag[1]) for each in page(STORY).elements if re.fullmatch(r"h\d", each.tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_a_missing_template_engine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``mlflow-skinny`` alone there is no Jinja2: the error says what to install."""
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ProdpointerError, match=r"pip install 'prodpointer\[report\]'"):
        page()


def test_the_page_is_made_by_the_clock_of_the_events() -> None:
    """It is the registry's: by a clock that is behind it, the newest event would be in the future."""
    registry = SimpleNamespace(now=lambda: NOON, addresses=SimpleNamespace(registry_uri="https://mlflow.example"))
    rule = SimpleNamespace(written=None, alias="production", stage="Production")
    model: Any = SimpleNamespace(
        _labels={"model": "news", "alias": "production", "workspace": None},
        _registry=registry,
        _rule=rule,
        status=lambda: STATUS,
        history=list,
    )
    assert RegisteredModel.report(model) == page().source

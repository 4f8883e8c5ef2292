"""The HTML page of a plan: its content and order, and that names are escaped."""

from __future__ import annotations

import base64
import hashlib
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser

import pytest
from packaging.version import Version

from prodpointer.errors import ProdpointerError
from prodpointer.migration.assess import Class, Judgement, judge
from prodpointer.migration.plan import Change, Pair, Plan, Planned
from prodpointer.migration.report import plan_page
from prodpointer.mlflow_client.capabilities import Capabilities
from prodpointer.pointers.rule import Rule
from prodpointer.pointers.snapshot import read_reply
from prodpointer.types import ModelReply, ModelVersion

NOON = datetime(2026, 11, 28, 12, 30, 5, tzinfo=timezone.utc)
VOID = {"meta", "input"}
HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' autofocus onfocus='alert(1)",
    "<!-- <!doctype",
    "&lt;b&gt; &amp;amp; &#60;",
    "$style ${script} $$ %s {0}",
    "\u05de\u05d5\u05d3\u05dc-\u05d7\u05d3\u05e9\u05d5\u05ea",
    "evil\u202egnp.exe",
    "\u6a21\u578b \U0001f680 \u00fcber",
    "x" * 256,
    "]]>",
    "javascript:alert(1)",
]


@dataclass(eq=False)
class Element:
    """One element of a page: its tag, attributes, and all text below it."""

    tag: str
    attributes: dict[str, str]
    parents: tuple[Element, ...] = field(default=(), repr=False)
    text: str = ""

    def within(self, tag: str, **attributes: str) -> bool:
        """Tell whether it lies in an element of a tag with these attributes."""
        return any(each.tag == tag and attributes.items() <= each.attributes.items() for each in self.parents)


class Page(HTMLParser):
    """A page as a parser of the standard library reads it; ``unbalanced`` names tags that do not pair."""

    def __init__(self, source: str) -> None:
        """Read a page to its end."""
        super().__init__(convert_charrefs=True)
        self.source = source
        self.elements: list[Element] = []
        self.unbalanced: list[str] = []
        self._open: list[Element] = []
        self.feed(source)
        self.close()
        self.unbalanced += [element.tag for element in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element; a void one closes at once."""
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}, tuple(self._open)))
        if tag not in VOID:
            self._open.append(self.elements[-1])

    def handle_endtag(self, tag: str) -> None:
        """Close the element that is open."""
        if self._open and self._open[-1].tag == tag:
            self._open.pop()
        else:
            self.unbalanced.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        """Give a text to every element that it lies in."""
        for element in self._open:
            element.text += data

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Return the elements of a tag with these attributes, in their order."""
        return [each for each in self.elements if each.tag == tag and attributes.items() <= each.attributes.items()]

    def texts(self, tag: str, **attributes: str) -> list[str]:
        """Return the texts of elements."""
        return [each.text for each in self.all(tag, **attributes)]

    @property
    def models(self) -> list[list[str]]:
        """The cells of each model, in the order of the page."""
        return [self._cells(row) for row in self.all("tr") if "data-r" in row.attributes]

    @property
    def names(self) -> list[str]:
        """The names of the models, in the order of the page."""
        return [cells[0] for cells in self.models]

    @property
    def reasons(self) -> list[list[str]]:
        """How many, the reason, the class and the example of each row of the reasons."""
        rows = [each for each in self.all("tr") if each.within("section", **{"class": "reasons"})]
        return [self._cells(row) for row in rows if row.within("tbody")]

    @property
    def step(self) -> str:
        """The sentence on what to do next."""
        (section,) = self.all("section", **{"class": "next"})
        return next(each.text for each in self.all("p") if section in each.parents)

    @property
    def bar(self) -> dict[str, tuple[float, float]]:
        """Where each part of the bar begins and how wide it is, in percent."""
        parts = [
            each.attributes for each in self.all("rect") if each.within("svg", role="img") and "x" in each.attributes
        ]
        return {part["class"]: (float(part["x"].rstrip("%")), float(part["width"].rstrip("%"))) for part in parts}

    def _cells(self, row: Element) -> list[str]:
        """Return the texts of the cells of a row."""
        return [each.text for each in self.elements if each.tag in ("th", "td") and row is each.parents[-1]]


def pair(
    kind: Class,
    reason: str = "why",
    target: int | None = None,
    *,
    of: str = "Production",
    names: int | None = None,
    holds: tuple[int, ...] = (),
    under_way: bool = False,
    **choices: int,
) -> Pair:
    """Return one alias and its stage, judged."""
    named = () if names is None else (names,)
    found = [Change("alias", of.lower(), named, target or 0), Change("stage", of, holds, target or 0)]
    changes = [change for change in found if target is not None and change.was != (target,)]
    return Pair(of.lower(), of, names, holds, Judgement(kind, reason, target, choices, under_way), tuple(changes))


def model(name: str, *pairs: Pair, problem: str = "") -> Planned:
    """Return one model of a plan."""
    return Planned(ModelReply(name, {}, {}, {}), pairs, problem)


def safe(name: str, version: int = 3) -> Planned:
    """Return a model whose stage is copied to its alias."""
    return model(name, pair(Class.SAFE, "the alias 'production' is not set", version, holds=(version,)))


def decision(name: str, alias: int = 3, stage: int = 4) -> Planned:
    """Return a model whose pointers differ, without a history."""
    reason = f"the alias names version {alias}, the stage version {stage}: nothing is recorded"
    return model(name, pair(Class.DECISION, reason, names=alias, holds=(stage,), alias=alias, stage=stage))


def nothing(name: str, version: int = 3) -> Planned:
    """Return a model whose pointers agree."""
    return model(name, pair(Class.NOTHING, "both pointers agree", names=version, holds=(version,)))


def page(
    *models: Planned, globs: Sequence[str] = (), registry: str = "https://mlflow.example", at: datetime = NOON
) -> Page:
    """Return the page of a fleet."""
    return Page(plan_page(Plan(registry, "3.17.2", tuple(globs), models), at))


MIXED = (nothing("a"), safe("b"), decision("c"), safe("d"), decision("e"), safe("f"), nothing("g"), safe("h"))


# The page itself


@pytest.mark.parametrize("fleet", [(), MIXED, tuple(map(safe, HOSTILE))], ids=["empty", "mixed", "hostile"])
def test_every_tag_pairs(fleet: tuple[Planned, ...]) -> None:
    """What is opened is closed, innermost first, whatever the models are called."""
    assert page(*fleet).unbalanced == []


def test_nothing_is_fetched() -> None:
    """No element names another file, and no style does."""
    found = page(*MIXED)
    assert [each for each in found.elements if {"src", "href", "srcset", "action"} & set(each.attributes)] == []
    assert re.findall(r"url\((?!#)|@import|https?://(?!mlflow\.example)", found.source) == []


def test_the_policy_allows_the_style_and_the_script_that_are_there() -> None:
    """The policy names the digests of exactly the one style and the one script, and allows nothing else."""
    found = page(*MIXED)
    (meta,) = found.all("meta", **{"http-equiv": "Content-Security-Policy"})
    digests = []
    for tag in ("style", "script"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", found.source, re.DOTALL)
        digests.append(base64.b64encode(hashlib.sha256(text.encode()).digest()).decode())
    assert meta.attributes["content"] == (
        f"default-src 'none'; style-src 'sha256-{digests[0]}'; script-src 'sha256-{digests[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_no_element_has_a_style_or_a_handler_of_its_own() -> None:
    """What the policy would not let run is not there."""
    named = {name for each in page(*MIXED).elements for name in each.attributes}
    assert [name for name in named if name == "style" or name.startswith("on")] == []


def test_identifiers_are_unique() -> None:
    """No two elements have one id, and what labels another is there."""
    found = page(*MIXED)
    ids = [each.attributes["id"] for each in found.elements if "id" in each.attributes]
    labels = {each.attributes["aria-labelledby"] for each in found.elements if "aria-labelledby" in each.attributes}
    assert len(ids) == len(set(ids))
    assert labels <= set(ids)


def test_without_a_script_every_model_is_there_and_no_button_pretends() -> None:
    """What needs the script is hidden or dead until the script wakes it."""
    found = page(*MIXED)
    assert len(found.models) == 8
    assert "hidden" in found.all("form")[0].attributes
    assert all("disabled" in each.attributes for each in found.all("button") if not each.within("form"))


def test_a_small_fleet_is_a_small_page() -> None:
    """Forty models take less than 40 KB."""
    assert len(page(*(safe(f"news-{number}") for number in range(40))).source.encode()) < 40_000


def test_ten_thousand_models_take_little_time_and_space() -> None:
    """The largest fleet is written within seconds of work, in less than 5 MB."""
    makers = (safe, decision, nothing)
    fleet = [makers[number % 3](f"team-{number % 40}-ranker-{number}", number + 1) for number in range(10_000)]
    began = time.process_time()
    source = plan_page(Plan("https://mlflow.example", "3.17.2", (), tuple(fleet)), NOON)
    assert time.process_time() - began < 20
    assert source.count("<tr class=") == 10_000
    assert len(source.encode()) < 5_000_000


# The heading


def test_the_heading_says_which_registry_and_when() -> None:
    """Registry, its version, patterns and time are told, the time in UTC."""
    found = page(*MIXED, globs=("news-*", "ads"), at=NOON.astimezone(timezone(timedelta(hours=5))))
    assert found.texts("dd") == [
        "https://mlflow.example",
        "MLflow 3.17.2",
        "news-* ads",
        "2026-11-28 12:30:05 UTC; nothing was changed",
    ]
    assert found.all("time")[0].attributes["datetime"] == "2026-11-28T12:30:05Z"


def test_the_heading_says_what_is_not_known() -> None:
    """A registry that does not tell its version and a plan without patterns are called so."""
    found = Page(plan_page(Plan("sqlite:///mlflow.db", None, (), ()), NOON))
    assert found.texts("dd")[1:3] == ["unknown", "none: every model"]


# What to do next


def test_an_empty_fleet_asks_for_another_look() -> None:
    """Where no model matches, the registry and the patterns are what to look at."""
    assert page().step == "No registered model was found: check the registry and the patterns."


def test_a_fleet_that_is_done_is_verified() -> None:
    """Where nothing is to be done, the next command proves it."""
    assert page(nothing("a")).step == "prodpointer migrate verify compares the pointers as plain clients read them."


def test_a_safe_fleet_is_applied() -> None:
    """Where nothing is to be decided, one command does all."""
    assert page(safe("a"), nothing("b")).step == (
        "prodpointer migrate apply moves 1 pointer of 1 model without a decision."
    )


def test_a_fleet_that_is_not_marked_is_started_first() -> None:
    """``start`` comes before ``apply``, with how many models it marks; also where nothing else is to be done."""
    marked = replace(safe("a"), marked=True)
    assert page(marked, replace(nothing("b"), marked=True)).step == (
        "prodpointer migrate start marks 2 models, so that every promotion moves both pointers. "
        "prodpointer migrate apply then moves 1 pointer of 1 model without a decision."
    )
    assert page(replace(nothing("b"), marked=True)).step.startswith("prodpointer migrate start marks 1 model,")


def test_what_start_does_to_a_model_is_shown() -> None:
    """Beside the pointers that move, and with what moves only after it."""
    alone = replace(pair(Class.SAFE, target=3, names=3), after_start=True)
    assert page(replace(model("a", alone), marked=True)).models[0][-2] == (
        "start: every promotion moves both pointers\nstage Production: nothing → 3, after start"
    )


def test_the_command_names_the_patterns_of_the_plan() -> None:
    """The command is about the same models, as a shell takes it."""
    assert page(safe("a"), globs=("news-*", "it's")).step.startswith(
        "prodpointer migrate apply --models 'news-*' --models 'it'\"'\"'s' moves"
    )


def test_decisions_are_asked_for_by_pattern() -> None:
    """Where there are decisions, the command that settles them is told beside the one that does the rest."""
    assert page(*MIXED).step == (
        "prodpointer migrate apply moves 4 pointers of 4 models without a decision. "
        "2 models need a decision: choose the pointer that counts, pattern by pattern: "
        "prodpointer migrate apply --models 'PATTERN' --prefer alias|stage|journal."
    )


def test_decisions_alone_do_not_send_anybody_to_apply() -> None:
    """Where nothing is safe, no command is told that would do nothing."""
    assert page(decision("a")).step.startswith("1 model needs a decision: choose the pointer")


def test_decisions_without_a_choice_wait_for_what_their_reasons_name() -> None:
    """Where no side can be preferred, no preference is asked for."""
    assert page(model("a/b", problem="rename it")).step == (
        "1 model needs a decision: do what the reasons say, then make another plan."
    )


def test_each_side_tells_how_many_it_settles() -> None:
    """A side counts for a model whose every decision it settles; what no side settles is counted too."""
    half = model(
        "half",
        pair(Class.DECISION, alias=1, stage=2),
        pair(Class.DECISION, of="Staging", alias=1, journal=1),
    )
    found = page(decision("a"), half, model("a/b", problem="rename it"), safe("b"))
    assert [each.text for each in found.all("li") if each.within("section", **{"class": "next"})] == [
        "--prefer alias settles 2, with what the alias names",
        "--prefer stage settles 1, with what the stage holds, the highest of several",
        "--prefer journal settles 0, with what the recorded moves say",
        "no side settles 1: do what their reasons say first",
    ]


# The counts and the bar


def test_the_three_classes_are_counted() -> None:
    """Each class has its number and its share."""
    assert page(*MIXED).texts("li")[-3:] == ["2 NEEDS A DECISION 25.0 %", "4 SAFE 50.0 %", "2 NOTHING TO DO 25.0 %"]


def test_the_bar_shows_the_shares() -> None:
    """The parts of the bar stand side by side, as wide as their shares."""
    assert page(*MIXED).bar == {"decision": (0.0, 25.0), "safe": (25.0, 50.0), "nothing": (75.0, 25.0)}


def test_a_class_without_models_has_no_part_of_the_bar() -> None:
    """One class alone takes the whole bar."""
    assert page(safe("a"), safe("b")).bar == {"safe": (0.0, 100.0)}


def test_one_model_of_a_thousand_is_seen() -> None:
    """A part is never narrower than one percent, and the bar never longer than itself."""
    bar = page(decision("a"), *(safe(str(number)) for number in range(999))).bar
    assert bar == {"decision": (0.0, 1.0), "safe": (1.0, 99.0)}


def test_small_shares_are_not_rounded_away() -> None:
    """One model of two thousand is not 0.0 %, and the others are not 100 %."""
    found = page(decision("a"), *(safe(str(number)) for number in range(1999))).texts("li")[-3:]
    assert found == ["1 NEEDS A DECISION under 0.1 %", "1,999 SAFE over 99.9 %", "0 NOTHING TO DO 0.0 %"]


def test_the_bar_has_a_text() -> None:
    """Who cannot see the bar is told the same."""
    (bar,) = page(*MIXED).all("svg", role="img")
    assert bar.attributes["aria-label"] == (
        "Shares of 8 models. NEEDS A DECISION: 2 (25.0 %), SAFE: 4 (50.0 %), NOTHING TO DO: 2 (25.0 %)"
    )


def test_an_empty_fleet_has_counts_and_no_bar() -> None:
    """Nothing of nothing is counted, not drawn, and there are no tables."""
    found = page()
    assert found.texts("li") == ["0 NEEDS A DECISION 0.0 %", "0 SAFE 0.0 %", "0 NOTHING TO DO 0.0 %"]
    assert found.bar == {}
    assert found.all("table") == []


# The reasons


def test_reasons_that_differ_in_numbers_are_one() -> None:
    """Reasons are counted by their shape, the most frequent first, each with a model that has it."""
    assert page(safe("a"), decision("b", 3, 4), decision("c", 12, 13), decision("d", 7, 1), safe("e")).reasons == [
        ["3", "Production: the alias names version N, the stage version N: nothing is recorded",
         "NEEDS A DECISION", "b"],
        ["2", "Production: the alias 'production' is not set", "SAFE", "a"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "shape"),
    [
        ("the stage Production holds versions 3 and 4", "the stage Production holds versions N, M, …"),
        ("the stage Production holds versions 3 and 4 and 11", "the stage Production holds versions N, M, …"),
        ("a rollback to version 3 was stopped half way (event 000000000012-0badcafe)",
         "a rollback to version N was stopped half way (event …)"),
        ("the alias was taken away, since event 000000000012-0badcafe", "the alias was taken away, since event …"),
        ("version 3 is FAILED_REGISTRATION, not READY", "version N is FAILED_REGISTRATION, not READY"),
        ("the alias moved from nothing", "the alias moved from nothing"),
        ("the model's tag prodpointer.pointer says both", "the model's tag prodpointer.pointer says both"),
        ("MLflow 3.11.1 and later cannot read it", "MLflow 3.11.1 and later cannot read it"),
        ("the name differs only in case from 'a' and 'A': name one",
         "the name differs only in case from '…': name one"),
        ("""the name differs only in case from "it's 3" and 'a\\'b" 4': name one""",
         "the name differs only in case from '…': name one"),
        ("The aliases 'Production' and 'production' of 'a 3' differ only in case.",
         "The aliases '…' of '…' differ only in case."),
    ],
    ids=str,
)  # fmt: skip
def test_a_shape_has_no_numbers_ids_and_names(reason: str, shape: str) -> None:
    """What differs from model to model is taken out of a reason, and what does not stays."""
    assert page(model("a", problem=reason)).reasons == [["1", shape, "NEEDS A DECISION", "a"]]


def judged(number: int, alias: int | None, *stages: int) -> Planned:
    """Return a model as it is really judged: versions 1 to 9, an alias, and what the stage holds."""
    rule = Rule("production", "Production", None, None)
    found = Capabilities(
        Version("3.17.2"), aliases=True, stages=True, is_three=True, how="the registry is MLflow 3.17.2"
    )
    versions = tuple(
        ModelVersion("m", each, "Production" if each in stages else None, "READY", "", None, None, None)
        for each in range(1, 10)
    )
    newest = {each.stage: each for each in versions}
    reply = ModelReply("m", {} if alias is None else {"production": alias}, newest, {}, versions=versions)
    judgement = judge(read_reply(rule, reply, found, "here"))
    return model(f"model-{number}", Pair("production", "Production", alias, stages, judgement))


@pytest.mark.parametrize(
    "pointers",
    [
        [(None, 3), (None, 4)],
        [(3, 4), (7, 2)],
        [(3, 4, 5), (1, 7, 8), (None, 4, 5, 6)],
        [(11, 3), (12, 4), (99, 1)],
        [(3,), (4,)],
        [(3, 3), (4, 4)],
        [(None,), (None,)],
    ],
    ids=str,
)
def test_models_that_are_judged_alike_have_one_reason(pointers: list[tuple[int | None, ...]]) -> None:
    """What is really said of two models in the same state has one shape."""
    fleet = [
        judged(number, alias, *(each for each in stages if each)) for number, (alias, *stages) in enumerate(pointers)
    ]
    assert [row[0] for row in page(*fleet).reasons] == [str(len(pointers))]


def test_each_model_names_its_reasons_for_the_script() -> None:
    """A row has the numbers of its reasons, which are those of the buttons."""
    found = page(decision("a"), safe("b"), safe("c"))
    rows = [each.attributes["data-r"] for each in found.all("tr") if "data-r" in each.attributes]
    buttons = [each.attributes["value"] for each in found.all("button") if "aria-pressed" in each.attributes]
    assert (rows, buttons) == (["1", "0", "0"], ["0", "1"])


# The models


def test_decisions_come_first() -> None:
    """Decisions, then what is safe, then what is done; within a class the order of the plan."""
    assert page(*MIXED).names == ["c", "e", "b", "d", "f", "h", "a", "g"]


def test_a_row_says_what_is_and_what_will_be() -> None:
    """Name, class, what each stage holds and each alias names, what changes, and why."""
    found = page(
        model(
            "news",
            pair(Class.SAFE, "the alias 'production' is not set", 3, holds=(3,)),
            pair(Class.NOTHING, "both pointers agree", of="Staging", names=4, holds=(4,)),
        )
    )
    assert found.models == [
        [
            "news",
            "SAFE",
            "3",
            "—",
            "4",
            "4",
            "alias production: nothing → 3",
            "Production: the alias 'production' is not set",
        ]
    ]


@pytest.mark.parametrize(
    ("planned", "change"),
    [
        (pair(Class.SAFE, target=3, holds=(3,)), "alias production: nothing → 3"),
        (pair(Class.SAFE, target=3, names=3), "stage Production: nothing → 3"),
        (pair(Class.SAFE, target=5, names=3, holds=(3, 4)), "alias production: 3 → 5\nstage Production: 3 and 4 → 5"),
        (pair(Class.SAFE, names=3, holds=(3,)), "Production: the open record is closed"),
        (pair(Class.SAFE, names=3, holds=(4,), under_way=True), "Production: waits for the promotion"),
        (pair(Class.DECISION, names=3, holds=(4,), journal=4, stage=4, alias=3),
         "Production: alias 3 · stage 4 · journal 4"),
        (pair(Class.DECISION, names=3, of="Staging", alias=3), "Staging: alias 3"),
        (pair(Class.DECISION, names=3), "Production: no choice yet"),
        (pair(Class.NOTHING, names=3, holds=(3,)), "—"),
    ],
    ids=str,
)  # fmt: skip
def test_a_change_is_told_by_pointer(planned: Pair, change: str) -> None:
    """A change shows from and to, a decision its choices, and an unchanged model a dash."""
    assert page(model("a", planned)).models[0][-2] == change


def test_several_versions_in_a_stage_are_all_named() -> None:
    """A cell names every version that the stage holds."""
    assert page(model("a", pair(Class.DECISION, holds=(3, 4, 11), of="Staging"))).models[0][2] == "3, 4, 11"


def test_a_model_with_a_problem_is_left_alone() -> None:
    """What lies in the name is the reason, whatever the pointers are like."""
    (row,) = page(model("a/b", pair(Class.SAFE, target=3, holds=(3,)), problem="rename it")).models
    assert row == ["a/b", "NEEDS A DECISION", "3", "—", "not changed", "rename it"]


def test_pointers_that_could_not_be_read_are_unknown() -> None:
    """A model without pairs has its cells like the others, with a question mark."""
    found = page(safe("a"), model("b", problem="delete one of its aliases"))
    assert found.models[0] == ["b", "NEEDS A DECISION", "?", "?", "not changed", "delete one of its aliases"]


def test_every_column_has_a_button_in_its_head() -> None:
    """Each head says its column by a button, and the order at first is by class."""
    found = page(*MIXED)
    heads = [each for each in found.all("th", scope="col") if each.within("table", id="models")]
    assert [each.text for each in found.all("button") if each.within("table", id="models")] == [
        "Model", "Class", "stage Production", "alias production", "Change, or choices", "Reasons",
    ]  # fmt: skip
    assert [each.attributes.get("aria-sort") for each in heads] == [None, "ascending", None, None, None, None]


def test_the_classes_can_be_ticked() -> None:
    """There is a ticked box for each class, with the name in the rows."""
    found = page(*MIXED)
    boxes = [each.attributes["value"] for each in found.all("input", type="checkbox") if "checked" in each.attributes]
    assert boxes == ["decision", "safe", "nothing"]
    assert {each.attributes["class"] for each in found.all("tr") if "data-r" in each.attributes} == set(boxes)


# What a registry may hold


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:30])
def test_a_name_is_nothing_but_text(text: str) -> None:
    """A name stands in the page as it is seen, and makes no element of its own."""
    plain, found = page(safe("a")), page(safe(text))
    assert found.names == [text.replace("\u202e", "\\u202e")]
    assert [(each.tag, sorted(each.attributes)) for each in found.elements] == [
        (each.tag, sorted(each.attributes)) for each in plain.elements
    ]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:30])
def test_everything_else_is_nothing_but_text(text: str) -> None:
    """Registry, patterns, aliases and reasons make no element either."""
    odd = Pair(text, "Production", 3, (4,), Judgement(Class.DECISION, text, choices={"alias": 3}))
    found, plain = (
        page(model("a", each), globs=(glob,), registry=registry)
        for each, glob, registry in ((odd, text, text), (pair(Class.DECISION, alias=3), "a", "https://mlflow.example"))
    )
    assert [each.tag for each in found.elements] == [each.tag for each in plain.elements]
    assert found.models[0][-1] == "Production: " + text.replace("\u202e", "\\u202e")


def test_a_name_has_a_direction_of_its_own() -> None:
    """A name in another direction of writing stands apart from what is beside it."""
    found = page(safe("\u05de\u05d5\u05d3\u05dc 3"))
    assert [each.text for each in found.all("bdi") if each.within("table")] == ["\u05de\u05d5\u05d3\u05dc 3"] * 2


def test_control_characters_are_seen() -> None:
    """What HTML would drop or take for a space is shown by its picture."""
    assert page(safe("a\tb\x00c\nd\x7f")).names == ["a␉b␀c␊d␡"]


def test_what_shows_nothing_or_turns_the_writing_is_escaped() -> None:
    """As on a terminal; a joiner of letters that are joined by it stays."""
    found = page(safe("a\u200bb\u202ec\u200dd \u0645\u06cc\u200c\u0634\u0648\u062f"))
    assert found.names == ["a\\u200bb\\u202ec\\u200dd \u0645\u06cc\u200c\u0634\u0648\u062f"]


def test_what_is_no_unicode_can_be_written() -> None:
    """Half a character, which no file can hold, is shown by its number."""
    found = page(safe("a\ud800b"))
    assert found.names == ["a\\ud800b"]
    assert found.source.encode()


def test_a_missing_template_engine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``mlflow-skinny`` alone there is no Jinja2: the error says what to install."""
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ProdpointerError, match=r"pip install 'prodpointer\[report\]'"):
        plan_page(Plan("sqlite:///mlflow.db", None, (), ()), NOON)

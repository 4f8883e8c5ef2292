"""A plan as one HTML page: what people read, sort and print before they apply it.

The page needs nothing but itself: no other file, no network, and a script only to sort and to filter. The page's own
policy lets no script and no style run but the two written here. Its template is ``report.html.jinja``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from prodpointer.migration.assess import Class, Prefer
from prodpointer.migration.plan import Pair, Plan, Planned
from prodpointer.pages.html import code, file_of, for_page, policy, render, style_of
from prodpointer.types import called

if TYPE_CHECKING:
    from markupsafe import Markup

_HERE = "prodpointer.migration"
_CSS_CLASSES = {Class.DECISION: "decision", Class.SAFE: "safe", Class.NOTHING: "nothing"}
_ORDER = tuple(_CSS_CLASSES)
_NARROWEST = 1.0  # percent of the bar: one model of ten thousand is still seen
_SIDES: dict[Prefer, str] = {
    "alias": "what the alias names",
    "stage": "what the stage holds, the highest of several",
    "journal": "what the recorded moves say",
}
_NONE, _UNREAD = "—", "?"

# Names go first, since anything may stand in them. An apostrophe within a word opens nothing, and the alias of the rule
# is the same for every model. Numbers with dots are releases of MLflow.
_SHAPES = (
    (re.compile(r"""(?<!\w)(?<!the alias )(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""), "'…'"),
    (re.compile(r"'…'(?: and '…')+"), "'…'"),
    (re.compile(r"\bevent [\w-]+"), "event …"),
    (re.compile(r"(?<![\w.])\d+(?!\.?\w)"), "N"),
    (re.compile(r"\bN(?: and N)+\b"), "N, M, …"),
)


def plan_page(plan: Plan, at: datetime) -> str:
    """Return the text of the page.

    Parameters
    ----------
    plan
        What ``migrate plan`` found.
    at
        When it was found.

    Raises
    ------
    ProdpointerError
        Jinja2, which comes with MLflow but not with ``mlflow-skinny``, is not installed.
    """
    rows = [_Reasons(model, tuple(dict.fromkeys(map(_shape, model.reasons)))) for model in plan.models]
    rows.sort(key=lambda each: _ORDER.index(each.model.kind))
    groups = _groups(rows)
    columns = tuple(dict.fromkeys((pair.stage, pair.alias) for each in rows for pair in each.model.pairs))
    numbers = {(group.kind, group.shape): number for number, group in enumerate(groups)}
    moment = at.astimezone(timezone.utc)
    decisions, settled = plan.counts[Class.DECISION.value], _settled(plan, *_SIDES)
    style, script = style_of(_HERE, "report.css"), file_of(_HERE, "report.js")
    return render(
        file_of(_HERE, "report.html.jinja"),
        plan=plan,
        style=style,
        script=script,
        policy=policy(style=style, script=script),
        machine_time=f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        time=f"{moment:%Y-%m-%d %H:%M:%S} UTC",
        next_step=_next_step(plan),
        decisions=decisions,
        settled=[(side, _settled(plan, side), _SIDES[side]) for side in _SIDES] if settled else [],
        open=decisions - settled,
        classes=_classes(plan),
        css=_CSS_CLASSES,
        groups=groups,
        columns=columns,
        rows=[_row(each, columns, numbers) for each in rows],
    )


@dataclass(frozen=True)
class _Reasons:
    """One model and the shapes of its reasons."""

    model: Planned
    shapes: tuple[str, ...]


@dataclass(frozen=True)
class _Group:
    """The models of one class whose reasons have one shape: how many, and the first."""

    kind: Class
    shape: str
    count: int
    example: str


def _shape(reason: str) -> str:
    """Return what a reason has in common with those of other models: without its numbers, ids and names."""
    for pattern, instead in _SHAPES:
        reason = pattern.sub(instead, reason)
    return reason


def _groups(rows: Iterable[_Reasons]) -> list[_Group]:
    """Return the reasons by their shape, the most frequent first."""
    names: dict[tuple[Class, str], list[str]] = {}
    for each in rows:
        for found in each.shapes:
            names.setdefault((each.model.kind, found), []).append(each.model.name)
    groups = [_Group(kind, found, len(named), named[0]) for (kind, found), named in names.items()]
    return sorted(groups, key=lambda group: (-group.count, _ORDER.index(group.kind), group.shape))


def _many(count: int) -> str:
    """Return a number of models in words."""
    return f"{count:,} model{'' if count == 1 else 's'}"


# What to do next


def _next_step(plan: Plan) -> str:
    """Return what to do next, as HTML where it names a command: start, then apply, then what needs a decision."""
    if not plan.models:
        return "No registered model was found: check the registry and the patterns."
    steps = [_start_step(plan), _apply_step(plan), _decision_step(plan)]
    if plan.is_done:
        steps.append(_command("verify", plan.globs) + " compares the pointers as plain clients read them.")
    return _html(" ").join(step for step in steps if step)


def _start_step(plan: Plan) -> str:
    """Return what ``start`` does, the empty text for nothing."""
    marks = plan.changes["start"]
    what = f" marks {_many(marks)}, so that every promotion moves both pointers."
    return _command("start", plan.globs) + what if marks else ""


def _apply_step(plan: Plan) -> str:
    """Return what ``apply`` does, the empty text for nothing."""
    if not any(model.may_be_migrated(None) for model in plan.models):
        return ""
    moves, models = plan.changes["apply"], sum(model.may_be_migrated(None) for model in plan.models)
    pointers = f"{moves:,} pointer{'' if moves == 1 else 's'}"
    then = " then" if plan.changes["start"] else ""
    return _command("apply", plan.globs) + f"{then} moves {pointers} of {_many(models)} without a decision."


def _decision_step(plan: Plan) -> str:
    """Return what to do about models that need a decision, the empty text where none does."""
    decisions = plan.counts[Class.DECISION.value]
    if not decisions:
        return ""
    need = f"{_many(decisions)} need{'s' if decisions == 1 else ''} a decision"
    if not _settled(plan, *_SIDES):
        return _html(f"{need}: do what the reasons say, then make another plan.")
    asked = code("prodpointer migrate apply --models 'PATTERN' --prefer alias|stage|journal")
    return _html(f"{need}: choose the pointer that counts, pattern by pattern: ") + asked + "."


def _html(text: str) -> Markup:
    """Return a text as HTML, to which more of either is added."""
    from markupsafe import escape

    return escape(text)


def _command(verb: str, globs: Sequence[str]) -> Markup:
    """Return a command for the models of the plan, as a shell takes it."""
    return code(shlex.join(["prodpointer", "migrate", verb, *(part for glob in globs for part in ("--models", glob))]))


def _settled(plan: Plan, *sides: Prefer) -> int:
    """Return how many of the models that need a decision are settled by one of these sides."""
    asked = [model for model in plan.models if model.kind is Class.DECISION and not model.problem]
    return sum(any(_settles(model, side) for side in sides) for model in asked)


def _settles(model: Planned, side: Prefer) -> bool:
    """Tell whether a side decides every pair of a model that needs a decision."""
    judged = [pair.judgement for pair in model.pairs]
    return all(side in each.choices for each in judged if each.kind is Class.DECISION)


# The counts and the bar


def _classes(plan: Plan) -> list[dict[str, Any]]:
    """Return each class with its count, its share, and where its part of the bar is, in percent."""
    counts, total = [plan.counts[kind.value] for kind in _ORDER], len(plan.models)
    widths = _widths(counts) if total else [0.0 for _ in counts]
    return [
        {
            "css": _CSS_CLASSES[kind],
            "name": kind.value,
            "count": count,
            "share": _share(count, total),
            "left": sum(widths[:number]),
            "width": widths[number],
        }
        for number, (kind, count) in enumerate(zip(_ORDER, counts, strict=True))
    ]


def _widths(counts: Sequence[int]) -> list[float]:
    """Return the shares in percent of the bar; what is there at all stays wide enough to be seen."""
    total = sum(counts)
    found = [max(100 * count / total, _NARROWEST) if count else 0.0 for count in counts]
    widest = found.index(max(found))
    found[widest] += 100 - sum(found)
    return found


def _share(count: int, total: int) -> str:
    """Return a share in words: never none for something, never all for less."""
    percent = 100 * count / total if total else 0.0
    if 0 < percent < 0.1:
        return "under 0.1 %"
    return "over 99.9 %" if 99.9 < percent < 100 else f"{percent:.1f} %"


# The models


def _row(row: _Reasons, columns: Sequence[tuple[str, str]], numbers: dict[tuple[Class, str], int]) -> dict[str, Any]:
    """Return one model as a row: its class, the numbers of its reasons, its name and its cells."""
    model = row.model
    pairs = {(pair.stage, pair.alias): pair for pair in model.pairs}
    pointers = [cell for column in columns for cell in _pointers(pairs.get(column))]
    return {
        "css": _CSS_CLASSES[model.kind],
        "groups": " ".join(str(numbers[model.kind, found]) for found in row.shapes),
        "name": model.name,
        "cells": [model.kind.value, *pointers, _lines(_changes(model)) or _NONE, _lines(model.reasons)],
    }


def _lines(texts: Iterable[str]) -> str:
    """Return texts, each on a line of its own where the style keeps lines."""
    from markupsafe import Markup

    return Markup("\n").join(map(for_page, texts))


def _pointers(pair: Pair | None) -> tuple[str, str]:
    """Return what the stage holds and what the alias names; unknown for a model whose pointers cannot be read."""
    if pair is None:
        return _UNREAD, _UNREAD
    return ", ".join(map(str, pair.holds)) or _NONE, _NONE if pair.names is None else str(pair.names)


def _changes(model: Planned) -> list[str]:
    """Return what will change, a line each; of a decision what there is to choose from."""
    if model.problem:
        return ["not changed"]
    start = ["start: every promotion moves both pointers"] if model.marked else []
    return start + [line for pair in model.pairs for line in _changes_of_pair(pair)]


def _changes_of_pair(pair: Pair) -> list[str]:
    """Return what will change of one alias and its stage."""
    judged = pair.judgement
    if judged.kind is Class.NOTHING:
        return []
    if judged.kind is Class.DECISION:
        sides = " · ".join(f"{side} {judged.choices[side]}" for side in _SIDES if side in judged.choices)
        return [f"{pair.stage}: {sides or 'no choice yet'}"]
    if judged.target is None:
        return [f"{pair.stage}: {'waits for the promotion' if judged.under_way else 'the open record is closed'}"]
    after = ", after start" if pair.after_start else ""
    return [
        f"{each.pointer} {each.name}: {' and '.join(map(str, each.was)) or called(None)} → {each.to}{after}"
        for each in pair.changes
    ]

"""A plan as one HTML page: what people read, sort and print before they let a fleet be carried.

The page needs nothing but itself: no other file, no network, and a script only to sort and to filter. Whatever comes
from a registry is escaped, and the page's own policy lets no script and no style run but the two written here.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from prodpointer.drift import Class, Prefer
from prodpointer.plan_template import MODELS, PAGE, PATTERNS, REASONS, SCRIPT, STYLE
from prodpointer.planning import Pair, Plan, Planned
from prodpointer.records import called

_CSS_CLASSES = {Class.DECISION: "decision", Class.SAFE: "safe", Class.NOTHING: "nothing"}
_ORDER = tuple(_CSS_CLASSES)
_NARROWEST = 1.0  # percent of the bar: one model of ten thousand is still seen
_SIDES: dict[Prefer, str] = {
    "alias": "what the alias names",
    "stage": "what the stage holds, the highest of several",
    "journal": "what the record of moves tells",
}
_NONE, _UNREAD = "—", "?"
_PICTURES = {code: 0x2400 + code for code in range(32)} | {0x7F: 0x2421}
"""A picture of each control character, which HTML would drop or take for a space."""

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
    """
    told = [_Told(model, tuple(dict.fromkeys(map(_shape, model.reasons)))) for model in plan.models]
    told.sort(key=lambda each: _ORDER.index(each.model.kind))
    groups = _groups(told)
    moment = at.astimezone(timezone.utc)
    return PAGE.substitute(
        style=STYLE,
        script=SCRIPT,
        policy=_policy(),
        registry=_text(plan.registry),
        registry_version=_text(f"MLflow {plan.registry_version}" if plan.registry_version else "not told"),
        patterns=" ".join(f"<code><bdi>{_text(glob)}</bdi></code>" for glob in plan.globs) or "none: every model",
        machine_time=f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        time=f"{moment:%Y-%m-%d %H:%M:%S} UTC",
        next_step=_next_step(plan),
        sides=_sides(plan),
        counts=_counts(plan),
        reasons=_reasons(groups),
        models=_models(told, groups) if told else "",
    )


@dataclass(frozen=True)
class _Told:
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


def _groups(told: Iterable[_Told]) -> list[_Group]:
    """Return the reasons by their shape, the most frequent first."""
    names: dict[tuple[Class, str], list[str]] = {}
    for each in told:
        for found in each.shapes:
            names.setdefault((each.model.kind, found), []).append(each.model.name)
    groups = [_Group(kind, found, len(named), named[0]) for (kind, found), named in names.items()]
    return sorted(groups, key=lambda group: (-group.count, _ORDER.index(group.kind), group.shape))


def _text(value: object) -> str:
    """Return anything as text that is nothing but text in HTML, and that every file can hold."""
    readable = str(value).encode("utf-8", "backslashreplace").decode("utf-8")
    return html.escape(readable.translate(_PICTURES))


def _lines(texts: Iterable[str]) -> str:
    """Return texts, each on a line of its own where the style keeps lines."""
    return "\n".join(_text(text) for text in texts)


def _many(count: int) -> str:
    """Return a number of models in words."""
    return f"{count:,} model{'' if count == 1 else 's'}"


def _policy() -> str:
    """Return the policy by which a browser runs the page's own style and script, and asks nobody for anything."""
    style, script = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii") for text in (STYLE, SCRIPT)
    )
    rest = "base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; {rest}"


# What to do next


def _next_step(plan: Plan) -> str:
    """Return one sentence on what to do next."""
    safe, decisions = plan.counts[Class.SAFE.value], plan.counts[Class.DECISION.value]
    if not plan.models:
        return "No registered model was found: look at the registry and at the patterns."
    if plan.is_done:
        return f"Nothing is to be done or decided: {_command('verify', plan.globs)} asks as plain clients do."
    if not decisions:
        return f"{_command('apply', plan.globs)} carries what is safe ({_many(safe)})."
    carried = any(model.may_be_carried(None) for model in plan.models)
    first = f"{_command('apply', plan.globs)} carries what is safe; what" if carried else "What"
    first = f"{first} needs a decision ({_many(decisions)})"
    if not _settled(plan, *_SIDES):
        return f"{first} waits for what its reasons name, and then for another plan."
    asked = _code("prodpointer migrate apply --models 'PATTERN' --prefer alias|stage|journal")
    return f"{first} stays as it is until you say, pattern by pattern, which side counts: {asked}."


def _command(verb: str, globs: Sequence[str]) -> str:
    """Return a command for the models of the plan, as a shell takes it."""
    return _code(shlex.join(["prodpointer", "migrate", verb, *(part for glob in globs for part in ("--models", glob))]))


def _code(text: str) -> str:
    """Return what may be typed."""
    return f"<code>{_text(text)}</code>"


def _settled(plan: Plan, *sides: Prefer) -> int:
    """Return how many of the models that need a decision are settled by one of these sides."""
    asked = [model for model in plan.models if model.kind is Class.DECISION and not model.problem]
    return sum(any(_settles(model, side) for side in sides) for model in asked)


def _settles(model: Planned, side: Prefer) -> bool:
    """Tell whether a side decides every pair of a model that needs a decision."""
    judged = [pair.judgement for pair in model.pairs]
    return all(side in each.choices for each in judged if each.kind is Class.DECISION)


def _sides(plan: Plan) -> str:
    """Return how many decisions each side settles, the empty text where no side settles any."""
    decisions, settled = plan.counts[Class.DECISION.value], _settled(plan, *_SIDES)
    if not settled:
        return ""
    items = [f"{_code(f'--prefer {side}')} settles {_settled(plan, side):,}, with {_SIDES[side]}" for side in _SIDES]
    if decisions > settled:
        items.append(f"no side settles {decisions - settled:,}: their reasons name what has to be done first")
    listed = "\n".join(f"<li>{item}</li>" for item in items)
    return f"<p>Of what needs a decision ({_many(decisions)})</p>\n<ul>\n{listed}\n</ul>"


# The counts and the bar


def _counts(plan: Plan) -> str:
    """Return the three counts and, of a fleet that is not empty, the bar of their shares."""
    counts, total = [plan.counts[kind.value] for kind in _ORDER], len(plan.models)
    items = [
        f'<li>{_swatch(kind)}<b>{count:,}</b> {kind.value} <span class="soft">{_share(count, total)}</span></li>'
        for kind, count in zip(_ORDER, counts, strict=True)
    ]
    listed = "\n".join(items)
    return f'{_bar(counts, total) if total else ""}<ul class="counts">\n{listed}\n</ul>'


def _bar(counts: Sequence[int], total: int) -> str:
    """Return the bar: colour, pattern and text each tell the classes apart."""
    parts, left = [], 0.0
    for kind, width in zip(_ORDER, _widths(counts), strict=True):
        if width:
            size = f'x="{left:.2f}%" width="{width:.2f}%" height="100%"'
            parts.append(f'<rect class="{_CSS_CLASSES[kind]}" {size}/>')
            left += width
    told = ", ".join(
        f"{kind.value}: {count:,} ({_share(count, total)})" for kind, count in zip(_ORDER, counts, strict=True)
    )
    label = f"Shares of {_many(total)}. {told}"
    return f'<svg class="bar" role="img" aria-label="{label}">{PATTERNS}{"".join(parts)}</svg>\n'


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


def _swatch(kind: Class) -> str:
    """Return the sign of a class as the bar shows it."""
    square = f'<rect class="{_CSS_CLASSES[kind]}" width="100%" height="100%"/>'
    return f'<svg class="swatch" aria-hidden="true">{square}</svg>'


# The reasons and the models


def _reasons(groups: Sequence[_Group]) -> str:
    """Return a table of the reasons; its buttons list the models of one."""
    if not groups:
        return ""
    rows = "\n".join(
        f'<tr><td class="number"><button type="button" aria-pressed="false" value="{number}" disabled>'
        f"{group.count:,}</button></td><td>{_text(group.shape)}</td>"
        f'<td class="{_CSS_CLASSES[group.kind]}">{group.kind.value}</td><td><bdi>{_text(group.example)}</bdi></td></tr>'
        for number, group in enumerate(groups)
    )
    return REASONS.substitute(rows=rows)


def _models(told: Sequence[_Told], groups: Sequence[_Group]) -> str:
    """Return the controls and the table of the models."""
    columns = tuple(dict.fromkeys((pair.stage, pair.alias) for each in told for pair in each.model.pairs))
    numbers = {(group.kind, group.shape): number for number, group in enumerate(groups)}
    heads = [_head("Model"), _head("Class", ' aria-sort="ascending"')]
    for stage, alias in columns:
        heads += [_head(f"stage {stage}", ' class="version"'), _head(f"alias {alias}", ' class="version"')]
    heads += [_head("Change, or choices", ' class="change"'), _head("Reasons")]
    boxes = "\n".join(
        f'<label><input type="checkbox" value="{css}" checked> {kind.value}</label>'
        for kind, css in _CSS_CLASSES.items()
    )
    rows = "\n".join(_row(each, columns, numbers) for each in told)
    return MODELS.substitute(heads="".join(heads), boxes=boxes, rows=rows, count=_many(len(told)))


def _head(text: str, attributes: str = "") -> str:
    """Return the head of one column; its button is dead until a script can sort."""
    return f'<th scope="col" role="columnheader"{attributes}><button type="button" disabled>{_text(text)}</button></th>'


def _row(told: _Told, columns: Sequence[tuple[str, str]], numbers: dict[tuple[Class, str], int]) -> str:
    """Return one model."""
    model = told.model
    pairs = {(pair.stage, pair.alias): pair for pair in model.pairs}
    cells = [model.kind.value]
    for column in columns:
        cells += _pointers(pairs.get(column))
    cells += [_lines(_changes(model)) or _NONE, _lines(model.reasons)]
    groups = " ".join(str(numbers[model.kind, found]) for found in told.shapes)
    rest = "".join(f"<td>{cell}</td>" for cell in cells)
    head = f'<th scope="row"><bdi>{_text(model.name)}</bdi></th>'
    return f'<tr class="{_CSS_CLASSES[model.kind]}" data-r="{groups}">{head}{rest}</tr>'


def _pointers(pair: Pair | None) -> tuple[str, str]:
    """Return what the stage holds and what the alias names; unknown for a model whose pointers cannot be read."""
    if pair is None:
        return _UNREAD, _UNREAD
    return ", ".join(map(str, pair.holds)) or _NONE, _NONE if pair.names is None else str(pair.names)


def _changes(model: Planned) -> list[str]:
    """Return what will change, a line each; of a decision what there is to choose from."""
    if model.problem:
        return ["left alone"]
    return [line for pair in model.pairs for line in _changes_of_pair(pair)]


def _changes_of_pair(pair: Pair) -> list[str]:
    """Return what will change of one alias and its stage."""
    judged = pair.judgement
    if judged.kind is Class.NOTHING:
        return []
    if judged.kind is Class.DECISION:
        sides = " · ".join(f"{side} {judged.choices[side]}" for side in _SIDES if side in judged.choices)
        return [f"{pair.stage}: {sides or 'no choice yet'}"]
    if judged.target is None:
        return [f"{pair.stage}: {'waits for the move' if judged.under_way else 'the record is closed'}"]
    return _moves(pair, judged.target)


def _moves(pair: Pair, target: int) -> list[str]:
    """Return the pointers of a pair that do not name the target yet."""
    stages = {f"alias {pair.alias}": (pair.names,) if pair.names else (), f"stage {pair.stage}": pair.holds}
    return [
        f"{pointer}: {' and '.join(map(str, was)) or called(None)} → {target}"
        for pointer, was in stages.items()
        if was != (target,)
    ]

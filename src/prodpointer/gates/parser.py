"""The text form of a gate, as the command line takes it.

::

    gate       = metric comparison [ "and" comparison ] [ "across datasets" ]
    metric     = letters, digits, "_", ".", "/", ":" and "-", or anything in single or double quotes
    comparison = ( ">=" | "<=" ) ( number | "production" [ ( "+" | "-" ) number ] )

``str(gate)`` is a text that is read as the same gate.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any

from prodpointer.errors import InvalidName
from prodpointer.gates.gate import NUMBER, PLAIN_METRIC, Gate
from prodpointer.types import LIVE

_LONGEST = 1000
_BOUND = rf"(?:production\b(?:\s*[+-]\s*{NUMBER})?|[+-]?{NUMBER})"
_GATE = re.compile(
    rf"""\s* (?P<metric> "[^"]*" | '[^']*' | {PLAIN_METRIC} )
    \s* (?P<sign> >= | <= ) \s* (?P<bound> {_BOUND} )
    (?: \s* \b and \b \s* (?P=sign) \s* (?P<second> {_BOUND} ) )?
    (?P<across> \s* \b across \s+ datasets )? \s*""",
    re.VERBOSE | re.IGNORECASE,
)
_HINTS = {
    r"^\s*[\w./:-]+\s+[\w./:-]+\s*[<>]=": "The name of a metric with blanks goes in quotes.",
    r"%": "Write a percentage as its number: 0.5% is 0.005.",
    r"production\s*[*/]": "A margin is added to production or subtracted from it.",
    r"[0-9]\s*[+-]\s*production": "A margin follows 'production'.",
    r"[0-9],": "Decimals follow a point, and several gates are given one by one.",
    r"\band\b": "'and' joins a number and production, each once. Another metric or sign takes a gate of its own.",
    r"nan|inf": "A threshold is a finite number.",
}
"""Common mistakes in the text of a gate, each with the hint that the error adds."""


def gates_of(given: Iterable[object]) -> tuple[Gate, ...]:
    """Return gates given as such or as text, or raise ``InvalidName``."""
    if isinstance(given, str | Gate):
        raise InvalidName(f"Invalid gates {str(given)!r}: a list is expected.", next_step="Give a list.")
    return tuple(each if isinstance(each, Gate) else parse_gate(each) for each in given)


def parse_gate(text: object) -> Gate:
    """Return the gate that a text describes, such as ``ndcg_at_10 >= production + 0.002``.

    Raises
    ------
    InvalidName
        The text is not a gate.
    """
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise InvalidName(
            f"Invalid gate {str(text)[:80]!r}: a gate is a text of at most {_LONGEST} characters.",
            next_step='Write it like "auc >= 0.8".',
        )
    found = _GATE.fullmatch(text)
    if found is None:
        raise _invalid(text)
    metric, less = found["metric"], found["sign"] == "<="
    if metric[0] in "\"'":
        metric = metric[1:-1]
    elif re.fullmatch(f"[+-]?{NUMBER}", metric) or metric.casefold() == LIVE:
        raise _invalid(text, "The metric comes first, in quotes if its name is a number or 'production'.")
    bounds: dict[str, Any] = dict(
        _option(bound, text, less=less) for bound in (found["bound"], found["second"]) if bound
    )
    if len(bounds) < 1 + bool(found["second"]):
        raise _invalid(text)
    return Gate(metric, direction="min" if less else "max", across_datasets=bool(found["across"]), **bounds)


def _option(bound: str, text: str, *, less: bool) -> tuple[str, float]:
    """Return a bound as an option of a gate."""
    compared = bound[: len(LIVE)].casefold() == LIVE
    written = re.sub(r"\s", "", bound[len(LIVE) :] if compared else bound) or "0"
    number = float(written)
    if abs(number) >= sys.float_info.max:
        raise _invalid(text, "A threshold is a finite number.")
    if compared:
        return "better_than_production_by", (-number if less else number) + 0.0
    return ("at_most" if less else "at_least"), number


def _invalid(text: str, hint: str = "") -> InvalidName:
    """Return the error for a text that is not a gate."""
    said = hint or next((hint for pattern, hint in _HINTS.items() if re.search(pattern, text, re.IGNORECASE)), "")
    return InvalidName(
        f"Invalid gate {text!r}.{' ' * bool(said)}{said}",
        next_step='Write it like "auc >= 0.8" or "ndcg_at_10 >= production + 0.002".',
    )

"""The text form of a gate, as the command line takes it.

::

    gate       = metric comparison [ "and" comparison ] [ "across" "datasets" ]
    metric     = letters, digits, "_", ".", "/", ":" and "-", or anything in single or double quotes
    comparison = ( ">=" | "<=" ) ( number | "production" [ ( "+" | "-" ) number ] )

``str(gate)`` is a text that is read as the same gate.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from prodpointer.errors import InvalidName
from prodpointer.gates import NUMBER, PLAIN_METRIC, Gate
from prodpointer.verdicts import LIVE

_LONGEST = 1000
_OF_ITS_OWN = " (the other direction, or another metric, takes a gate of its own)"


def gates_of(given: Iterable[object]) -> tuple[Gate, ...]:
    """Return gates given as such or as text, or raise ``InvalidName``."""
    if isinstance(given, str | Gate):
        raise InvalidName(f"{str(given)!r} is one gate, and several are asked for.", next_step="Give a list of gates.")
    return tuple(each if isinstance(each, Gate) else parse_gate(each) for each in given)


def parse_gate(text: object) -> Gate:
    """Return the gate that a text describes, such as ``ndcg_at_10 >= production + 0.002``.

    Raises
    ------
    InvalidName
        The text is no gate; the message says where and what was expected there.
    """
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise InvalidName(
            f"{str(text)[:80]!r} is no gate: a gate is a text of at most {_LONGEST} characters.",
            next_step='Write it like "auc >= 0.8".',
        )
    return _Reader(text).gate()


class _Reader:
    """The text of a gate, read from left to right; what a character means depends on the side it stands on.

    Left of the comparison ``-`` belongs to the metric's name, right of it it is a sign.
    """

    def __init__(self, text: str) -> None:
        """Begin at the first character."""
        self._text = text
        self._at = 0

    def gate(self) -> Gate:
        """Read the whole text as a gate."""
        metric = self._metric()
        sign = self._comparison("")
        options = self._bound(sign)
        if self._take(r"and\b"):
            self._second_bound(sign, options)
        if self._take(r"across\b"):
            self._expect(r"datasets\b", "'datasets' after 'across'")
            self._skip_blanks()
            options["across_datasets"] = True
        if self._skip_blanks() < len(self._text):
            raise self._error(self._expected_end(options))
        return Gate(metric, direction="max" if sign == ">=" else "min", **options)

    def _metric(self) -> str:
        """Read a metric's name."""
        if (quote := self._take("[\"']")) is not None:
            name = self._expect_raw(f"[^{quote}]*", "")
            self._expect_raw(quote, f"the closing quote {quote}")
            return name
        start = self._skip_blanks()
        name = self._expect(PLAIN_METRIC, "the name of a metric")
        if re.fullmatch(f"[+-]?{NUMBER}", name) or name.casefold() == LIVE:
            self._at = start
            raise self._error("the name of a metric first, in quotes if it is such a word")
        return name

    def _comparison(self, after: str) -> str:
        """Read ``>=`` or ``<=``; ``after`` is the one that the gate has already."""
        start = self._skip_blanks()
        found = self._take(">=|<=")
        if found is None:
            step = " (a metric's name with blanks goes in quotes)" if self._text[start : start + 1].isalnum() else ""
            raise self._error(f"'{after}'{_OF_ITS_OWN}" if after else f"'>=' or '<='{step}")
        if after and found != after:
            self._at = start
            raise self._error(f"'{after}'{_OF_ITS_OWN}")
        return found

    def _second_bound(self, sign: str, options: dict[str, Any]) -> None:
        """Read what follows ``and``: the other kind of bound in the same direction."""
        self._comparison(sign)
        start = self._skip_blanks()
        more = self._bound(sign)
        if options.keys() & more.keys():
            self._at = start
            raise self._error("a number and production, each once")
        options.update(more)

    def _bound(self, sign: str) -> dict[str, Any]:
        """Read a number, or production with a margin, as an option of the gate."""
        start = self._skip_blanks()
        if (word := self._take(r"[^\W\d]\w*")) is not None:
            if word.casefold() != LIVE:
                self._at = start
                raise self._error("a finite number or 'production'")
            return {"better_than_production_by": self._better_by(sign)}
        number = self._finite(f"[+-]?{NUMBER}", "a finite number or 'production'")
        return {"at_least" if sign == ">=" else "at_most": number}

    def _better_by(self, sign: str) -> float:
        """Read the margin, if there is one, as the amount by which to be better."""
        operator = self._take("[+-]")
        if operator is None:
            return 0.0
        margin = self._finite(NUMBER, "a finite number without a sign")
        return margin if (operator == "+") == (sign == ">=") else -margin

    def _finite(self, pattern: str, expected: str) -> float:
        """Read a finite number."""
        start = self._skip_blanks()
        number = float(self._expect(pattern, expected))
        if abs(number) >= sys.float_info.max:
            self._at = start
            raise self._error("a finite number")
        return number

    def _expected_end(self, options: Mapping[str, Any]) -> str:
        """Return what is expected after a whole gate, with a word on what people write there."""
        found = self._text[self._at]
        compares = "better_than_production_by" in options
        if found == "%":
            return "the end; a percentage is written as its number, 0.5% as 0.005"
        if found in "*/" and compares:
            return "'+', '-' or the end; production takes a margin and no factor"
        if found in "+-" and not compares:
            return "the end; a margin follows 'production'"
        if found == ",":
            return "the end; decimals follow a point, and several gates are given one by one"
        return "the end of the gate"

    def _skip_blanks(self) -> int:
        """Move to the next character that is no blank, and return its position."""
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
        return self._at

    def _take(self, pattern: str) -> str | None:
        """Read what matches after blanks, or nothing."""
        match = re.compile(pattern).match(self._text, self._skip_blanks())
        if match is None:
            return None
        self._at = match.end()
        return match[0]

    def _expect(self, pattern: str, expected: str) -> str:
        """Read what matches after blanks, or raise."""
        found = self._take(pattern)
        if found is None:
            raise self._error(expected)
        return found

    def _expect_raw(self, pattern: str, expected: str) -> str:
        """Read what matches right here, blanks included, or raise."""
        match = re.compile(pattern).match(self._text, self._at)
        if match is None:
            raise self._error(expected)
        self._at = match.end()
        return match[0]

    def _error(self, expected: str) -> InvalidName:
        """Return the error for the present position, with a line that points to it."""
        found = re.compile(r"\w+|[<>=!]+|.", re.DOTALL).match(self._text, self._at)
        shown = "".join(character if character.isprintable() else " " for character in self._text)
        width = sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in shown[: self._at])
        return InvalidName(
            f"That is no gate: at character {self._at + 1}, {repr(found[0]) if found else 'the end'} stands where "
            f"there should be {expected}.",
            next_step='Write it like "auc >= 0.8" or "ndcg_at_10 >= production + 0.002":\n'
            f"    {shown}\n    {' ' * width}^",
        )

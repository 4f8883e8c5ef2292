"""How texts and numbers are shown: what a reader cannot see is escaped, and nothing is longer than it helps."""

from __future__ import annotations

import math
import re
from collections.abc import Collection

# Control characters of both blocks, separators of lines, and what turns the direction of writing.
CONTROLS = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
# Characters that format and show nothing of their own (Unicode's category Cf without the signs of Arabic and others
# that are drawn), tags, and those of private use. Two of them are left out: see ``JOINERS``.
HIDDEN = (
    r"\u00ad\u180e\u200b\u2060-\u206f\ufeff\ufff9-\ufffb\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    r"\U0001d173-\U0001d17a\U000e0000-\U000e007f\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd"
)
JOINERS = r"\u200c\u200d"
"""Zero-width joiner and non-joiner: the scripts of Persian, Hindi and others, and emoji, are written with them."""

INVISIBLE = re.compile(
    # A joiner after nothing or after ASCII joins nothing.
    rf"[{CONTROLS}{HIDDEN}\r\ud800-\udfff]|(?<![^\x00-\x7f{JOINERS}])[{JOINERS}]"
)

_LISTED = 5  # names
_DIGITS = 6  # of a number, where they tell it from those beside it
_ALL_DIGITS = 17  # tell any two floats apart


def visible(text: str) -> str:
    """Return a text fit for a terminal, whoever wrote it: what it would act on or cannot show is escaped."""
    return INVISIBLE.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def shortened(text: str, longest: int) -> str:
    """Return a text, or its beginning with the length that it has."""
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text):,} characters)"


def text_of(error: BaseException) -> str:
    """Return the text of an error; the empty text where its ``__str__`` raises."""
    try:
        return str(error)
    except BaseException:  # noqa: BLE001  # whatever it raises: the error itself is what matters
        return ""


def list_some(names: Collection[str]) -> str:
    """Return the first few names in order, and how many more there are."""
    rest = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(sorted(names)[:_LISTED]) + rest


def number_text(number: float, *beside: float) -> str:
    """Return a number as people write it: 0.21, not 0.20999999999999996.

    It has as many digits as tell it from different numbers ``beside`` it, which are written the same way.
    """
    for digits in range(_DIGITS, _ALL_DIGITS):
        found = _rounded(number, digits)
        if all(other == number or _rounded(other, digits) != found for other in beside):
            return found
    return repr(number)


def _rounded(number: float, digits: int) -> str:
    """Return a number of so many digits, or of more where it is a large one, whose end matters."""
    whole = len(f"{abs(number):.0f}") if math.isfinite(number) and abs(number) < 1e15 else 0
    return f"{number:.{max(digits, whole)}g}"

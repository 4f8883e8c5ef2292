"""What of a text a reader cannot see, and how it is shown: escaped, and not longer than it helps."""

from __future__ import annotations

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


def visible(text: str) -> str:
    """Return a text fit for a terminal, whoever wrote it: what it would act on or cannot show is escaped."""
    return INVISIBLE.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def shortened(text: str, longest: int) -> str:
    """Return a text, or its beginning with the length that it has."""
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text):,} characters)"


def list_some(names: Collection[str]) -> str:
    """Return the first few names in order, and how many more there are."""
    rest = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(sorted(names)[:_LISTED]) + rest

"""Compare output with a page: exactly, except for what differs between runs."""

from __future__ import annotations

import difflib
import re

ANYTHING = "…"
"""On a page: whatever stands here in this line; alone on a line, any lines."""

CHANGES = (
    (re.compile(r"\b\d{12}-[0-9a-f]{8}\b"), "EVENT"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "SHA-256"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "RUN"),
    (re.compile(r"\b\d{8}T\d{6}-[0-9a-f]{4}\b"), "A-RUN"),
    (re.compile(r"\b\d{4}-\d\d-\d\d([ T])\d\d:\d\d:\d\d(\.\d+)?"), r"TIME\1TIME"),
)


def difference(shown: str, printed: str) -> str:
    """Return how what was printed differs from what is shown, the empty text where it does not."""
    expected, actual = _plain(shown), _plain(printed)
    if re.fullmatch(_pattern(expected), actual):
        return ""
    return "\n".join(difflib.unified_diff(expected.splitlines(), actual.splitlines(), "shown", "printed", lineterm=""))


def _plain(text: str) -> str:
    """Return a text without what differs between runs, and without trailing blanks."""
    for pattern, instead in CHANGES:
        text = pattern.sub(instead, text)
    return "".join(f"{line.rstrip()}\n" for line in text.strip("\n").splitlines())


def _pattern(expected: str) -> str:
    """Return the pattern of what may be printed."""
    lines = []
    for line in expected.splitlines(keepends=True):
        parts = [re.escape(part) for part in line.split(ANYTHING)]
        lines.append(r"(?:.*\n)*?" if line.strip() == ANYTHING else "[^\n]*?".join(parts))
    return "".join(lines)

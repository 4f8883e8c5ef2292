"""Almost valid documents, and replacement values. Everything drawn here is JSON."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

Path = tuple[str | int, ...]

DEEP = 100_000
WORDS = [
    "",
    " ",
    "None",
    "null",
    "true",
    "production",
    "Production",
    "churn",
    "0",
    "-1",
    "2.7",
    "1_0",
    "03",
    "\u0663",
    "1e400",
    "9" * 30,
    "9" * 5000,
    "nan",
    "\x00",
    "\ud800",
    "\x1b]8;;http://example.com\x07",
    "\u202e",
    "../../etc/passwd",
    "a" * 10_000,
    "999999999999-ffffffff",
    "000000000001-0000000g",
    "2026-11-30T12:00:00",
    "2026-11-30T12:00:00+00:00",
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59",
]
NUMBERS = [0, 1, -1, 2, 3, 2.7, True, False, None, 2**31, 2**63, 10**30, -(10**30), 1e308, float("inf"), float("nan")]

leaves = st.one_of(st.sampled_from(WORDS), st.sampled_from(NUMBERS), st.text(max_size=20), st.integers())
junk = st.recursive(
    leaves,
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(st.sampled_from(WORDS), below, max_size=3)),
    max_leaves=8,
)


def paths(document: Any, start: Path = ()) -> list[Path]:
    """Return the way to each part of a document, the whole of it first."""
    below: list[tuple[str | int, Any]] = []
    if isinstance(document, dict):
        below = list(document.items())
    elif isinstance(document, list):
        below = list(enumerate(document))
    return [start, *(path for key, part in below for path in paths(part, (*start, key)))]


def at(document: Any, path: Path) -> Any:
    """Return a part of a document."""
    for key in path:
        document = document[key]
    return document


@st.composite
def broken(draw: st.DrawFn, document: Any) -> Any:
    """Draw a document that differs from a right one in up to three parts."""
    found = copy.deepcopy(document)
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(paths(found)))
        action = draw(st.sampled_from(["junk", "drop", "swap", "wrap", "repeat"]))
        part = at(found, path)
        if action == "junk":
            new = draw(junk)
        elif action == "swap":
            new = copy.deepcopy(at(found, draw(st.sampled_from(paths(found)))))
        elif action == "wrap":
            new = [part]
        else:
            new = part * 2 if action == "repeat" and isinstance(part, list) and len(part) < 50 else part
        if not path:
            found = new
            continue
        around = at(found, path[:-1])
        if action == "drop":
            del around[path[-1]]
        else:
            around[path[-1]] = new
    return found


def texts(document: Any) -> st.SearchStrategy[str]:
    """Draw the text of a document that is nearly right, and texts that are no document."""
    written = json.dumps(document)
    return st.one_of(
        broken(document).map(json.dumps),
        broken(document).map(json.dumps),
        st.integers(0, len(written)).map(lambda end: written[:end]),
        st.sampled_from(
            ["", "{}", "[]", "null", "<html>", "NaN", "[" * DEEP, '{"a":' * DEEP, "9" * 20_000, "\ufeff{}"]
        ),
        st.text(max_size=200),
    )

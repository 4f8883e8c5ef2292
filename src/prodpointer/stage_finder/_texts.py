"""Uses of MLflow's stages in the texts of a Python file, however they are put together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from prodpointer.stage_finder.patterns import (
    OF_THE_TABLE,
    TAILS,
    URI,
    Edit,
    Found,
    is_python,
    quoted,
    stage_of,
    sure_tail,
)

if TYPE_CHECKING:
    import libcst as cst

    from prodpointer.stage_finder._source import Code

_HOLE = re.compile("\ue000(\\d+)\ue001")
_PLACES = {
    "%": re.compile(r"%(?:\((?P<key>\w+)\))?[#0 +-]*\d*(?:\.\d+)?[sdr]"),
    "format": re.compile(r"\{(?P<key>\w*)(?:![sr])?\}"),
}
_REST = re.compile(r"\bmodel-versions/(?P<write>transition-stage)\b|\bregistered-models/get-latest-versions\b")
_LONG = 160  # characters of a text, from which on the URI alone is written anew


class Hole(NamedTuple):
    """An expression in a text, as an f-string writes it between its braces."""

    code: str
    operand: str = ""  # as it may stand before a dot
    known: str = ""  # the text that it is, where the file tells
    is_stage: bool = False  # by what it is called
    formatted: bool = False


Piece = str | Hole
_Tail = tuple[list[Piece], str | None]


def filled(text: str, given: Mapping[str, Hole], sign: str) -> list[Piece]:
    """Return the parts of a text whose places ``%`` or ``format`` fills."""
    pieces: list[Piece] = []
    end = 0
    for number, match in enumerate(_PLACES[sign].finditer(text)):
        pieces += [text[end : match.start()], given.get(match["key"] or str(number), match[0])]
        end = match.end()
    return [*pieces, text[end:]]


def uses_in_text(code: Code, node: cst.BaseExpression, pieces: Sequence[Piece]) -> Iterator[Found]:
    """Yield the uses in one text."""
    text = "".join(
        piece.replace("\ue000", "\ufffd") if isinstance(piece, str) else f"\ue000{number}\ue001"
        for number, piece in enumerate(pieces)
    )
    for match in URI.finditer(text):
        if tail := _tail(pieces, match):
            what = "".join(map(_shown, _parts(match[0], pieces)))
            row, _ = _place(code, node, text, "models:", match.start())
            yield Found(row, "read", what, _instead(code, node, pieces, match, tail), _edit(code, node, match))
    for match in _REST.finditer(text):
        kind, verb = ("write", "promote(version)") if match["write"] else ("read", "production()")
        row, _ = _place(code, node, text, match[0], match.start())
        yield Found(row, "write" if kind == "write" else "read", match[0], f"prodpointer.connect(name).{verb}")
    if "current_stage" in text and OF_THE_TABLE.search(text):
        row, _ = _place(code, node, text, "current_stage", 0)
        yield Found(row, "read", "current_stage", "prodpointer.connect(name).live_version()")


def _tail(pieces: Sequence[Piece], match: re.Match[str]) -> _Tail | None:
    """Return what takes the place of a stage in a URI, and the alias for ``connect`` if any; None: it is no stage."""
    found = _HOLE.fullmatch(match["variable"] or "")
    hole = pieces[int(found[1])] if found else None
    stage = hole.known if isinstance(hole, Hole) else stage_of(match)
    known = stage.lower()
    if known not in TAILS and not (hole.is_stage if isinstance(hole, Hole) else stage):
        return None
    if known == "archived":
        return ["/", Hole("version")], None
    if known == "none" or not isinstance(hole, Hole):
        return [TAILS.get(known, f"@{stage}")], {"production": "", "staging": '"staging"'}.get(known)
    if hole.formatted:
        return ["@", hole], None
    return ["@", Hole(f"{hole.operand}.lower()")], hole.code


def _instead(code: Code, node: cst.BaseExpression, pieces: Sequence[Piece], match: re.Match[str], tail: _Tail) -> str:
    """Return the load by prodpointer where MLflow loads, else the text with an alias in its URI."""
    text = match.string
    load = code.load(node)
    new, alias = tail
    if load and alias is not None and match[0] == text and not text.startswith("models://"):
        model = code.connected(_written(_parts(match["name"], pieces)), alias, None)
        return code.in_line(load[0], f"{model}.load_production({load[1]})")
    before, after = text[: match.start("slash")], text[match.end() :]
    if "\n" in text or len(text) > _LONG:
        return _written([*_parts(before[match.start() :], pieces), *new])
    return code.in_line(node, _written([*_parts(before, pieces), *new, *_parts(after, pieces)]))


def _edit(code: Code, node: cst.BaseExpression, match: re.Match[str]) -> Edit | None:
    """Return the edit that writes an alias in place of a stage, where the text has it word for word."""
    old = match.string[match.start("slash") : match.end()]
    new = sure_tail(match)
    if not new or code.is_examined(node) or code.segment(node).count(old) != match.string.count(old):
        return None
    row, column = _place(code, node, match.string, old, match.start("slash"))
    return Edit((row, column), (row, column + len(old)), new)


def _place(code: Code, node: cst.BaseExpression, text: str, needle: str, position: int) -> tuple[int, int]:
    """Return the line and column of what stands at a position of a text, else where the text begins."""
    segment, found = code.segment(node), -1
    for _ in range(text.count(needle, 0, position) + 1):
        found = segment.find(needle, found + 1)
        if found < 0:
            break
    before = segment[: max(found, 0)]
    row, column = code.start(node)
    return row + before.count("\n"), len(before) - before.rfind("\n") - 1 + ("\n" not in before) * column


def _parts(text: str, pieces: Sequence[Piece]) -> list[Piece]:
    """Return the parts of a piece of text, its expressions in their places."""
    split = _HOLE.split(text)
    return [pieces[int(each)] if number % 2 else each for number, each in enumerate(split) if each]


def _shown(piece: Piece) -> str:
    """Return a part as an f-string shows it."""
    return piece if isinstance(piece, str) else f"{{{piece.code}}}"


def _written(pieces: Sequence[Piece]) -> str:
    """Return the expression that makes a text of its parts."""
    if all(isinstance(piece, str) for piece in pieces):
        return quoted("".join(map(str, pieces)))
    if len(pieces) == 1 and isinstance(pieces[0], Hole) and not pieces[0].formatted:
        return pieces[0].code
    text = "".join(re.sub(r"([{}])", r"\1\1", each) if isinstance(each, str) else _shown(each) for each in pieces)
    for quote in "\"'":
        written = f"f{quote}{text}{quote}"
        if text.isprintable() and not {quote, "\\"} & set(text) and is_python(written):
            return written
    return " + ".join(quoted(each) if isinstance(each, str) else _as_text(each) for each in pieces)


def _as_text(hole: Hole) -> str:
    """Return a call that makes a text of an expression."""
    if not hole.formatted:
        return f"str({hole.code})"
    quotes = [quote for quote in ('"', "'", '"""', "'''") if quote not in hole.code]
    return f"f{quotes[0]}{_shown(hole)}{quotes[0]}" if quotes else f"str({hole.operand})"

"""Uses of MLflow's stages in the texts of a Python file, however they are put together."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from prodpointer.stage_finder.patterns import OF_THE_TABLE, TAILS, URI, Found, stage_of
from prodpointer.stage_finder.source import SourceCode, last_name, parsed, quoted

Piece = str | ast.expr
"""A part of a text: as it stands, or the expression that fills it."""

_HOLE = re.compile("\ue000(\\d+)\ue001")
_PERCENT = re.compile(r"%(?:\((?P<key>\w+)\))?[#0 +-]*\d*(?:\.\d+)?[sdr]")
_FIELD = re.compile(r"\{(?P<key>\w*)(?:![sr])?\}")
_LOAD = re.compile(r"(?:.*\.)?mlflow\.(?:\w+\.)*?(?P<flavor>\w+)\.load_model")
_REST = re.compile(r"\bmodel-versions/(?P<write>transition-stage)\b|\bregistered-models/get-latest-versions\b")
_LONG = 160  # characters of a text, from which on the URI alone is written anew


class _Tail(NamedTuple):
    """What takes the place of a stage in a URI, and the text of the alias for ``connect``, None where there is none."""

    pieces: tuple[Piece, ...]
    alias: str | None = None


def uses_in_texts(code: SourceCode) -> Iterator[Found]:
    """Yield each use in the texts of a file; a docstring uses nothing."""
    done: set[ast.AST] = set()
    for node in code.names.nodes:
        if not isinstance(node, ast.expr) or node in done:
            continue
        pieces = _pieces(code, node, done)
        if any(isinstance(piece, str) for piece in pieces) and not isinstance(code.names.parents.get(node), ast.Expr):
            yield from _uses(code, node, pieces)


def _pieces(code: SourceCode, node: ast.expr, done: set[ast.AST]) -> list[Piece]:
    """Return the parts of a text, or the expression itself where it is none; note what is ``done`` with it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        done.add(node)
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        done.update([node, *node.values])
        return [_filling(value) for value in node.values]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts: list[ast.expr] = []
        while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            done.add(node)
            parts.insert(0, node.right)
            node = node.left
        return [piece for part in (node, *parts) for piece in _pieces(code, part, done)]
    template, given, pattern = _template(node)
    if template is not None:
        done.update([node, template])
        return _filled(str(template.value), given, pattern)
    if isinstance(node, ast.Call) and (joined := _joined(code, node)):
        done.add(node)
        return [piece for part in joined for piece in _pieces(code, part, done)]
    return [node]


def _filling(value: ast.expr) -> Piece:
    """Return a part of an f-string; a conversion or format makes an f-string of its own."""
    if isinstance(value, ast.Constant):
        return str(value.value)
    if isinstance(value, ast.FormattedValue) and value.conversion == -1 and value.format_spec is None:
        return value.value
    return ast.JoinedStr([value])


def _template(node: ast.expr) -> tuple[ast.Constant | None, Mapping[str, ast.expr], re.Pattern[str]]:
    """Return the text that ``%`` or ``format`` fills, what fills each place, and how a place is written."""
    left: ast.expr | None = None
    given: dict[str, ast.expr] = {}
    pattern = _PERCENT
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        left, right = node.left, node.right
        values = right.elts if isinstance(right, ast.Tuple) else [right]
        given = {str(number): value for number, value in enumerate(values)}
        if isinstance(right, ast.Dict):
            keys = [str(key.value) if isinstance(key, ast.Constant) else "" for key in right.keys]
            given = dict(zip(keys, right.values, strict=True))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        left, pattern = node.func.value, _FIELD
        given = {str(number): value for number, value in enumerate(node.args)}
        given |= {each.arg: each.value for each in node.keywords if each.arg}
    is_text = isinstance(left, ast.Constant) and isinstance(left.value, str)
    filled = not any(isinstance(value, ast.Starred) for value in given.values())
    return left if is_text and filled and isinstance(left, ast.Constant) else None, given, pattern


def _filled(text: str, given: Mapping[str, ast.expr], pattern: re.Pattern[str]) -> list[Piece]:
    """Return the parts of a text whose places are filled."""
    pieces: list[Piece] = []
    end = 0
    for number, match in enumerate(pattern.finditer(text)):
        pieces += [text[end : match.start()], given.get(match["key"] or str(number), match[0])]
        end = match.end()
    return [*pieces, text[end:]]


def _joined(code: SourceCode, node: ast.Call) -> list[ast.expr]:
    """Return the parts that ``join`` puts between slashes, and the slashes."""
    function, parts = node.func, node.args
    if not isinstance(function, ast.Attribute) or function.attr != "join":
        return []
    if isinstance(function.value, ast.Constant):
        listed = parts[0] if len(parts) == 1 else None
        parts = listed.elts if function.value.value == "/" and isinstance(listed, (ast.List, ast.Tuple)) else []
    elif not code.names.dotted(function).endswith("path.join"):
        return []
    if any(isinstance(part, ast.Starred) for part in parts):
        return []
    slash: ast.expr = ast.Constant("/")
    bare = [ast.Constant("models:") if _is_scheme(part) else part for part in parts]
    return [each for part in bare for each in (slash, part)][1:]


def _is_scheme(node: ast.expr) -> bool:
    """Tell whether a part is ``models:/``, behind which a path gets no second slash."""
    return isinstance(node, ast.Constant) and node.value == "models:/"


def _uses(code: SourceCode, node: ast.expr, pieces: Sequence[Piece]) -> Iterator[Found]:
    """Yield the uses in one text."""
    text = "".join(
        piece.replace("\ue000", "\ufffd") if isinstance(piece, str) else f"\ue000{number}\ue001"
        for number, piece in enumerate(pieces)
    )
    for match in URI.finditer(text):
        if tail := _tail(code, pieces, match):
            line = _line(code, node, "models:", text.count("models:", 0, match.start()))
            what = "".join(_shown(code, piece) for piece in _parts(match[0], pieces))
            yield Found(line, "read", what, _instead(code, node, pieces, match, tail))
    for number, match in enumerate(_REST.finditer(text)):
        line = _line(code, node, match[0], number)
        if match["write"]:
            yield Found(line, "write", match[0], "prodpointer.connect(name).promote(version)")
        else:
            yield Found(line, "read", match[0], "prodpointer.connect(name).production()")
    if "current_stage" in text and OF_THE_TABLE.search(text):
        line = _line(code, node, "current_stage", 0)
        yield Found(line, "read", "current_stage", "prodpointer.connect(name).live_version()")


def _tail(code: SourceCode, pieces: Sequence[Piece], match: re.Match[str]) -> _Tail | None:
    """Return what takes the place of a URI's stage, or None where it is no stage."""
    hole = _HOLE.fullmatch(match["variable"] or "")
    filling = pieces[int(hole[1])] if hole else None
    stage = stage_of(match) if hole is None else ""
    if isinstance(filling, ast.expr):
        stage = code.names.constant(filling) or ""
        if stage.lower() not in TAILS and not _holds_stage(code, filling):
            return None
    elif not stage:
        return None
    if stage.lower() == "archived":
        return _Tail(("/", ast.Name("version", ast.Load())))
    if stage.lower() == "none" or not isinstance(filling, ast.expr):
        alias = {"production": "", "staging": '"staging"'}.get(stage.lower())
        return _Tail((TAILS.get(stage.lower(), f"@{stage}"),), alias)
    if isinstance(filling, ast.JoinedStr):
        return _Tail(("@", filling))
    lower = ast.Call(ast.Attribute(filling, "lower", ast.Load()), [], [])
    return _Tail(("@", lower), code.text(filling))


def _holds_stage(code: SourceCode, node: ast.expr) -> bool:
    """Tell whether an expression is called a stage, or chooses among stages."""
    if "version" in last_name(node).lower():
        return False
    texts = [each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    return "stage" in code.text(node).lower() or any(each.lower() in TAILS for each in texts)


def _instead(code: SourceCode, node: ast.expr, pieces: Sequence[Piece], match: re.Match[str], tail: _Tail) -> str:
    """Return the load by prodpointer where MLflow loads, else the text with an alias in its URI."""
    text = match.string
    load, flavor = _load(code, node)
    if load and tail.alias is not None and match[0] == text and not text.startswith("models://"):
        model = code.connected(_written(code, _parts(match["name"], pieces)), tail.alias, None)
        return code.in_line(load, f"{model}.load_production({flavor})")
    before, after = text[: match.start("slash")], text[match.end() :]
    if "\n" in text or len(text) > _LONG:
        return _written(code, [*_parts(before[match.start() :], pieces), *tail.pieces])
    return code.in_line(node, _written(code, [*_parts(before, pieces), *tail.pieces, *_parts(after, pieces)]))


def _load(code: SourceCode, node: ast.expr) -> tuple[ast.Call | None, str]:
    """Return the call of an MLflow flavor that loads this URI, and the flavor to give unless it is pyfunc."""
    holder = code.names.parents.get(node)
    call = code.names.parents.get(holder) if isinstance(holder, ast.keyword) and holder.arg == "model_uri" else holder
    first = isinstance(call, ast.Call) and (call is not holder or node in call.args[:1])
    if not first or not isinstance(call, ast.Call):
        return None, ""
    match = _LOAD.fullmatch(code.names.dotted(call.func))
    if match is None:
        return None, ""
    return call, "" if match["flavor"] == "pyfunc" else f"flavor={quoted(match['flavor'])}"


def _parts(text: str, pieces: Sequence[Piece]) -> list[Piece]:
    """Return the parts of a piece of text, its expressions in their places."""
    split = _HOLE.split(text)
    return [pieces[int(each)] if number % 2 else each for number, each in enumerate(split) if each]


def _shown(code: SourceCode, piece: Piece) -> str:
    """Return a part as an f-string shows it."""
    if isinstance(piece, str):
        return piece
    text = code.text(piece)
    return text.removeprefix("f").strip("\"'") if isinstance(piece, ast.JoinedStr) else f"{{{text}}}"


def _written(code: SourceCode, pieces: Sequence[Piece]) -> str:
    """Return the expression that makes a text of its parts."""
    if all(isinstance(piece, str) for piece in pieces):
        return quoted("".join(str(piece) for piece in pieces))
    if len(pieces) == 1 and isinstance(pieces[0], ast.expr):
        return code.text(pieces[0])
    escaped = [re.sub(r"([{}])", r"\1\1", piece) if isinstance(piece, str) else piece for piece in pieces]
    text = "".join(_shown(code, piece) for piece in escaped)
    for quote in "\"'":
        written = f"f{quote}{text}{quote}"
        if text.isprintable() and not {quote, "\\"} & set(text) and parsed(written):
            return written
    parts = [quoted(piece) if isinstance(piece, str) else f"str({code.text(piece)})" for piece in pieces]
    return " + ".join(parts)


def _line(code: SourceCode, node: ast.expr, needle: str, number: int) -> int:
    """Return the line of a text in which something stands for the given time, counted from 0."""
    first = node.lineno
    for line in range(first, (node.end_lineno or first) + 1):
        number -= code.lines[line - 1].count(needle)
        if number < 0:
            return line
    return first

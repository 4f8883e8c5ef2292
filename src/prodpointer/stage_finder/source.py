"""A Python file: what its names stand for, as far as it tells itself, and its parts written anew."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from prodpointer.stage_finder.patterns import LONGEST, REGISTRY

Sort = Literal["version", "versions", "other", "unknown"]

_VERSION_FROM = {
    "get_model_version",
    "get_model_version_by_alias",
    "create_model_version",
    "update_model_version",
    "transition_model_version_stage",
    "copy_model_version",
    "register_model",
    "ModelVersion",
}
_VERSIONS_FROM = {"get_latest_versions", "search_model_versions"}
_ONE_OF = {"max", "min", "next"}
_SAME_AS = {"sorted", "list", "tuple", "reversed", "filter"}
_SURELY = re.compile(r"(?:\w+_)?(?:mvs?|model_versions?)(?:_\w+)?", re.IGNORECASE)
_TELLING = {"latest", "live", "prod", "production", "staging", "champion", "challenger", "version", "versions"}
_BESIDE = {"model", "current", "new", "newest", "old", "best", "last", "previous", "registered", "candidate"}
_SEVERAL = re.compile(r"list|sequence|iterable|iterator|tuple|set\b|collection", re.IGNORECASE)
_DEEPEST = 8  # names that lead to names


class Origin(NamedTuple):
    """What sort of thing an expression is, and the call that made it where there is one."""

    sort: Sort
    call: ast.Call | None = None


UNKNOWN = Origin("unknown")


def parsed(text: str) -> ast.Module | None:
    """Return the syntax tree of a text, or None where it is no Python; what Python warns of is not ours to say."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):  # ValueError: a NUL byte, before Python 3.12
            return None


def quoted(text: str) -> str:
    """Return a text as Python writes it, in double quotes where that is plain."""
    return json.dumps(text, ensure_ascii=False) if text.isprintable() else repr(text)


def last_name(node: ast.expr) -> str:
    """Return the name that an expression ends with, or the empty string: ``version`` of ``self.version[0]``."""
    while isinstance(node, (ast.Subscript, ast.Await)):
        node = node.value
    if isinstance(node, ast.Call):
        return last_name(node.func)
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


class Names:
    """The names of one file.

    Parameters
    ----------
    tree
        The file's syntax tree.
    about_registry
        Whether the file, or the one that it is a part of, is about a model registry.
    """

    def __init__(self, tree: ast.Module, *, about_registry: bool) -> None:
        """Note who holds whom, what is imported, and what each name was given."""
        self._about_registry = about_registry
        self.nodes: list[ast.AST] = [tree]
        self.parents: dict[ast.AST, ast.AST] = {}
        for node in self.nodes:  # grows on the way
            children = list(ast.iter_child_nodes(node))
            self.parents.update(dict.fromkeys(children, node))
            self.nodes += children
        functions = (node for node in self.nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
        self.functions: set[str] = {function.name for function in functions}
        self._imports = dict(named for node in self.nodes for named in _imported_by(node))
        self._given: dict[tuple[ast.AST, str], list[ast.expr | Origin]] = defaultdict(list)
        for node in self.nodes:
            for target, value in _given_by(node):
                if name := _dotted(target):
                    self._given[tree if "." in name else self._scope(target), name].append(value)

    def dotted(self, node: ast.expr) -> str:
        """Return the full name of a function, its imports resolved: ``mlflow.pyfunc.load_model``."""
        head, _, rest = _dotted(node).partition(".")
        return ".".join(part for part in (self._imports.get(head, head), rest) if part)

    def constant(self, node: ast.expr) -> str | None:
        """Return the text that an expression is, also by a name that is given one text and nothing else."""
        values = self._values(node) if isinstance(node, (ast.Name, ast.Attribute)) else [node]
        value = values[0] if len(values) == 1 else None
        return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None

    def made_by(self, node: ast.expr, maker: str) -> ast.Call | None:
        """Return the call of a class or function that an expression is, or was given by."""
        for value in (node, *self._values(node)):
            if isinstance(value, ast.Call) and self.dotted(value.func).rpartition(".")[2] == maker:
                return value
        return None

    def is_version(self, node: ast.expr, *, by_default: bool = False) -> bool:
        """Tell whether an expression is a version of a model: by what it was given, else by what it is called."""
        if parts := _same(node):
            return any(self.is_version(part, by_default=by_default) for part in parts)
        if _dotted(node) in {"self", "cls"}:
            return False
        sort = self.origin(node).sort
        if sort != "unknown":
            return sort == "version"
        called = last_name(node).lower()
        words = set(called.split("_"))
        usual = words <= _TELLING | _BESIDE and bool(words & _TELLING)
        return bool(_SURELY.fullmatch(called)) or (self._about_registry and (usual or by_default))

    def origin(self, node: ast.expr, depth: int = 0) -> Origin:
        """Return what an expression is and which call made it, as far as the file tells."""
        origin = UNKNOWN
        if depth > _DEEPEST:
            return origin
        if isinstance(node, ast.Call):
            origin = self._of_call(node, depth)
        elif isinstance(node, ast.Subscript):
            origin = _one_of(self.origin(node.value, depth + 1), whole=isinstance(node.slice, ast.Slice))
        elif isinstance(node, (ast.ListComp, ast.GeneratorExp)):
            origin = self.origin(node.elt, depth + 1)
            origin = Origin("versions", origin.call) if origin.sort == "version" else origin
        elif isinstance(node, ast.Attribute) and node.attr == "latest_versions":
            origin = Origin("versions")
        elif parts := [*_same(node), *self._values(node)]:
            origin = _agreed([each if isinstance(each, Origin) else self.origin(each, depth + 1) for each in parts])
        return origin

    def _of_call(self, node: ast.Call, depth: int) -> Origin:
        """Return what a call gives."""
        called = last_name(node.func)
        if called in _VERSION_FROM | _VERSIONS_FROM:
            return Origin("version" if called in _VERSION_FROM else "versions", node)
        if called in _ONE_OF | _SAME_AS and node.args:
            return _one_of(self.origin(node.args[-1 if called == "filter" else 0], depth + 1), whole=called in _SAME_AS)
        return Origin("other") if called[:1].isupper() else UNKNOWN

    def _values(self, node: ast.expr) -> list[ast.expr | Origin]:
        """Return what a name or attribute was given where it is used, or around it."""
        name, scope = _dotted(node), self._scope(node)
        while name and not self._given.get((scope, name)) and scope in self.parents:
            scope = self._scope(self.parents[scope])
        return self._given.get((scope, name), [])

    def _scope(self, node: ast.AST) -> ast.AST:
        """Return the function around a node, or the module."""
        while node in self.parents and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            node = self.parents[node]
        return node


class SourceCode:
    """One syntax tree with the lines it was made of, and how to write its parts anew.

    Parameters
    ----------
    lines
        The lines.
    tree
        Their syntax tree.
    context
        The whole file.
    whole_lines
        Whether the line around what changes may be given with it.
    """

    def __init__(self, lines: Sequence[str], tree: ast.Module, context: str, *, whole_lines: bool = True) -> None:
        """Find out what the names stand for."""
        self.lines = lines
        self.about_registry: bool = bool(REGISTRY.search(context))
        self.names: Names = Names(tree, about_registry=self.about_registry)
        self._whole_lines = whole_lines

    def text(self, node: ast.expr) -> str:
        """Return an expression in one line, as it is written where it can be told."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return quoted(node.value)
        _, segment, _ = self._around(node)
        return segment if segment and "\n" not in segment else ast.unparse(node)

    def operand(self, node: ast.expr) -> str:
        """Return an expression as it may stand before a dot or behind ``in``, in parentheses where it needs them."""
        text = self.text(node)
        plain = (ast.Name, ast.Attribute, ast.Subscript, ast.Call, ast.List, ast.Tuple, ast.Set, ast.JoinedStr)
        return text if isinstance(node, plain) else f"({text})"

    def in_line(self, node: ast.AST, new: str, remark: str = "") -> str:
        """Return the line of an expression with another in its place where that is Python, else the other alone."""
        before, segment, after = self._around(node)
        line = (before + new + after).strip()
        whole = segment and self._whole_lines and not self._in_text(node) and len(line) <= LONGEST
        return (line if whole and parsed(line) else new) + remark

    def arguments(self, call: ast.Call, parameters: Sequence[str]) -> dict[str, ast.expr]:
        """Return the arguments of a call by name; none where some are hidden behind a star."""
        if any(isinstance(each, ast.Starred) for each in call.args) or any(each.arg is None for each in call.keywords):
            return {}
        named = {each.arg: each.value for each in call.keywords if each.arg}
        return dict(zip(parameters, call.args, strict=False)) | named

    def alias(self, stage: ast.expr | None) -> str | None:
        """Return the text of the alias that stands for a stage: empty for production, None where there is none."""
        if stage is None:
            return ""
        known = (self.names.constant(stage) or "").lower()
        if known in {"archived", "none"} or (isinstance(stage, ast.Constant) and not known):
            return None
        if isinstance(stage, ast.Constant):
            return "" if known == "production" else quoted(known)
        return self.text(stage)

    def connected(self, name: ast.expr | str | None, alias: str, client: ast.expr | None) -> str:
        """Return the call that connects to a model in the registry that a client has."""
        options = [name if isinstance(name, str) else self.text(name) if name else "name"]
        made = self.names.made_by(client, "MlflowClient") if client else None
        if made:
            given = self.arguments(made, ("tracking_uri", "registry_uri"))
            options += [f"{key}={self.text(value)}" for key, value in given.items()]
        return f"prodpointer.connect({', '.join(options)}{f', alias={alias}' if alias else ''})"

    def _around(self, node: ast.AST) -> tuple[str, str, str]:
        """Return what stands before an expression in its line, the expression, and what is behind; else empty texts."""
        first, last = getattr(node, "lineno", 0), getattr(node, "end_lineno", 0)
        if not (first and last and isinstance(node, ast.expr)):
            return "", "", ""
        rows = [line.encode() for line in self.lines[first - 1 : last]]  # columns are counted in bytes
        before, after = rows[0][: node.col_offset], rows[-1][node.end_col_offset :]
        rows[-1] = rows[-1][: node.end_col_offset]
        rows[0] = rows[0][node.col_offset :]
        segment = b"\n".join(rows).decode(errors="replace")
        tree = parsed(f"({segment})")
        again = tree.body[0] if tree and tree.body else None
        # Before Python 3.12 the columns inside of an f-string are not to be trusted.
        if isinstance(again, ast.Expr) and ast.dump(again.value) == ast.dump(node):
            return before.decode(errors="replace"), segment, after.decode(errors="replace")
        return "", "", ""

    def _in_text(self, node: ast.AST) -> bool:
        """Tell whether an expression stands in an f-string, whose quotes limit what may be written there."""
        while node in self.names.parents and not isinstance(node, ast.stmt):
            node = self.names.parents[node]
            if isinstance(node, ast.JoinedStr):
                return True
        return False


def _dotted(node: ast.AST) -> str:
    """Return a name with its attributes, or the empty string for anything else."""
    if isinstance(node, ast.arg):
        return node.arg
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return node.id if isinstance(node, ast.Name) else ""


def _imported_by(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the names that an import makes, each with its full name."""
    if isinstance(node, ast.ImportFrom):
        yield from ((each.asname or each.name, f"{node.module}.{each.name}") for each in node.names)
    elif isinstance(node, ast.Import):
        yield from ((each.asname, each.name) for each in node.names if each.asname)


def _given_by(node: ast.AST) -> Iterator[tuple[ast.AST, ast.expr | Origin]]:
    """Yield what a node gives to names; a loop gives an element, an annotation its type."""
    if isinstance(node, ast.Assign):
        yield from ((target, node.value) for target in node.targets)
    elif isinstance(node, ast.NamedExpr):
        yield node.target, node.value
    elif isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)):
        yield node.target, ast.Subscript(node.iter, ast.Constant(0), ast.Load())
    elif isinstance(node, ast.AnnAssign):
        yield from ((node.target, each) for each in (node.value, _annotated(node.annotation)) if each)
    elif isinstance(node, ast.arg) and node.annotation:
        yield node, _annotated(node.annotation)


def _annotated(annotation: ast.expr) -> Origin:
    """Return what an annotation says."""
    text = ast.unparse(annotation)
    if not re.search(r"\bModelVersion\b", text):
        return Origin("unknown" if re.search(r"\b(?:Any|object)\b", text) else "other")
    return Origin("versions" if _SEVERAL.search(text) else "version")


def _same(node: ast.expr) -> list[ast.expr]:
    """Return the expressions that one may turn out to be."""
    if isinstance(node, (ast.Await, ast.NamedExpr)):
        return [node.value]
    if isinstance(node, ast.IfExp):
        return [node.body, node.orelse]
    return [*node.values] if isinstance(node, ast.BoolOp) else []


def _one_of(several: Origin, *, whole: bool) -> Origin:
    """Return what an element, or all, of something is."""
    if several.sort != "versions":
        return several if several.sort == "other" else UNKNOWN
    return Origin("versions" if whole else "version", several.call)


def _agreed(origins: Sequence[Origin]) -> Origin:
    """Return the first origin that says something of versions, or what all others say."""
    for origin in origins:
        if origin.sort in {"version", "versions"}:
            return origin
    return UNKNOWN if any(origin.sort == "unknown" for origin in origins) else Origin("other")

"""A Python module as libcst reads it: what its names stand for, and its parts written anew."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

import libcst as cst
from libcst.metadata import MetadataWrapper, ParentNodeProvider, PositionProvider, ScopeProvider

from prodpointer.stage_finder._texts import Hole, Piece, filled
from prodpointer.stage_finder.patterns import LONGEST, REGISTRY, TAILS, is_python, quoted

_VERSIONS_FROM = re.compile(
    "(?:get|create|update|copy|search)_model_versions?|get_model_version_by_alias|get_latest_versions"
    "|transition_model_version_stage|register_model|ModelVersion"
)
_SAME: dict[type[cst.CSTNode], tuple[str, ...]] = {
    cst.Await: ("expression",),
    cst.NamedExpr: ("value",),
    cst.IfExp: ("body", "orelse"),
    cst.BooleanOperation: ("left", "right"),
    cst.Subscript: ("value",),
    cst.For: ("iter",),
    cst.CompFor: ("iter",),
    cst.ListComp: ("elt",),
    cst.GeneratorExp: ("elt",),
}
_SOME_OF = {"max", "min", "next", "sorted", "list", "tuple", "reversed", "filter"}
_SURELY = re.compile(r"(?:\w+_)?(?:mvs?|model_versions?)(?:_\w+)?", re.IGNORECASE)
_TELLING = {"latest", "live", "prod", "production", "staging", "champion", "challenger", "version", "versions"}
_BESIDE = {"model", "current", "new", "newest", "old", "best", "last", "previous", "registered", "candidate"}
_DEEPEST = 8  # names that lead to names
_ALIKE = (cst.BooleanOperation, cst.Element, cst.IfExp, cst.List, cst.NamedExpr, cst.Set, cst.Tuple)
_EXAMINES = re.compile("_*(?:url)?(?:parse|split|assert|startswith|endswith|remove|replace|find|count)")
_EXAMINING = (
    cst.Assert,
    cst.Attribute,
    cst.Comparison,
    cst.ComparisonTarget,
    cst.Index,
    cst.MatchMappingElement,
    cst.MatchValue,
    cst.Subscript,
)
_CLIENT = re.compile(r"mlflow\.(?:\w+\.)*MlflowClient")
_LOAD = re.compile(r"(?:.*\.)?mlflow\.(?:\w+\.)*?(?P<flavor>\w+)\.load_model")

Value = cst.BaseExpression | cst.Annotation | cst.For | cst.CompFor
"""What a name is given: an expression, a type, or one element of what a loop goes through."""


class Code:
    """One Python module: what its names stand for, as far as it tells itself, and its parts written anew."""

    def __init__(self, text: str, context: str) -> None:
        """Parse the text, and note what each name is given."""
        wrapper = MetadataWrapper(cst.parse_module(text), unsafe_skip_copy=True)
        self.lines: list[str] = text.split("\n")
        self.about_registry: bool = bool(REGISTRY.search(context))
        self.module: cst.Module = wrapper.module
        self.parents = wrapper.resolve(ParentNodeProvider)
        self.positions = wrapper.resolve(PositionProvider)
        self._scopes = wrapper.resolve(ScopeProvider)
        self.functions: set[str] = {node.name.value for node in self.parents if isinstance(node, cst.FunctionDef)}
        self._attributes: dict[tuple[cst.CSTNode | None, str], list[Value]] = defaultdict(list)
        for node in self.parents:
            if isinstance(node, cst.Attribute):
                self._attributes[self._key(node)] += self._given(node)

    # What names stand for

    def full_name(self, node: cst.BaseExpression) -> str:
        """Return the full name of a function, its imports resolved: ``mlflow.pyfunc.load_model``."""
        scope = self._scopes.get(node)
        names = scope.get_qualified_names_for(node) if scope else ()
        return min((each.name for each in names), default="") or dotted(node)

    def values(self, node: cst.BaseExpression) -> list[Value]:
        """Return what a name or attribute is given."""
        if isinstance(node, cst.Attribute):
            return self._attributes[self._key(node)]
        return [value for each in self._assigned(node) for value in self._given(each)]

    def _key(self, node: cst.Attribute) -> tuple[cst.CSTNode | None, str]:
        """Return the name of an attribute, with the class where it is one of ``self``."""
        name = dotted(node)
        around: cst.CSTNode | None = node if name.startswith(("self.", "cls.")) else None
        while around and not isinstance(around, cst.ClassDef):
            around = self.parents.get(around)
        return around, name

    def _assigned(self, node: cst.BaseExpression) -> list[cst.CSTNode]:
        """Return the places that give something to a name."""
        scope = self._scopes.get(node)
        if not isinstance(node, cst.Name) or scope is None:
            return []
        nodes = [getattr(each, "node", None) for each in scope[node.value]]
        return sorted(filter(None, nodes), key=self.start)

    def _given(self, target: cst.CSTNode) -> list[Value]:
        """Return what the statement around a name gives to it."""
        parent = target if isinstance(target, cst.Param) else self.parents[target]
        given: list[Value | None] = []
        match parent:
            case cst.AssignTarget():
                assign = self.parents[parent]
                given = [assign.value] if isinstance(assign, cst.Assign) else []
            case cst.AnnAssign() if parent.target is target:
                given = [parent.value, parent.annotation]
            case cst.NamedExpr() if parent.target is target:
                given = [parent.value]
            case cst.For() | cst.CompFor() if parent.target is target:
                given = [parent]
            case cst.Param():
                given = [parent.annotation]
        return [value for value in given if value]

    def constant(self, node: cst.BaseExpression) -> str | None:
        """Return the text that an expression is, also by a name that is given one text and nothing else."""
        values = self.values(node) if isinstance(node, (cst.Name, cst.Attribute)) else [node]
        value = values[0] if len(values) == 1 else None
        text = value.evaluated_value if isinstance(value, (cst.SimpleString, cst.ConcatenatedString)) else None
        return text if isinstance(text, str) else None

    def clients(self, node: cst.BaseExpression) -> list[cst.Call]:
        """Return the calls of ``MlflowClient`` that an expression is, or is given by."""
        calls = [value for value in (node, *self.values(node)) if isinstance(value, cst.Call)]
        return [call for call in calls if self.full_name(call.func).rpartition(".")[2] == "MlflowClient"]

    def is_client(self, node: cst.BaseExpression) -> bool:
        """Tell whether an expression is surely a client of MLflow's own."""
        values = [node] if isinstance(node, cst.Call) else self.values(node)
        made = [each.func if isinstance(each, cst.Call) else each for each in values]
        named = [each.annotation if isinstance(each, cst.Annotation) else each for each in made]
        known = [
            bool(_CLIENT.fullmatch(self.full_name(each))) for each in named if isinstance(each, cst.BaseExpression)
        ]
        every = all(self._given(each) for each in self._assigned(node))  # not by an import, a with or a tuple
        return bool(known) and len(known) == len(named) and all(known) and every

    def is_replaced(self, method: str) -> bool:
        """Tell whether the file may put something in the place of a method, as a test does."""
        return bool(re.search(rf"\.{method}\s*=(?!=)|[\"'.]{method}[\"']", "\n".join(self.lines)))

    def is_version(self, node: cst.BaseExpression, *, by_default: bool = False) -> bool:
        """Tell whether an expression is a version of a model: by what it is given, else by what it is called."""
        if isinstance(node, cst.Await | cst.NamedExpr | cst.IfExp | cst.BooleanOperation):
            parts = _same(node)
            return any(self.is_version(part, by_default=by_default) for part in parts)
        if dotted(node) in {"self", "cls"}:
            return False
        known, _ = self.origin(node)
        if known is not None:
            return known
        called = last_name(node).lower()
        words = set(called.split("_"))
        usual = words <= _TELLING | _BESIDE and bool(words & _TELLING)
        return bool(_SURELY.fullmatch(called)) or (self.about_registry and (usual or by_default))

    def origin(self, node: Value, depth: int = 0) -> tuple[bool | None, cst.Call | None]:
        """Return whether an expression is a version, or several, and the call behind it; None: it cannot be told."""
        match node:
            case cst.Call() if _VERSIONS_FROM.fullmatch(last_name(node.func)):
                return True, node
            case cst.Attribute(attr=cst.Name("latest_versions")):
                return True, None
            case cst.Annotation():
                return _annotated(self.module.code_for_node(node.annotation)), None
            case cst.Call() if last_name(node.func)[:1].isupper():
                return False, None
        parts = _same(node) or (self.values(node) if isinstance(node, cst.BaseExpression) else [])
        found = [self.origin(each, depth + 1) for each in parts] if depth < _DEEPEST else []
        return next((each for each in found if each[0]), (_agreed([known for known, _ in found]), None))

    # Its parts, written anew

    def start(self, node: cst.CSTNode) -> tuple[int, int]:
        """Return the line and column of a node."""
        return self.positions[node].start.line, self.positions[node].start.column

    def end(self, node: cst.CSTNode) -> tuple[int, int]:
        """Return the line and column behind a node."""
        return self.positions[node].end.line, self.positions[node].end.column

    def text(self, node: cst.BaseExpression) -> str:
        """Return an expression in one line."""
        if isinstance(node, cst.SimpleString) and isinstance(node.evaluated_value, str) and not node.lpar:
            return quoted(node.evaluated_value)
        text = self.module.code_for_node(node)
        return ast.unparse(ast.parse(f"({text})", mode="eval")) if "\n" in text else text

    def operand(self, node: cst.BaseExpression) -> str:
        """Return an expression as it may stand before a dot or behind ``in``, in parentheses where it needs them."""
        text = self.text(node)
        plain = (cst.Name, cst.Attribute, cst.Subscript, cst.Call, cst.BaseString, cst.List, cst.Set, cst.Tuple)
        return text if node.lpar or isinstance(node, plain) else f"({text})"

    def in_line(self, node: cst.CSTNode, new: str, remark: str = "") -> str:
        """Return the line of an expression with another in its place where that is Python, else the other alone."""
        (first, column), (last, end) = self.start(node), self.end(node)
        line = (self.lines[first - 1][:column] + new + self.lines[last - 1][end:]).strip()
        around: cst.CSTNode = node
        while not isinstance(around, (cst.BaseStatement, cst.BaseSmallStatement, cst.FormattedString)):
            around = self.parents[around]
        # The quotes of an f-string limit what may be written in it.
        in_text = around is not node and isinstance(around, cst.FormattedString)
        return (line if not in_text and len(line) <= LONGEST and is_python(line) else new) + remark

    def alias(self, stage: cst.BaseExpression | None) -> str | None:
        """Return the text of the alias that stands for a stage: empty for production, None where there is none."""
        if stage is None:
            return ""
        known = (self.constant(stage) or "").lower()
        literal = isinstance(stage, cst.SimpleString)
        if known in {"archived", "none"} or is_none(stage) or (literal and not known):
            return None
        if literal:
            return "" if known == "production" else quoted(known)
        return self.text(stage)

    def connected(self, name: cst.BaseExpression | str | None, alias: str, client: cst.BaseExpression | None) -> str:
        """Return the call that connects to a model in the registry that a client has."""
        options = [name if isinstance(name, str) else self.text(name) if name else "name"]
        for made in self.clients(client)[:1] if client else []:
            given = arguments(made, "tracking_uri", "registry_uri")
            options += [f"{key}={self.text(value)}" for key, value in given.items()]
        return connect(", ".join(options), alias)

    def segment(self, node: cst.CSTNode) -> str:
        """Return an expression as the file has it."""
        (first, column), (last, end) = self.start(node), self.end(node)
        lines = self.lines[first - 1 : last]
        lines[-1] = lines[-1][:end]
        lines[0] = lines[0][column:]
        return "\n".join(lines)

    # Texts

    def pieces(self, node: cst.BaseExpression, done: set[cst.CSTNode]) -> list[Piece]:
        """Return the parts of a text, or the expression itself where it is none; note what is ``done`` with it."""
        done.add(node)
        parts: list[cst.BaseExpression] = []
        match node:
            case cst.SimpleString() if isinstance(node.evaluated_value, str):
                return [node.evaluated_value]
            case cst.FormattedString():
                done.update(node.parts)
                return [self._part(node, part) for part in node.parts]
            case cst.ConcatenatedString() | cst.BinaryOperation(operator=cst.Add()):
                parts = [node.left, node.right]
            case cst.BinaryOperation(left=cst.SimpleString(evaluated_value=str(text)), operator=cst.Modulo()):
                done.add(node.left)
                return filled(text, self._by_percent(node.right), "%")
            case cst.Call(
                func=cst.Attribute(value=cst.SimpleString(evaluated_value=str(text)), attr=cst.Name("format"))
            ) if not any(each.star for each in node.args):
                positions = {str(number): self._hole(each.value) for number, each in enumerate(node.args)}
                named = {each.keyword.value: self._hole(each.value) for each in node.args if each.keyword}
                done.add(cst.ensure_type(node.func, cst.Attribute).value)
                return filled(text, positions | named, "format")
            case cst.Call() if joined := self._joined(node):
                parts = joined
        return [piece for part in parts for piece in self.pieces(part, done)] or [self._hole(node)]

    def _hole(self, node: cst.BaseExpression) -> Hole:
        """Return an expression as a part of a text; it is a stage where it is called one, or chooses among them."""
        text = self.text(node)
        texts = [each.evaluated_value for each in below(node) if isinstance(each, cst.SimpleString)]
        called = "stage" in text.lower() or any(str(each).lower() in TAILS for each in texts)
        is_stage = called and "version" not in last_name(node).lower()
        return Hole(f" {text}" * text.startswith("{") or text, self.operand(node), self.constant(node) or "", is_stage)

    def _part(self, node: cst.FormattedString, part: cst.BaseFormattedStringContent) -> Piece:
        """Return a part of an f-string; one with a conversion or format stays as it is."""
        if isinstance(part, cst.FormattedStringText):
            text = cst.SimpleString(node.prefix.lower().replace("f", "") + node.quote + part.value + node.end)
            try:
                value = str(text.evaluated_value)
            except (SyntaxError, ValueError):  # a backslash before an expression is no whole text
                value = part.value
            return value.replace("{{", "{").replace("}}", "}")
        assert isinstance(part, cst.FormattedStringExpression)  # noqa: S101
        hole = self._hole(part.expression)
        if part.conversion is None and part.format_spec is None and part.equal is None:
            return hole
        return hole._replace(code=self.module.code_for_node(part)[1:-1], formatted=True)

    def _by_percent(self, right: cst.BaseExpression) -> dict[str, Hole]:
        """Return what fills the places of a text before ``%``."""
        match right:
            case cst.Dict():
                pairs = [each for each in right.elements if isinstance(each, cst.DictElement)]
                return {self.constant(each.key) or "": self._hole(each.value) for each in pairs}
            case cst.Tuple():
                return {str(number): self._hole(each.value) for number, each in enumerate(right.elements)}
        return {"0": self._hole(right)}

    def _joined(self, node: cst.Call) -> list[cst.BaseExpression]:
        """Return the parts that ``join`` puts between slashes, and the slashes."""
        parts: list[cst.BaseExpression] = []
        match node:
            case cst.Call(
                func=cst.Attribute(value=cst.SimpleString(evaluated_value="/"), attr=cst.Name("join")),
                args=[cst.Arg(value=cst.List(elements=elements) | cst.Tuple(elements=elements))],
            ):
                parts = [each.value for each in elements if isinstance(each, cst.Element)]
                parts = parts if len(parts) == len(elements) else []
            case cst.Call() if self.full_name(node.func).endswith("path.join"):
                parts = [] if any(each.star for each in node.args) else [each.value for each in node.args]
        # Behind models:/ a path gets no second slash.
        scheme, slash = cst.SimpleString('"models:"'), cst.SimpleString('"/"')
        bare = [scheme if self.constant(part) == "models:/" else part for part in parts]
        return [each for part in bare for each in (slash, part)][1:]

    def is_examined(self, node: cst.BaseExpression) -> bool:
        """Tell whether a text is taken apart, compared or looked up: another one may do something else there."""
        inner: cst.CSTNode = node
        while isinstance(parent := self.parents[inner], _ALIKE):
            inner = parent
        call = self.parents[parent] if isinstance(parent, cst.Arg) else None
        if isinstance(call, cst.Call):
            return self.full_name(call.func).startswith("re.") or bool(_EXAMINES.match(last_name(call.func)))
        return isinstance(parent, _EXAMINING) or (isinstance(parent, cst.DictElement) and parent.key is inner)

    def load(self, node: cst.BaseExpression) -> tuple[cst.Call, str] | None:
        """Return the call of an MLflow flavor that loads this URI, and the flavor to give unless it is pyfunc."""
        arg = self.parents[node]
        call = self.parents[arg]
        if not (isinstance(arg, cst.Arg) and isinstance(call, cst.Call)):
            return None
        first = arg.keyword is None and call.args[0] is arg
        match = _LOAD.fullmatch(self.full_name(call.func))
        if match is None or not (first or (arg.keyword and arg.keyword.value == "model_uri")):
            return None
        return call, "" if match["flavor"] == "pyfunc" else f"flavor={quoted(match['flavor'])}"


def last_name(node: cst.BaseExpression) -> str:
    """Return the name that an expression ends with, or the empty string: ``version`` of ``self.version[0]``."""
    while isinstance(node, (cst.Subscript, cst.Await, cst.Call)):
        node = (
            node.func if isinstance(node, cst.Call) else node.expression if isinstance(node, cst.Await) else node.value
        )
    return node.value if isinstance(node, cst.Name) else node.attr.value if isinstance(node, cst.Attribute) else ""


def arguments(call: cst.Call, *parameters: str) -> dict[str, cst.BaseExpression]:
    """Return the arguments of a call by name; none where some are hidden behind a star."""
    if any(each.star for each in call.args):
        return {}
    named = {each.keyword.value: each.value for each in call.args if each.keyword}
    return dict(zip(parameters, (each.value for each in call.args if not each.keyword), strict=False)) | named


def elements(node: cst.BaseExpression | None) -> list[cst.BaseExpression] | None:
    """Return the elements that a list, tuple or set names one by one; None for anything else."""
    if not isinstance(node, (cst.List, cst.Tuple, cst.Set)):
        return None
    found = [each.value for each in node.elements if isinstance(each, cst.Element)]
    return found if len(found) == len(node.elements) else None


def below(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """Yield a node and the nodes in it."""
    yield node
    for child in node.children:
        yield from below(child)


def is_none(node: cst.BaseExpression) -> bool:
    """Tell whether an expression is ``None``."""
    return isinstance(node, cst.Name) and node.value == "None"


def dotted(node: cst.CSTNode) -> str:
    """Return a name with its attributes, or the empty string for anything else."""
    if isinstance(node, cst.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr.value}" if before else ""
    return node.value if isinstance(node, cst.Name) else ""


def connect(name: str, alias: str = "") -> str:
    """Return the call that connects to a model."""
    return f"prodpointer.connect({name}{f', alias={alias}' if alias else ''})"


def _annotated(text: str) -> bool | None:
    """Return whether an annotation says that a name is a version."""
    return bool(re.search(r"\bModelVersion\b", text)) or (None if re.search(r"\b(?:Any|object)\b", text) else False)


def _agreed(known: list[bool | None]) -> bool | None:
    """Return what all say, None where they do not."""
    return known[0] if len(set(known)) == 1 else None


def _same(node: Value) -> list[cst.BaseExpression]:
    """Return the expressions that one may turn out to be, or an element of, or all elements."""
    if isinstance(node, cst.Call):
        return [each.value for each in node.args] if last_name(node.func) in _SOME_OF else []
    return [getattr(node, name) for name in _SAME.get(type(node), ())]

"""Uses of MLflow's stages in Python, read by libcst, and the same line with prodpointer or an alias."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence

import libcst as cst

from prodpointer.stage_finder._source import Code, arguments, below, connect, dotted, elements, is_none, last_name
from prodpointer.stage_finder._texts import uses_in_text
from prodpointer.stage_finder.patterns import (
    POINTERS,
    Edit,
    Found,
    Kind,
    is_python,
    quoted,
    uses_in_lines,
    without_magic,
)

_PARAMETERS = {
    "get_latest_versions": ("name", "stages"),
    "transition_model_version_stage": ("name", "version", "stage", "archive_existing_versions"),
}
_IN_ANOTHER_CASE = {"lower", "upper", "title", "capitalize", "casefold", "strip"}
_DOWNLOAD_URI = "get_model_version_download_uri"
_DEEPEST = 200  # levels of a syntax tree
_EQUAL = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))


def uses_in_python(lines: Sequence[str], context: str) -> list[Found] | None:
    """Return each use in a Python file or in cells of a notebook; None where libcst cannot parse it.

    Lines of IPython are read by the plain patterns. Comments and docstrings use nothing.

    Parameters
    ----------
    lines
        The lines of the file or of the cells.
    context
        The whole file, which tells whether it is about a model registry at all.
    """
    code, magic = without_magic(lines)
    text = "\n".join(code)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Python warns of in the user's texts
        # Python's own parser first: libcst's has no limit of depth, takes minutes or ends the process without one.
        if not is_python(text) or _depth(text) > _DEEPEST:
            return None
        try:
            found = _Finder(text, context).uses()
        except (cst.ParserSyntaxError, SyntaxError, ValueError, RecursionError):  # of the file or of a text in it
            return None
    of_magic = uses_in_lines([line if row in magic else "" for row, line in enumerate(lines)], context)
    return [*found, *of_magic]


class _Finder(cst.CSTVisitor):
    """Collects the uses of one module."""

    def __init__(self, text: str, context: str) -> None:
        """Parse the text."""
        super().__init__()
        self._code = Code(text, context)
        self._done: set[cst.CSTNode] = set()
        self._found: list[Found] = []

    def uses(self) -> list[Found]:
        """Return each use, from the first line to the last."""
        self._code.module.visit(self)
        return sorted(dict.fromkeys(self._found), key=lambda use: use[:4])

    def on_visit(self, node: cst.CSTNode) -> bool:
        """Look at a node before the nodes in it, so that a text is read as a whole."""
        if isinstance(node, (cst.BaseString, cst.BinaryOperation, cst.Call)) and node not in self._done:
            pieces = self._code.pieces(node, self._done)
            is_docstring = isinstance(self._code.parents.get(node), cst.Expr)
            if not is_docstring and any(isinstance(piece, str) for piece in pieces):
                self._found += uses_in_text(self._code, node, pieces)
        match node:
            case cst.Attribute():
                self._attribute(node)
            case cst.Subscript(slice=[cst.SubscriptElement(slice=cst.Index(value=key))]):
                # As REST answers it.
                if self._code.about_registry and self._code.constant(key) == "current_stage":
                    version = self._code.operand(node.value)
                    self._stage(node, node, f'{version}["name"]', f'{version}["version"]')
            case cst.Call() if last_name(node.func) in {"getattr", "methodcaller"}:
                self._looked_up(node)
        return True

    def _attribute(self, node: cst.Attribute) -> None:
        """Note a call of MLflow's, or a version's attribute."""
        name, code, written = node.attr.value, self._code, isinstance(self._code.parents[node], cst.AssignTarget)
        own = dotted(node.value) in {"self", "cls"} or code.text(node.value) == "super()"
        if name in _PARAMETERS and not (own and name in code.functions):
            parent = code.parents[node]
            call = parent if isinstance(parent, cst.Call) and parent.func is node else None
            given = arguments(call, *_PARAMETERS[name]) if call else {}
            if name == "transition_model_version_stage":
                self._transition(node, call, given)
            elif code.about_registry or "stages" in given:
                self._latest(node, call, given)
        elif name == "current_stage" and not written and code.is_version(node.value, by_default=True):
            version = code.operand(node.value)
            self._stage(node, node.attr, f"{version}.name", f"{version}.version")
        elif name == "source" and not written and code.is_version(node.value):
            self._add(node.attr, "read", name, self._instead_of_source(node))

    def _add(self, at: cst.CSTNode, kind: Kind, what: str, instead: str, edit: Edit | None = None) -> None:
        """Note a use."""
        self._found.append(Found(self._code.start(at)[0], kind, what, instead, edit))

    def _looked_up(self, node: cst.Call) -> None:
        """Note a method of MLflow's that is looked up by its name."""
        for arg in node.args:
            name = arg.value.evaluated_value if isinstance(arg.value, cst.SimpleString) else None
            if name == "transition_model_version_stage":
                self._add(node, "write", name, "prodpointer.connect(name).promote(version)")
            elif name == "get_latest_versions" and self._code.about_registry:
                self._add(node, "read", name, "prodpointer.connect(name).production()")

    def _transition(self, node: cst.Attribute, call: cst.Call | None, given: dict[str, cst.BaseExpression]) -> None:
        """Note a move of a stage: a promotion, or a withdrawal where the stage is no pointer."""
        code = self._code
        alias = code.alias(given.get("stage"))
        model = code.connected(given.get("name"), alias or "", node.value)
        whole = call if call and given else node
        if alias is None:
            remark = "  # where this version is live; promote() archives the one it replaces"
            instead = code.in_line(whole, f"{model}.withdraw()", remark)
        else:
            version = code.text(given["version"]) if "version" in given else "version"
            instead = code.in_line(whole, f"{model}.promote({version})")
        self._add(node.attr, "write", node.attr.value, instead, self._alias_set(node, call, given) if call else None)

    def _alias_set(self, node: cst.Attribute, call: cst.Call, given: dict[str, cst.BaseExpression]) -> Edit | None:
        """Return the edit that sets an alias in place of a stage, where nothing reads what a move returns.

        Without ``archive_existing_versions=True`` other versions stay in the stage, as no alias has it.
        """
        archive, stage = given.get("archive_existing_versions"), _pointer(given.get("stage"))
        archives = isinstance(archive, cst.Name) and archive.value == "True"
        alone = isinstance(self._code.parents[call], cst.Expr)
        known = set(given) == set(_PARAMETERS["transition_model_version_stage"])
        if not (archives and alone and known and stage and self._is_mlflows(node)):
            return None
        version = given["version"]
        if isinstance(version, cst.Integer):
            version = cst.SimpleString(quoted(str(version.evaluated_value)))
        values = {"name": given["name"], "alias": stage, "version": version}
        kept = [each for each in call.args if each.value is not archive]
        if any(each.keyword for each in kept[1:]):  # the order of the other two is another one
            names = {id(given[name]): name.replace("stage", "alias") for name in ("name", "version", "stage")}
            keywords = [names[id(each.value)] for each in kept]
            args = [
                each.with_changes(value=values[name], keyword=cst.Name(name), equal=_EQUAL)
                if each.keyword or number
                else each
                for number, (each, name) in enumerate(zip(kept, keywords, strict=True))
            ]
        else:
            args = [each.with_changes(value=value) for each, value in zip(kept, values.values(), strict=True)]
        last = call.args[-1]
        args[-1] = args[-1].with_changes(comma=last.comma, whitespace_after_arg=last.whitespace_after_arg)
        func = _called(node, "set_registered_model_alias")
        return self._edit(call, call.with_changes(func=func, args=args, lpar=(), rpar=()))

    def _is_mlflows(self, method: cst.Attribute) -> bool:
        """Tell whether a method is surely that of MLflow's own client."""
        return self._code.is_client(method.value) and not self._code.is_replaced(method.attr.value)

    def _edit(self, old: cst.CSTNode, call: cst.Call) -> Edit | None:
        """Return the edit that puts a call in the place of an expression, None where a comment would be lost."""
        start, end = self._code.start(old), self._code.end(old)
        before = self._code.module.code_for_node(old)
        after = self._code.module.code_for_node(call)
        return Edit(start, end, after) if before.count("#") == after.count("#") else None

    def _latest(self, node: cst.Attribute, call: cst.Call | None, given: dict[str, cst.BaseExpression]) -> None:
        """Note what reads one pointer, several, or the newest version, which no stage tells."""
        code = self._code
        edit = None
        if call is None or "name" not in given:
            instead = f"{code.connected(None, '', node.value)}.production()"
        else:
            element = code.parents[call]
            index = element.slice[0].slice if isinstance(element, cst.Subscript) and element.value is call else None
            single = element if isinstance(element, cst.Subscript) and isinstance(index, cst.Index) else None
            instead = self._instead_of_latest(node, call, single, given)
            if single and isinstance(index, cst.Index) and code.module.code_for_node(index) in {"0", "-1"}:
                edit = self._alias_read(node, call, single, given)
        self._add(node.attr, "read", node.attr.value, instead, edit)

    def _instead_of_latest(
        self, node: cst.Attribute, call: cst.Call, single: cst.Subscript | None, given: dict[str, cst.BaseExpression]
    ) -> str:
        """Return what reads the same versions."""
        code, name, stages = self._code, given["name"], given.get("stages")
        whole = single or call
        known = name.evaluated_value if isinstance(name, cst.SimpleString) else None
        text = quoted(f"name = '{known}'") if isinstance(known, str) else f'"name = " + repr({code.text(name)})'
        every = f"{code.operand(node.value)}.search_model_versions({text})"
        newest = f"max({every}, key=lambda mv: int(mv.version))"
        if stages is None or is_none(stages):
            return code.in_line(whole, newest if single else every)
        one = _only(stages)
        if one is None:
            model = code.connected(name, "each", node.value)
            return code.in_line(call, f"[{model}.production() for each in {code.operand(stages)}]")
        alias = code.alias(one)
        if alias is None and (code.constant(one) or "").lower() == "none":
            return code.in_line(whole, newest if single else f"[{newest}]")
        model = code.connected(name, alias or "", node.value)
        if alias is None:
            return f"{model}.history()"
        # Where a list was wanted, the line around it has to change as well.
        return code.in_line(whole, f"{model}.production()") if single else f"{model}.production()"

    def _alias_read(
        self, node: cst.Attribute, call: cst.Call, single: cst.Subscript, given: dict[str, cst.BaseExpression]
    ) -> Edit | None:
        """Return the edit that reads an alias in place of a stage, where that does the same.

        Where nothing is live, the one raises ``IndexError`` and the other an error of MLflow's.
        """
        code, stages = self._code, given.get("stages")
        stage = _pointer(_only(stages)) if stages else None
        around: cst.CSTNode = single
        while around in code.parents:
            around = code.parents[around]
            if self._catches_index_error(around):
                return None
        if not stage or set(given) != {"name", "stages"} or not self._is_mlflows(node):
            return None
        args = [
            each.with_changes(value=stage, keyword=cst.Name("alias") if each.keyword else None)
            if each.value is stages
            else each
            for each in call.args
        ]
        return self._edit(single, call.with_changes(func=_called(node, "get_model_version_by_alias"), args=args))

    def _catches_index_error(self, node: cst.CSTNode) -> bool:
        """Tell whether a statement may be for what an empty list raises, and not for what MLflow raises."""
        if isinstance(node, cst.With):
            items = " ".join(map(self._code.module.code_for_node, node.items))
            return bool(re.search(r"\b(?:IndexError|LookupError|Exception)\b", items))
        handlers = node.handlers if isinstance(node, (cst.Try, cst.TryStar)) else ()
        types = [each for handler in handlers if handler.type for each in elements(handler.type) or [handler.type]]
        return any(not isinstance(each, cst.Name) or each.value in {"IndexError", "LookupError"} for each in types)

    def _stage(self, node: cst.BaseExpression, at: cst.CSTNode, name: str, version: str) -> None:
        """Note a stage that is read: the question is whether this version is live."""
        self._add(at, "read", "current_stage", self._instead_of_stage(node, name, version))

    def _instead_of_stage(self, node: cst.BaseExpression, name: str, version: str) -> str:
        """Return the question whether this version is live, in place of the comparison with a stage."""
        code, number = self._code, f"int({version})"
        attribute = code.parents[node]
        call = code.parents[attribute] if isinstance(attribute, cst.Attribute) else None
        if (
            isinstance(attribute, cst.Attribute)
            and attribute.attr.value in _IN_ANOTHER_CASE
            and isinstance(call, cst.Call)
        ):
            node = call
        compared = code.parents[node]
        target = compared if isinstance(compared, cst.ComparisonTarget) else None
        compared = code.parents[target] if target else compared
        if not isinstance(compared, cst.Comparison) or len(compared.comparisons) != 1:
            return f"prodpointer.connect({name}).live_version() == {number}"
        operator, right = compared.comparisons[0].operator, compared.comparisons[0].comparator
        if isinstance(operator, (cst.In, cst.NotIn)) and not target:
            live, inside = self._live_versions(right, name)
            sign = "in" if isinstance(operator, cst.In) == inside else "not in"
            return code.in_line(compared, f"{number} {sign} {live}")
        alias = code.alias(compared.left if target else right)
        equal = isinstance(operator, (cst.Equal, cst.Is, cst.In)) == (alias is not None)
        model = connect(name, alias or "")
        return code.in_line(compared, f"{model}.live_version() {'==' if equal else '!='} {number}")

    def _live_versions(self, stages: cst.BaseExpression, name: str) -> tuple[str, bool]:
        """Return the list of what is live under several stages, and whether a version of these stages is in it.

        Archived and None are no pointers: among the stages, they make it the list of what is live under the others.
        """
        if not isinstance(stages, (cst.List, cst.Tuple, cst.Set)):
            text = self._code.operand(stages)
            return f"[prodpointer.connect({name}, alias=each).live_version() for each in {text}]", True
        aliases = [self._code.alias(each.value) for each in stages.elements]
        inside = None not in aliases
        chosen = aliases if inside else [alias for alias in ("", '"staging"') if alias not in aliases]
        models = [connect(name, alias or "") for alias in chosen]
        return f"[{', '.join(f'{model}.live_version()' for model in models)}]", inside

    def _instead_of_source(self, node: cst.Attribute) -> str:
        """Return what downloads what is live, or MLflow's answer to where a version's files are."""
        code, receiver = self._code, node.value
        _, call = code.origin(receiver)
        client = call.func.value if call and isinstance(call.func, cst.Attribute) else None
        known = "client" if client is None or code.full_name(client) == "mlflow" else code.operand(client)
        alias = self._alias_read_by(call) if call else None
        if call and alias is not None:
            return f"{code.connected(arguments(call, 'name').get('name'), alias, client)}.pull(directory)"
        if isinstance(receiver, cst.Call) and receiver is call and last_name(call.func) == "get_model_version":
            given = ", ".join(code.text(each) for each in arguments(call, "name", "version").values())
            return code.in_line(node, f"{known}.{_DOWNLOAD_URI}({given or 'name, version'})")
        if any(isinstance(each, cst.Call) for each in below(receiver)):
            return f"{known}.{_DOWNLOAD_URI}(name, version)"
        version = code.operand(receiver)
        return code.in_line(node, f"{known}.{_DOWNLOAD_URI}({version}.name, {version}.version)")

    def _alias_read_by(self, call: cst.Call) -> str | None:
        """Return the text of the alias whose version a call returns, by that name or by its stage."""
        called = last_name(call.func)
        if called == "get_model_version_by_alias":
            alias = arguments(call, "name", "alias").get("alias")
            return self._code.text(alias) if alias else None
        stages = arguments(call, *_PARAMETERS[called]).get("stages") if called == "get_latest_versions" else None
        one = _only(stages) if stages else None
        return self._code.alias(one) if one else None


def _depth(text: str) -> int:
    """Return the levels of a text's syntax tree."""
    level: list[ast.AST] = [ast.parse(text)]
    depth = 0
    while level:
        depth, level = depth + 1, [child for node in level for child in ast.iter_child_nodes(node)]
    return depth


def _only(stages: cst.BaseExpression | None) -> cst.BaseExpression | None:
    """Return the one element of a list of one, else None."""
    several = elements(stages) or []
    return several[0] if len(several) == 1 else None


def _pointer(stage: cst.BaseExpression | None) -> cst.SimpleString | None:
    """Return the alias in place of a stage that a text names, in the same quotes; None for any other."""
    text = stage.evaluated_value if isinstance(stage, cst.SimpleString) else None
    if not isinstance(stage, cst.SimpleString) or str(text).lower() not in POINTERS or str(text) not in stage.value:
        return None
    return stage.with_changes(value=stage.value.replace(str(text), str(text).lower()))


def _called(node: cst.Attribute, name: str) -> cst.Attribute:
    """Return a method of the same object."""
    return node.with_changes(attr=cst.Name(name))

"""Uses of MLflow's stages in Python, read from the syntax tree, and the same line with prodpointer."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from prodpointer.stage_finder.patterns import Found, uses_in_lines
from prodpointer.stage_finder.source import SourceCode, last_name, parsed, quoted
from prodpointer.stage_finder.texts import uses_in_texts

_MAGIC = re.compile(r"(\s*)(?:[\w.]+\s*=\s*)?(?:%{1,2}[a-zA-Z]|!(?!=))")  # lines of IPython: %run, !ls, files = !ls
_DATABRICKS_MAGIC = re.compile(r"\s*#\s*MAGIC\b")
_PARAMETERS = {
    "get_latest_versions": ("name", "stages"),
    "transition_model_version_stage": ("name", "version", "stage"),
}
_IN_ANOTHER_CASE = {"lower", "upper", "title", "capitalize", "casefold", "strip"}
_DOWNLOAD_URI = "get_model_version_download_uri"


def uses_in_python(lines: Sequence[str], context: str) -> Iterator[Found]:
    """Yield each use in a Python file or in a cell of a notebook.

    Lines of IPython, and all lines of what does not parse, are read one by one. Comments and docstrings use nothing.

    Parameters
    ----------
    lines
        The lines of the file or cell.
    context
        The whole file, which tells whether it is about a model registry at all.
    """
    code, magic, tree = _read(lines)
    found = _uses_in_code(code, tree, context)
    if found is None:
        found = [each._replace(line=row + 1) for row, line in enumerate(code) for each in _uses_in_one(line, context)]
    if magic:
        found += uses_in_lines([line if row in magic else "" for row, line in enumerate(lines)], context)
    yield from found


def is_python(lines: Sequence[str]) -> bool:
    """Tell whether lines are Python, but for lines of IPython among them."""
    return _read(lines)[2] is not None


def _read(lines: Sequence[str]) -> tuple[list[str], set[int], ast.Module | None]:
    """Return lines with those of IPython replaced, which ones these are, and the syntax tree if there is one."""
    code, magic = list(lines), {row for row, line in enumerate(lines) if _DATABRICKS_MAGIC.match(line)}
    tree = parsed("\n".join(code))
    if tree is None:  # only then: % may begin a line of plain Python too
        for row, line in enumerate(lines):
            if match := _MAGIC.match(line):
                code[row] = f"{match[1]}pass"
                magic.add(row)
        tree = parsed("\n".join(code))
    return code, magic, tree


def _uses_in_one(line: str, context: str) -> Iterator[Found]:
    """Yield the uses in one line of Python out of a text that does not parse."""
    text = line.strip()
    alone = re.sub(r"^el(?=if\b)", "", text) + (" pass" if text.endswith(":") else "")
    uses = _uses_in_code([alone], parsed(alone), context, whole_lines=alone == text)
    if uses is not None:
        yield from uses
        return
    for found in uses_in_lines([line], context, python=True):
        instead = found.instead
        yield found if parsed(instead) else found._replace(instead=quoted(instead[instead.index('"') + 1 : -1]))


def _uses_in_code(
    lines: Sequence[str], tree: ast.Module | None, context: str, *, whole_lines: bool = True
) -> list[Found] | None:
    """Return each use in lines with their syntax tree; None without one, or for an expression of thousands of parts."""
    try:
        return list(_uses_in_tree(SourceCode(lines, tree, context, whole_lines=whole_lines))) if tree else None
    except RecursionError:
        return None


def _uses_in_tree(code: SourceCode) -> Iterator[Found]:
    """Yield each use, from the first line to the last."""
    uses = list(uses_in_texts(code))
    for node in code.names.nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            uses += _attribute(code, node)
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            uses += _key(code, node)
        elif isinstance(node, ast.Call) and last_name(node.func) in {"getattr", "methodcaller"}:
            uses += _named(code, node)
    yield from sorted(dict.fromkeys(uses))


def _attribute(code: SourceCode, node: ast.Attribute) -> Iterator[Found]:
    """Yield a call of MLflow's, or a version's attribute."""
    line = node.end_lineno or node.lineno
    if node.attr == "transition_model_version_stage" and not _is_own(code, node):
        yield Found(line, "write", node.attr, _instead_of_transition(code, node))
    elif node.attr == "get_latest_versions" and not _is_own(code, node):
        if code.about_registry or "stages" in _arguments_of(code, node):
            yield Found(line, "read", node.attr, _instead_of_latest(code, node))
    elif node.attr == "current_stage" and code.names.is_version(node.value, by_default=True):
        version = code.operand(node.value)
        yield Found(line, "read", node.attr, _instead_of_stage(code, node, f"{version}.name", f"{version}.version"))
    elif node.attr == "source" and code.names.is_version(node.value):
        yield Found(line, "read", node.attr, _instead_of_source(code, node))


def _key(code: SourceCode, node: ast.Subscript) -> Iterator[Found]:
    """Yield ``["current_stage"]`` of a version as REST answers it."""
    if code.about_registry and code.names.constant(node.slice) == "current_stage":
        version = code.operand(node.value)
        instead = _instead_of_stage(code, node, f'{version}["name"]', f'{version}["version"]')
        yield Found(node.lineno, "read", "current_stage", instead)


def _named(code: SourceCode, node: ast.Call) -> Iterator[Found]:
    """Yield a method of MLflow's that is looked up by its name."""
    for argument in node.args:
        name = argument.value if isinstance(argument, ast.Constant) else None
        if name == "transition_model_version_stage":
            yield Found(node.lineno, "write", name, "prodpointer.connect(name).promote(version)")
        elif name == "get_latest_versions" and code.about_registry:
            yield Found(node.lineno, "read", name, "prodpointer.connect(name).production()")


def _is_own(code: SourceCode, node: ast.Attribute) -> bool:
    """Tell whether a method is the file's own of that name, which holds MLflow's or is none of it."""
    return code.text(node.value) in {"self", "cls", "super()"} and node.attr in code.names.functions


def _arguments_of(code: SourceCode, node: ast.Attribute) -> dict[str, ast.expr]:
    """Return the arguments that a method of MLflow's is called with, as far as they can be told."""
    call = code.names.parents.get(node)
    return code.arguments(call, _PARAMETERS[node.attr]) if isinstance(call, ast.Call) and call.func is node else {}


def _instead_of_transition(code: SourceCode, node: ast.Attribute) -> str:
    """Return a promotion, or a withdrawal where the stage is no pointer."""
    given = _arguments_of(code, node)
    alias = code.alias(given.get("stage"))
    model = code.connected(given.get("name"), alias or "", node.value)
    call = code.names.parents[node] if given else node
    if alias is None:
        remark = "  # where this version is live; promote() archives the one it replaces"
        return code.in_line(call, f"{model}.withdraw()", remark)
    version = given.get("version")
    return code.in_line(call, f"{model}.promote({code.text(version) if version else 'version'})")


def _instead_of_latest(code: SourceCode, node: ast.Attribute) -> str:
    """Return what reads one pointer, several, or the newest version, which no stage tells."""
    given = _arguments_of(code, node)
    if "name" not in given:
        return f"{code.connected(None, '', node.value)}.production()"
    call = code.names.parents[node]
    element = code.names.parents.get(call)
    single = isinstance(element, ast.Subscript) and element.value is call and not isinstance(element.slice, ast.Slice)
    whole = element if single and element else call
    stages = given.get("stages", ast.Constant(None))
    one = stages.elts[0] if isinstance(stages, (ast.List, ast.Tuple, ast.Set)) and len(stages.elts) == 1 else None
    every = f"{code.operand(node.value)}.search_model_versions({_filter(code, given['name'])})"
    newest = f"max({every}, key=lambda mv: int(mv.version))"
    if isinstance(stages, ast.Constant) and stages.value is None:
        return code.in_line(whole, newest if single else every)
    if one is None:
        model = code.connected(given["name"], "each", node.value)
        return code.in_line(call, f"[{model}.production() for each in {code.operand(stages)}]")
    alias = code.alias(one)
    if alias is None and (code.names.constant(one) or "").lower() == "none":
        return code.in_line(whole, newest if single else f"[{newest}]")
    model = code.connected(given["name"], alias or "", node.value)
    if alias is None:
        return f"{model}.history()"
    # Where a list was wanted, the line around it has to change as well.
    return code.in_line(whole, f"{model}.production()") if single else f"{model}.production()"


def _filter(code: SourceCode, name: ast.expr) -> str:
    """Return MLflow's filter for the versions of one model."""
    known = name.value if isinstance(name, ast.Constant) else None
    return quoted(f"name = '{known}'") if isinstance(known, str) else f'"name = " + repr({code.text(name)})'


def _instead_of_stage(code: SourceCode, node: ast.expr, name: str, version: str) -> str:
    """Return the question whether this version is live, in place of the comparison with a stage."""
    parents, number = code.names.parents, f"int({version})"
    attribute = parents.get(node)
    call = parents.get(attribute) if isinstance(attribute, ast.Attribute) else None
    if isinstance(attribute, ast.Attribute) and attribute.attr in _IN_ANOTHER_CASE and isinstance(call, ast.Call):
        node = call
    compared = parents.get(node)
    if not isinstance(compared, ast.Compare) or len(compared.ops) != 1:
        return f"prodpointer.connect({name}).live_version() == {number}"
    operator, right = compared.ops[0], compared.comparators[0]
    if isinstance(operator, (ast.In, ast.NotIn)) and node is compared.left:
        live, inside = _live_versions(code, right, name)
        sign = "in" if isinstance(operator, ast.In) == inside else "not in"
        return code.in_line(compared, f"{number} {sign} {live}")
    alias = code.alias(right if node is compared.left else compared.left)
    equal = isinstance(operator, (ast.Eq, ast.Is, ast.In)) == (alias is not None)
    model = f"prodpointer.connect({name}{f', alias={alias}' if alias else ''})"
    return code.in_line(compared, f"{model}.live_version() {'==' if equal else '!='} {number}")


def _live_versions(code: SourceCode, stages: ast.expr, name: str) -> tuple[str, bool]:
    """Return the list of what is live under several stages, and whether a version of these stages is in it.

    Archived and None are no pointers: where they are among the stages, it is the list of what is live under the others.
    """
    if not isinstance(stages, (ast.List, ast.Tuple, ast.Set)):
        return f"[prodpointer.connect({name}, alias=each).live_version() for each in {code.operand(stages)}]", True
    aliases = [code.alias(each) for each in stages.elts]
    inside = None not in aliases
    chosen = aliases if inside else [alias for alias in ("", '"staging"') if alias not in aliases]
    models = [f"prodpointer.connect({name}{f', alias={alias}' if alias else ''})" for alias in chosen]
    return f"[{', '.join(f'{model}.live_version()' for model in models)}]", inside


def _instead_of_source(code: SourceCode, node: ast.Attribute) -> str:
    """Return what downloads what is live, or MLflow's answer to where a version's files are."""
    receiver, call = node.value, code.names.origin(node.value).call
    client = call.func.value if call and isinstance(call.func, ast.Attribute) else None
    known = "client" if client is None or code.names.dotted(client) in {"mlflow", ""} else code.operand(client)
    alias = _alias_read_by(code, call) if call else None
    if call and alias is not None:
        given = code.arguments(call, ("name",))
        return f"{code.connected(given.get('name'), alias, client)}.pull(directory)"
    if isinstance(call, ast.Call) and receiver is call and last_name(call.func) == "get_model_version":
        arguments = ", ".join(code.text(each) for each in code.arguments(call, ("name", "version")).values())
        return code.in_line(node, f"{known}.{_DOWNLOAD_URI}({arguments or 'name, version'})")
    if any(isinstance(each, ast.Call) for each in ast.walk(receiver)):
        return f"{known}.{_DOWNLOAD_URI}(name, version)"
    version = code.operand(receiver)
    return code.in_line(node, f"{known}.{_DOWNLOAD_URI}({version}.name, {version}.version)")


def _alias_read_by(code: SourceCode, call: ast.Call) -> str | None:
    """Return the text of the alias whose version a call returns, by that name or by its stage; None: no such call."""
    called = last_name(call.func)
    if called == "get_model_version_by_alias":
        alias = code.arguments(call, ("name", "alias")).get("alias")
        return code.text(alias) if alias else None
    stages = code.arguments(call, _PARAMETERS[called]).get("stages") if called == "get_latest_versions" else None
    one = stages.elts[0] if isinstance(stages, (ast.List, ast.Tuple)) and len(stages.elts) == 1 else None
    return code.alias(one) if one else None

"""Uses of MLflow's stages as they look in a line of any language, and the line to write instead.

Python is read by :mod:`prodpointer.stage_finder._syntax`, where libcst can parse it; its texts are searched with
the same ``URI``.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Kind = Literal["read", "write"]

LONGEST = 200
"""Characters that are shown of a line; of a longer one only the part that changes is written anew."""
TAILS = {"production": "@production", "staging": "@staging", "none": "/latest", "archived": "/VERSION"}
"""What takes the place of ``/STAGE`` in a URI. Archived is no alias: one of its versions has to be named."""
POINTERS = {"production", "staging"}
"""The stages that an alias of the same name stands for."""

HINT = re.compile(
    rb"models:|latest_?versions|get-latest-versions|model_?version_?stage|transition-stage|current_?stage"
    rb"|[.$]source\b|getSource\(",
    re.IGNORECASE,
)
"""Without this in its bytes a file or a line holds nothing to find."""
REGISTRY = re.compile(r"mlflow|model[-_ ]?versions?|registered[-_ ]?models?", re.IGNORECASE)
"""Without this in its text a file's ``current_stage`` is that of something else: a pipeline, a project, a game."""

# Each character can be read in one way only, so that no text takes long: not $( as a letter, not {{ twice.
_FILLED = r"\{\{(?:(?!\}\})[^\n]){0,200}\}\}|\{[^{}\n]{0,200}\}|\$\([^()\n]{0,200}\)|<[^<>\n]{1,80}>|\ue000\d+\ue001"
_LETTER = r"(?!\$\()[^\s/\"'`{}<>@\\,;\ue000]|(?<=[^\s/])[ ](?=[^\s/])"
_STAGE = r"(?P<stage>(?i:production|staging|archived|none))(?![\w@-]|\.\w)"
URI = re.compile(
    rf"(?<![\w.-])models:(?://[^/\s\"'`]*)?/(?P<name>(?:{_FILLED}|{_LETTER}){{1,300}}?)(?P<slash>/)"
    rf"(?:{_STAGE}|(?P<variable>\$?(?:{_FILLED})|\$\w+|%s)(?![\w@-]|\.\w))"
)
"""``models:/NAME/STAGE``, the stage by name, in any case as MLflow takes it, or in a variable.

An expression of Python stands in it as its number between U+E000 and U+E001.
"""

_JOINED = (
    # A plus, or what else joins texts, around the name: the stage is in the last text.
    re.compile(rf"models:/{{1,3}}[\"'](?P<name>[^\n]{{1,120}}?)[\"'](?P<slash>/){_STAGE}"),
    # The same with the stage in a variable behind it.
    re.compile(
        r"models:/{1,3}[\"'](?P<name>[^\n]{1,120}?)[\"'](?P<slash>/)[\"']\W{1,9}(?P<variable>(?i:[\w.$]*stage\w*))"
    ),
    # The parts of a path, in a list or as arguments.
    re.compile(rf"models:/?[\"']\s*,(?P<name>[^\n]{{1,120}}?),\s*[\"']{_STAGE}[\"']"),
)
_COLUMN = re.compile(
    r"(?P<table>\b\w{1,60}\.)?\bcurrent_stage\b(?:\s*=\s*(?P<quote>')(?P<stage>(?i:production|staging))')?"
)
OF_THE_TABLE = re.compile(r"\b(?:from|join|update)\s+[\w.\"`]{0,100}\bmodel_versions\b", re.IGNORECASE)
_CHOSEN = "SELECT name, version FROM registered_model_aliases WHERE alias = '{alias}'"
_NAMED = re.compile(r"(\w+)\s*=(?!=)\s*(.*)", re.DOTALL)
_LONGEST_CALL = 15  # lines
_MAGIC = re.compile(r"(\s*)(?:[\w.]+\s*=\s*)?(?:%{1,2}[a-zA-Z]|!(?!=))")  # lines of IPython: %run, !ls, files = !ls
_DATABRICKS_MAGIC = re.compile(r"\s*#\s*MAGIC\b")


class Edit(NamedTuple):
    """A change that keeps what the code means: from a line (from 1 on) and column to another, and the new text."""

    start: tuple[int, int]
    end: tuple[int, int]
    new: str


class Found(NamedTuple):
    """One use in a text: its line from 1 on, what it is, the line to write instead, and the edit that is sure."""

    line: int
    kind: Kind
    what: str
    instead: str
    edit: Edit | None = None


@dataclass(frozen=True)
class _Call:
    """A call or attribute with the languages that spell it so, and what does the same with prodpointer."""

    pattern: re.Pattern[str]  # its last group is named after the language, and holds the name to show
    kind: Kind
    python: str
    command: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    what: str = ""
    unmistakable: bool = False


_CALLS = (
    _Call(
        re.compile(
            r"\.(?P<python>transition_model_version_stage)\b|\b(?P<r>mlflow_transition_model_version_stage)\s*\("
            r"|\.(?P<jvm>transitionModelVersionStage)\s*\(|\b(?P<rest>model-versions/transition-stage)\b"
        ),
        "write",
        "prodpointer.connect(name).promote(version)",
        ("promote", "NAME", "VERSION"),
        ("NAME", "VERSION", "STAGE"),
        unmistakable=True,
    ),
    _Call(
        re.compile(
            r"\.(?P<python>get_latest_versions)\b|\b(?P<r>mlflow_get_latest_versions)\s*\("
            r"|\.(?P<jvm>getLatestVersions)\s*\(|\b(?P<rest>registered-models/get-latest-versions)\b"
        ),
        "read",
        "prodpointer.connect(name).production()",
        ("status", "NAME", "--json"),
        ("NAME", "STAGE"),
    ),
    _Call(
        re.compile(
            r"\.(?<!self\.)(?<!this\.)(?P<rest>current_stage)\b|\$(?<=\w\$)(?P<r>current_stage)\b"
            r"|\[[\"'](?P<python>current_stage)[\"']\]|\.(?P<jvm>getCurrentStage)\s*\("
        ),
        "read",
        "prodpointer.connect(name).live_version() == int(version)",
        ("status", "NAME", "--json"),
        what="current_stage",
    ),
    _Call(
        re.compile(
            r"(?:\bmv|[mM]odel_?[vV]ersion\w{0,40})(?:\.(?P<rest>source)\b|\$(?P<r>source)\b|\.(?P<jvm>getSource)\(\))"
            r"|get_model_version(?:_by_alias)?\([^()\n]{0,200}\)\.(?P<python>source)\b"
        ),
        "read",
        "client.get_model_version_download_uri(name, version)",
        ("pull", "NAME", "DIRECTORY"),
        what="source",
    ),
)


def uses_in_lines(lines: Sequence[str], context: str, *, python: bool = False) -> Iterator[Found]:
    """Yield each use in the lines of a text, once per line.

    Parameters
    ----------
    lines
        The lines. Comments count too, since each language has its own.
    context
        The whole file, which tells whether it is about a model registry at all.
    python
        Whether the lines are of Python; then a text of Python stands for a URI, and a call of Python for a call.
    """
    about_registry = bool(REGISTRY.search(context))
    of_the_table = bool(OF_THE_TABLE.search(context)) and not python
    for row, line in enumerate(lines, 1):
        if not HINT.search(line.encode(errors="replace")):
            continue
        found = list(_uris(line, row, python=python))
        if of_the_table:
            found += _columns(line, row)
        if not any(use.what == "current_stage" for use in found):
            found += _calls(lines, row, python=python, about_registry=about_registry)
        yield from dict.fromkeys(found)


def is_python(text: str) -> bool:
    """Tell whether a text is Python; what Python warns of is not reported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):  # ValueError: a NUL byte, before Python 3.12
            return False
    return True


def without_magic(lines: Sequence[str]) -> tuple[list[str], set[int]]:
    """Return lines of Python with those of IPython replaced, and the rows of these, which the plain patterns read."""
    code, magic = list(lines), {row for row, line in enumerate(lines) if _DATABRICKS_MAGIC.match(line)}
    if not is_python("\n".join(lines)):  # only then: % may begin a line of plain Python too
        for row, line in enumerate(lines):
            if match := _MAGIC.match(line):
                code[row] = f"{match[1]}pass"
                magic.add(row)
    return code, magic


def quoted(text: str) -> str:
    """Return a text as Python writes it, in double quotes where that is plain."""
    return json.dumps(text, ensure_ascii=False) if text.isprintable() else repr(text)


def sure_tail(match: re.Match[str]) -> str:
    """Return the alias that means the same as the stage of a URI, or the empty string.

    That is so for Production and Staging by name. Behind an alias, not every MLflow reads the path of a file.
    """
    after = match.string[match.end() : match.end() + 1]
    stage = (match["stage"] or "").lower()
    return f"@{stage}" if stage in POINTERS and after != "/" and not match[0].startswith("models://") else ""


def stage_of(match: re.Match[str], rest: str = "") -> str:
    """Return the stage that a URI names, or the variable that holds it, or the empty string where it is none.

    A variable has to be called a stage; of ``%s`` and ``{}`` the rest of the line tells what fills them.
    """
    groups = match.groupdict()
    variable = groups.get("variable")
    if variable is None:
        return str(groups["stage"])
    called = (
        variable if re.search(r"[^\W\d]{2}", variable) else " ".join(re.findall(r"\w*stage\w*", rest, re.IGNORECASE))
    )
    return variable if "stage" in called.lower() and "version" not in called.lower() else ""


def _uris(line: str, row: int, *, python: bool) -> Iterator[Found]:
    """Yield the URIs of a line, each with the line that has aliases in all of them."""
    found, whole = [], line
    for match in sorted((match for pattern in (URI, *_JOINED) for match in pattern.finditer(line)), key=_end):
        stage, name = stage_of(match, line[match.end() :][:LONGEST]), match["name"]
        if stage and "models:" not in name:
            last = stage if match.re is URI or stage.lower() in TAILS else f"{{{stage}}}"
            start = match[0][: -len(stage) - 1] if match.re is URI else f"models:/{{{name.strip(' +,|.&')}}}"
            new = sure_tail(match) if match.re is URI else ""
            edit = Edit((row, match.start("slash")), (row, match.end()), new) if new else None
            found.append((f"{start}/{last}", start + TAILS.get(stage.lower(), f"@{last}"), edit))
            whole = _with_alias(whole, match)
    for what, uri, edit in reversed(found):
        alone = len(line.strip()) > LONGEST or whole == line
        yield Found(row, "read", what, _text(uri) if python else uri if alone else whole.strip(), edit)


def _end(match: re.Match[str]) -> int:
    """Return a key that sorts matches from the end of the line on, so that a change moves none that is to come."""
    return -match.end()


def _with_alias(line: str, match: re.Match[str]) -> str:
    """Return a line with an alias in place of one stage, or as it is where the stage follows no slash, or is long."""
    groups = match.groupdict()
    if "slash" not in groups or len(line) > 2 * LONGEST:
        return line
    tail = TAILS.get((groups.get("stage") or "").lower())
    return line[: match.start("slash")] + (tail or "@") + line[match.end("stage") if tail else match.end("slash") :]


def _text(uri: str) -> str:
    """Return a URI as a text of Python."""
    return f'f"{uri}"' if "{" in uri and is_python(f'f"{uri}"') else quoted(uri)


def _columns(line: str, row: int) -> Iterator[Found]:
    """Yield the column of MLflow's table in a line of SQL, and the line that reads the table of aliases."""
    for match in _COLUMN.finditer(line):
        table = match["table"] or ""
        chosen = _CHOSEN.format(alias=(match["stage"] or "production").lower())
        live = f"({table}name, {table}version) IN ({chosen})"
        whole = line[: match.start()] + live + line[match.end() :]
        instead = whole.strip() if match["stage"] and len(line) <= LONGEST else live
        yield Found(row, "read", "current_stage", instead)


def _calls(lines: Sequence[str], row: int, *, python: bool, about_registry: bool) -> Iterator[Found]:
    """Yield the calls and attributes in one line."""
    for call in _CALLS:
        for match in call.pattern.finditer(lines[row - 1]):
            language = str(match.lastgroup)
            if not (about_registry or call.unmistakable or "/" in match[language]):
                continue
            instead = call.python
            if not python and language != "python":
                given = _arguments(lines[row - 1 :], match.end(), call.arguments) if language in {"r", "jvm"} else {}
                instead = _command(call, given, language)
            yield Found(row, call.kind, call.what or match[language], instead)


def _command(call: _Call, given: Mapping[str, str], language: str) -> str:
    """Return the command of prodpointer that does the same, as that language starts one."""
    words = [given.get(word, word if word.isupper() else f'"{word}"') for word in call.command]
    stage = given.get("STAGE", "")
    named = re.findall(r"(?i)[\"'](production|staging|archived|none)[\"']", stage)
    if [each.lower() for each in named] in (["archived"], ["none"]) and call.kind == "write":
        words = ['"withdraw"', words[1]]
    elif [each.lower() for each in named] == ["staging"] or re.fullmatch(r"[\w.$]*stage\w*", stage, re.IGNORECASE):
        words += ['"--alias"', '"staging"' if named else stage]
    if language == "r":
        return f'system2("prodpointer", c({", ".join(words)}){", stdout = TRUE" if call.kind == "read" else ""})'
    if language == "jvm":
        return f'new ProcessBuilder("prodpointer", {", ".join(words)}).inheritIO().start();'
    return "prodpointer " + " ".join(word.strip('"') for word in words)


def _arguments(lines: Sequence[str], column: int, order: Sequence[str]) -> dict[str, str]:
    """Return the arguments of a call by their names, read from behind its opening parenthesis in the first line on."""
    text = "\n".join(lines[:_LONGEST_CALL])[column:]
    found, depth, start = [], 0, 0
    for token in re.finditer(r"\"[^\"]*\"|'[^']*'|[(\[{]|[)\]}]|,", text):
        if token[0] in "([{":
            depth += 1
        elif depth and token[0] in ")]}":
            depth -= 1
        elif not depth and token[0] in ",)":
            found.append(text[start : token.start()].strip())
            start = token.end()
            if token[0] == ")":
                break
    named = {match[1].upper(): match[2] for each in found if (match := _NAMED.fullmatch(each))}
    return dict(zip(order, (each for each in found if not _NAMED.fullmatch(each)), strict=False)) | named

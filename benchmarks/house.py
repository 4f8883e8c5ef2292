"""How this code reads, in numbers: ours beside what we aim for.

``python -m benchmarks.house`` from the root of a checkout prints the table of CONTRIBUTING.md, and ``--write`` puts it
there. No MLflow is needed. The code is every module of ``src/prodpointer``, a test is a function ``test_*`` below
``tests``.

- Code lines are lines with code on them: no blank lines, no comments, and no string that stands as a statement of its
  own, as docstrings do.
- The share, the median and the largest are of the modules that have code lines.
- The length of a function is all its lines from ``def`` to its end, docstring included, decorators not; so it is for
  methods and for functions inside of others. The 95th is the length that 95 of 100 do not exceed.
- The methods of the seam are those of ``ProductionPointer``, enforced where each is abstract.
- Annotated are parameters other than ``self`` and ``cls``, and functions that say what they return.
- Public are modules, classes, functions and methods without a leading underscore in their name or around them; what
  stands inside of a function is not.
- Broad is an ``except`` of everything, of ``Exception`` or of ``BaseException``, whatever it does then, by 1,000 code
  lines; named where a comment beside it says why.
- A mock of MLflow is a stand-in of ``unittest.mock``, or an attribute of MLflow's that ``monkeypatch`` replaces. Our
  own attributes that it replaces are told too: pauses, limits, and a step that is made to fail.
- A missing backend is red where no test may be skipped or expected to fail but the one that needs a built wheel, and
  no environment of tox may fail unnoticed.
"""

from __future__ import annotations

import ast
import io
import math
import re
import statistics
import sys
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "CONTRIBUTING.md"

Function = ast.FunctionDef | ast.AsyncFunctionDef

_NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
_REPLACING = {"setattr", "delattr", "setitem", "delitem"}
_NOT_RUN = re.compile(r"\b(?:skip|skipif|skip_if_missing|xfail|importorskip)\(")
_OF_THE_WHEEL = "TOX_ENV_DIR"
_UNNOTICED = re.compile(r"ignore_outcome|ignore_errors|continue-on-error|\|\| true")


@dataclass(frozen=True)
class Module:
    """One file of Python."""

    path: Path
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.text)

    @cached_property
    def code_lines(self) -> set[int]:
        """The numbers of its lines with code on them."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        found = {line for each in tokens if each.type not in _NO_CODE for line in range(each.start[0], each.end[0] + 1)}
        for node in ast.walk(self.tree):
            if (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                found.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        return found

    @cached_property
    def functions(self) -> list[Function]:
        """Every function and method."""
        return [node for node in ast.walk(self.tree) if isinstance(node, Function)]


def modules(directory: str) -> list[Module]:
    """Return the modules below a directory of the checkout."""
    return [Module(path, path.read_text(encoding="utf-8")) for path in sorted((ROOT / directory).rglob("*.py"))]


def rows(code: Sequence[Module], tests: Sequence[Module]) -> Iterator[tuple[str, str, str]]:
    """Yield what is measured, ours and the aim."""
    sizes = [len(each.code_lines) for each in code if each.code_lines]
    yield "largest file's share of the code", f"{100 * max(sizes) / sum(sizes):.0f} %", "under 20 %"
    yield "median / largest file, code lines", f"{statistics.median(sizes):.0f}/{max(sizes)}", "about 90 / under 300"
    spans = [(each, range(node.lineno, (node.end_lineno or 0) + 1)) for each in code for node in each.functions]
    whole, bare = [len(span) for _, span in spans], [len(each.code_lines.intersection(span)) for each, span in spans]
    lengths = f"{_spread(whole)}, without docstrings {_spread(bare)}"
    yield "function length, median / 95th / longest", lengths, "8/30/40"
    yield "methods of the seam", _seam(code), "3, enforced"
    yield "parameters / returns annotated", "/".join(map(_percent, annotated(code))), "100/100"
    documented = [ast.get_docstring(node) is not None for each in code for node in public(each.tree)]
    told = [ast.get_docstring(node) is not None for node in tests_of(tests)]
    yield "public / test functions with a docstring", f"{_percent(documented)}/{_percent(told)}", "100/100"
    wide = [named for each in code for named in broad(each)]
    named = "named" if all(wide) else "not all named"
    yield "broad `except` per 1,000 lines", f"{1000 * len(wide) / sum(sizes):.1f}, {named}", "at most 1, named"
    mlflows, ours = (100 * count / len(told) for count in replaced(tests))
    yield "mocks per 100 tests", f"{mlflows:.0f} of MLflow, {ours:.0f} of our own", "0 of MLflow"
    yield "a backend missing in CI is", "red" if missing_is_red(tests) else "green", "red"


def _spread(lengths: Sequence[int]) -> str:
    """Return the median, the 95th of a hundred, and the longest."""
    ordered = sorted(lengths)
    most = ordered[math.ceil(0.95 * len(ordered)) - 1]
    return f"{statistics.median(ordered):.0f}/{most}/{ordered[-1]}"


def _seam(code: Sequence[Module]) -> str:
    """Return how many methods ``ProductionPointer`` has, and whether an implementation may forget one."""
    classes = (node for each in code for node in ast.walk(each.tree) if isinstance(node, ast.ClassDef))
    (seam,) = (node for node in classes if node.name == "ProductionPointer")
    verbs = [node for node in seam.body if isinstance(node, Function)]
    abstract = all("abstractmethod" in map(ast.unparse, verb.decorator_list) for verb in verbs)
    return f"{len(verbs)}, {'enforced' if abstract else 'unenforced'}"


def annotated(code: Sequence[Module]) -> tuple[list[bool], list[bool]]:
    """Return of each parameter, and of each function's return, whether its type is said."""
    parameters, returns = [], []
    for node in (node for each in code for node in each.functions):
        given = node.args
        listed = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        named = [each for each in listed if each is not None and each.arg not in {"self", "cls"}]
        parameters += [each.annotation is not None for each in named]
        returns.append(node.returns is not None)
    return parameters, returns


def public(node: ast.Module | ast.ClassDef) -> Iterator[ast.Module | ast.ClassDef | Function]:
    """Yield a module or class and what is public in it."""
    yield node
    for each in node.body:
        if isinstance(each, ast.ClassDef) and not each.name.startswith("_"):
            yield from public(each)
        elif isinstance(each, Function) and not each.name.startswith("_"):
            yield each


def tests_of(tests: Sequence[Module]) -> list[Function]:
    """Return the functions that are tests."""
    return [node for each in tests for node in each.functions if node.name.startswith("test_")]


def broad(module: Module) -> list[bool]:
    """Return of each handler that takes whatever comes whether the reason stands beside it."""
    handlers = (node for node in ast.walk(module.tree) if isinstance(node, ast.ExceptHandler))
    wide = (node for node in handlers if node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"})
    lines = module.text.splitlines()
    return ["#" in lines[node.lineno - 1].replace("# noqa", "") for node in wide]


def replaced(tests: Sequence[Module]) -> tuple[int, int]:
    """Return how often tests put something in the place of MLflow's, and of our own."""
    mocks, packages = 0, []
    for each in tests:
        sources = dict(_sources(each.tree))
        mocks += sum(name.startswith(("unittest.mock", "mock", "pytest_mock")) for name in sources.values())
        packages += [sources.get(head, head).partition(".")[0] for head in _replaced_in(each.tree)]
    return mocks + packages.count("mlflow"), packages.count("prodpointer")


def _replaced_in(tree: ast.Module) -> Iterator[str]:
    """Yield the first part of each name of which ``monkeypatch`` replaces an attribute or an item."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr in _REPLACING and "monkeypatch" in ast.unparse(node.func.value):
            target = node.args[0]
            named = target.value if isinstance(target, ast.Constant) else ast.unparse(target)
            yield str(named).partition(".")[0]


def _sources(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield each imported name with where it is from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((each.asname or each.name.partition(".")[0], each.name) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((each.asname or each.name, f"{node.module}.{each.name}") for each in node.names)


def missing_is_red(tests: Sequence[Module]) -> bool:
    """Tell whether what cannot run, or fails, is never passed over."""
    lines = [line for each in tests for line in each.text.splitlines() if _NOT_RUN.search(line)]
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("tox.ini", ".ci/run")]
    return all(_OF_THE_WHEEL in line for line in lines) and not any(map(_UNNOTICED.search, texts))


def _percent(answers: Sequence[bool]) -> str:
    """Return how many of a hundred are true, never all for less."""
    return f"{math.floor(100 * sum(answers) / len(answers))}"


def table() -> str:
    """Return the table."""
    measured = rows(modules("src/prodpointer"), modules("tests"))
    lines = ["| | ours | we aim for |", "| --- | --- | --- |", *(f"| {' | '.join(each)} |" for each in measured)]
    return "".join(f"{line}\n" for line in lines)


def main() -> None:
    """Print the table, or put it into CONTRIBUTING.md."""
    found = table()
    if "--write" in sys.argv[1:]:
        head = found.partition("\n")[0]
        text = PAGE.read_text(encoding="utf-8")
        old = re.search(rf"{re.escape(head)}\n(?:\|.*\n)*", text)
        assert old is not None, f"there is no table in {PAGE} that begins with {head}"
        PAGE.write_text(text.replace(old[0], found), encoding="utf-8")
    print(found, end="")


if __name__ == "__main__":
    main()

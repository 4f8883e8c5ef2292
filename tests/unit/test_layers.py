"""What importing a module imports, from the syntax tree; ``lint-imports`` checks which package may import which."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import prodpointer
from tests.mlflow_table import ROOT

PACKAGE = ROOT / "src" / "prodpointer"

# alembic and SQLAlchemy come with MLflow and take as long to import.
HEAVY = {"mlflow", "sqlalchemy", "alembic", "requests"}


@dataclass(frozen=True, slots=True)
class Import:
    """One import: what it names, where, and whether importing the module executes it."""

    target: str
    line: int
    at_import: bool


def modules() -> dict[str, Path]:
    """Return every module of the package by its name below ``prodpointer``."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if len(parts) > 1 and parts[-1] == "__init__":
            parts = parts[:-1]
        found[".".join(parts)] = path
    return found


MODULES = modules()


def imports(path: Path) -> Iterator[Import]:
    """Yield the imports of a module by absolute name, wherever they are."""
    yield from _imports(ast.parse(path.read_text(encoding="utf-8")), at_import=True)


def _imports(node: ast.AST, *, at_import: bool) -> Iterator[Import]:
    """Yield the imports below one node."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(alias.name, node.lineno, at_import)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: imports are absolute"
        for alias in node.names:
            yield Import(f"{node.module}.{alias.name}", node.lineno, at_import)
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, at_import=at_import and _runs_at_import(node, child))


def _runs_at_import(node: ast.AST, child: ast.AST) -> bool:
    """Return whether ``child`` is executed when the module is imported, given that ``node`` is."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        return False
    if isinstance(node, ast.If):
        test = node.test
        typing_only = (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
            isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
        )
        return not (typing_only and child in node.body)
    return True


@pytest.mark.parametrize("module", MODULES)
def test_importing_imports_no_mlflow(module: str) -> None:
    """MLflow and its database libraries are imported inside functions, so that ``import prodpointer`` is quick.

    That ``mlflow_client`` alone imports them at all is a contract of import-linter, in ``pyproject.toml``.
    """
    found = [each for each in imports(MODULES[module]) if each.target.partition(".")[0] in HEAVY]
    assert [f"{module}:{each.line} imports {each.target}" for each in found if each.at_import] == []


def test_public_names_are_exact() -> None:
    """``__all__`` is one sorted literal of the public names that ``__init__`` binds, and each is there."""
    tree = ast.parse(MODULES["__init__"].read_text(encoding="utf-8"))
    bound: set[str] = set()
    listed: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            bound.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            bound.update(names)
            if names == ["__all__"]:
                listed = ast.literal_eval(node.value)
    assert listed == sorted(name for name in bound if not name.startswith("_"))
    assert [name for name in listed if not hasattr(prodpointer, name)] == []


def test_the_namespace_shows_what_is_public() -> None:
    """``dir`` has the public names and the version, and none of the modules that importing them binds."""
    assert dir(prodpointer) == sorted([*prodpointer.__all__, "__version__"])
    assert "connection" in vars(prodpointer)


def test_a_star_import_binds_what_is_public() -> None:
    """``from prodpointer import *`` binds the names of ``__all__`` and nothing else."""
    names: dict[str, object] = {}
    exec("from prodpointer import *", names)
    assert sorted(names.keys() - {"__builtins__"}) == prodpointer.__all__


def test_the_rules_see_what_they_forbid(tmp_path: Path) -> None:
    """The tree walker tells an import at import time from one in a function or for types."""
    source = tmp_path / "example.py"
    source.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import mlflow.entities\nelse:\n    import alembic\n"
        "def f():\n    from mlflow import MlflowClient\n"
        "class C:\n    import sqlalchemy\n",
        encoding="utf-8",
    )
    seen = {each.target: each.at_import for each in imports(source) if each.line > 1}
    assert seen == {
        "mlflow.entities": False,
        "alembic": True,
        "mlflow.MlflowClient": False,
        "sqlalchemy": True,
    }

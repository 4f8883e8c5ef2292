"""The rooms of the house, over the syntax tree: imports point down, and MLflow enters by one door."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import prodpointer
from tests.mlflow_table import ROOT

PACKAGE = ROOT / "src" / "prodpointer"

# Low to high: a room imports from the lines above its own only.
ORDER: tuple[tuple[str, ...], ...] = (
    ("verdicts", "texts"),
    ("errors",),
    ("stage_patterns",),
    ("stage_source",),
    ("stage_texts",),
    ("stage_syntax",),
    ("names",),
    ("records",),
    ("gates",),
    ("gate_text",),
    ("pointers", "pointers.protocol"),
    ("mlflow_border",),
    ("pointers.alias", "pointers.stage", "pointers.memory"),
    ("pointers.mirrored",),
    ("detection",),
    ("selection", "limits", "rights"),
    ("codec",),
    ("artifacts",),
    ("journal", "loaders", "notices", "in_use", "ownership"),
    ("cache",),
    ("registration", "delivery"),
    ("look", "recording"),
    ("promotion",),
    ("drift", "loading"),
    ("live", "carrying"),
    ("registered_model", "unwinding", "fleet", "planning"),
    ("connecting", "migration"),
    ("drop_in", "diagnosis", "laws", "bridge"),
    ("plan_page",),
    ("demo", "conformance", "stage_uses"),
    ("printing", "progress", "options", "process"),
    ("migrate_printing",),
    ("migrate_commands", "registry_commands"),
    ("cli",),
    ("__main__",),
    ("testing.servers", "testing.environments"),
    ("testing.registries",),
    ("testing.fixtures",),
    ("testing",),
    ("__init__",),
)
FLOORS = {room: floor for floor, rooms in enumerate(ORDER) for room in rooms}

# The one room of several modules, which are free among themselves.
BORDER = "mlflow_border"
WORLDS = {"pointers.alias", "pointers.stage", "pointers.mirrored"}
# Selection chooses among them, the mirrored pointer is made of two, and the package names them for users.
KNOW_THE_WORLDS = {"selection", "pointers.mirrored", "__init__"}
# alembic and SQLAlchemy come with MLflow, take as long to import, and only the border looks into a database.
BEHIND_THE_BORDER = {"mlflow", "sqlalchemy", "alembic"}


@dataclass(frozen=True, slots=True)
class Import:
    """One import: what it names, where, and whether importing the module carries it out."""

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


def room_of(module: str) -> str | None:
    """Return the room that a module is, or is in; None when it has no place in the order."""
    room = BORDER if module.startswith(f"{BORDER}.") else module
    return room if room in FLOORS else None


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
    """Tell whether ``child`` is carried out when the module is imported, given that ``node`` is."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        return False
    if isinstance(node, ast.If):
        test = node.test
        typing_only = (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
            isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
        )
        return not (typing_only and child in node.body)
    return True


def own_module(target: str) -> str | None:
    """Return the module of this package that an imported name is, or is in; None for anyone else's."""
    head, _, name = target.partition(".")
    if head != "prodpointer":
        return None
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or "__init__"


def test_every_module_has_a_floor() -> None:
    """A new module is given its place in the order before it is used."""
    assert [module for module in MODULES if room_of(module) is None] == []


def test_every_floor_has_its_module() -> None:
    """The order names no room that was torn down."""
    assert [room for room in FLOORS if room not in MODULES] == []


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    """A room imports from lower floors only, also inside functions and for types."""
    room = room_of(module)
    assert room is not None
    upward = []
    for each in imports(MODULES[module]):
        target = own_module(each.target)
        if target is None or room_of(target) == room:
            continue
        if FLOORS[room_of(target) or ""] >= FLOORS[room]:
            upward.append(f"{module}:{each.line} imports {target}")
    assert upward == []


@pytest.mark.parametrize("module", MODULES)
def test_mlflow_enters_by_the_border(module: str) -> None:
    """Only the border imports MLflow and its database libraries, and never while it is imported itself."""
    found = [each for each in imports(MODULES[module]) if each.target.partition(".")[0] in BEHIND_THE_BORDER]
    if room_of(module) == BORDER:
        found = [each for each in found if each.at_import]
    assert [f"{module}:{each.line} imports {each.target}" for each in found] == []


@pytest.mark.parametrize("module", [module for module in MODULES if module not in KNOW_THE_WORLDS])
def test_pointers_are_chosen_in_one_place(module: str) -> None:
    """Above selection, nothing knows which pointer it has."""
    found = [each for each in imports(MODULES[module]) if own_module(each.target) in WORLDS]
    assert [f"{module}:{each.line} imports {each.target}" for each in found] == []


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

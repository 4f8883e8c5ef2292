"""The file for type checkers covers the whole public API."""

from __future__ import annotations

import ast

import prodpointer
from tests.mlflow_table import ROOT


def test_the_typed_file_uses_every_public_name() -> None:
    """``tests/typing/api.py`` uses each name of ``__all__`` and no other: a new one is given its types there."""
    tree = ast.parse((ROOT / "tests" / "typing" / "api.py").read_text(encoding="utf-8"))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "prodpointer"
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "prodpointer":
            used.update(each.name for each in node.names)
    assert used == set(prodpointer.__all__)

"""What the pages say of errors, supported versions and files is what there is."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest

import prodpointer
from tests import mlflow_table
from tests.mlflow_table import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TROUBLESHOOTING = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
RELATIVE = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
PUBLIC = {name: getattr(prodpointer, name) for name in prodpointer.__all__}
RAISED = sorted(name for name, each in PUBLIC.items() if isinstance(each, type) and issubclass(each, Exception))


def project() -> dict[str, Any]:
    """Return the project table of ``pyproject.toml``."""
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"])


def test_each_error_and_warning_has_a_section() -> None:
    """Troubleshooting has one section for each public class, and none for another."""
    assert sorted(name for name, _ in SECTION.findall(TROUBLESHOOTING)) == RAISED


@pytest.mark.parametrize("name", RAISED)
def test_a_section_says_what_to_do(name: str) -> None:
    """It has the three parts, in this order."""
    parts = re.findall(r"^\*\*(\w+):\*\*", dict(SECTION.findall(TROUBLESHOOTING)).get(name, ""), re.MULTILINE)
    assert parts == ["Means", "Look", "Do"]


@pytest.mark.parametrize("name", RAISED)
def test_a_section_gives_the_exit_code(name: str) -> None:
    """An exit code other than that of most errors stands in its section."""
    code = getattr(PUBLIC[name], "exit_code", 1)
    section = dict(SECTION.findall(TROUBLESHOOTING)).get(name, "")
    assert {int(found) for found in re.findall(r"[Ee]xit\s+code\s+(\d)", section)} <= {code}
    assert code == 1 or re.search(rf"[Ee]xit\s+code\s+{code}", section)


def test_the_support_policy_names_the_versions() -> None:
    """The page has the requirement of MLflow and the Pythons of ``pyproject.toml``."""
    page = (ROOT / "docs" / "support.md").read_text(encoding="utf-8")
    [mlflow] = [each for each in project()["dependencies"] if each.startswith("mlflow")]
    pythons = [line.rpartition(" ")[2] for line in project()["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert f"`{mlflow}`" in page
    assert f"Python {', '.join(pythons[:-1])} and {pythons[-1]}." in page


def test_the_landing_page_names_the_tested_versions() -> None:
    """From the oldest row of the table to the newest."""
    rows = mlflow_table.rows()
    page = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert re.findall(r"MLflow (\S+) to (\S+),", page) == [(rows[0].version, rows[-1].version)]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_a_page_of_the_root_links_to_files_that_exist(page: str) -> None:
    """The site checks its own links; these are read on GitHub."""
    links = RELATIVE.findall((ROOT / page).read_text(encoding="utf-8"))
    assert [link for link in links if not (ROOT / link).exists()] == []

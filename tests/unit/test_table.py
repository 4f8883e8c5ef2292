"""Each fact about the supported versions is defined once; every copy is compared here."""

from __future__ import annotations

import configparser
import re
import sys
from typing import Any

import pytest

from prodpointer.testing.environments import KNOWN
from tests import mlflow_table
from tests.mlflow_table import ROOT, Row

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROWS = mlflow_table.all_rows()
README_COMMANDS = ("pip install . && prodpointer demo", "pip install tox && tox")
# Plain `tox` runs the newest row of each major with the Python at hand, under these names.
# What makes the environment of a server of the whole MLflow.
FOR_OTHERS = ("uv",)
SHORT_NAMES = {mlflow_table.newest_of_major(major).version: f"mlflow{major}" for major in (2, 3)}


def each_row() -> pytest.MarkDecorator:
    """Parametrise a test over the rows."""
    return pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.key))


def text(name: str) -> str:
    """Return a file of the project."""
    return (ROOT / name).read_text(encoding="utf-8")


def project() -> dict[str, Any]:
    """Return the project table of ``pyproject.toml``."""
    return dict(tomllib.loads(text("pyproject.toml"))["project"])


def tox() -> configparser.RawConfigParser:
    """Return ``tox.ini``."""
    parsed = configparser.RawConfigParser()
    parsed.read(ROOT / "tox.ini", encoding="utf-8")
    return parsed


def lines(section: str, option: str) -> list[str]:
    """Return the lines of one setting of ``tox.ini``; none where it is not given."""
    return [line.strip() for line in tox().get(section, option, fallback="").splitlines() if line.strip()]


def environments(row: Row) -> list[str]:
    """Return the names of the tox environments that run a row."""
    short = SHORT_NAMES.get(row.key)
    return [f"mlflow-{row.key}", *([short] if short else [])]


def test_tox_has_the_rows_and_no_others() -> None:
    """The MLflow environments of tox are the rows of the table, and the newest of each major once more."""
    named = {name.removeprefix("testenv:") for name in tox().sections() if name.startswith("testenv:mlflow")}
    assert named == {name for row in ROWS for name in environments(row)}


@each_row()
def test_tox_installs_the_row(row: Row) -> None:
    """An environment installs the row's MLflow, with what the row adds, from the index of the row's day."""
    for name in environments(row):
        section = f"testenv:{name}"
        wanted = [f"{row.distribution}=={row.version}", *row.extra]
        found = [line for line in lines(section, "deps") if not line.startswith("{")]
        for_others = FOR_OTHERS if row in mlflow_table.skinny_rows() else ()
        assert [line for line in found if line not in for_others] == wanted
        assert f"UV_EXCLUDE_NEWER = {row.as_of}" in lines(section, "set_env")


@each_row()
def test_tox_uses_the_python_of_the_row(row: Row) -> None:
    """An environment named after a row has the row's Python; the short names have the one at hand."""
    assert tox().get(f"testenv:mlflow-{row.key}", "base_python") == f"python{row.python}"
    for name in environments(row)[1:]:
        assert not tox().has_option(f"testenv:{name}", "base_python")


def test_plain_tox_is_what_the_readme_promises() -> None:
    """Plain ``tox`` checks style, types, what needs no MLflow, and one MLflow of each major."""
    assert lines("tox", "env_list") == ["lint", "types", "unit", "mlflow2", "mlflow3"]


def test_classifiers_are_the_supported_pythons() -> None:
    """The classifiers run from ``requires-python`` without a gap, and the rows use listed ones."""
    minors = [
        int(found[1])
        for found in (
            re.fullmatch(r"Programming Language :: Python :: 3\.(\d+)", line) for line in project()["classifiers"]
        )
        if found
    ]
    assert project()["requires-python"] == f">=3.{minors[0]}"
    assert minors == list(range(minors[0], minors[-1] + 1))
    assert {row.python for row in ROWS} <= {f"3.{minor}" for minor in minors}


def test_every_row_says_why() -> None:
    """A row costs minutes of every run: it says what it is there for."""
    assert [row.key for row in ROWS if len(row.why) < 20] == []


@each_row()
def test_ci_runs_the_row(row: Row) -> None:
    """CI runs each row by its name."""
    assert row.key in named_by_ci()


def test_ci_runs_what_needs_no_mlflow_on_every_python() -> None:
    """On each Python of the classifiers."""
    minors = {f"py3{line.rpartition('.')[2]}" for line in project()["classifiers"] if ":: 3." in line}
    assert set(re.findall(r"\bunit-(py3\d+)", text(".ci/run"))) == minors
    named = {name for name in tox().sections() if name.startswith("testenv:unit-")}
    assert named == {"testenv:unit-py3{10,11,12,13}"}


def test_ci_names_no_row_that_is_gone() -> None:
    """Each row that CI names is in the table."""
    assert named_by_ci() <= {row.key for row in ROWS}


def named_by_ci() -> set[str]:
    """Return the rows that CI names."""
    return set(re.findall(r"\bmlflow-([0-9.]+[0-9](?:-skinny)?)(?![\w-])", text(".ci/run")))


@pytest.mark.parametrize("command", README_COMMANDS)
def test_ci_runs_what_the_readme_tells(command: str) -> None:
    """The README contains these commands."""
    assert command in fenced_lines(text("README.md"))
    assert command in text(".ci/run")


def fenced_lines(page: str) -> list[str]:
    """Return the lines of a page's code blocks, without prompts."""
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    return [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]


def test_the_readme_lists_the_rows() -> None:
    """The support table of the README is the table, in any words."""
    first_cells = re.findall(r"^\| ([0-9]+\.[0-9]+\.[0-9]+(?:-skinny)?) \|", text("README.md"), flags=re.MULTILINE)
    assert first_cells == [row.key for row in ROWS]


def test_the_table_is_found_by_version() -> None:
    """A version outside the table is an error that names the ones inside."""
    assert mlflow_table.row(ROWS[0].version) is ROWS[0]
    with pytest.raises(LookupError, match=re.escape(ROWS[0].version)):
        mlflow_table.row("1.30.0")


def test_the_plugin_installs_the_rows_as_the_table_does() -> None:
    """A server of a listed version, started by the pytest plugin, is of the day that the table names."""
    assert [(row.version, row.python, row.as_of, row.extra) for row in mlflow_table.rows()] == [
        (known.version, known.python, known.as_of, known.extra) for known in KNOWN
    ]


@pytest.mark.parametrize("row", mlflow_table.skinny_rows(), ids=lambda row: str(row.key))
def test_a_skinny_row_stands_beside_a_whole_one(row: Row) -> None:
    """``mlflow-skinny`` is proved against a server of its own version and day, so there is such a row."""
    assert row.key == f"{row.version}-skinny"
    whole = mlflow_table.row(row.version)
    assert (whole.python, whole.as_of) == (row.python, row.as_of)


def test_the_last_row_is_the_newest_whole_mlflow() -> None:
    """The sessions of ``noxfile.py`` run with the last row of the table unless told otherwise."""
    table = tomllib.loads(text("pyproject.toml"))["tool"]["prodpointer"]["mlflow"]
    assert list(table)[-1] == mlflow_table.rows()[-1].key

"""Every block of the site is run, and the reference is complete."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

import prodpointer
from prodpointer import types
from prodpointer.artifacts import loaders, register
from prodpointer.cli import demo
from prodpointer.cli import main as cli
from prodpointer.diagnostics.conformance import Conformance
from prodpointer.history import record
from prodpointer.migration import plan, runs
from prodpointer.stage_finder.finder import StageUse
from prodpointer.types import Comparison, Diagnosis, ModelVersion, PointerStatus, Promotion, Pulled
from tests.docs.blocks import ELSEWHERE, blocks, name_of, pages
from tests.mlflow_table import ROOT

FENCE = re.compile(r"^\s*(?:```|~~~)", re.MULTILINE)
IDENTIFIER = re.compile(r"^::: prodpointer\.(\w+)$", re.MULTILINE)
VARIABLE = re.compile(r"\b(?:PRODPOINTER|MLFLOW)_[A-Z_]+\b")
DATABASE = re.compile(r"sqlite:///(?!mlflow\.db)(\w+\.db)")  # a server's is its own
OWN_TAGS = re.compile(r"`(prodpointer\.\w+)")
# Those that the pytest plugin sets or takes away for a test.
FOR_TESTS = {
    "MLFLOW_DISABLE_TELEMETRY",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_RUN_ID",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION",
}
# Variables that errors name, and a constant that is called like one.
NAMED_ONLY = {"MLFLOW_TAG", "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_SERVER_ALLOWED_HOSTS"}


def each_page() -> pytest.MarkDecorator:
    """Parametrise a test over the pages."""
    return pytest.mark.parametrize("page", pages(), ids=name_of)


def text(name: str) -> str:
    """Return a file of the project."""
    return (ROOT / name).read_text(encoding="utf-8")


@each_page()
def test_no_block_escapes(page: Path) -> None:
    """Every fence of a page belongs to a block, and of each block it is known how it is run."""
    content = page.read_text(encoding="utf-8")
    found = list(blocks(content))
    assert len(FENCE.findall(content)) == 2 * len(found)
    if name_of(page) not in ELSEWHERE:
        assert [(block.line, block.language) for block in found if not block.kind] == []


def test_the_architecture_names_what_is_there() -> None:
    """Each file and directory that the page names exists."""
    page = text("docs/architecture.md")
    modules = re.findall(r"`(\w+\.py|\w+/)`", page)
    assert modules
    assert [name for name in modules if not (ROOT / "src" / "prodpointer" / name).exists()] == []
    assert [name for name in re.findall(r"`(tests/\w+)`", page) if not (ROOT / name).is_dir()] == []


def test_each_page_has_databases_of_its_own() -> None:
    """No two pages name the same SQLite file: MLflow keeps one open for as long as the process lives."""
    named = [name for page in pages() for name in {*DATABASE.findall("".join(_bodies(page)))}]
    assert sorted(named) == sorted(set(named))


def _bodies(page: Path) -> list[str]:
    """Return what stands in the blocks of a page."""
    return [block.body for block in blocks(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", ELSEWHERE)
def test_what_runs_elsewhere_is_run(page: str) -> None:
    """A page that is left to another test is there, and so is the test."""
    assert (ROOT / page).is_file()
    assert Path(page).name in text(ELSEWHERE[page])


def test_the_reference_has_every_name() -> None:
    """Each public name stands on one page of the reference, and no other does."""
    found = [
        name
        for page in sorted((ROOT / "docs" / "reference").glob("*.md"))
        for name in IDENTIFIER.findall(page.read_text(encoding="utf-8"))
    ]
    assert sorted(found) == sorted(prodpointer.__all__)


def test_the_configuration_has_every_variable() -> None:
    """Each environment variable that the source names stands on the page, and each of our own on the page is read."""
    sources = {file: set(VARIABLE.findall(file.read_text(encoding="utf-8"))) for file in (ROOT / "src").rglob("*.py")}
    page = text("docs/reference/configuration.md")
    named = set[str]().union(
        *(names - FOR_TESTS if "testing" in file.parts else names for file, names in sources.items())
    )
    named -= NAMED_ONLY
    assert named <= set(VARIABLE.findall(page))
    assert {name for name in VARIABLE.findall(page) if name.startswith("PRODPOINTER_")} <= named


def test_the_configuration_has_every_tag() -> None:
    """Each tag that is written stands on the page."""
    written = {
        *(
            value
            for module in (record, loaders, types, register)
            for name, value in vars(module).items()
            if name.endswith("_TAG") and isinstance(value, str)
        ),
    }
    assert {tag.rstrip(".") for tag in written} == set(OWN_TAGS.findall(text("docs/reference/configuration.md")))


VERSION = ModelVersion("churn", 1, None, "READY", "", None, None, None)
MOVE = Promotion("churn", None, 1, ("alias",), datetime.now(timezone.utc), "ada")
PRINTED: dict[str, dict[str, Any]] = {
    "| `promote`, `rollback`": MOVE.as_json(),
    "each with `name`, `live`": PointerStatus("churn", 1, 1, None, True, "alias", MOVE).as_json(),
    "| `versions` |": VERSION.as_json(),
    "| `compare` |": Comparison("churn", VERSION, VERSION, (), (), (), ((), ())).as_json(),
    "`pull`": Pulled("churn", 1, Path("bundle"), None).as_json(),
    "`doctor`": Diagnosis("sqlite:///registry.db", "3.17.2", None, "alias", "", ()).as_json(),
    "| `conformance` |": Conformance("sqlite:///registry.db", "3.17.2", None, ()).as_json(),
    "`steps`; each with `did`": demo.Step("trained").as_json(),
    "`migrate runs`": runs.RunSummary("set-aliases", "migrate", 1, None, None).as_json(),
    "`migrate find`": StageUse(Path("train.py"), 1, "read", "what", "text", "instead").as_json(),
    "`migrate plan`": plan.Plan("sqlite:///registry.db", None, (), ()).as_json(),
}


@pytest.mark.parametrize("place", PRINTED)
def test_the_configuration_has_every_key(place: str) -> None:
    """The row of a command names each key that its document has."""
    [row] = [line for line in text("docs/reference/configuration.md").splitlines() if place in line and "|" in line]
    assert {key for key in PRINTED[place] if f"`{key}`" not in row} == set()


def test_the_configuration_has_every_command_with_json() -> None:
    """Each command stands in the table of what ``--json`` prints."""
    table = text("docs/reference/configuration.md").partition("## JSON")[2]
    migrate = cli.main.commands["migrate"]
    names = {*cli.main.commands, *getattr(migrate, "commands", {})} - {"migrate"}
    assert {name for name in names if not re.search(rf"`(?:migrate )?{name}\b", table)} == set()

"""Every example of the site and the README, as tests: ``python -m pytest -p tests.docs.examples README.md docs``.

Sybil keeps one namespace for each page and makes a test of each block in its order; what a block means is said in
:mod:`tests.docs.running`. With ``PRODPOINTER_WRITE_DOCS=1`` what is printed now is written into the pages.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sybil import Document, Example, Region, Sybil

from tests.docs.blocks import ELSEWHERE, blocks, marks, name_of
from tests.docs.comparing import difference
from tests.docs.happenings import happen
from tests.docs.running import Page, Wrong
from tests.mlflow_table import ROOT

WRITE = os.environ.get("PRODPOINTER_WRITE_DOCS") == "1"


def regions(document: Document) -> Iterator[Region]:
    """Yield the blocks and marks of a page, except where something else runs them."""
    if name_of(Path(document.path)) in ELSEWHERE:
        return
    for block in blocks(document.text):
        yield Region(block.start, block.end, block, _run)
    for mark in marks(document.text):
        yield Region(mark.start, mark.end, mark.what, _let_happen)


def _run(example: Example) -> None:
    """Run one block; it fails where it does, or where it prints something else than is shown."""
    page: Page = example.namespace["page"]
    instead = page.run(example.parsed, example.path)
    if instead is None:
        return
    if WRITE:
        page.changes.append((example.path, example.parsed, instead))
        return
    raise Wrong(difference(example.parsed.body, instead))


def _let_happen(example: Example) -> None:
    """Let happen what a mark names."""
    happen(example.parsed, example.namespace["page"])


def _open(namespace: dict[str, Any]) -> None:
    """Begin a page."""
    namespace["page"] = Page()


def _close(namespace: dict[str, Any]) -> None:
    """End a page, and write what has changed where that is wanted."""
    page: Page = namespace["page"]
    page.close()
    for path, block, instead in sorted(page.changes, key=lambda change: -change[1].start):
        text = Path(path).read_text(encoding="utf-8")
        body = "".join(f"{block.indent}{line}".rstrip() + "\n" for line in instead.splitlines())
        Path(path).write_text(text[: block.start] + body + text[block.end :], encoding="utf-8")


pytest_collect_file = Sybil([regions], path=str(ROOT), pattern="*.md", setup=_open, teardown=_close).pytest()

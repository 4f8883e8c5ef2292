"""The fenced blocks of a page, and how each of them is run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.mlflow_table import ROOT

FENCED = re.compile(
    r"^(?P<indent> *)(?P<fence>```+)(?P<info>[^\n`]*)\n(?P<body>(?:.*\n)*?)(?P=indent)(?P=fence) *$", re.MULTILINE
)
MARK = re.compile(r"^ *<!-- meanwhile: (?P<what>[^>]+?) -->$", re.MULTILINE)
INFO = re.compile(r'(?P<language>\w+)(?: title="(?P<title>[\w./-]+)")?')
TAB = re.compile(r'^(?P<indent> *)=== "MLflow (?P<major>[23])"$')

# Pages whose blocks are run by something of their own, which compares what they print.
ELSEWHERE = {
    "docs/migrating.md": "tests/examples/migrating.py",
}


@dataclass(frozen=True)
class Block:
    """One fenced block: ``start`` and ``end`` are of its body, ``major`` is that of the tab it stands in."""

    language: str
    title: str
    body: str
    indent: str
    line: int
    start: int
    end: int
    major: int | None

    @property
    def kind(self) -> str:
        """What is done with it, or the empty text if unknown."""
        if self.title and (ROOT / self.title).is_file():
            return "copy"
        if self.language == "text" and self.title:
            return "drawing"
        if self.language == "mermaid" and not self.title:
            return "diagram"
        if self.title:
            return "file" if self.language in ("python", "yaml", "toml", "ini") else ""
        if self.language == "sh":
            return "in .ci/run"
        return self.language if self.language in ("python", "console", "text") else ""


@dataclass(frozen=True)
class Mark:
    """A comment that no reader sees, ``<!-- meanwhile: the server stops -->``: what happens between two blocks."""

    what: str
    start: int
    end: int


def pages() -> list[Path]:
    """Return every page of the site and the README, in order."""
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]


def name_of(page: Path) -> str:
    """Return a page's path as the project says it."""
    return page.relative_to(ROOT).as_posix()


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page in order."""
    for found in FENCED.finditer(text):
        info = INFO.fullmatch(found["info"].strip())
        indent = found["indent"]
        yield Block(
            language=info["language"] if info else "",
            title=(info["title"] or "") if info else "",
            body="".join(line.removeprefix(indent) for line in found["body"].splitlines(keepends=True)),
            indent=indent,
            line=text.count("\n", 0, found.start("body")),
            start=found.start("body"),
            end=found.end("body"),
            major=_tab(text[: found.start()], len(indent)),
        )


def marks(text: str) -> Iterator[Mark]:
    """Yield the marks of a page that stand in no block."""
    fenced = [(block.start, block.end) for block in blocks(text)]
    for found in MARK.finditer(text):
        if not any(start <= found.start() < end for start, end in fenced):
            yield Mark(found["what"], found.start(), found.end())


def _tab(before: str, indent: int) -> int | None:
    """Return the major of the tab that text with this indent stands in, or None."""
    if indent == 0:
        return None
    for line in reversed(before.splitlines()):
        tab = TAB.match(line)
        if tab and len(tab["indent"]) < indent:
            return int(tab["major"])
        if line.strip() and len(line) - len(line.lstrip()) < indent:
            return None
    return None

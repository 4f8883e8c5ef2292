"""What counts as a dead link of the built site."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mlflow_table import ROOT


def load_dead_links() -> Callable[..., list[str]]:
    """Return the function of ``docs/links.py``, which is no package: the build of the site imports it."""
    spec = importlib.util.spec_from_file_location("links", ROOT / "docs" / "links.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[..., list[str]] = module.dead_links
    return found


dead_links = load_dead_links()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site of two pages and a file."""
    (tmp_path / "how-to").mkdir()
    (tmp_path / "index.html").write_text('<h1 id="start">x</h1>')
    (tmp_path / "how-to" / "ci.html").write_text('<h2 id="a b">x</h2><a name="old"></a>')
    (tmp_path / "results.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    "link",
    [
        'href="../results.json"',
        'href="../index.html#start"',
        'href=".."',
        'href="#page"',
        'href="ci.html#a%20b"',
        'href="ci.html#old"',
        'href="/results.json"',
        'href="/site/results.json"',
        'href="https://docs.example/site/results.json"',
        'href="https://elsewhere.example/missing"',
        'href="mailto:ada@example.com"',
    ],
)
def test_a_link_that_leads_somewhere(site: Path, link: str) -> None:
    """Pages, anchors and files of the site, from wherever it is published, and anything elsewhere."""
    (site / "how-to" / "page.html").write_text(f'<p id="page"><a {link}>x</a></p>')
    assert dead_links(site, "https://docs.example/site/") == []


@pytest.mark.parametrize(
    "element",
    [
        '<a href="results.json">x</a>',
        '<a href="../index.html#end">x</a>',
        '<a href="#nothing">x</a>',
        '<a href="/elsewhere/results.json">x</a>',
        '<img src="../images/icon.svg">',
        '<link href="../site.css">',
        '<a href="https://docs.example/site/missing.html">x</a>',
    ],
)
def test_a_dead_link(site: Path, element: str) -> None:
    """A page, an anchor, an image or another file that the site does not have."""
    (site / "how-to" / "page.html").write_text(element)
    [dead] = dead_links(site, "https://docs.example/site/")
    assert dead.startswith("how-to/page.html: ")

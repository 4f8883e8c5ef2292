"""The pictures of the site: small, and an SVG needs no other file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.mlflow_table import ROOT

PICTURES = sorted((ROOT / "docs" / "images").iterdir())


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_small(picture: Path) -> None:
    """A page with pictures opens quickly."""
    assert picture.stat().st_size < 150_000


@pytest.mark.parametrize("picture", [each for each in PICTURES if each.suffix == ".svg"], ids=lambda path: path.name)
def test_an_svg_loads_nothing(picture: Path) -> None:
    """It names no address but that of its format, no style of elsewhere and no script."""
    text = picture.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert re.findall(r"https?://|//\w|@import|url\((?!#)|<script", text) == []

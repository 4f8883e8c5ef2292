"""Two values side by side, and what points to a version."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from prodpointer.types import Comparison, Difference, ModelVersion, VersionList

VERSION = ModelVersion("news", 3, "Production", "READY", "s3://b", None, None, None)


@pytest.mark.parametrize(
    ("a", "b", "change"),
    [(0.5, 0.75, 0.25), (None, 0.5, None), (0.5, None, None), (math.nan, 0.5, None), ("1", "2", None)],
)
def test_the_change_is_of_two_finite_numbers(a: object, b: object, change: float | None) -> None:
    """A missing value, NaN and text have none."""
    assert Difference("auc", a, b).change == change


def test_a_comparison_is_json() -> None:
    """NaN and infinities are null."""
    metrics = (Difference("auc", math.nan, math.inf), Difference("f1", 0.5, None))
    text = json.dumps(Comparison("news", VERSION, VERSION, metrics, (), (), ((), ())).as_json(), allow_nan=False)
    found = json.loads(text)["metrics"]
    assert found[0] == {"name": "auc", "a": None, "b": None, "change": None}
    assert found[1] == {"name": "f1", "a": 0.5, "b": None, "change": None}


@pytest.mark.parametrize(
    ("datasets", "same"), [(((), ()), False), ((("a:1",), ("a:1",)), True), ((("a:1",), ("a:2",)), False)]
)
def test_datasets_are_the_same_where_both_are_known(
    datasets: tuple[tuple[str, ...], tuple[str, ...]], same: bool
) -> None:
    """Unknown ones are never the same."""
    assert Comparison("news", VERSION, VERSION, (), (), (), datasets).same_datasets is same


def test_what_points_to_a_version_is_listed() -> None:
    """Live first, then the aliases, then the stage."""
    assert VERSION.pointers == ("Production",)
    assert replace(VERSION, live=True, aliases=("champion",)).pointers == ("live", "@champion", "Production")


def test_a_notebook_shows_versions_with_their_metrics() -> None:
    """A column for each metric, and what points to each version."""
    html = VersionList([VERSION, replace(VERSION, version=4, live=True, metrics={"auc": 1 - 0.79})])._repr_html_()
    assert "<th>auc</th>" in html
    assert "<td>0.21</td>" in html
    assert "<td>live Production</td>" in html

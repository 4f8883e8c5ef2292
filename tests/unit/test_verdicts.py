"""Gate results, and what an event keeps of them when space is short."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from prodpointer.gates.gate import Evidence, Gate, Measurement, judge, recorded
from prodpointer.types import Verdict

LONGEST_SHOWN = 40


def verdicts(*metrics: str) -> tuple[Verdict, ...]:
    """Return verdicts on metrics that all pass."""
    values = {metric: Measurement(0.5, "run", frozenset()) for metric in metrics}
    gates = [Gate(metric, at_least=0.1) for metric in metrics]
    return judge(gates, Evidence(4, "run-4", run_found=True, metrics=values), None)


def size(entries: Sequence[dict[str, Any]]) -> int:
    """Return how many characters entries take in an event."""
    return len(json.dumps(entries, separators=(",", ":"), ensure_ascii=False))


@pytest.mark.parametrize("kept", range(5))
def test_a_record_keeps_as_many_verdicts_as_fit(kept: int) -> None:
    """A result is omitted only if it does not fit, down to the last character."""
    found = verdicts(*"abcdef")
    shortest = [{"gate": f"{each} >= 0.1", "candidate": 0.5, "production": None, "passed": True} for each in "abcdef"]
    room = size([*shortest[:kept], {"omitted": 6}])
    assert recorded(found, longest=room) == (*shortest[:kept], {"omitted": 6 - kept})


@pytest.mark.parametrize(("length", "is_cut"), [(LONGEST_SHOWN, False), (LONGEST_SHOWN + 1, True)])
def test_only_long_gates_are_cut(length: int, is_cut: bool) -> None:
    """A gate of up to 40 characters is recorded as it is."""
    gate = "x" * (length - len(" >= 0.1"))
    whole = recorded(verdicts(gate), longest=1000)
    (short,) = recorded(verdicts(gate), longest=size(whole) - len(',"threshold":0.1'))
    assert short["gate"] == (f"{gate} >= 0.1"[:37] + "..." if is_cut else f"{gate} >= 0.1")


def test_a_verdict_names_its_metric() -> None:
    """Readers of results need not parse the text of the gate."""
    assert [each.metric for each in verdicts("auc", "a metric")] == ["auc", "a metric"]


@pytest.mark.parametrize(
    ("datasets", "told"),
    [("", "none"), ("abc", "a, b, c"), ("abcd", "a, b, c and 1 more"), ("abcde", "a, b, c and 2 more")],
)
def test_three_datasets_are_named_and_the_rest_counted(datasets: str, told: str) -> None:
    """A refusal stays short, however many datasets a run logged."""
    candidate, live = (
        Evidence(version, "run", run_found=True, metrics={"auc": Measurement(0.5, "run", frozenset(logged))})
        for version, logged in ((4, datasets), (3, "z"))
    )
    (found,) = judge([Gate("auc", better_than_production_by=0.0)], candidate, live)
    assert found.reason == f"measured on other datasets: version 4 on {told}, version 3 on z"

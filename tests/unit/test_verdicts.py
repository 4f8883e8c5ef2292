"""Gate results, and what an event keeps of them when space is short."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from prodpointer.gates.gate import Evidence, Gate, Measurement, judge, recorded
from prodpointer.gates.parser import parse_gate
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


# Read back from the record


@pytest.mark.parametrize(
    "gate", ["auc >= 0.1", "'a b' <= 3", '"it\'s" >= production + 0.002', "a.b/c:d-e >= 1", "'7' >= production"]
)
def test_a_verdict_survives_its_json(gate: str) -> None:
    """What an event holds of a verdict is the verdict, its metric too, which stands in the gate's text."""
    parsed = parse_gate(gate)
    verdict = Verdict(str(parsed), parsed.metric, 0.5, None, 0.1, passed=True, reason="nothing was compared")
    assert Verdict.from_json(json.loads(json.dumps(verdict.as_json()))) == verdict


def test_the_number_of_omitted_verdicts_adds_up() -> None:
    """What is cut again counts with what was cut before."""
    found = verdicts("auc") * 6
    assert recorded(found, longest=10_000, omitted=3)[-1] == {"omitted": 3}
    cut = recorded(found, longest=200, omitted=3)
    assert cut[-1] == {"omitted": 9 - (len(cut) - 1)}


@pytest.mark.parametrize(
    "odd",
    [{}, {"gate": 3, "candidate": "x", "passed": "yes"}, {"gate": None, "candidate": True, "threshold": 10**400}],
    ids=["empty", "types", "numbers"],
)
def test_what_is_no_verdict_did_not_pass(odd: dict[str, Any]) -> None:
    """Whatever another tool wrote is read as a verdict without numbers."""
    verdict = Verdict.from_json(odd)
    assert (verdict.passed, verdict.candidate, verdict.threshold) == (False, None, None)


def test_the_keys_of_the_json_can_be_read() -> None:
    """Code that took the verdicts of a move for dictionaries goes on."""
    verdict = Verdict("auc >= 0.1", "auc", 0.5, None, 0.1, passed=True)
    assert (verdict["gate"], verdict["candidate"], verdict["passed"]) == ("auc >= 0.1", 0.5, True)
    with pytest.raises(KeyError):
        verdict["found"]

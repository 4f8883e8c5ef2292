"""Gates: their syntax, their results, and every reason to refuse."""

from __future__ import annotations

import json
import math
import pickle
from decimal import localcontext
from fractions import Fraction
from typing import Any

import pytest

from prodpointer._text import number_text
from prodpointer.errors import InvalidName
from prodpointer.gates.gate import Evidence, Gate, Measurement, judge, recorded, refusals
from prodpointer.gates.parser import gates_of, parse_gate
from prodpointer.types import Verdict

CLICKS = frozenset({"clicks"})
LARGEST = 1.7976931348623157e308  # what MLflow's databases keep for an infinity


def measured(version: int, value: float, datasets: frozenset[str] | None = CLICKS, metric: str = "auc") -> Evidence:
    """Return the evidence of a version with one metric."""
    return Evidence(version, f"run-{version}", run_found=True, metrics={metric: Measurement(value, "run", datasets)})


def verdict(gate: str, candidate: Evidence, production: Evidence | None = None, **options: bool) -> Verdict:
    """Return the verdict of one gate given as text."""
    (found,) = judge([parse_gate(gate)], candidate, production, **options)
    return found


# How a gate is made


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"at_least": 0.3}, "auc >= 0.3"),
        ({"at_least": 1}, "auc >= 1.0"),
        ({"at_least": -0.5}, "auc >= -0.5"),
        ({"at_least": 1e-5}, "auc >= 1e-05"),
        ({"at_least": 1e22}, "auc >= 1e+22"),
        ({"at_least": -0.0}, "auc >= 0.0"),
        ({"at_least": Fraction(1, 4)}, "auc >= 0.25"),
        ({"at_most": 0.3}, "auc <= 0.3"),
        ({"at_most": 0.3, "direction": "min"}, "auc <= 0.3"),
        ({"better_than_production_by": 0.0}, "auc >= production"),
        ({"better_than_production_by": 0.002}, "auc >= production + 0.002"),
        ({"better_than_production_by": -0.002}, "auc >= production - 0.002"),
        ({"better_than_production_by": 0.0, "direction": "min"}, "auc <= production"),
        ({"better_than_production_by": 0.5, "direction": "min"}, "auc <= production - 0.5"),
        ({"better_than_production_by": -0.5, "direction": "min"}, "auc <= production + 0.5"),
        ({"better_than_production_by": 0.5, "at_most": 3}, "auc <= 3.0 and <= production - 0.5"),
        ({"better_than_production_by": 0.5, "at_least": 3}, "auc >= 3.0 and >= production + 0.5"),
        ({"better_than_production_by": 0.0, "across_datasets": True}, "auc >= production across datasets"),
    ],
    ids=str,
)
def test_a_gate_and_its_text_are_one(options: dict[str, Any], text: str) -> None:
    """A gate is written in one way, and that text is read as the same gate."""
    gate = Gate("auc", **options)
    assert str(gate) == text
    assert parse_gate(text) == gate


@pytest.mark.parametrize(
    ("metric", "written"),
    [
        ("ndcg_at_10", "ndcg_at_10"),
        ("val/auc-pr.v2:x", "val/auc-pr.v2:x"),
        ("-loss", "-loss"),
        ("\u00fcber", "\u00fcber"),
        ("val/auc @10", '"val/auc @10"'),
        (" a", '" a"'),
        ('a"b', "'a\"b'"),
        ("it's", '"it\'s"'),
        ("production", '"production"'),
        ("Production", '"Production"'),
        ("0.8", '"0.8"'),
        ("-1e3", '"-1e3"'),
        ("x" * 250, "x" * 250),
    ],
)
def test_a_metric_is_quoted_where_its_name_could_be_misread(metric: str, written: str) -> None:
    """Names with other characters, numbers and ``production`` are quoted, and read back as they were."""
    gate = Gate(metric, at_least=1)
    assert str(gate) == f"{written} >= 1.0"
    assert parse_gate(str(gate)) == gate


def test_a_gate_survives_pickling() -> None:
    """A gate goes to other processes as it is."""
    gate = Gate("rmse", at_most=0.5)
    assert pickle.loads(pickle.dumps(gate)) == gate


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "has no condition"),
        ({"direction": "min"}, "has no condition"),
        ({"at_least": 0.1, "direction": "min"}, "has at_least where less is better"),
        ({"at_least": 0.1, "at_most": 0.2}, "has at_least where less is better"),
        ({"at_most": 0.1, "direction": "max"}, "has at_most where more is better"),
        ({"at_least": 0.1, "direction": "up"}, "has the direction 'up'"),
        ({"at_least": 0.1, "across_datasets": True}, "has across_datasets and compares nothing"),
        ({"better_than_production_by": 0, "across_datasets": "yes"}, "has across_datasets='yes'"),
    ],
    ids=str,
)
def test_a_gate_without_a_sense_is_refused(options: dict[str, Any], problem: str) -> None:
    """A gate that says nothing, or two things, is an InvalidName when it is made, which is a ValueError."""
    with pytest.raises(InvalidName, match=problem) as caught:
        Gate("auc", **options)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("option", ["at_least", "at_most", "better_than_production_by"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, LARGEST, 10**400, True, "0.8", [1]], ids=repr)
def test_a_threshold_is_a_finite_number(option: str, value: object) -> None:
    """NaN, infinities, what MLflow keeps for one, and what is no number are no thresholds."""
    with pytest.raises(InvalidName, match=f"^Invalid {option}=.*finite number"):
        Gate("auc", **{option: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metric", "problem"),
    [
        ("", "Invalid metric name"),
        (" ", "Invalid metric name"),
        ("a\nb", "Invalid metric name"),
        (None, "Invalid metric name"),
        (3, "Invalid metric name"),
        ("x" * 251, "more than 250"),
        ("'\"", "both kinds of quotes"),
    ],
    ids=repr,
)
def test_a_metric_that_cannot_be_there_is_refused(metric: Any, problem: str) -> None:
    """A name that is blank, of several lines, longer than MLflow keeps or not to be quoted is an InvalidName."""
    with pytest.raises(InvalidName, match=problem):
        Gate(metric, at_least=1)


# How a text is read


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("auc>=0.8", Gate("auc", at_least=0.8)),
        ("  auc  >=\t.8  ", Gate("auc", at_least=0.8)),
        ("auc >= +8.", Gate("auc", at_least=8)),
        ("auc >= -1E-3", Gate("auc", at_least=-0.001)),
        ("rmse<=production-0.5", Gate("rmse", direction="min", better_than_production_by=0.5)),
        ("rmse-x<=production+.5e1", Gate("rmse-x", direction="min", better_than_production_by=-5)),
        ("auc >= Production", Gate("auc", better_than_production_by=0)),
        ("'val/auc @10' >= 1", Gate("val/auc @10", at_least=1)),
        ('"production" >= production', Gate("production", better_than_production_by=0)),
        ("auc >= production - 0.1 and >= 0.8", Gate("auc", at_least=0.8, better_than_production_by=-0.1)),
        ("and >= 1", Gate("and", at_least=1)),
    ],
)
def test_a_text_is_read_as_its_gate(text: str, gate: Gate) -> None:
    """Blanks, signs, exponents, quotes and the order of two conditions are free; ``-`` in a name is part of it."""
    assert parse_gate(text) == gate


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "Write it like"),
        (">= 1", "Write it like"),
        ("0.8 <= auc", "Write it like"),
        ("production >= 1", "in quotes"),
        ("auc", "Write it like"),
        ("auc => 1", "Write it like"),
        ("loss < 0.1", "Write it like"),
        ("val auc >= 1", "goes in quotes"),
        ('"auc >= 1', "Write it like"),
        ("auc >=", "Write it like"),
        ("auc >= best", "Write it like"),
        ("auc >= productions", "Write it like"),
        ("auc >= nan", "finite number"),
        ("auc >= -inf", "finite number"),
        ("auc >= 1e999", "finite number"),
        ("auc >= production + 1e999", "finite number"),
        ("auc >= production + -0.1", "Write it like"),
        ("auc >= production +", "Write it like"),
        ("auc >= production * 1.01", "added to production"),
        ("auc >= production + 0.1 + 0.1", "Write it like"),
        ("auc >= 0.1 + production", "A margin follows"),
        ("auc >= 80%", "0.5% is 0.005"),
        ("auc >= 0,8", "Decimals follow a point"),
        ("auc >= 1_000", "Write it like"),
        ("auc >= \u0661", "Write it like"),
        ("auc >= 0.8 and", "each once"),
        ("auc >= 0.8 and <= 0.9", "each once"),
        ("auc >= 0.8 and f1 >= 0.9", "each once"),
        ("auc >= 0.8 and >= 0.7", "each once"),
        ("auc >= production across", "Write it like"),
    ],
)
def test_an_invalid_gate_is_refused(text: str, hint: str) -> None:
    """The error names the text and, where people often write such a thing, what to write instead."""
    with pytest.raises(InvalidName) as caught:
        parse_gate(text)
    assert caught.value.what.startswith(f"Invalid gate {text!r}.")
    assert hint in str(caught.value)


@pytest.mark.parametrize("text", ["x" * 1001, None, 3, b"auc >= 1"], ids=type)
def test_an_invalid_gate_text_is_refused(text: object) -> None:
    """Other types, and texts longer than any gate, are not read."""
    with pytest.raises(InvalidName, match="at most 1000 characters"):
        parse_gate(text)


def test_gates_may_be_given_as_texts() -> None:
    """Gates and texts of gates may stand in one list."""
    assert gates_of([Gate("auc", at_least=1), "auc >= 1"]) == (Gate("auc", at_least=1),) * 2


@pytest.mark.parametrize("given", ["auc >= 1", Gate("auc", at_least=1)], ids=type)
def test_one_gate_is_no_list_of_gates(given: Any) -> None:
    """A gate in place of a list of gates is refused, and not read letter by letter."""
    with pytest.raises(InvalidName, match=r"Invalid gates 'auc >= 1(.0)?'"):
        gates_of(given)


# What a gate concludes


@pytest.mark.parametrize(
    ("gate", "candidate", "live", "threshold", "passed"),
    [
        ("auc >= 0.8", 0.8, None, 0.8, True),
        ("auc >= 0.8", 0.7999, None, 0.8, False),
        ("auc <= 0.8", 0.8, None, 0.8, True),
        ("auc <= 0.8", 0.8001, None, 0.8, False),
        ("auc >= production", 0.9, 0.9, 0.9, True),
        ("auc >= production", 0.8999, 0.9, 0.9, False),
        ("auc >= production + 0.002", 0.902, 0.9, 0.902, True),
        ("auc >= production + 0.002", 0.9019, 0.9, 0.902, False),
        ("auc >= production - 0.1", 0.8, 0.9, 0.8, True),
        ("auc >= production - 0.1", 0.79, 0.9, 0.8, False),
        ("auc <= production - 0.5", 1.5, 2.0, 1.5, True),
        ("auc <= production - 0.5", 1.6, 2.0, 1.5, False),
        ("auc <= production + 0.5", 2.5, 2.0, 2.5, True),
        ("auc <= production + 0.5", 2.6, 2.0, 2.5, False),
        ("auc >= 0.8 and >= production", 0.85, 0.7, 0.8, True),
        ("auc >= 0.8 and >= production", 0.75, 0.7, 0.8, False),
        ("auc >= 0.8 and >= production", 0.85, 0.9, 0.9, False),
        ("auc <= 0.8 and <= production", 0.75, 0.7, 0.7, False),
        ("auc <= 0.8 and <= production", 0.85, 0.9, 0.8, False),
    ],
)
def test_a_threshold_is_reached_or_missed(
    gate: str, candidate: float, live: float | None, threshold: float, passed: bool
) -> None:
    """A value equal to the threshold passes; of two conditions the stricter one decides."""
    production = None if live is None else measured(3, live)
    found = verdict(gate, measured(4, candidate), production)
    assert (found.passed, found.threshold) == (passed, threshold)
    assert (found.candidate, found.production) == (candidate, live)
    assert bool(found.reason) == (not passed)


def test_a_missed_threshold_is_explained() -> None:
    """The reason has the value, the threshold and how it came about."""
    found = verdict("auc >= production + 0.002", measured(4, 0.9), measured(3, 0.9))
    assert found.reason == "0.9 is below 0.902 (production 0.9 + 0.002)"
    found = verdict("auc <= production - 0.002", measured(4, 0.9), measured(3, 0.9))
    assert found.reason == "0.9 is above 0.898 (production 0.9 - 0.002)"


def test_numbers_are_compared_as_they_are_written() -> None:
    """0.1 and a margin of 0.2 make 0.3, which binary fractions do not, whatever a thread's decimal context is."""
    with localcontext() as context:
        context.prec = 2
        found = verdict("auc >= production + 0.2", measured(4, 0.3), measured(3, 0.1))
    assert (0.1 + 0.2 > 0.3, found.passed, found.threshold) == (True, True, 0.3)


def test_no_digit_of_a_number_is_lost() -> None:
    """The sum of production and margin has all digits of both, so that the last one still decides."""
    live = measured(3, 0.9000000000000001)
    assert verdict("auc >= production + 100000", measured(4, 100000.90000000001), live).passed
    found = verdict("auc >= production + 1e-16", measured(4, 0.9000000000000001), live)
    assert (found.passed, found.threshold) == (False, 0.9000000000000002)


def test_every_gate_is_judged() -> None:
    """One refusal does not keep the other gates from being judged, in their order."""
    gates = gates_of(["auc >= 0.95", "f1 >= 0.1", "auc >= 0.5"])
    assert [each.passed for each in judge(gates, measured(4, 0.9), None)] == [False, False, True]


def test_no_gates_make_no_verdicts() -> None:
    """Without gates there is nothing to pass."""
    assert judge([], measured(4, 0.9), None) == ()


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        (Evidence(4, None, run_found=False), "version 4 has no run"),
        (Evidence(4, "abc", run_found=False), "the run abc of version 4 does not exist or was deleted"),
        (measured(4, 0.9, metric="loss"), "version 4 has no metric 'auc'"),
        (measured(4, 0.9, metric="val_auc"), "version 4 has no metric 'auc'; it has 'val_auc'"),
        (measured(4, math.nan), "'auc' of version 4 is NaN"),
        (measured(4, math.inf), "'auc' of version 4 is infinite"),
        (measured(4, -math.inf), "'auc' of version 4 is infinite"),
        (measured(4, LARGEST), "'auc' of version 4 is infinite"),
        (measured(4, -LARGEST), "'auc' of version 4 is infinite"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
@pytest.mark.parametrize("gate", ["auc >= 0.0", "auc <= 0.0", "auc >= production", "auc <= production"])
def test_missing_metrics_refuse(evidence: Evidence, reason: str, gate: str) -> None:
    """No run, a missing metric, NaN and infinities refuse whichever way is better, for either version compared."""
    found = verdict(gate, evidence, measured(3, 0.0))
    assert (found.passed, found.candidate, found.reason) == (False, None, reason)
    if "production" in gate:
        found = verdict(gate, measured(3, 0.0), evidence)
        assert (found.passed, found.production, found.threshold, found.reason) == (False, None, None, reason)


def test_an_absolute_gate_does_not_ask_production() -> None:
    """A live version without a run does not stand in the way of a gate that compares nothing."""
    found = verdict("auc >= 0.8", measured(4, 0.9), Evidence(3, None, run_found=False))
    assert (found.passed, found.production, found.reason) == (True, None, "")


def test_a_candidate_without_the_metric_never_goes_live_first() -> None:
    """Where nothing is live, a gate that only compares still wants the candidate's metric."""
    found = verdict("f1 >= production", measured(4, 0.9), None)
    assert (found.passed, found.reason) == (False, "version 4 has no metric 'f1'")


@pytest.mark.parametrize(
    ("gate", "passed", "threshold"),
    [("auc >= production + 0.5", True, None), ("auc >= 0.8 and >= production + 0.5", True, 0.8)],
)
def test_the_first_promotion_is_judged_absolutely_and_says_so(gate: str, passed: bool, threshold: float | None) -> None:
    """With nothing in production only absolute conditions count, and the verdict says that nothing was compared."""
    found = verdict(gate, measured(4, 0.9), None)
    assert (found.passed, found.threshold) == (passed, threshold)
    assert found.reason == "nothing is in production, so nothing was compared"


def test_the_first_promotion_can_fail_an_absolute_condition() -> None:
    """With nothing in production a missed absolute threshold refuses as ever."""
    found = verdict("auc >= 0.95 and >= production", measured(4, 0.9), None)
    assert (found.passed, found.reason) == (False, "0.9 is below 0.95")


@pytest.mark.parametrize(
    ("ours", "theirs", "reason"),
    [
        ({"a"}, {"b"}, "measured on other datasets: version 4 on a, version 3 on b"),
        ({"a", "b"}, {"a"}, "measured on other datasets: version 4 on a, b, version 3 on a"),
        ({"a"}, set(), "measured on other datasets: version 4 on a, version 3 on none"),
        (set("abcde"), {"a"}, "measured on other datasets: version 4 on a, b, c and 2 more, version 3 on a"),
        (None, {"a"}, "this MLflow client cannot see the datasets of version 4"),
        ({"a"}, None, "this MLflow client cannot see the datasets of version 3"),
        (None, None, "this MLflow client cannot see the datasets of version 4"),
    ],
    ids=str,
)
def test_values_of_other_datasets_are_not_compared(ours: set[str] | None, theirs: set[str] | None, reason: str) -> None:
    """Other digests refuse, some against none and unknown ones too; absolute gates, and ``across_datasets``, pass."""
    candidate = measured(4, 0.9, None if ours is None else frozenset(ours))
    production = measured(3, 0.5, None if theirs is None else frozenset(theirs))
    found = verdict("auc >= production", candidate, production)
    assert (found.passed, found.reason) == (False, reason)
    assert (found.candidate, found.production) == (0.9, 0.5)
    assert verdict("auc >= 0.8", candidate, production).passed
    for across in (
        verdict("auc >= production across datasets", candidate, production),
        verdict("auc >= production", candidate, production, across_datasets=True),
    ):
        assert (across.passed, across.reason) == (True, "compared across datasets")


@pytest.mark.parametrize("digests", [frozenset({"a", "b"}), frozenset()], ids=["two", "none"])
def test_values_of_the_same_datasets_are_compared(digests: frozenset[str]) -> None:
    """The same digests compare, and so do two versions that logged none, without a word on datasets."""
    found = verdict("auc >= production", measured(4, 0.9, digests), measured(3, 0.5, digests), across_datasets=True)
    assert (found.passed, found.reason) == (True, "")


def test_across_datasets_does_not_lower_the_threshold() -> None:
    """Comparing across datasets still refuses a worse value."""
    other = measured(3, 0.95, frozenset({"other"}))
    assert not verdict("auc >= production across datasets", measured(4, 0.9), other).passed


# What is kept of a verdict


def test_a_verdict_in_json_has_both_numbers() -> None:
    """Both numbers, the threshold and the outcome are in the JSON, and no key that says nothing."""
    found = verdict("auc >= production + 0.002", measured(4, 0.91), measured(3, 0.9))
    assert found.as_json() == {
        "gate": "auc >= production + 0.002",
        "candidate": 0.91,
        "production": 0.9,
        "threshold": 0.902,
        "passed": True,
    }


def test_a_nan_in_json_is_null_with_its_reason() -> None:
    """What JSON has no number for is null, and the reason names it."""
    found = verdict("auc >= production", measured(4, math.nan), measured(3, math.inf))
    text = json.dumps(found.as_json(), allow_nan=False)
    assert json.loads(text) == {
        "gate": "auc >= production",
        "candidate": None,
        "production": None,
        "passed": False,
        "reason": "'auc' of version 4 is NaN",
    }


def test_a_threshold_that_no_float_holds_is_null() -> None:
    """A live value and a margin whose sum is infinite still make JSON, and refuse."""
    found = verdict("auc >= production + 1.7e308", measured(4, 1.0), measured(3, 1.7e308))
    assert (found.passed, found.threshold) == (False, None)
    json.dumps(found.as_json(), allow_nan=False)


def test_a_verdict_for_people_is_one_line() -> None:
    """The line has the outcome, the gate, both numbers and the reason."""
    found = verdict("auc >= production", measured(4, 0.8), measured(3, 0.9))
    line = "refused: auc >= production (candidate 0.8, production 0.9: 0.8 is below 0.9 (production 0.9))"
    assert found.as_text() == line
    found = verdict("auc >= 0.5", measured(4, 0.8), None)
    assert found.as_text() == "passed: auc >= 0.5 (candidate 0.8)"
    found = verdict("f1 >= 0.5", measured(4, 0.8), None)
    assert found.as_text() == "refused: f1 >= 0.5 (version 4 has no metric 'f1')"


def test_refusals_leave_out_what_passed() -> None:
    """The text for an error has each refused gate with its reason, and no other."""
    found = judge(gates_of(["auc >= 0.95", "auc >= 0.5", "f1 >= 0.1"]), measured(4, 0.9), None)
    assert refusals(found) == "auc >= 0.95: 0.9 is below 0.95; f1 >= 0.1: version 4 has no metric 'f1'"
    assert refusals(found[1:2]) == ""


def long_verdicts(count: int, name: str = "a_rather_long_name_of_a_metric_that_goes_on") -> tuple[Verdict, ...]:
    """Return verdicts on metrics with long names, each passed with a reason."""
    metrics = {f"{name}_{number}": Measurement(0.1234567890123456, "run", CLICKS) for number in range(count)}
    gates = [Gate(metric, at_least=0.1, better_than_production_by=0.0) for metric in metrics]
    return judge(gates, Evidence(4, "run", run_found=True, metrics=metrics), None)


def size(entries: tuple[dict[str, Any], ...]) -> int:
    """Return how many characters entries take in an event."""
    return len(json.dumps(entries, separators=(",", ":"), ensure_ascii=False))


def test_verdicts_that_fit_are_recorded_whole() -> None:
    """Nothing is omitted from a record with enough space."""
    found = long_verdicts(3)
    whole = tuple(each.as_json() for each in found)
    assert recorded(found, longest=size(whole)) == whole
    assert recorded((), longest=100) == ()


def test_a_record_first_leaves_out_the_reasons() -> None:
    """One character too many, and the reasons go, while the gates, numbers and thresholds stay."""
    found = long_verdicts(3)
    whole = tuple(each.as_json() for each in found)
    short = recorded(found, longest=size(whole) - 1)
    assert [each.keys() for each in short] == [{"gate", "candidate", "production", "threshold", "passed"}] * 3
    assert [each["gate"] for each in short] == [each["gate"] for each in whole]


def test_a_record_then_cuts_the_gates() -> None:
    """Long names of metrics go before any number does."""
    short = recorded(long_verdicts(5, "x" * 200), longest=700)
    assert [each.keys() for each in short] == [{"gate", "candidate", "production", "passed"}] * 5
    assert {len(each["gate"]) for each in short} == {40}


@pytest.mark.parametrize("count", [1, 7, 100])
def test_a_record_never_outgrows_its_room(count: int) -> None:
    """Whatever the number of gates and the space, the record fits and says how many results it omits."""
    found = long_verdicts(count)
    for longest in range(20, 1001, min(count, 13)):
        short = recorded(found, longest=longest)
        omitted = short[-1].get("omitted", 0)
        assert size(short) <= longest
        assert len(short) - (1 if omitted else 0) + omitted == count


def test_numbers_are_shown_as_people_write_them() -> None:
    """What floats add is left out; the digits that tell a value from its bound are shown."""
    assert number_text(1 - 0.79) == "0.21"
    assert number_text(0.1 + 0.2, 0.3) == "0.30000000000000004"
    assert [number_text(each) for each in (1234567.0, 0.00012, 1e-9, 3.0, -0.5, math.inf)] == [
        "1234567",
        "0.00012",
        "1e-09",
        "3",
        "-0.5",
        "inf",
    ]


def test_a_refusal_shows_short_numbers() -> None:
    """A missed bound of two sums of floats is told as 0.21 and 0.19."""
    found = verdict("error <= production", measured(4, 1 - 0.79, metric="error"), measured(3, 1 - 0.81, metric="error"))
    assert found.reason == "0.21 is above 0.19 (production 0.19)"
    assert "(candidate 0.21, production 0.19: " in found.as_text()
    assert found.candidate == 1 - 0.79

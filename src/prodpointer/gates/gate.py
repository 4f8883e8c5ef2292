"""Gates: what a version's metrics must show before it goes live, and the verdict with its reason.

Nothing here asks a registry: evidence comes in, verdicts go out. Numbers are compared as they are written in decimal:
0.3 is 0.1 + 0.2 here.
"""

from __future__ import annotations

import difflib
import json
import math
import numbers
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from decimal import Context, Decimal
from typing import Any, Literal

from prodpointer._text import number_text
from prodpointer.errors import InvalidName
from prodpointer.types import LIVE, Verdict

Direction = Literal["max", "min"]
Origin = Literal["run", "logged model"]

PLAIN_METRIC = r"[\w./:-]+"
"""The metrics' names that need no quotes in a gate's text."""
NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
"""A number without its sign in a gate's text."""

_LONGEST_METRIC = 250  # MLflow's own limit, 2.0.1 to 3.17.2
_SHORTENED = 40  # characters of a gate in a record that has to be cut
_DECIMAL = Context(prec=60)


@dataclass(frozen=True)
class Measurement:
    """One metric's latest value: where it was logged, and the digests of the datasets it was measured on.

    ``datasets`` is empty where none was logged, and None where this client cannot see whether any was.
    """

    value: float
    origin: Origin
    datasets: frozenset[str] | None


@dataclass(frozen=True)
class Evidence:
    """What the metrics of one version say.

    ``run_id`` is None for a version without a run; ``run_found`` is False for a run that does not exist or was deleted.
    """

    version: int
    run_id: str | None
    run_found: bool
    metrics: Mapping[str, Measurement] = field(default_factory=dict, hash=False)

    def finite(self, metric: str) -> float | None:
        """Return a metric's value if it is there and finite, else None."""
        return None if self.problem(metric) else self.metrics[metric].value

    def problem(self, metric: str) -> str:
        """Return why a metric cannot be judged, or the empty string.

        MLflow's databases keep an infinity as the largest finite number (measured: 2.2.2 to 3.17.2).
        """
        if self.run_id is None:
            return f"version {self.version} has no run"
        if not self.run_found:
            return f"the run {self.run_id} of version {self.version} does not exist or was deleted"
        if metric not in self.metrics:
            close = difflib.get_close_matches(metric, self.metrics, n=1)
            return f"version {self.version} has no metric {metric!r}" + (f"; it has {close[0]!r}" if close else "")
        value = self.metrics[metric].value
        if math.isnan(value):
            return f"{metric!r} of version {self.version} is NaN"
        if abs(value) >= sys.float_info.max:
            return f"{metric!r} of version {self.version} is infinite"
        return ""


@dataclass(frozen=True)
class Gate:
    """A condition on one metric, absolute, relative to production, or both.

    Parameters
    ----------
    metric
        Name of the metric.
    at_least, at_most
        The absolute threshold, reached by a value equal to it: ``at_least`` where more is better, else ``at_most``.
    better_than_production_by
        The margin over the live version's value, in the better direction: 0.0 is "not worse", -0.01 is "worse by at
        most 0.01". Not judged, and the verdict says so, where nothing is live.
    direction
        ``"max"`` where more is better, ``"min"`` where less is; by default ``"min"`` with ``at_most``, else ``"max"``.
    across_datasets
        Whether to compare with production also where the two were measured on different datasets.

    Raises
    ------
    InvalidName
        No condition, a threshold that is no finite number, options that contradict each other.
    """

    metric: str
    _: KW_ONLY
    at_least: float | None = None
    at_most: float | None = None
    better_than_production_by: float | None = None
    direction: Direction | None = None
    across_datasets: bool = False

    def __post_init__(self) -> None:
        """Check the options, and give each gate one form."""
        _check_metric(self.metric)
        for option in ("at_least", "at_most", "better_than_production_by"):
            if getattr(self, option) is not None:
                object.__setattr__(self, option, _number(option, getattr(self, option)))
        if self.direction is None:
            object.__setattr__(self, "direction", "max" if self.at_most is None else "min")
        if problem := self._contradiction():
            raise InvalidName(f"The gate on {self.metric!r} {problem[0]}.", next_step=problem[1])

    def __str__(self) -> str:
        """Return the text that ``parse_gate`` reads as the same gate."""
        bounds = [] if self._absolute is None else [repr(self._absolute)]
        if self.better_than_production_by is not None:
            bounds.append(LIVE + self._margin)
        text = " and ".join(f"{'<=' if self._less_is_better else '>='} {bound}" for bound in bounds)
        return f"{_quoted(self.metric)} {text}" + (" across datasets" if self.across_datasets else "")

    @property
    def _less_is_better(self) -> bool:
        """Whether less is better."""
        return self.direction == "min"

    @property
    def _absolute(self) -> float | None:
        """The absolute threshold, whichever direction it has."""
        return self.at_most if self._less_is_better else self.at_least

    @property
    def _margin(self) -> str:
        """The margin as the text form adds it to production."""
        better = self.better_than_production_by or 0.0
        if better == 0:
            return ""
        return f" {'-' if (better > 0) == self._less_is_better else '+'} {abs(better)!r}"

    def _contradiction(self) -> tuple[str, str] | None:
        """Return what is wrong with the options and what to do, or None."""
        absolute, relative = self._absolute, self.better_than_production_by
        more, less = self.direction == "max", self.direction == "min"
        wrong = (
            (
                not (more or less),
                f"has the direction {self.direction!r}",
                "Use 'max' where more is better, else 'min'.",
            ),
            (less and self.at_least is not None, "has at_least where less is better", "Use at_most."),
            (more and self.at_most is not None, "has at_most where more is better", "Use at_least, or two gates."),
            (
                absolute is None and relative is None,
                "has no condition",
                "Give at_least, at_most or better_than_production_by.",
            ),
            (
                not isinstance(self.across_datasets, bool),
                f"has across_datasets={self.across_datasets!r}",
                "Use True or False.",
            ),
            (
                relative is None and self.across_datasets,
                "has across_datasets and compares nothing",
                "Leave it out, or give better_than_production_by.",
            ),
        )
        return next(((problem, step) for found, problem, step in wrong if found), None)

    def _bounds(self, live: float | None) -> list[tuple[Decimal, str]]:
        """Return each bound and how it came about; without a live value the absolute one alone."""
        bounds = [] if self._absolute is None else [(_decimal(self._absolute), "")]
        if self.better_than_production_by is not None and live is not None:
            better = _decimal(self.better_than_production_by)
            add = _DECIMAL.subtract if self._less_is_better else _DECIMAL.add
            bounds.append((add(_decimal(live), better), f" ({LIVE} {number_text(live)}{self._margin})"))
        return bounds

    def strictest(self, live: float | None) -> tuple[Decimal, str] | None:
        """Return the bound that decides, and how it came about; None where there is nothing to compare with."""
        choose = min if self._less_is_better else max
        return choose(self._bounds(live), key=lambda bound: bound[0], default=None)


def judge(
    gates: Iterable[Gate], candidate: Evidence, production: Evidence | None, *, across_datasets: bool = False
) -> tuple[Verdict, ...]:
    """Return the verdict of every gate, in order; the version may go live when all passed.

    Parameters
    ----------
    gates
        The gates; all are judged, also after one that refused.
    candidate
        The version that shall go live.
    production
        The live version, or None where nothing is live: then absolute conditions alone are judged.
    across_datasets
        Whether every gate compares across datasets, as if each had the option.
    """
    return tuple(_judged(gate, candidate, production, across_datasets or gate.across_datasets) for gate in gates)


def refusals(verdicts: Iterable[Verdict]) -> str:
    """Return why, gate by gate, for an error's message; the empty string where all passed."""
    return "; ".join(f"{verdict.gate}: {verdict.reason}" for verdict in verdicts if not verdict.passed)


def recorded(verdicts: Iterable[Verdict], *, longest: int, omitted: int = 0) -> tuple[dict[str, Any], ...]:
    """Return the verdicts as JSON of at most ``longest`` characters, from 20 on, for an event.

    What does not fit goes in this order: the reasons, the thresholds and long gate texts, then whole verdicts from the
    end, whose number is kept beside those ``omitted`` before.
    """
    full = [verdict.as_json() for verdict in verdicts]
    rest = [{"omitted": omitted}] if omitted else []
    entries = full
    for kept in (full, [_without(each, "reason") for each in full], [_shortest(each) for each in full]):
        entries = kept
        if _size([*entries, *rest]) <= longest:
            return (*entries, *rest)
    while entries and _size([*entries, {"omitted": omitted + len(full)}]) > longest:
        entries = entries[:-1]
    return (*entries, {"omitted": omitted + len(full) - len(entries)})


def _judged(gate: Gate, candidate: Evidence, production: Evidence | None, across: bool) -> Verdict:
    """Return the verdict of one gate."""
    metric = gate.metric
    compares = gate.better_than_production_by is not None
    value = candidate.finite(metric)
    live = production.finite(metric) if production else None
    problem, note = candidate.problem(metric), ""
    if compares and production and not problem:
        problem = production.problem(metric) or ("" if across else _other_datasets(metric, candidate, production))
    if compares and production is None:
        note = f"nothing is in {LIVE}, so nothing was compared"
    elif compares and production and not problem and _other_datasets(metric, candidate, production):
        note = "compared across datasets"
    bound = gate.strictest(live)
    if bound and value is not None and not problem:
        problem = _missed(value, bound, less_is_better=gate.direction == "min")
    threshold = _json_number(bound[0]) if bound else None
    return Verdict(str(gate), metric, value, live, threshold, not problem, problem or note)


def _missed(value: float, bound: tuple[Decimal, str], *, less_is_better: bool) -> str:
    """Return by what a value misses a bound, or the empty string where it reaches it."""
    threshold, origin = bound
    if less_is_better:
        return f"{_compared(value, 'above', threshold)}{origin}" if _decimal(value) > threshold else ""
    return f"{_compared(value, 'below', threshold)}{origin}" if _decimal(value) < threshold else ""


def _other_datasets(metric: str, candidate: Evidence, production: Evidence) -> str:
    """Return why two values are not of the same datasets, or the empty string; unknown is never the same."""
    sets = [(side.version, side.metrics[metric].datasets) for side in (candidate, production)]
    for version, digests in sets:
        if digests is None:
            return f"this MLflow client cannot see the datasets of version {version}"
    (mine, ours), (live, theirs) = sets
    if ours == theirs:
        return ""
    return f"measured on other datasets: version {mine} on {_listed(ours)}, version {live} on {_listed(theirs)}"


def _listed(digests: frozenset[str] | None) -> str:
    """Return a few digests to show."""
    shown = sorted(digests or ())
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "") or "none"


def _check_metric(metric: object) -> None:
    """Raise ``InvalidName`` for what cannot be a metric's name, or could not be written in a gate's text."""
    if not isinstance(metric, str) or not metric.strip() or not metric.isprintable():
        raise InvalidName(f"Invalid metric name {metric!r}.", next_step="Give a text of one line, not blank.")
    if len(metric) > _LONGEST_METRIC:
        raise InvalidName(
            f"The metric {metric[:_SHORTENED]!r}... has a name of more than {_LONGEST_METRIC} characters.",
            next_step="MLflow keeps no such metric; check the name.",
        )
    if "'" in metric and '"' in metric:
        raise InvalidName(f"The metric {metric!r} has both kinds of quotes.", next_step="MLflow keeps no such metric.")


def _number(option: str, value: object) -> float:
    """Return an option's number as a float, or raise ``InvalidName``; zero has one form."""
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if abs(number) < sys.float_info.max:  # false for NaN
            return number + 0.0
    raise InvalidName(f"Invalid {option}={value!r}.", next_step="Give a finite number.")


def _decimal(number: float) -> Decimal:
    """Return the decimal number that people and JSON write for a float."""
    return Decimal(repr(number))


def _json_number(number: Decimal) -> float | None:
    """Return a bound as a float, or None for one that no float holds."""
    found = float(number)
    return found if math.isfinite(found) else None


def _compared(value: float, relation: str, threshold: Decimal) -> str:
    """Return the two sides of a bound that was missed, each with the digits that tell them apart."""
    bound = float(threshold)
    return f"{number_text(value, bound)} is {relation} {number_text(bound, value)}"


def _quoted(metric: str) -> str:
    """Return a metric's name as it stands in a gate's text."""
    ambiguous = re.fullmatch(f"[+-]?{NUMBER}", metric) or metric.casefold() == LIVE
    if re.fullmatch(PLAIN_METRIC, metric) and not ambiguous:
        return metric
    quote = "'" if '"' in metric else '"'
    return f"{quote}{metric}{quote}"


def _without(document: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Return a document without some keys."""
    return {key: value for key, value in document.items() if key not in keys}


def _shortest(document: dict[str, Any]) -> dict[str, Any]:
    """Return a verdict's numbers and outcome, under a gate's text that is cut."""
    gate: str = document["gate"]
    short = gate if len(gate) <= _SHORTENED else gate[: _SHORTENED - 3] + "..."
    return {**_without(document, "reason", "threshold"), "gate": short}


def _size(entries: list[dict[str, Any]]) -> int:
    """Return how many characters entries take in an event."""
    return len(json.dumps(entries, separators=(",", ":"), ensure_ascii=False))

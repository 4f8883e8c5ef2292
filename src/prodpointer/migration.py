"""A fleet carried from stages to aliases: planned, marked, applied, verified, ended and undone, with nobody stopped.

A plan is a value and changes nothing. Every run has a name, and each model that it moves an event that says what the
pointers were before: that record is in the registry itself, so a run that was interrupted goes on from any machine, and
any run can be undone.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from prodpointer import journal
from prodpointer.carrying import Carrier, Found, Step
from prodpointer.detection import Capabilities, capabilities
from prodpointer.drift import Prefer
from prodpointer.errors import InvalidName, ModelNotFound, PointerUnsupported
from prodpointer.fleet import AT_ONCE, MOST_FAILURES, Result, each_of, models_like, read_fleet
from prodpointer.mlflow_border.fleet_pages import plain_alias, plain_stage, tag_model
from prodpointer.mlflow_border.opening import open_registry
from prodpointer.mlflow_border.registry import Registry
from prodpointer.names import alias_name, readable_text, stage_for
from prodpointer.planning import Plan, planned
from prodpointer.promotion import Look, look_at
from prodpointer.records import POINTER_TAG, WINDOW_TAG, ModelReply, Promotion
from prodpointer.selection import Rule, known_pointer, view
from prodpointer.unwinding import Undoing, end_stages

_RUN = re.compile(r"[\w.-]{1,64}")
_LOOKS = 3
_A_MOMENT = 0.1  # seconds between two looks at pointers that are being moved


@dataclass(frozen=True)
class Checked:
    """What two plain clients are told about one alias and its stage of one model: by the alias, and by the stage."""

    name: str
    alias: str
    stage: str
    by_alias: int | None
    by_stage: int | None
    problem: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return what ``migrate verify --json`` prints for one pair."""
        return dict(vars(self))


@dataclass(frozen=True)
class Run:
    """What the record tells of one run: its kind, how many models it moved, and when it began and ended."""

    name: str
    kind: str
    models: int
    first: datetime
    last: datetime

    def as_json(self) -> dict[str, Any]:
        """Return what ``migrate undo --json`` prints for one run."""
        return {**vars(self), "first": self.first.isoformat(), "last": self.last.isoformat()}


def rules_for(mapping: Mapping[str, str] | None = None) -> tuple[Rule, ...]:
    """Return one rule for each stage that is carried, or raise ``InvalidName``.

    Parameters
    ----------
    mapping
        The alias of each stage, or ``"skip"``; by default Production and Staging become the aliases of those names.
    """
    chosen = {"production": "production", "staging": "staging"}
    for stage, alias in (mapping or {}).items():
        folded = stage.lower()
        if folded not in {"production", "staging", "archived", "none"}:
            raise InvalidName(
                f"{stage!r} is no stage.", where="--map", next_step="Use Production, Staging or Archived."
            )
        if folded in chosen:
            chosen[folded] = alias
        elif alias != "skip":
            raise InvalidName(
                f"The versions in {stage} cannot become an alias: it names one version, and they are history.",
                where="--map",
                next_step=f"Use {stage}=skip: the versions stay, and `prodpointer history` tells what was live.",
            )
    carried = {stage: alias_name(alias) for stage, alias in chosen.items() if alias != "skip"}
    if len(set(carried.values())) < len(carried) or not carried:
        raise InvalidName("Each stage needs an alias of its own, and one stage at least.", where="--map")
    return tuple(
        Rule(alias=alias, stage=stage_for(alias, {alias: stage}), argument=None, environment=None)
        for stage, alias in carried.items()
    )


def run_name(name: str | None = None) -> str:
    """Return the name of a run, made up where none is given, or raise ``InvalidName``."""
    if name is None:
        return f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
    if not _RUN.fullmatch(readable_text(name, "The name of the run")):
        raise InvalidName(f"{name!r} is no name of a run.", next_step="Use letters, digits, '.', '_' and '-'.")
    return name


class Migration:
    """The verbs over all registered models of one registry whose names match.

    Parameters
    ----------
    tracking_uri, registry_uri, timeout
        As for :func:`prodpointer.connect`. No database is made or upgraded.
    models
        Patterns of names as a shell has them; none for every model.
    mapping
        As for :func:`rules_for`.
    at_once
        How many models are worked on at a time.
    most_failures
        So many models may fail before a run stops.

    Raises
    ------
    PointerUnsupported
        The registry lacks aliases or stages, so that there is nothing to carry.
    RegistryUnavailable, AccessDenied, RegistryUnsupported, SchemaMismatch
        As for :func:`prodpointer.connect`.
    """

    def __init__(
        self,
        *,
        tracking_uri: str | None = None,
        registry_uri: str | None = None,
        timeout: float = 10.0,
        models: Sequence[str] = (),
        mapping: Mapping[str, str] | None = None,
        at_once: int = AT_ONCE,
        most_failures: int = MOST_FAILURES,
    ) -> None:
        """Open the registry and find out what it can do."""
        self.rules = rules_for(mapping)
        self.globs = tuple(models)
        self.most_failures = most_failures
        self.stopped = threading.Event()
        self.total = 0
        self.registry = open_registry(
            tracking_uri,
            registry_uri,
            timeout=timeout,
            create_database=False,
            upgrade_database=False,
            at_once=True,
        )
        self.at_once = at_once if self.registry.rest is not None else 1  # a database is asked one call at a time
        self.found = capabilities(self.registry)
        _check_both(self.registry, self.found)

    def plan(self) -> Plan:
        """Return what is, what would change and why, for each model; a request a page, and nothing is changed."""
        fleet = read_fleet(self.registry, self.globs, self.rules)
        models = planned(fleet, self.rules, self._look, self.globs)
        return Plan(self.registry.addresses.shown, self.found.shown_version, self.globs, tuple(models))

    def _look(self, found: Found, rule: Rule) -> Look:
        """Return what the pages told of one model, by one rule."""
        return look_at(view(rule, found.reply, self.found, self.registry.addresses.shown), found.versions)

    def start(self, run: str) -> Iterator[Result[ModelReply, list[Step]]]:
        """Mark each model by the tag ``prodpointer.pointer=both``, so that either major's readers find what is live."""

        def mark(reply: ModelReply) -> list[Step]:
            there = reply.tags.get(POINTER_TAG)
            if there is not None:
                known_pointer(there, f"the tag {POINTER_TAG} of {reply.name!r}")
                outcome: Any = "nothing" if there == "both" else "left"
                return [Step(reply.name, "", outcome, f"the tag {POINTER_TAG} says {there}")]
            tag_model(self.registry, reply.name, WINDOW_TAG, run)
            tag_model(self.registry, reply.name, POINTER_TAG, "both")
            return [Step(reply.name, "", "moved", "both pointers are kept from now on")]

        return self.each(list(models_like(self.registry, self.globs)), mark)

    def apply(
        self, plan: Plan, run: str, *, prefer: Prefer | None = None, reason: str = ""
    ) -> Iterator[Result[Found, list[Step]]]:
        """Carry out a plan; each model is judged again right before it is moved.

        Parameters
        ----------
        plan
            What :meth:`plan` returned.
        run
            The name under which it is recorded, and by which it can be undone.
        prefer
            Which side counts for models that need a decision; they are left alone without it.
        reason
            Why, for the record.
        """
        carrier = Carrier(self.registry, run, self.rules, prefer=prefer, reason=reason)
        todo = [model.found for model in plan.models if model.may_be_carried(prefer)]
        return self.each(todo, carrier.carry)

    def verify(self) -> Iterator[Result[ModelReply, list[Checked]]]:
        """Ask the two endpoints that plain clients ask, for each model, past the code by which this library reads."""
        return self.each(list(models_like(self.registry, self.globs)), self._checked)

    def _checked(self, reply: ModelReply) -> list[Checked]:
        """Return what plain clients are told of one model; pointers that are being moved are asked for again."""
        both = reply.tags.get(POINTER_TAG) == "both"
        return [self._asked(reply, rule, both=both) for rule in self.rules]

    def _asked(self, reply: ModelReply, rule: Rule, *, both: bool) -> Checked:
        """Ask for one alias and its stage, as it is spelled in this model."""
        spelled = next((alias for alias in reply.aliases if alias.lower() == rule.alias), rule.alias)
        stage = rule.stage or ""
        checked = Checked(reply.name, spelled, stage, None, None)
        for attempt in range(_LOOKS):
            by_alias = plain_alias(self.registry, reply.name, spelled)
            by_stage = plain_stage(self.registry, reply.name, stage)
            checked = Checked(reply.name, spelled, stage, by_alias, by_stage, _problem(by_alias, by_stage, both=both))
            if not checked.problem or self.stopped.wait(_A_MOMENT * 2**attempt):
                break
        return checked

    def finish(self, run: str, *, reason: str = "") -> Iterator[Result[Found, list[Step]]]:
        """Empty the stages of models whose readers have moved, and end their window."""
        carrier = Carrier(self.registry, run, self.rules, kind="finish", reason=reason)
        return self.each(read_fleet(self.registry, self.globs, self.rules), lambda found: end_stages(carrier, found))

    def undo(self, run: str, *, reason: str = "") -> Iterator[Result[Found, list[Step]]]:
        """Put the pointers back to what they were before a run, except where somebody moved them since."""
        carrier = Carrier(self.registry, run, self.rules, kind="undo", reason=reason)
        undoing = Undoing(carrier, run)
        fleet = [found for found in read_fleet(self.registry, self.globs, self.rules) if _took_part(found, run)]
        return self.each(fleet, undoing.undo)

    def runs(self) -> list[Run]:
        """Return the runs that the record tells of, the oldest first."""
        seen: dict[str, list[Promotion]] = {}
        for found in read_fleet(self.registry, self.globs, self.rules):
            for event in journal.events(found.versions):
                if event.migration is not None and event.kind != "undo":
                    seen.setdefault(event.migration.run, []).append(event)
        told = [
            Run(name, each[0].kind, len({event.name for event in each}), min(times), max(times))
            for name, each in seen.items()
            if (times := [event.at for event in each])
        ]
        return sorted(told, key=lambda run: run.first)

    def each(self, items: Sequence[Any], work: Callable[[Any], Any]) -> Iterator[Result[Any, Any]]:
        """Yield what becomes of each; a model that was deleted meanwhile is none any more."""

        def done(item: Any) -> Any:
            try:
                return work(item)
            except ModelNotFound:
                return [Step(item.name, "", "nothing", "the model was deleted meanwhile")]

        self.total = len(items)
        return each_of(items, done, at_once=self.at_once, most_failures=self.most_failures, stopped=self.stopped)


def _check_both(registry: Registry, found: Capabilities) -> None:
    """Raise ``PointerUnsupported`` where there is only one kind of pointer, so that there is nothing to carry."""
    for there, what, step in (
        (found.aliases, "aliases", "Upgrade the registry to MLflow 2.3.0 or later first."),
        (found.stages, "stages", "There is nothing to migrate."),
    ):
        if not there:
            raise PointerUnsupported(
                f"There are no {what} here: {found.how}.", where=registry.addresses.shown, next_step=step
            )


def _problem(by_alias: int | None, by_stage: int | None, *, both: bool) -> str:
    """Return how two plain clients would differ, the empty text where they do not."""
    if by_alias == by_stage or (by_stage is None and not both):
        return ""
    if by_alias is None:
        return f"clients of the stage load version {by_stage}, clients of the alias find nothing"
    if by_stage is None:
        return f"clients of the alias load version {by_alias}, clients of the stage find nothing"
    return f"clients of the alias load version {by_alias}, clients of the stage version {by_stage}"


def _took_part(found: Found, run: str) -> bool:
    """Tell whether the record of a model, or its tag, names a run."""
    if found.reply.tags.get(WINDOW_TAG) == run:
        return True
    return any(event.migration is not None and event.migration.run == run for event in journal.events(found.versions))


def plainly(results: Iterable[Result[Any, list[Step]]]) -> list[Step]:
    """Return every step of results, an error as a step that failed."""
    steps: list[Step] = []
    for result in results:
        steps += result.value or []
        if result.error is not None:
            steps.append(Step(result.item.name, "", "failed", str(result.error)))
    return steps

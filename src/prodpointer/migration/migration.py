"""Migrate a fleet from stages to aliases: plan, start, apply, verify, finish and undo, while its clients go on.

A plan is a value and changes nothing. Every run has a name, and each model that it moves an event that says what the
pointers were before: that record is in the registry itself, so a run that was interrupted goes on from any machine, and
any run can be undone.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from prodpointer._identity import acting_user
from prodpointer.errors import InvalidName, ModelNotFound, PointerUnsupported
from prodpointer.history import record
from prodpointer.migration.apply import Effect, Migrator, PairResult
from prodpointer.migration.assess import Class, Prefer
from prodpointer.migration.finish import end_stages
from prodpointer.migration.fleet import (
    AT_ONCE,
    MOST_FAILURES,
    Patience,
    Result,
    check_patterns,
    each_of,
    models_like,
    read_fleet,
)
from prodpointer.migration.plan import Plan, may_be_marked, plan_models, problems_of_names
from prodpointer.migration.runs import RunSummary, is_recorded, later_runs, summarise_runs, took_part
from prodpointer.migration.undo import undo_run
from prodpointer.mlflow_client import Capabilities, Registry, open_registry, probe_capabilities
from prodpointer.pointers.rule import Rule
from prodpointer.pointers.snapshot import ModelSnapshot, read_reply
from prodpointer.types import POINTER_TAG, WINDOW_TAG, Kind, ModelReply
from prodpointer.validation import alias_name, plain_text, stage_for

_RUN = re.compile(r"[\w.-]{1,64}")
_READS = 3
_A_MOMENT = 0.1  # seconds between two reads of pointers that are being moved


@dataclass(frozen=True)
class Checked:
    """What two plain clients read of one alias and its stage of one model: by the alias, and by the stage."""

    name: str
    alias: str
    stage: str
    by_alias: int | None
    by_stage: int | None
    problem: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return what ``migrate verify --json`` prints for one pair."""
        return dict(vars(self))


def rules_for(mapping: Mapping[str, str] | None = None) -> tuple[Rule, ...]:
    """Return one rule for each stage that becomes an alias, or raise ``InvalidName``.

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
                f"Invalid stage {stage!r}.", where="--map", next_step="Use Production, Staging or Archived."
            )
        if folded in chosen:
            chosen[folded] = alias
        elif alias.lower() != "skip":
            raise InvalidName(
                f"The versions in {stage} cannot become an alias: it names one version, and they are history.",
                where="--map",
                next_step=f"Use {stage}=skip: the versions stay, and `prodpointer history` shows what was live.",
            )
    migrated = {stage: alias for stage, alias in chosen.items() if alias.lower() != "skip"}
    if len({alias_name(alias) for alias in migrated.values()}) < len(migrated) or not migrated:
        raise InvalidName(
            "Two stages cannot become one alias, and one stage at least has to become one.",
            where="--map",
            next_step="Give each stage an alias of its own, such as Production=production Staging=staging.",
        )
    return tuple(
        Rule(alias_name(alias), stage_for(alias_name(alias), {alias: stage}), None, None, written=alias)
        for stage, alias in migrated.items()
    )


def run_name(name: str | None = None) -> str:
    """Return the name of a run, made up where none is given, or raise ``InvalidName``."""
    if name is None:
        return f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
    if not _RUN.fullmatch(plain_text(name, "The name of the run")):
        raise InvalidName(f"Invalid run name {name!r}.", next_step="Use letters, digits, '.', '_' and '-'.")
    return name


class Migration:
    """The verbs over all registered models of one registry whose names match.

    Parameters
    ----------
    tracking_uri, registry_uri, workspace, timeout
        As for :func:`prodpointer.connect`. No database is made or upgraded.
    models
        Patterns of names as a shell has them; none for every model.
    mapping
        As for :func:`rules_for`.
    at_once
        How many models are worked on at a time.
    most_failures
        So many models may fail before a run stops.
    must_match
        Whether each pattern has to match a model: what lists the models raises ``ModelNotFound`` otherwise.

    Raises
    ------
    PointerUnsupported
        The registry lacks aliases or stages, so that there is nothing to migrate.
    RegistryUnavailable, AccessDenied, RegistryUnsupported, SchemaMismatch
        As for :func:`prodpointer.connect`.
    """

    def __init__(
        self,
        *,
        tracking_uri: str | None = None,
        registry_uri: str | None = None,
        workspace: str | None = None,
        timeout: float = 10.0,
        models: Sequence[str] = (),
        mapping: Mapping[str, str] | None = None,
        at_once: int = AT_ONCE,
        most_failures: int = MOST_FAILURES,
        must_match: bool = False,
    ) -> None:
        """Open the registry and find out what it can do."""
        self.rules: tuple[Rule, ...] = rules_for(mapping)
        self.globs: tuple[str, ...] = tuple(models)
        self.most_failures = most_failures
        self._must_match = must_match
        self.stopped: threading.Event = threading.Event()
        self.total: int = 0
        self.registry: Registry = open_registry(tracking_uri, registry_uri, timeout=timeout, workspace=workspace)
        # A database is asked one call at a time.
        self.at_once: int = at_once if self.registry.takes_several else 1
        self.found: Capabilities = probe_capabilities(self.registry)
        _check_both(self.registry, self.found)

    def plan(self) -> Plan:
        """Return what is, what would change and why, for each model; a request a page, and nothing is changed."""
        models = plan_models(self.fleet(), self.rules, self._read, self.globs)
        return Plan(self.registry.addresses.shown, self.found.shown_version, self.globs, tuple(models))

    def _read(self, reply: ModelReply, rule: Rule) -> ModelSnapshot:
        """Return what was listed of one model, by one rule."""
        return read_reply(rule, reply, self.found, self.registry.addresses.shown)

    def start(self, run: str, *, dry_run: bool = False) -> Iterator[Result[ModelReply, list[PairResult]]]:
        """Mark each model by the tag ``prodpointer.pointer=both``, so that every promotion moves both pointers.

        A model whose stages a ``finish`` ended is not marked.

        Parameters
        ----------
        run
            The name by which it can be undone.
        dry_run
            Whether to write nothing, and return what would be written.
        """

        def mark(listed: ModelReply) -> list[PairResult]:
            reply = self.registry.model(listed.name)
            there = reply.tags.get(POINTER_TAG)
            if there is not None:
                outcome: Effect = "nothing" if there == "both" else "left"
                return [PairResult(reply.name, "", outcome, f"the tag {POINTER_TAG} says {there}")]
            try:
                if not may_be_marked(replace(reply, versions=listed.versions), self.rules, self._read):
                    return [PairResult(reply.name, "", "nothing", "its stages have ended; undo that finish to reopen")]
            except InvalidName as error:
                return [PairResult(reply.name, "", "left", error.what)]
            if not dry_run:
                mark_model(self.registry, reply.name, run)
            return [PairResult(reply.name, "", "moved", "every promotion moves both pointers")]

        return self._each_named_well(self.fleet(), mark)

    def apply(
        self,
        plan: Plan,
        run: str,
        *,
        prefer: Prefer | None = None,
        reason: str = "",
        by: str | None = None,
        dry_run: bool = False,
    ) -> Iterator[Result[ModelReply, list[PairResult]]]:
        """Apply a plan; each model is judged again right before it is moved.

        Parameters
        ----------
        plan
            What :meth:`plan` returned.
        run
            The name under which it is recorded, and by which it can be undone.
        prefer
            Which side counts for models that need a decision; they are left alone without it.
        reason, by
            Why and by whom, for the record; ``by`` is the user of this process by default.
        dry_run
            Whether to write nothing, and return what would be written.
        """
        migrator = self.migrator(run, self.rules, "migrate", reason=reason, by=by, dry_run=dry_run, prefer=prefer)
        left = {
            model.name: [PairResult(model.name, pair.alias, "left", pair.judgement.reason) for pair in model.undecided]
            or [PairResult(model.name, "", "left", model.problem)]
            for model in plan.models
            if model.kind is Class.DECISION and not model.may_be_migrated(prefer)
        }
        unmarked = self._unmarked(plan)
        todo = [
            model.reply
            for model in plan.models
            if model.name in left or model.may_be_migrated(prefer, started=model.name not in unmarked)
        ]
        return self.each(todo, lambda reply: left.get(reply.name) or migrator.migrate(reply))

    def _unmarked(self, plan: Plan) -> set[str]:
        """Return the models that wait for ``start``, which may have marked them since the plan; a request a page."""
        waiting = {model.name for model in plan.models if any(pair.after_start for pair in model.pairs)}
        return waiting - {reply.name for reply in self.listed() if POINTER_TAG in reply.tags} if waiting else waiting

    def verify(self) -> Iterator[Result[ModelReply, list[Checked]]]:
        """Ask the two endpoints that plain clients ask, for each model, past the code by which this library reads."""
        return self.each(self.models(), self._read_as_clients)

    def _read_as_clients(self, reply: ModelReply) -> list[Checked]:
        """Return what plain clients read of one model; none where it was deleted meanwhile."""
        both = reply.tags.get(POINTER_TAG) == "both"
        try:
            checks = [self._read_pair(reply, rule, both=both) for rule in self.rules]
        except ModelNotFound:
            return []
        live = {check.by_stage for check in checks if check.stage == "Production"}
        return [
            replace(check, problem="") if check.by_stage is None and check.by_alias in live else check
            for check in checks  # a version that was promoted out of staging is no longer in its stage
        ]

    def _read_pair(self, reply: ModelReply, rule: Rule, *, both: bool) -> Checked:
        """Ask for one alias and its stage, as it is spelled in this model."""
        spelled = next((alias for alias in reply.aliases if alias.lower() == rule.alias), rule.alias)
        stage = rule.stage or ""
        checked = Checked(reply.name, spelled, stage, None, None)
        for attempt in range(_READS):
            by_alias = self.registry.plain_alias(reply.name, spelled)
            by_stage = self.registry.plain_stage(reply.name, stage)
            checked = Checked(reply.name, spelled, stage, by_alias, by_stage, _problem(by_alias, by_stage, both=both))
            if not checked.problem or self.stopped.wait(_A_MOMENT * 2**attempt):
                break
        return checked

    def finish(
        self, run: str, *, reason: str = "", by: str | None = None, dry_run: bool = False
    ) -> Iterator[Result[ModelReply, list[PairResult]]]:
        """Empty the stages of models whose readers have moved, and end their window.

        Parameters are those of :meth:`apply`.
        """
        migrator = self.migrator(run, self.rules, "finish", reason=reason, by=by, dry_run=dry_run)
        return self._each_named_well(self.fleet(), lambda reply: end_stages(migrator, reply))

    def undo(
        self, run: str, *, reason: str = "", by: str | None = None, dry_run: bool = False
    ) -> Iterator[Result[ModelReply, list[PairResult]]]:
        """Put the pointers back to what they were before a run, except where they were moved since.

        Parameters are those of :meth:`apply`. Raises ``InvalidName`` where no such run is recorded.
        """
        found = self.fleet()
        fleet = [reply for reply in found if took_part(reply, run)]
        if not any(is_recorded(reply, run) for reply in found):
            raise InvalidName(
                f"No run {run!r} is recorded{' of these models' if self.globs else ''}.",
                where=self.registry.addresses.shown,
                next_step="`prodpointer migrate runs` lists the runs.",
            )
        rules = self._rules_of(fleet, run)
        migrator = self.migrator(run, rules, "undo", reason=reason, by=by, dry_run=dry_run)
        # Only the run knows which versions matter, so all of them are read.
        return self.each([replace(reply, versions=None) for reply in fleet], lambda reply: undo_run(migrator, reply))

    def later_runs(self, run: str) -> dict[str, int]:
        """Return the runs that changed models of a run after it and were not undone, and how many of them."""
        return later_runs(self.fleet(), run)

    def migrator(self, run: str, rules: Sequence[Rule], kind: Kind, **options: Any) -> Migrator:
        """Return what works on one model after another, or raise ``InvalidName`` for texts that cannot be stored."""
        by = plain_text(options.pop("by") or acting_user(), "The name of who moves it,")
        reason = plain_text(options.pop("reason"), "The reason")
        return Migrator(self.registry, run, rules, kind=kind, by=by, reason=reason, **options)

    def _rules_of(self, fleet: Sequence[ModelReply], run: str) -> tuple[Rule, ...]:
        """Return the aliases that a run set, with their stages, whatever they are called now."""
        found = {
            event.alias: event.migration.stage
            for each in fleet
            for event in record.events(each.versions or ())
            if event.migration is not None and event.migration.run == run
        }
        ours = {rule.alias: rule.stage for rule in self.rules}
        return tuple(Rule(alias, stage, None, None) for alias, stage in sorted({**ours, **found}.items()))

    def runs(self) -> list[RunSummary]:
        """Return the recorded runs, the oldest first; of a window only the models that it marked are known."""
        return summarise_runs(self.fleet())

    def fleet(self) -> list[ModelReply]:
        """Return the models with the versions that matter, read by pages, with patience for a server that is busy."""
        found = Patience(self.stopped).call(lambda _: read_fleet(self.registry, self.globs, self.rules), None)
        return self._matched(found)

    def models(self) -> list[ModelReply]:
        """Return the models as :meth:`fleet` does, without versions."""
        return self._matched(self.listed())

    def listed(self) -> list[ModelReply]:
        """Return the models without versions; none where no pattern matches."""
        return Patience(self.stopped).call(lambda _: list(models_like(self.registry, self.globs)), None)

    def _matched(self, found: list[ModelReply]) -> list[ModelReply]:
        """Return the models, or raise ``ModelNotFound`` for patterns that match none where each has to."""
        if self._must_match:
            check_patterns((reply.name for reply in found), self.globs, self.registry.addresses.shown)
        return found

    def each(
        self, items: Sequence[Any], work: Callable[[Any], Any], *, most_failures: int | None = None
    ) -> Iterator[Result[Any, Any]]:
        """Yield the result for each; a model that was deleted meanwhile needs nothing."""

        def done(item: Any) -> Any:
            try:
                return work(item)
            except ModelNotFound:
                return [PairResult(item.name, "", "nothing", "the model was deleted meanwhile")]

        self.total = len(items)
        failures = self.most_failures if most_failures is None else most_failures
        return each_of(items, done, at_once=self.at_once, most_failures=failures, stopped=self.stopped)

    def _each_named_well(
        self, items: Sequence[Any], work: Callable[[Any], list[PairResult]]
    ) -> Iterator[Result[Any, Any]]:
        """Yield the result for each; models whose name rules them out are left alone."""
        problems = problems_of_names((item.name for item in items), self.globs)

        def touched(item: Any) -> list[PairResult]:
            problem = problems.get(item.name)
            return [PairResult(item.name, "", "left", problem)] if problem else work(item)

        return self.each(items, touched)


def mark_model(registry: Registry, name: str, run: str) -> None:
    """Mark one model as one of which both pointers are kept, by a run that can be undone."""
    registry.tag_model(name, WINDOW_TAG, run)
    registry.tag_model(name, POINTER_TAG, "both")


def _check_both(registry: Registry, found: Capabilities) -> None:
    """Raise ``PointerUnsupported`` where there is only one kind of pointer, so that there is nothing to migrate."""
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


def flatten(results: Iterable[Result[Any, list[PairResult]]]) -> list[PairResult]:
    """Return the results of all models in one list, an error as one that failed."""
    steps: list[PairResult] = []
    for result in results:
        steps += result.value or []
        if result.error is not None:
            steps.append(PairResult(result.item.name, "", "failed", str(result.error)))
    return steps

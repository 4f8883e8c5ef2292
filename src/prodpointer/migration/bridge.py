"""A process that runs while old jobs still move one pointer alone: it moves the other pointer along.

It watches both pointers of the chosen models. A sweep
costs a request for each page of models; only a model whose reply shows a change is read by itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from prodpointer.errors import ModelNotFound, ProdpointerError, RegistryError, RegistryUnavailable
from prodpointer.migration.apply import MigratingModel, PairResult
from prodpointer.migration.assess import stages_ended
from prodpointer.migration.migration import Migration, flatten, mark_model
from prodpointer.migration.plan import problems_of_names
from prodpointer.types import POINTER_TAG, ModelReply

EVERY = 10.0
"""Seconds from the beginning of one sweep to that of the next."""


@dataclass(frozen=True)
class Sweep:
    """What one sweep over all models found and did; ``error`` is why it failed."""

    models: int
    looked_at: int
    steps: tuple[PairResult, ...]
    seconds: float
    error: ProdpointerError | None = None


@dataclass(frozen=True)
class _Mark:
    """What of a reply shows a change: what the pointers name, when a stage moved last, and the model's tag.

    A second version in a stage does not show, but its move does.
    """

    pointers: tuple[tuple[str, int | None, int | None], ...]
    updated_at: datetime | None
    tag: str | None

    @property
    def agreed(self) -> dict[str, int]:
        """Return what both pointers name, by alias, where they agree."""
        return {name: alias for name, alias, stage in self.pointers if alias is not None and alias == stage}


class Bridge:
    """Sweeps over the models of a migration until it is stopped.

    Parameters
    ----------
    migration
        The registry, the models and what each stage is called as an alias; setting its ``stopped`` stops the sweeps.
    run
        The name under which moves are recorded.
    every
        Seconds from the beginning of one sweep to that of the next.
    mark
        Whether models without the tag ``prodpointer.pointer`` get it, so that those made meanwhile have both pointers.
    reason, by
        Why and by whom, for the record.
    """

    def __init__(
        self,
        migration: Migration,
        run: str,
        *,
        every: float = EVERY,
        mark: bool = False,
        reason: str = "",
        by: str | None = None,
    ) -> None:
        """Bind them; nothing is asked yet."""
        self._migration = migration
        reason = reason or "copied from the pointer that another tool moved"
        self._migrator = migration.migrator(run, migration.rules, "bridge", reason=reason, by=by, prefer="journal")
        self._every = every
        self._mark_new = mark
        self._marks: dict[str, _Mark] | None = None

    def sweeps(self) -> Iterator[Sweep]:
        """Yield each sweep as it ends; a registry that is down ends none but the one."""
        stopped = self._migration.stopped
        while not stopped.is_set():
            began = time.monotonic()
            try:
                yield self.sweep()
            except ModelNotFound:  # a pattern that matches nothing: wrong usage
                raise
            except ProdpointerError as error:
                yield Sweep(0, 0, (), time.monotonic() - began, error)
            stopped.wait(max(0.0, self._every - (time.monotonic() - began)))

    def sweep(self) -> Sweep:
        """Read all models once and move what is to be moved; the first time each is read with its versions."""
        began = time.monotonic()
        if self._marks is None:
            fleet = self._migration.fleet()
            before: dict[str, _Mark] = {}
            changed = [reply for reply in fleet if self._may_need_work(reply)]
        else:
            before = self._marks
            fleet = self._migration.listed()
            changed = [reply for reply in fleet if before.get(reply.name) != self._mark(reply)]
        problems = problems_of_names((reply.name for reply in fleet), self._migration.globs)
        left = [PairResult(reply.name, "", "left", problems[reply.name]) for reply in changed if reply.name in problems]
        changed = [reply for reply in changed if reply.name not in problems]
        marks = {reply.name: self._mark(reply) for reply in fleet}
        for reply in changed:
            del marks[reply.name]  # kept once it was migrated, so that what fails is tried again
        self._marks = marks
        steps = self._migrate_all(changed, before)
        return Sweep(len(fleet), len(changed), (*left, *steps), time.monotonic() - began)

    def _may_need_work(self, reply: ModelReply) -> bool:
        """Tell whether a model of the first sweep has a pointer at all, or is to be marked."""
        if self._mark_new and POINTER_TAG not in reply.tags:
            return True
        return any(alias is not None or stage is not None for _, alias, stage in self._mark(reply).pointers)

    def _migrate_all(self, changed: list[ModelReply], before: dict[str, _Mark]) -> list[PairResult]:
        """Migrate the models that changed, and keep what they were like then."""

        def migrate(reply: ModelReply) -> list[PairResult]:
            try:
                return self._migrate(reply, before)
            except ProdpointerError as error:
                if not isinstance(error, (RegistryUnavailable, RegistryError)):  # the next time would be the same
                    self._keep(reply)
                raise

        done = flatten(self._migration.each(changed, migrate, most_failures=len(changed)))
        return sorted((step for step in done if step.outcome != "nothing"), key=lambda step: (step.name, step.alias))

    def _migrate(self, reply: ModelReply, before: dict[str, _Mark]) -> list[PairResult]:
        """Migrate one model, marked before where that is wanted and its stages have not been ended."""
        model = self._migrator.read_again(reply)
        if self._is_to_mark(model):
            mark_model(self._migration.registry, reply.name, self._migrator.run)
            self._migrator.refresh(model)
        mark = before.get(reply.name)
        steps = self._migrator.migrate_model(model, mark.agreed if mark else {})
        if not any(step.again for step in steps):
            self._keep(model.reply)
        return steps

    def _is_to_mark(self, model: MigratingModel) -> bool:
        """Tell whether a model is to be marked: it is not yet, and its stages have not been ended."""
        if not self._mark_new or POINTER_TAG in model.reply.tags:
            return False
        return not stages_ended(self._migrator.take_snapshot(model, rule) for rule in self._migration.rules)

    def _keep(self, reply: ModelReply) -> None:
        """Keep what a model is like, so that it is read again only once it has changed."""
        if self._marks is not None:
            self._marks[reply.name] = self._mark(reply)

    def _mark(self, reply: ModelReply) -> _Mark:
        """Return what of a reply shows a change."""
        aliases = {alias.lower(): version for alias, version in reply.aliases.items()}
        pointers = []
        for rule in self._migration.rules:
            newest = reply.newest.get(rule.stage)
            pointers.append((rule.alias, aliases.get(rule.alias), newest.version if newest else None))
        return _Mark(tuple(pointers), reply.updated_at, reply.tags.get(POINTER_TAG))

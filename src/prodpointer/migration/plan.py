"""A plan as a value: for each model what is, what would change, of which class it is, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from prodpointer.errors import InvalidName
from prodpointer.migration.assess import Class, Foreseen, Judgement, Prefer, foresee, stages_ended
from prodpointer.pointers.rule import Rule
from prodpointer.pointers.snapshot import ModelSnapshot
from prodpointer.types import POINTER_TAG, ModelReply


@dataclass(frozen=True)
class Change:
    """One pointer that ``apply`` would move; ``was`` is empty where it names nothing."""

    pointer: Literal["alias", "stage"]
    name: str
    was: tuple[int, ...]
    to: int

    def as_json(self) -> dict[str, Any]:
        """Return what ``migrate plan --json`` prints for one change."""
        return {**vars(self), "was": list(self.was)}


@dataclass(frozen=True)
class Pair:
    """One alias and its stage of one model: what each names, and what there is to do.

    ``alias`` is the name of the alias, ``names`` the version it names, ``holds`` every version in the stage.
    ``changes`` are the pointers that ``apply`` would move. ``after_start`` says that it would do so only once ``start``
    has marked the model.
    """

    alias: str
    stage: str
    names: int | None
    holds: tuple[int, ...]
    judgement: Judgement
    changes: tuple[Change, ...] = ()
    after_start: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return what ``migrate plan --json`` prints for one pair."""
        judged = self.judgement
        return {
            "stage": self.stage,
            "alias": self.alias,
            "stage_versions": list(self.holds),
            "alias_version": self.names,
            "class": judged.kind.value,
            "reason": judged.reason,
            "target": judged.target,
            "choices": dict(judged.choices),
            "changes": [change.as_json() for change in self.changes],
            "after_start": self.after_start,
        }


@dataclass(frozen=True)
class Planned:
    """One registered model of a plan; ``problem`` is a reason that lies in its name, for which it is never touched.

    ``marked`` says that ``start`` would mark it, so that promotions move both pointers.
    """

    reply: ModelReply = field(repr=False)
    pairs: tuple[Pair, ...]
    problem: str = ""
    marked: bool = False

    @property
    def name(self) -> str:
        """The name of the registered model."""
        return self.reply.name

    @property
    def kind(self) -> Class:
        """The class of the model: that of the pair with the most to do."""
        kinds = {pair.judgement.kind for pair in self.pairs}
        if self.problem or Class.DECISION in kinds:
            return Class.DECISION
        return Class.SAFE if Class.SAFE in kinds else Class.NOTHING

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is of its class, one sentence for each pair that makes it so."""
        reasons = [f"{pair.stage}: {pair.judgement.reason}" for pair in self.pairs if pair.judgement.kind is self.kind]
        return (self.problem,) if self.problem else tuple(reasons)

    @property
    def undecided(self) -> tuple[Pair, ...]:
        """The pairs that need a decision."""
        return tuple(pair for pair in self.pairs if pair.judgement.kind is Class.DECISION)

    def may_be_migrated(self, prefer: Prefer | None, *, started: bool = True) -> bool:
        """Tell whether there is something to move: what is safe, or what the preferred side decides.

        ``started`` says whether ``start`` has marked the model, or is to.
        """
        pairs = [pair for pair in self.pairs if started or not pair.after_start]
        judged = [pair.judgement for pair in pairs]
        return not self.problem and any(each.kind is Class.SAFE or prefer in each.choices for each in judged)

    def as_json(self) -> dict[str, Any]:
        """Return what ``migrate plan --json`` prints for one model."""
        return {
            "name": self.name,
            "class": self.kind.value,
            "reasons": list(self.reasons),
            "start": self.marked,
            "pairs": [pair.as_json() for pair in self.pairs],
        }


@dataclass(frozen=True)
class Plan:
    """What a fleet is like and what ``start`` and then ``apply`` would change; nothing was changed."""

    registry: str
    registry_version: str | None
    globs: tuple[str, ...]
    models: tuple[Planned, ...]

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many models there are of each class."""
        counted = Counter(model.kind for model in self.models)
        return {kind.value: counted[kind] for kind in Class}

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to do and nothing to decide."""
        return all(model.kind is Class.NOTHING for model in self.models)

    @cached_property
    def changes(self) -> dict[str, int]:
        """How many models ``start`` would mark, and how many pointers ``apply`` would move after it."""
        moves = sum(len(pair.changes) for model in self.models if not model.problem for pair in model.pairs)
        return {"start": sum(model.marked for model in self.models), "apply": moves}

    def as_json(self) -> dict[str, Any]:
        """Return the document that ``migrate plan --json`` prints, without its models."""
        return {
            "registry": self.registry,
            "registry_version": self.registry_version,
            "counts": self.counts,
            "changes": self.changes,
        }


def plan_models(
    fleet: Sequence[ModelReply],
    rules: Sequence[Rule],
    read: Callable[[ModelReply, Rule], ModelSnapshot],
    globs: Sequence[str] = (),
) -> Iterator[Planned]:
    """Yield the plan of each model.

    Parameters
    ----------
    fleet, rules
        The models, and the aliases with their stages.
    read
        Returns what was read of one model, by one rule.
    globs
        The patterns that chose the models; a name given in full is meant.
    """
    problems = problems_of_names((reply.name for reply in fleet), globs)
    for reply in fleet:
        problem = problems.get(reply.name, "")
        try:
            marked = not problem and may_be_marked(reply, rules, read)
            started = replace(reply, tags={**reply.tags, POINTER_TAG: "both"}) if marked else reply
            found = (read(reply, rule) for rule in rules)
            pairs = tuple(map(_pair, found, foresee(reply, rules, read), foresee(started, rules, read)))
        except InvalidName as error:  # aliases that differ only in case, or a tag that names no pointer
            yield Planned(reply, (), problem or error.what)
        else:
            yield Planned(reply, pairs, problem, marked)


def may_be_marked(reply: ModelReply, rules: Sequence[Rule], read: Callable[[ModelReply, Rule], ModelSnapshot]) -> bool:
    """Tell whether ``start`` marks a model: not where it has a tag, and not where its stages have ended.

    Raises ``InvalidName`` where the model cannot be read.
    """
    snapshots = [read(reply, rule) for rule in rules]
    return POINTER_TAG not in reply.tags and not stages_ended(snapshots)


def problems_of_names(names: Iterable[str], globs: Sequence[str]) -> dict[str, str]:
    """Return why models are never touched for their names, by name; none for those that are like any other.

    Parameters
    ----------
    names
        The names of all models that were chosen.
    globs
        The patterns that chose them: of names that differ only in case, the one that is given in full is meant.
    """
    every = list(names)
    twins = _twins(every)
    found = {name: _problem_of_name(name, twins.get(name.lower(), ()), globs) for name in every}
    return {name: problem for name, problem in found.items() if problem}


def _pair(found: ModelSnapshot, now: Foreseen, started: Foreseen) -> Pair:
    """Return the plan of one alias and its stage: as found, and from what would be done without and after ``start``."""
    stage = found.rule.stage or ""
    after_start = bool(started.pointers) and started.pointers != now.pointers
    judged = started.judgement if after_start else now.judgement
    if after_start:
        reason = f"the model has an alias alone; after start, the stage {stage} has to name its version"
        judged = replace(judged, reason=reason)
    changes = _changes(started)
    return Pair(found.rule.alias, stage, found.alias, found.in_stage, judged, changes, after_start)


def _changes(foreseen: Foreseen) -> tuple[Change, ...]:
    """Return the pointers that would move, without what needs a decision."""
    snapshot, target = foreseen.snapshot, foreseen.target
    if target is None:
        return ()
    alias = Change("alias", snapshot.spelling, () if snapshot.alias is None else (snapshot.alias,), target)
    stage = Change("stage", snapshot.rule.stage or "", snapshot.in_stage, target)
    return tuple(each for each in (alias, stage) if each.pointer in foreseen.pointers.names)


def _twins(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the names that differ only in case, by what they are in lower case."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name.lower(), []).append(name)
    return {folded: each for folded, each in found.items() if len(each) > 1}


def _problem_of_name(name: str, twins: Sequence[str], globs: Sequence[str]) -> str:
    """Return what is wrong with a name, the empty text for nothing; a twin that was named in full is meant."""
    if "/" in name or ":" in name or not name.strip():
        return "MLflow 3.11.1 and later cannot read a model of this name: rename it before the upgrade"
    if "'" in name and '"' in name:
        return "MLflow's searches cannot ask for a name with both kinds of quotes: rename it"
    if twins and name not in globs:
        others = " and ".join(repr(each) for each in twins if each != name)
        return f"the name differs only in case from {others}: name the one that is meant with --models"
    return ""

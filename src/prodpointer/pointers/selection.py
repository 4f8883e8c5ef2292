"""Which pointer counts, which are moved, and why: the rule of ``auto`` and its overrides.

An alias, where one is set, is the truth. A stage, where one is set, is kept in agreement. A model with neither gets an
alias on an MLflow 3 registry and a stage on an MLflow 2 registry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from prodpointer.errors import InvalidName, PointerUnsupported
from prodpointer.mlflow_client import Capabilities, Registry
from prodpointer.pointers.alias import AliasPointer
from prodpointer.pointers.mirrored import MirroredPointer
from prodpointer.pointers.protocol import ProductionPointer
from prodpointer.pointers.stage import Deciding, Reading, StagePointer
from prodpointer.types import POINTER_TAG, POINTERS, ModelReply

POINTER_VARIABLE = "PRODPOINTER_POINTER"

_OF_MODEL = f"the model's tag {POINTER_TAG}"


@dataclass(frozen=True)
class Rule:
    """What a caller asked for: an alias, the stage it stands for, and an override.

    ``stage`` is None for an alias that stands for no stage. ``argument`` and ``environment`` are overrides, None where
    there is none; the model's own tag comes between them. ``alias`` is in lower case, ``written`` is how a new one is
    spelled.
    """

    alias: str
    stage: str | None
    argument: str | None
    environment: str | None
    written: str = field(default="", compare=False)

    @property
    def sees(self) -> str:
        """What tells one rule from another that may see another version live; the model's tag is the same for both."""
        override = self.argument or (f"auto, {POINTER_VARIABLE}={self.environment}" if self.environment else "auto")
        return f"{self.alias} as {self.stage} by {override}"

    def requested(self, tags: Mapping[str, str]) -> tuple[str, str]:
        """Return the override in force for a model with these tags, and where it comes from."""
        told = tags.get(POINTER_TAG)
        if self.stage is None and told in ("stage", "both"):
            told = None  # it speaks of the model's stages, and this alias stands for none
        for value, source in (
            (self.argument, "the argument pointer="),
            (told, _OF_MODEL),
            (self.environment, f"the environment variable {POINTER_VARIABLE}"),
        ):
            if value:
                return known_pointer(value, source), source
        return "auto", "the default"


def known_pointer(value: str, source: str) -> str:
    """Return ``value`` if it is a pointer's name; raise ``InvalidName`` with its source otherwise."""
    if value not in POINTERS:
        step = f"Use one of {', '.join(POINTERS)}."
        if source == _OF_MODEL:
            step = f"Set the tag to one of {', '.join(POINTERS)}, or delete it; pointer= (--pointer) overrides it."
        raise InvalidName(f"Invalid pointer {value!r}.", where=source, next_step=step)
    return value


@dataclass(frozen=True)
class View:
    """One reply of the registry, read by one rule.

    ``alias`` and ``stage`` are what the two pointers name, ``spelling`` is the alias as the registry spells it.
    ``dangling`` says that the alias names a version that was deleted: it does not count for reading, and a write still
    moves it, since its readers would fail for ever.
    """

    rule: Rule
    capabilities: Capabilities
    requested: str
    source: str
    spelling: str
    alias: int | None
    stage: int | None
    dangling: bool = False

    @property
    def live(self) -> int | None:
        """The version that counts: the alias where one is set, else the stage; an override reads its own alone."""
        alias = None if self.dangling else self.alias
        if self.requested == "alias":
            return alias
        if self.requested == "stage":
            return self.stage
        return self.stage if alias is None else alias

    @property
    def drifted(self) -> bool:
        """Whether both pointers count and name different versions."""
        return not self.dangling and self.alias is not None and self.stage is not None and self.alias != self.stage

    def moved(self, last_moved: tuple[str, ...] = ()) -> tuple[tuple[str, ...], str]:
        """Return the pointers that a write moves, in the order in which it does, and the reason.

        Parameters
        ----------
        last_moved
            The pointers that the last recorded event moved.
        """
        if self.requested != "auto":
            forced = ("alias", "stage") if self.requested == "both" else (self.requested,)
            return forced, f"{self.source} says {self.requested}"
        wanted = set(last_moved)
        wanted |= {"alias"} if self.alias is not None else set()
        wanted |= {"stage"} if self.stage is not None else set()
        if wanted == {"stage"} and self.capabilities.is_three and self.capabilities.aliases:
            return ("alias", "stage"), f"{self.capabilities.how}, and a model with a stage alone gets the alias too"
        if not wanted:
            return self._first_pointer()
        pointers = tuple(pointer for pointer in ("alias", "stage") if pointer in wanted)
        return pointers, f"the model has {' and '.join('an ' + p if p == 'alias' else 'a ' + p for p in pointers)}"

    def _first_pointer(self) -> tuple[tuple[str, ...], str]:
        """Return the pointer for a model that has none."""
        how = self.capabilities.how
        if self.rule.stage is None:
            return ("alias",), f"the alias {self.rule.alias!r} stands for no stage"
        if not self.capabilities.stages or (self.capabilities.is_three and self.capabilities.aliases):
            return ("alias",), f"{how}, and a model with no pointer gets an alias there"
        return ("stage",), f"{how}, and a model with no pointer gets a stage there"

    def check_readable(self, where: str) -> None:
        """Raise ``PointerUnsupported`` where what is to be read cannot be there, so that None would be no answer."""
        if self.requested != "auto":
            self.check_supported(self.moved()[0], where)
        elif self.rule.stage is None:
            self.check_supported(("alias",), where)

    def check_supported(self, pointers: tuple[str, ...], where: str) -> None:
        """Raise ``PointerUnsupported`` for a pointer that this client or registry cannot hold."""
        how = self.capabilities.how
        if "alias" in pointers and not self.capabilities.aliases:
            raise PointerUnsupported(
                f"There are no aliases here: {how}.",
                where=where,
                next_step="Aliases came with MLflow 2.3.0. Use pointer='stage', or upgrade the registry.",
            )
        if "stage" in pointers and self.rule.stage is None:
            raise PointerUnsupported(
                f"The alias {self.rule.alias!r} stands for no stage.",
                where=where,
                next_step=f"Give stages={{{self.rule.alias!r}: 'Production'}}, or use pointer='alias'.",
            )
        if "stage" in pointers and not self.capabilities.stages:
            raise PointerUnsupported(f"There are no stages here: {how}.", where=where, next_step="Use pointer='alias'.")

    def check_nothing_left_behind(self, pointers: tuple[str, ...], version: int | None, where: str) -> None:
        """Raise ``PointerUnsupported`` where a write would leave another set pointer naming another version."""
        named = {"alias": None if self.dangling else self.alias, "stage": self.stage}
        for pointer, current in named.items():
            if pointer not in pointers and current is not None and current != version:
                raise PointerUnsupported(
                    f"{self.source} says {self.requested}, but the model's {pointer} is set to version {current} and "
                    "would be left behind.",
                    where=where,
                    next_step="Use pointer='both', or end the other pointer with `prodpointer migrate finish`.",
                )


def view(rule: Rule, reply: ModelReply, capabilities: Capabilities, where: str) -> View:
    """Return what one reply says under one rule.

    Raises ``InvalidName`` where two aliases differ only in case: nobody can say which of them is meant.
    """
    requested, source = rule.requested(reply.tags)
    spellings = sorted(alias for alias in reply.aliases if alias.lower() == rule.alias)
    if len(spellings) > 1:
        raise InvalidName(
            f"The aliases {' and '.join(map(repr, spellings))} of {reply.name!r} differ only in case.",
            where=where,
            next_step="Delete the one that is not meant.",
        )
    spelling = spellings[0] if spellings else rule.written or rule.alias
    newest = reply.newest.get(rule.stage) if rule.stage else None
    stage = newest.version if newest else None
    return View(rule, capabilities, requested, source, spelling, reply.aliases.get(spelling), stage)


def pointer_name(pointers: tuple[str, ...]) -> str:
    """Return what a choice of pointers is called: ``alias``, ``stage`` or ``both``."""
    return "both" if len(pointers) == 2 else pointers[0]


def pointer_for(
    pointers: tuple[str, ...],
    seen: View,
    registry: Registry,
    model: str,
    *,
    deciding: Deciding | None = None,
    reading: Reading | None = None,
) -> ProductionPointer:
    """Return the pointer that moves what was chosen; ``deciding`` and ``reading`` are as for :class:`StagePointer`."""
    alias = AliasPointer(registry, model, seen.spelling)
    if pointers == ("alias",) or seen.rule.stage is None:
        return alias
    stage = StagePointer(registry, model, seen.rule.stage, deciding, reading)
    return stage if pointers == ("stage",) else MirroredPointer(alias, stage)

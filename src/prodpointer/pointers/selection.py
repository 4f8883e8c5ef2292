"""Which pointers a write moves, and why: the rule of ``auto`` and its overrides.

An alias, where one is set, is the truth. A stage, where one is set, is kept in agreement. A model with neither gets an
alias on an MLflow 3 registry and a stage on an MLflow 2 registry.
"""

from __future__ import annotations

from prodpointer.errors import PointerUnsupported
from prodpointer.mlflow_client import Registry
from prodpointer.pointers.alias import AliasPointer
from prodpointer.pointers.mirrored import MirroredPointer
from prodpointer.pointers.protocol import ProductionPointer
from prodpointer.pointers.snapshot import ModelSnapshot
from prodpointer.pointers.stage import Reading, StagePointer
from prodpointer.types import Pointers


def pointers_to_move(snapshot: ModelSnapshot) -> tuple[Pointers, str]:
    """Return the pointers that a write moves, and why: those that are set and those that the last move moved."""
    if snapshot.requested != "auto":
        return Pointers[snapshot.requested.upper()], f"{snapshot.source} says {snapshot.requested}"
    wanted = snapshot.last_moved | snapshot.set_pointers
    if wanted == Pointers.STAGE and snapshot.capabilities.is_three and snapshot.capabilities.aliases:
        return Pointers.BOTH, f"{snapshot.capabilities.how}, and a model with a stage alone gets the alias too"
    if not wanted:
        return _first_pointer(snapshot)
    return wanted, f"the model has {' and '.join('an ' + p if p == 'alias' else 'a ' + p for p in wanted.names)}"


def _first_pointer(snapshot: ModelSnapshot) -> tuple[Pointers, str]:
    """Return the pointer for a model that has none."""
    how = snapshot.capabilities.how
    if snapshot.rule.stage is None:
        return Pointers.ALIAS, f"the alias {snapshot.rule.alias!r} stands for no stage"
    if not snapshot.capabilities.stages or (snapshot.capabilities.is_three and snapshot.capabilities.aliases):
        return Pointers.ALIAS, f"{how}, and a model with no pointer gets an alias there"
    return Pointers.STAGE, f"{how}, and a model with no pointer gets a stage there"


def check_readable(snapshot: ModelSnapshot, where: str) -> None:
    """Raise ``PointerUnsupported`` where what is to be read cannot be there, so that None would be no answer."""
    if snapshot.requested != "auto":
        check_supported(snapshot, pointers_to_move(snapshot)[0], where)
    elif snapshot.rule.stage is None:
        check_supported(snapshot, Pointers.ALIAS, where)


def check_supported(snapshot: ModelSnapshot, pointers: Pointers, where: str) -> None:
    """Raise ``PointerUnsupported`` for a pointer that this client or registry cannot hold."""
    how = snapshot.capabilities.how
    if Pointers.ALIAS in pointers and not snapshot.capabilities.aliases:
        raise PointerUnsupported(
            f"There are no aliases here: {how}.",
            where=where,
            next_step="Aliases came with MLflow 2.3.0. Use pointer='stage', or upgrade the registry.",
        )
    if Pointers.STAGE in pointers and snapshot.rule.stage is None:
        raise PointerUnsupported(
            f"The alias {snapshot.rule.alias!r} stands for no stage.",
            where=where,
            next_step=f"Give stages={{{snapshot.rule.alias!r}: 'Production'}}, or use pointer='alias'.",
        )
    if Pointers.STAGE in pointers and not snapshot.capabilities.stages:
        raise PointerUnsupported(f"There are no stages here: {how}.", where=where, next_step="Use pointer='alias'.")


def check_nothing_left_behind(snapshot: ModelSnapshot, pointers: Pointers, version: int | None, where: str) -> None:
    """Raise ``PointerUnsupported`` where a write would leave another set pointer naming another version."""
    named = {Pointers.ALIAS: None if snapshot.dangling else snapshot.alias, Pointers.STAGE: snapshot.stage}
    for pointer, current in named.items():
        if pointer not in pointers and current is not None and current != version:
            raise PointerUnsupported(
                f"{snapshot.source} says {snapshot.requested}, but the model's {pointer.choice} is set to version "
                f"{current} and would be left behind.",
                where=where,
                next_step="Use pointer='both', or end the other pointer with `prodpointer migrate finish`.",
            )


def pointer_for(
    pointers: Pointers,
    snapshot: ModelSnapshot,
    registry: Registry,
    model: str,
    *,
    reading: Reading | None = None,
) -> ProductionPointer:
    """Return the pointer that moves what was chosen; ``reading`` is as for :class:`StagePointer`."""
    alias = AliasPointer(registry, model, snapshot.spelling)
    if pointers == Pointers.ALIAS or snapshot.rule.stage is None:
        return alias
    stage = StagePointer(registry, model, snapshot.rule.stage, reading=reading)
    return stage if pointers == Pointers.STAGE else MirroredPointer(alias, stage)

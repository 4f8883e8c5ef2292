"""Both pointers, moved together, for a fleet that reads with both MLflow majors."""

from __future__ import annotations

from prodpointer.pointers.alias import AliasPointer
from prodpointer.pointers.protocol import ProductionPointer
from prodpointer.pointers.stage import StagePointer
from prodpointer.types import ModelReply


class MirroredPointer(ProductionPointer):
    """Keeps an alias and a stage in agreement; the alias is the truth where both are set.

    Parameters
    ----------
    alias, stage
        The two pointers, of the same model in the same registry.
    """

    def __init__(self, alias: AliasPointer, stage: StagePointer) -> None:
        """Bind the two; nothing is asked yet."""
        self._alias = alias
        self._stage = stage

    def named_in(self, reply: ModelReply) -> int | None:
        """Return what the alias names in a reply already at hand, else what the stage names."""
        named = self._alias.named_in(reply)
        return self._stage.named_in(reply) if named is None else named

    def get(self) -> int | None:
        """Return the version named, from one reply that carries both."""
        return self.named_in(self._alias.reply())

    def set(self, version: int) -> None:
        """Move the alias, then make the stage follow what the alias says by then: of promoters that race, one wins."""
        self._alias.set(version)
        self._stage.follow(self._alias.get)

    def clear(self) -> None:
        """Delete the alias, then make the stage follow."""
        self._alias.clear()
        self._stage.follow(self._alias.get)

"""The seam: the three verbs in which an alias and a stage differ."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, runtime_checkable


@runtime_checkable
class ProductionPointer(Protocol):
    """A pointer of one registered model to the version that is live.

    The whole contract, for every implementation:

    - ``get`` after ``set(n)`` answers ``n``, and after ``clear`` answers None; a pointer never set answers None.
    - ``set`` moves: the version named before is no longer named, whichever number is higher.
    - ``set`` of the version already named, and ``clear`` of a pointer not set, change nothing and are no errors.
    - ``set`` of a version that does not exist raises ``VersionNotFound`` and moves nothing.
    - Any verb on a registered model that does not exist raises ``ModelNotFound``.
    - A pointer decides nothing: which pointer a model uses, and whether a version may go live, is settled above.
    """

    @abstractmethod
    def get(self) -> int | None:
        """Return the version this pointer names, or None; asks the registry once."""

    @abstractmethod
    def set(self, version: int) -> None:
        """Make this pointer name ``version``, and no other."""

    @abstractmethod
    def clear(self) -> None:
        """Make this pointer name nothing."""

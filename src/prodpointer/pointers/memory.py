"""A pointer without a registry, for unit tests of code that takes a pointer."""

from __future__ import annotations

from collections.abc import Iterable

from prodpointer.errors import VersionNotFound
from prodpointer.pointers.protocol import ProductionPointer


class MemoryPointer(ProductionPointer):
    """Keeps the pointer in this object and knows the versions it was given.

    Parameters
    ----------
    versions
        The version numbers that exist; None lets every positive number exist.
    """

    def __init__(self, versions: Iterable[int] | None = None) -> None:
        """Start with nothing live."""
        self._versions = None if versions is None else frozenset(versions)
        self._live: int | None = None

    def get(self) -> int | None:
        """Return the version set last, or None."""
        return self._live

    def set(self, version: int) -> None:
        """Name ``version``; raise ``VersionNotFound`` for one that does not exist."""
        if version < 1 if self._versions is None else version not in self._versions:
            raise VersionNotFound(f"Version {version} does not exist.", where="in memory")
        self._live = version

    def clear(self) -> None:
        """Name nothing."""
        self._live = None

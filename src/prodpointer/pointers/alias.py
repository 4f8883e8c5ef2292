"""The pointer of MLflow 3: an alias of the registered model."""

from __future__ import annotations

from prodpointer.errors import RegistryError
from prodpointer.mlflow_client import Registry
from prodpointer.pointers.protocol import ProductionPointer
from prodpointer.types import ModelReply

_COLLISIONS = 5


class AliasPointer(ProductionPointer):
    """Points with an alias, under exactly the spelling given.

    Parameters
    ----------
    registry
        The registry that holds the model.
    model
        Name of the registered model.
    alias
        The alias as it is spelled in the registry: aliases are case-sensitive in every MLflow.
    """

    def __init__(self, registry: Registry, model: str, alias: str) -> None:
        """Bind the pointer; nothing is asked yet."""
        self._registry = registry
        self._model = model
        self._alias = alias

    def named_in(self, reply: ModelReply) -> int | None:
        """Return the version this pointer names in a reply already at hand."""
        return reply.aliases.get(self._alias)

    def reply(self) -> ModelReply:
        """Ask the registry once for everything it says of the model."""
        return self._registry.model(self._model)

    def get(self) -> int | None:
        """Return the version the alias names, also one deleted since (MLflow before 3.17.0 keeps such an alias)."""
        return self.named_in(self.reply())

    def set(self, version: int) -> None:
        """Move the alias to ``version``; MLflow takes it from the version that had it.

        Two who set an alias for the first time collide: one gets a database error (measured: SQLite and PostgreSQL,
        2.22.5 and 3.17.2), and succeeds when it tries again.
        """
        if not any(self._is_set(version) for _ in range(_COLLISIONS)):
            self._registry.set_alias(self._model, self._alias, version)

    def _is_set(self, version: int) -> bool:
        """Set the alias; return False where another client did at that moment."""
        try:
            self._registry.set_alias(self._model, self._alias, version)
        except RegistryError as error:
            if error.code != "BAD_REQUEST":
                raise
            return False
        return True

    def clear(self) -> None:
        """Delete the alias; in every MLflow deleting one that is not set is no error."""
        self._registry.delete_alias(self._model, self._alias)

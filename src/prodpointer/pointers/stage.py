"""The pointer of MLflow 2: the stage of a version."""

from __future__ import annotations

from prodpointer.mlflow_border.registry import Registry
from prodpointer.pointers.protocol import ProductionPointer
from prodpointer.records import ModelReply


class StagePointer(ProductionPointer):
    """Points with a stage; of several versions in it the highest number counts, as plain MLflow loads it.

    Parameters
    ----------
    registry
        The registry that holds the model.
    model
        Name of the registered model.
    stage
        ``"Production"`` or ``"Staging"``.
    """

    def __init__(self, registry: Registry, model: str, stage: str) -> None:
        """Bind the pointer; nothing is asked yet."""
        self._registry = registry
        self._model = model
        self._stage = stage

    def named_in(self, reply: ModelReply) -> int | None:
        """Return the version this pointer names in a reply already at hand."""
        version = reply.newest.get(self._stage)
        return version.version if version else None

    def get(self) -> int | None:
        """Return the highest-numbered version in the stage, or None."""
        return self.named_in(self._registry.model(self._model))

    def set(self, version: int) -> None:
        """Put ``version`` into the stage and archive every other version in it.

        Without archiving, a lower number than the one in the stage would not become live: MLflow's readers take
        the highest (measured for 2.0.1 to 3.17.2), so going back would be no move at all.
        """
        self._registry.move_to_stage(self._model, version, self._stage, archive_others=True)

    def clear(self) -> None:
        """Archive every version in the stage."""
        self._registry.model(self._model)  # a search in a model that does not exist is an empty answer, not an error
        for version in self._registry.versions(self._model):
            if version.stage == self._stage:
                self._registry.move_to_stage(self._model, version.version, "Archived", archive_others=False)

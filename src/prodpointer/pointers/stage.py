"""The pointer of MLflow 2: the stage of a version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from prodpointer.errors import RegistryError
from prodpointer.mlflow_client import Registry
from prodpointer.pointers.protocol import ProductionPointer
from prodpointer.types import ModelReply, ModelVersion

Reading = Callable[[int], tuple[Sequence[ModelVersion], int | None]]
"""Reads every version as it is now, and what should be in the stage; called with the number of the round, from 0 on."""

_ROUNDS = 100


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
    reading
        Reads every version and decides which one the stage should hold; by default the one that was set.
    """

    def __init__(
        self,
        registry: Registry,
        model: str,
        stage: str,
        *,
        reading: Reading | None = None,
    ) -> None:
        """Bind the pointer; nothing is asked yet."""
        self._registry = registry
        self._model = model
        self._stage = stage
        self._reading = reading

    def named_in(self, reply: ModelReply) -> int | None:
        """Return the version this pointer names in a reply already at hand."""
        version = reply.newest.get(self._stage)
        return version.version if version else None

    def get(self) -> int | None:
        """Return the highest-numbered version in the stage, or None."""
        return self.named_in(self._registry.model(self._model))

    def set(self, version: int) -> None:
        """Put ``version`` into the stage, and archive every other version in it.

        In that order, so that a reader always finds one. MLflow's own archiving is not used: two promotions that race
        would leave two versions in the stage (measured for 2.9.2 to 3.17.2). Without archiving, a lower number than the
        one in the stage would not become live: MLflow's readers take the highest (measured for 2.0.1 to 3.17.2).
        """
        self._registry.move_to_stage(self._model, version, self._stage)
        self.settle(self._reading or self._keeping(version))

    def clear(self) -> None:
        """Archive every version in the stage."""
        if self._reading is None:  # a search in a model that does not exist is an empty answer, not an error
            self._registry.model(self._model)
        self.settle(self._reading or self._keeping(None))

    def _keeping(self, wanted: int | None) -> Reading:
        """Return what reads the versions and decides for this one."""
        return lambda _: (self._registry.versions(self._model), wanted)

    def follow(self, named: Callable[[], int | None]) -> None:
        """Make the stage hold what another pointer names, and nothing else."""
        versions = partial(self._registry.versions, self._model)
        self.settle(self._reading or (lambda _: self._registry.together(versions, named)))

    def settle(self, reading: Reading) -> None:
        """Move versions until the stage holds what is decided and nothing else, by a read after the last own move."""
        for count in range(_ROUNDS):
            versions, wanted = reading(count)
            in_stage = [each.version for each in versions if each.stage == self._stage]
            if in_stage == ([] if wanted is None else [wanted]):
                return
            if wanted is not None and wanted not in in_stage:
                self._registry.move_to_stage(self._model, wanted, self._stage)
            for version in in_stage:
                if version != wanted:
                    self._registry.move_to_stage(self._model, version, "Archived")
        raise RegistryError(
            f"The stage {self._stage} of {self._model!r} changed after each of {_ROUNDS} attempts to set it.",
            where=self._registry.addresses.shown,
            next_step="Stop the other client that moves it, then run `prodpointer repair`.",
        )

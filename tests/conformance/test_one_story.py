"""A property test: after any sequence of operations, every pointer agrees with a model of the history in memory.

The story is the contract in a few lines: which events there are, what shows of moves that nobody recorded, and where
rolling back goes. Three real models, moved by alias, by stage and by both, live through the same steps beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from prodpointer import ExpectationFailed, NothingToRollBack, ProdpointerError, RegisteredModel, VersionNotFound
from prodpointer.mlflow_client import capabilities
from prodpointer.pointers.memory import MemoryPointer
from prodpointer.promotion.promoter import NOT_GIVEN, NotGiven
from tests.conformance.conftest import POSSIBLE, Connect, Registry

AT_MOST = 6
NUMBERS = st.integers(min_value=1, max_value=AT_MOST + 1)

Move = tuple[str, int | None, int | None]
"""Kind, from and to."""


@dataclass
class Story:
    """What happened to a model: the versions it has, what is live, and the moves with the versions that hold them."""

    versions: int = 0
    deleted: set[int] = field(default_factory=set)
    pointer: MemoryPointer = field(default_factory=MemoryPointer)
    moves: list[tuple[Move, int]] = field(default_factory=list)

    @property
    def live(self) -> int | None:
        """The version that is live."""
        return self.pointer.get()

    def exists(self, version: int) -> bool:
        """Tell whether there is such a version."""
        return version <= self.versions and version not in self.deleted

    def move(self, kind: str, version: int | None) -> None:
        """Make a version live, or nothing, and record it; what is live already is no move."""
        if version == self.live:
            return
        holder = self.live if version is None else version
        assert holder is not None
        self.moves.append(((kind, self.live, version), holder))
        self.moved_by_others(version)

    def moved_by_others(self, version: int | None) -> None:
        """Make a version live, or nothing, and record nothing."""
        if version is None:
            self.pointer.clear()
        else:
            self.pointer.set(version)

    def delete(self, version: int) -> None:
        """Delete a version, and with it the record of what it holds."""
        self.deleted.add(version)
        if version == self.live:
            self.pointer.clear()

    def history(self) -> list[Move]:
        """Return the moves whose record is there, and between them those that must have been."""
        told: list[Move] = []
        for move in [move for move, holder in self.moves if holder not in self.deleted]:
            if told and told[-1][2] != move[1]:
                told.append(("unrecorded", told[-1][2], move[1]))
            told.append(move)
        if told and told[-1][2] != self.live:
            told.append(("unrecorded", told[-1][2], self.live))
        return told

    def before(self) -> int | None:
        """Return the version that was live before the live one: a rollback pops what came after its target."""
        moves = self.history()
        stack = [moves[0][1]] if moves else []
        for kind, _, version in moves:
            if kind == "rollback" and version in stack:
                while stack[-1] != version:
                    stack.pop()
            elif version != stack[-1]:
                stack.append(version)
        return next((version for version in reversed(stack[:-1]) if version not in (None, self.live)), None)


class Telling(RuleBasedStateMachine):
    """The steps, each taken in memory and on every real model."""

    def __init__(self, registry: Registry, fresh: Connect) -> None:
        """Create a model for each supported pointer."""
        super().__init__()
        self.registry = registry
        self.fresh = fresh
        self.story = Story()
        self.untidy = False
        self.models: dict[str, RegisteredModel] = {
            pointer: fresh(pointer=pointer) for pointer in POSSIBLE if pointer != "auto"
        }

    @initialize(count=st.integers(min_value=1, max_value=3))
    def first_versions(self, count: int) -> None:
        """Start with a few versions."""
        for _ in range(count):
            self.register()

    @precondition(lambda self: self.story.versions < AT_MOST)
    @rule()
    def register(self) -> None:
        """Add a version."""
        self.story.versions += 1
        for model in self.models.values():
            made = model.register(self.registry.runs[0], "bundle", sha256=self.registry.digests[0])
            assert made == self.story.versions

    @rule(version=NUMBERS, expected=st.one_of(st.just(NOT_GIVEN), st.none(), NUMBERS))
    def promote(self, version: int, expected: int | NotGiven | None) -> None:
        """Promote a version, with an expectation or without."""
        if expected is not NOT_GIVEN and expected != self.story.live:
            self.all_refuse(ExpectationFailed, lambda model: model.promote(version, expected=expected))
        elif not self.story.exists(version):
            self.all_refuse(VersionNotFound, lambda model: model.promote(version, expected=expected))
        else:
            self.all_move("promote", version, lambda model: model.promote(version, expected=expected).to_version)

    @rule()
    def withdraw(self) -> None:
        """Withdraw what is live."""
        self.all_move("withdraw", None, lambda model: model.withdraw().to_version)

    @rule()
    def roll_back(self) -> None:
        """Go back to what was live before."""
        target = self.story.before()
        if target is None or not self.story.exists(target):
            self.all_refuse(NothingToRollBack, lambda model: model.rollback())
        else:
            self.all_move("rollback", target, lambda model: model.rollback().to_version)

    @rule(version=NUMBERS)
    def roll_back_to(self, version: int) -> None:
        """Go back to a version that is named."""
        if self.story.exists(version):
            self.all_move("rollback", version, lambda model: model.rollback(to=version).to_version)
        else:
            self.all_refuse(NothingToRollBack, lambda model: model.rollback(to=version))

    @rule()
    def repair(self) -> None:
        """Repair, which never moves what is live."""
        for model in self.models.values():
            status = model.repair()
            assert status.agreed or self.story.live is None
        self.untidy = False

    @precondition(lambda self: self.existing())
    @rule(data=st.data(), tidily=st.booleans())
    def move_by_a_tool(self, data: st.DataObject, tidily: bool) -> None:
        """Let plain MLflow move what a model uses; untidily, an older stage stays behind an alias or in the stage."""
        version = data.draw(st.sampled_from(self.existing()))
        for pointer, model in self.models.items():
            if pointer != "stage":
                self.registry.set_alias(model.name, "production", version)
            if pointer == "stage" or (pointer == "both" and tidily):
                self.move_stage(model.name, version, tidily=tidily)
        self.untidy = not tidily
        self.story.moved_by_others(version)

    @precondition(lambda self: self.story.live is not None)
    @rule()
    def clear_by_a_tool(self) -> None:
        """Let plain MLflow take away what a model uses."""
        self.tidy()
        for pointer, model in self.models.items():
            self.archive_but(model.name, None)
            if pointer != "stage":
                self.registry.plain.delete_registered_model_alias(model.name, "production")
        self.story.moved_by_others(None)

    @precondition(lambda self: self.existing())
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        """Delete a version, also the one that is live."""
        version = data.draw(st.sampled_from(self.existing()))
        if version == self.story.live:
            self.tidy()
        for model in self.models.values():
            self.registry.plain.delete_model_version(model.name, str(version))
        self.story.delete(version)

    @rule()
    def reconnect(self) -> None:
        """Begin again as a new process does."""
        capabilities.forget()
        self.models = {pointer: self.fresh(pointer=pointer, name=model.name) for pointer, model in self.models.items()}

    @invariant()
    def every_pointer_tells_the_story(self) -> None:
        """The live version, the history, and what plain MLflow sees match the expected history."""
        for pointer, model in self.models.items():
            production = model.production() if self.story.versions else None
            assert (production.version if production else None) == self.story.live, pointer
            history = [(move.kind, move.from_version, move.to_version) for move in model.history()]
            assert history == self.story.history(), pointer
            seen = self.registry.pointers(model.name) - self.story.deleted
            assert (seen if not self.untidy else seen & {self.story.live}) == {self.story.live} - {None}, pointer

    def existing(self) -> list[int]:
        """Return the versions that there are."""
        return [version for version in range(1, self.story.versions + 1) if self.story.exists(version)]

    def all_move(self, kind: str, version: int | None, verb: Callable[[RegisteredModel], int | None]) -> None:
        """Take a step that every model answers with the version that is live then."""
        if version == self.story.live:
            self.tidy()  # else the pointer that was left behind would follow, which is an event
        assert {pointer: verb(model) for pointer, model in self.models.items()} == dict.fromkeys(self.models, version)
        self.untidy = False
        self.story.move(kind, version)

    def all_refuse(self, error: type[ProdpointerError], verb: Callable[[RegisteredModel], object]) -> None:
        """Take a step that every model refuses with one error."""
        for model in self.models.values():
            with pytest.raises(error) as caught:
                verb(model)
            assert type(caught.value) is error

    def move_stage(self, name: str, version: int, *, tidily: bool) -> None:
        """Put a version into the stage and archive what is there, unless the version is the highest, so live anyway."""
        in_stage = [each for each, stage in self.registry.stages(name).items() if stage == "Production"]
        self.registry.move_stage(name, version, "Production")
        if tidily or version < max(in_stage, default=0):
            self.archive_but(name, version)

    def archive_but(self, name: str, version: int | None) -> None:
        """Archive what is in the stage, but for one version."""
        for each, stage in self.registry.stages(name).items():
            if stage == "Production" and each != version:
                self.registry.move_stage(name, each, "Archived")

    def tidy(self) -> None:
        """Let plain MLflow make everything name what is live and nothing else."""
        if self.untidy and self.story.live is not None:
            for pointer, model in self.models.items():
                if pointer != "alias":
                    self.move_stage(model.name, self.story.live, tidily=True)
        self.untidy = False


@pytest.mark.filterwarnings("ignore::prodpointer.PointerDriftWarning")
def test_every_pointer_agrees_with_the_expected_history(registry: Registry, fresh: Connect) -> None:
    """Alias, stage, both and the model in memory agree after each step of any sequence."""

    class InThisRegistry(Telling):
        """The steps in the registry of this combination."""

        def __init__(self) -> None:
            """Begin with new models."""
            super().__init__(registry, fresh)

    run_state_machine_as_test(InThisRegistry)

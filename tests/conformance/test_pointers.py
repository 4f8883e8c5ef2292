"""The pointer protocol, for every implementation."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from prodpointer import (
    AliasPointer,
    MemoryPointer,
    MirroredPointer,
    ModelNotFound,
    ProductionPointer,
    StagePointer,
    VersionNotFound,
)
from prodpointer.mlflow_client.open import open_registry
from tests.conformance.conftest import HAS_ALIASES, Connect, Registry

IMPLEMENTATIONS = ("alias", "stage", "mirrored", "memory") if HAS_ALIASES else ("stage", "memory")

MakePointer = Callable[[str], ProductionPointer]


@pytest.fixture(params=IMPLEMENTATIONS)
def make(request: pytest.FixtureRequest, registry: Registry, forgetful: None) -> MakePointer:
    """Make a pointer of a model, with each implementation in turn."""
    border = open_registry(registry.uri, None, timeout=10, create_database=None, upgrade_database=False)

    def pointer(model: str) -> ProductionPointer:
        alias, stage = AliasPointer(border, model, "production"), StagePointer(border, model, "Production")
        made = {
            "alias": alias,
            "stage": stage,
            "mirrored": MirroredPointer(alias, stage),
            "memory": MemoryPointer([1, 2, 3]),
        }
        return made[request.param]

    return pointer


@pytest.fixture
def pointer(make: MakePointer, fresh: Connect) -> ProductionPointer:
    """A pointer of a model with the versions 1, 2 and 3."""
    return make(fresh(3).name)


def test_a_pointer_never_set_names_nothing(pointer: ProductionPointer) -> None:
    """A new pointer answers None."""
    assert pointer.get() is None


def test_a_pointer_names_what_was_set_last(pointer: ProductionPointer) -> None:
    """A pointer moves up and down alike."""
    for version in (2, 3, 1, 1):
        pointer.set(version)
        assert pointer.get() == version


def test_a_cleared_pointer_names_nothing(pointer: ProductionPointer) -> None:
    """Clearing takes back what was set."""
    pointer.set(3)
    pointer.clear()
    assert pointer.get() is None


def test_clearing_nothing_is_no_error(pointer: ProductionPointer) -> None:
    """Clearing a pointer that is not set changes nothing."""
    pointer.clear()
    assert pointer.get() is None


def test_a_pointer_names_no_version_that_does_not_exist(pointer: ProductionPointer) -> None:
    """An unknown version raises VersionNotFound, and the pointer stays."""
    pointer.set(2)
    with pytest.raises(VersionNotFound):
        pointer.set(9)
    assert pointer.get() == 2


def test_a_pointer_of_no_model_is_refused(make: MakePointer, request: pytest.FixtureRequest) -> None:
    """A pointer of a model that does not exist raises ModelNotFound; in memory there is no model to miss."""
    pointer = make("no-such-model")
    if isinstance(pointer, MemoryPointer):
        assert pointer.get() is None
        return
    for verb in (pointer.get, pointer.clear, lambda: pointer.set(1)):
        with pytest.raises(ModelNotFound, match="no-such-model"):
            verb()


@pytest.mark.parametrize("kind", [AliasPointer, StagePointer, MirroredPointer, MemoryPointer])
def test_an_implementation_has_the_signatures_of_the_protocol(kind: type[ProductionPointer]) -> None:
    """Each verb takes and gives what the protocol says, and none is left abstract."""
    assert issubclass(kind, ProductionPointer)
    assert not inspect.isabstract(kind)
    for verb in ("get", "set", "clear"):
        assert inspect.signature(getattr(kind, verb)) == inspect.signature(getattr(ProductionPointer, verb))

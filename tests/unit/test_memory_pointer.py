"""The pointer without a registry behaves like the pointers with one."""

from __future__ import annotations

import inspect

import pytest

from prodpointer import AliasPointer, MemoryPointer, MirroredPointer, ProductionPointer, StagePointer, VersionNotFound

VERBS = ("get", "set", "clear")


def test_a_new_pointer_names_nothing() -> None:
    """A pointer never set answers None."""
    assert MemoryPointer().get() is None


def test_a_pointer_names_what_it_was_set_to() -> None:
    """After ``set`` the pointer answers that version."""
    pointer = MemoryPointer()
    pointer.set(3)
    assert pointer.get() == 3


def test_a_pointer_moves_to_a_lower_number() -> None:
    """Going back is a move like any other."""
    pointer = MemoryPointer()
    pointer.set(3)
    pointer.set(1)
    assert pointer.get() == 1


def test_setting_twice_changes_nothing() -> None:
    """``set`` of the version already named is no error."""
    pointer = MemoryPointer()
    pointer.set(3)
    pointer.set(3)
    assert pointer.get() == 3


def test_a_cleared_pointer_names_nothing() -> None:
    """After ``clear`` the pointer answers None."""
    pointer = MemoryPointer()
    pointer.set(3)
    pointer.clear()
    assert pointer.get() is None


def test_clearing_twice_is_no_error() -> None:
    """``clear`` of a pointer not set changes nothing."""
    pointer = MemoryPointer()
    pointer.clear()
    pointer.clear()
    assert pointer.get() is None


@pytest.mark.parametrize("version", [2, 4, 0, -1])
def test_a_version_that_does_not_exist_is_refused_and_moves_nothing(version: int) -> None:
    """With a list of versions only those on it can be set."""
    pointer = MemoryPointer([1, 3])
    pointer.set(3)
    with pytest.raises(VersionNotFound, match=f"Version {version} does not exist"):
        pointer.set(version)
    assert pointer.get() == 3


@pytest.mark.parametrize("version", [0, -1])
def test_without_a_list_every_positive_number_exists(version: int) -> None:
    """Numbers below one are no versions of anything."""
    with pytest.raises(VersionNotFound):
        MemoryPointer().set(version)


def test_the_list_of_versions_is_read_once() -> None:
    """The versions may come from a generator."""
    pointer = MemoryPointer(number for number in (1, 2))
    pointer.set(1)
    pointer.set(2)
    assert pointer.get() == 2


@pytest.mark.parametrize(
    "kind", [AliasPointer, StagePointer, MirroredPointer, MemoryPointer], ids=lambda kind: kind.__name__
)
@pytest.mark.parametrize("verb", VERBS)
def test_every_pointer_has_the_signatures_of_the_protocol(kind: type[ProductionPointer], verb: str) -> None:
    """Parameters, their names and their annotations are those of ``ProductionPointer``."""
    assert inspect.signature(getattr(kind, verb)) == inspect.signature(getattr(ProductionPointer, verb))


@pytest.mark.parametrize("missing", VERBS)
def test_a_pointer_without_a_verb_cannot_be_made(missing: str) -> None:
    """A forgotten verb is an error at once, not a method that answers None."""
    bodies = {verb: lambda *_: None for verb in VERBS if verb != missing}
    incomplete = type("Incomplete", (ProductionPointer,), bodies)
    with pytest.raises(TypeError, match=missing):
        incomplete()


def test_a_pointer_is_an_instance_of_the_protocol() -> None:
    """Code can ask whether it was given a pointer."""
    assert isinstance(MemoryPointer(), ProductionPointer)

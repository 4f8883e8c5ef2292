"""Which of the two pointers are meant: their names, and the flag of those names."""

from __future__ import annotations

import pytest

from prodpointer.types import Pointers

NAMES = [
    (Pointers.NONE, ()),
    (Pointers.ALIAS, ("alias",)),
    (Pointers.STAGE, ("stage",)),
    (Pointers.BOTH, ("alias", "stage")),
]


@pytest.mark.parametrize(("pointers", "names"), NAMES)
def test_the_names_are_in_the_order_of_the_moves(pointers: Pointers, names: tuple[str, ...]) -> None:
    """The alias is moved first."""
    assert pointers.names == names


@pytest.mark.parametrize(("pointers", "names"), NAMES)
def test_the_names_of_an_event_are_read_back(pointers: Pointers, names: tuple[str, ...]) -> None:
    """An event holds the names."""
    assert Pointers.parse(names) is pointers


@pytest.mark.parametrize("choice", ["alias", "stage", "both"])
def test_a_choice_is_the_option_pointer(choice: str) -> None:
    """The option has the same three values."""
    assert Pointers[choice.upper()].choice == choice

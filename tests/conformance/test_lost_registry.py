"""A registry that is lost while a pointer is being moved."""

from __future__ import annotations

import pytest

import prodpointer
from prodpointer import MoveUnconfirmed, RegistryUnavailable
from prodpointer.types import Pointer
from tests.conformance.conftest import HAS_ALIASES, Registry, model_behind
from tests.proxy import Drop, Proxy, on_path

MOVE = "/registered-models/alias" if HAS_ALIASES else "/transition-stage"


@pytest.mark.parametrize("delivered", [False, True], ids=["before", "after"])
def test_a_move_that_was_not_confirmed_may_be_done(between: Proxy, served: Registry, *, delivered: bool) -> None:
    """The error says so and how to look, and is not that of a registry that was never reached."""
    pointer: Pointer = "alias" if HAS_ALIASES else "stage"
    news = model_behind(between, served, 2, pointer=pointer, timeout=2)
    news.promote(1)
    between.when(on_path(MOVE), Drop(delivered=delivered))
    with pytest.raises(MoveUnconfirmed, match="may be done") as raised:
        news.promote(2)
    between.heal()
    assert (raised.value.exit_code, raised.value.version) == (1, 2)
    assert f"prodpointer repair {news.name}" in raised.value.next_step
    direct = prodpointer.connect(news.name, tracking_uri=served.uri, pointer=pointer)
    assert direct.live_version() == (2 if delivered else 1)
    assert direct.repair().agreed
    assert direct.history()[-1].state == ("done" if delivered else "lost")


def test_a_promotion_that_has_moved_nothing_says_that_the_registry_is_down(between: Proxy, served: Registry) -> None:
    """Its first request failed."""
    news = model_behind(between, served, 2, timeout=2)
    between.when(on_path("/registered-models/get"), Drop())
    with pytest.raises(RegistryUnavailable) as raised:
        news.promote(1)
    assert not isinstance(raised.value, MoveUnconfirmed)
    assert raised.value.exit_code == 5

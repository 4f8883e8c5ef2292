"""A registry without aliases: they are refused by name, and never read as "no version is live"."""

from __future__ import annotations

import pytest

from prodpointer import PointerUnsupported
from tests.conformance.conftest import Connect, Registry


@pytest.mark.parametrize("impossible", ["alias", "both"])
def test_an_impossible_pointer_is_refused_by_name(fresh: Connect, registry: Registry, impossible: str) -> None:
    """Where there are no aliases, asking for one is refused on reading and writing, and nothing moves."""
    news = fresh(2, pointer=impossible)
    before = registry.picture(news.name)
    for verb in (news.live_version, news.production, news.status, lambda: news.promote(1)):
        with pytest.raises(PointerUnsupported, match="no aliases here"):
            verb()
    assert registry.picture(news.name) == before


def test_an_alias_without_a_stage_is_refused(fresh: Connect, registry: Registry) -> None:
    """A name that stands for no stage has nowhere to go, and is refused on reading and writing."""
    news = fresh(1, alias="challenger")
    before = registry.picture(news.name)
    for verb in (news.live_version, news.production, news.status, lambda: news.promote(1)):
        with pytest.raises(PointerUnsupported, match="no aliases here"):
            verb()
    assert registry.picture(news.name) == before

"""A failed download does not affect the next one."""

from __future__ import annotations

from pathlib import Path

import pytest

from prodpointer.artifacts.cache import Cache, ModelCache
from prodpointer.artifacts.digest import sha256_of
from prodpointer.artifacts.entries import CacheEntry
from prodpointer.artifacts.last_known_good import VersionKey
from prodpointer.errors import RegistryUnavailable


@pytest.fixture
def kept(tmp_path: Path) -> ModelCache:
    """What is kept of one model."""
    return Cache(tmp_path).of("http://registry", "news")


def abandoned(kept: ModelCache) -> Path:
    """Download in vain, and return where that download goes on to write."""
    places: list[Path] = []

    def fetch(partial: Path) -> CacheEntry:
        places.append(partial / "artifact")
        raise RegistryUnavailable("No byte came.")

    with pytest.raises(RegistryUnavailable), kept.obtain(VersionKey("1", 1), fetch=fetch):
        pass
    return places[0]


def whole(partial: Path) -> CacheEntry:
    """Download one file."""
    file = partial / "artifact" / "model.pkl"
    file.write_bytes(b"whole")
    return CacheEntry(partial, file.name, sha256_of(file), recorded=True)


def test_what_an_abandoned_download_still_writes_is_not_in_the_next(kept: ModelCache) -> None:
    """Its thread goes on, and makes its directory again if it must."""
    place = abandoned(kept)

    def fetch(partial: Path) -> CacheEntry:
        place.mkdir(parents=True)
        (place / "stray").write_bytes(b"late")
        return whole(partial)

    with kept.obtain(VersionKey("1", 1), fetch=fetch) as entry:
        assert [file.name for file in (entry.directory / "artifact").iterdir()] == ["model.pkl"]


def test_the_next_download_removes_what_earlier_ones_left(kept: ModelCache, tmp_path: Path) -> None:
    """An abandoned download, or a process that was killed, leaves no directory for good."""
    place = abandoned(kept)
    place.mkdir(parents=True)
    with kept.obtain(VersionKey("1", 1), fetch=whole):
        assert list(tmp_path.rglob("*partial*")) == []

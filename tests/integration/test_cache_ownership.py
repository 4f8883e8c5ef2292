"""Nothing is read from a cache that other users can write to."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

import prodpointer
from prodpointer.artifacts.cache import Cache, ModelCache
from prodpointer.artifacts.digest import sha256_of
from prodpointer.artifacts.entries import CacheEntry, FirstDigest
from prodpointer.artifacts.last_known_good import VersionKey
from prodpointer.artifacts.notes import PointerNotes
from prodpointer.errors import ProdpointerError, RegistryUnavailable
from tests.integration.conftest import Lab

POINTER = "production by auto"
STRANGER = 54321
# From the root of the cache to the bytes.
PARTS = ["root", "registry", "model", "created", "entry", "entry.json", "used", "artifact", "file", "note", "first"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The directory that was chosen for a cache."""
    return tmp_path / "chosen"


@pytest.fixture
def kept(place: Path) -> ModelCache:
    """What is kept of one model: version 1, which is live and has a first digest."""
    found = Cache(place).of("http://registry", "news")
    with found.obtain(VersionKey("1", 1), fetch=fetch):
        PointerNotes(found, POINTER).note_verified(VersionKey("1", 1))
        found.keep_first_digest(VersionKey("1", 1), FirstDigest("0" * 64, recorded=True))
    return found


def fetch(partial: Path) -> CacheEntry:
    """Download one file."""
    file = partial / "artifact" / "model.pkl"
    file.write_bytes(b"bytes")
    return CacheEntry(partial, file.name, sha256_of(file), recorded=True)


def part(place: Path, name: str) -> Path:
    """Return one part of a cache."""
    (entry,) = (file.parent for file in place.rglob("entry.json"))
    found = {
        "root": place / "v1",
        "registry": entry.parent.parent.parent,
        "model": entry.parent.parent,
        "created": entry.parent,
        "entry": entry,
        "entry.json": entry / "entry.json",
        "used": entry / "used",
        "artifact": entry / "artifact",
        "file": entry / "artifact" / "model.pkl",
    }
    return found.get(name) or next(place.rglob({"note": "live-*.json", "first": "1.first"}[name]))


def read_all(kept: ModelCache) -> None:
    """Read everything that is kept of version 1, without a registry."""
    PointerNotes(kept, POINTER).read()
    kept.first_digest(VersionKey("1", 1))
    with kept.find(VersionKey("1", 1)) as found:
        assert found is not None


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a part of a cache belong to another user; who is not root may only say so."""
    if os.getuid() == 0:
        os.chown(path, STRANGER, -1, follow_symlinks=False)
        return
    monkeypatch.setattr(
        "prodpointer.artifacts.ownership._owner_of",
        lambda asked, about: STRANGER if asked == str(path) else about.st_uid,
    )


def test_a_cache_of_ones_own_is_read(kept: ModelCache) -> None:
    """Nothing is refused where the user alone has written."""
    read_all(kept)


@pytest.mark.parametrize("name", PARTS)
def test_a_part_of_another_user_is_refused(
    kept: ModelCache, place: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The owner of a path decides what is loaded."""
    give_away(part(place, name), monkeypatch)
    with pytest.raises(ProdpointerError, match="belongs to another user") as refused:
        read_all(kept)
    assert refused.value.where == str(part(place, name))
    assert "PRODPOINTER_CACHE_DIR" in refused.value.next_step


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757])
@pytest.mark.parametrize("name", PARTS)
def test_a_part_that_others_can_write_is_refused(kept: ModelCache, place: Path, name: str, mode: int) -> None:
    """So does every user with write access, including the owner's group."""
    part(place, name).chmod(mode)
    with pytest.raises(ProdpointerError, match=f"can be written by others .mode {mode:04o}"):
        read_all(kept)


@pytest.mark.parametrize("name", [name for name in PARTS if name != "used"])
def test_a_link_is_refused(kept: ModelCache, place: Path, tmp_path: Path, name: str) -> None:
    """What a link leads to is not what was looked at."""
    found = part(place, name)
    elsewhere = tmp_path / "elsewhere"
    found.rename(elsewhere)
    found.symlink_to(elsewhere)
    with pytest.raises(ProdpointerError, match="is a link"):
        read_all(kept)


def test_a_link_inside_of_an_entry_is_read(place: Path) -> None:
    """Some artifacts have links of their own."""

    def with_link(partial: Path) -> CacheEntry:
        bundle = partial / "artifact" / "bundle"
        bundle.mkdir()
        (bundle / "file").write_bytes(b"bytes")
        (bundle / "link").symlink_to("file")
        return CacheEntry(partial, "bundle", sha256_of(bundle), recorded=True)

    kept = Cache(place).of("http://registry", "news")
    for _ in range(2):
        with kept.obtain(VersionKey("1", 1), fetch=with_link) as entry:
            assert (entry.path / "link").read_bytes() == b"bytes"


def test_a_directory_that_others_can_change_holds_no_cache(kept: ModelCache, place: Path) -> None:
    """There another directory could take the place of the cache."""
    place.chmod(0o777)
    with pytest.raises(ProdpointerError, match="can be written by others") as refused:
        read_all(kept)
    assert refused.value.where == str(place)


def test_a_directory_like_tmp_may_hold_a_cache(kept: ModelCache, place: Path) -> None:
    """In a directory with the sticky bit, other users cannot remove files."""
    place.chmod(0o1777)
    read_all(kept)


def test_the_directory_that_was_chosen_may_be_a_link(kept: ModelCache, place: Path, tmp_path: Path) -> None:
    """Many homes have links in them; a link of another user's is refused."""
    (tmp_path / "link").symlink_to(place)
    read_all(Cache(tmp_path / "link").of("http://registry", "news"))


def test_a_chosen_link_of_another_user_is_refused(
    kept: ModelCache, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may lead elsewhere the next moment."""
    link = tmp_path / "link"
    link.symlink_to(place)
    give_away(link, monkeypatch)
    with pytest.raises(ProdpointerError, match="belongs to another user"):
        read_all(Cache(link).of("http://registry", "news"))


def test_no_umask_opens_a_cache(place: Path) -> None:
    """What is made is closed, whatever the process's habit and the modes of copied files."""
    before = os.umask(0)
    try:
        kept = Cache(place).of("http://registry", "news")
        with kept.obtain(VersionKey("1", 1), fetch=fetch):
            PointerNotes(kept, POINTER).note_verified(VersionKey("1", 1))
    finally:
        os.umask(before)
    open_to_others = [path for path in (place, *place.rglob("*")) if path.stat().st_mode & 0o022]
    assert open_to_others == []
    assert PointerNotes(kept, POINTER).read().verified is not None


class Planted:
    """A pickle that leaves a mark where it is loaded."""

    def __init__(self, mark: Path) -> None:
        """Bind the file to make."""
        self._mark = mark

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        """Make a directory instead of an object."""
        return os.mkdir, (str(self._mark),)


@pytest.mark.parametrize("how", ["load", "last-known-good"])
def test_a_planted_pickle_does_not_run(
    lab: Lab, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Neither while the registry answers nor while it is silent, though the note of its digest was planted too."""
    model = lab.model(name, cache_dir=tmp_path / "cache")
    model.promote(1)
    model.load_production()
    (description,) = (tmp_path / "cache").rglob("entry.json")
    file = next((description.parent / "artifact").rglob("*.pkl"))
    file.write_bytes(pickle.dumps(Planted(tmp_path / "mark")))
    known = json.loads(description.read_text(encoding="utf-8"))
    digest = sha256_of(description.parent / "artifact" / known["leaf"])
    description.write_text(json.dumps({**known, "sha256": digest}), encoding="utf-8")
    give_away(file, monkeypatch)
    if how == "last-known-good":
        monkeypatch.setattr(model._registry, "model", _down)  # noqa: SLF001  # a registry in a file is never down
    with pytest.raises(ProdpointerError, match="belongs to another user"):
        model.load_production(verify="required", on_unavailable="last-known-good")
    assert not (tmp_path / "mark").exists()


def _down(_: str) -> None:
    """Be silent."""
    raise RegistryUnavailable("Could not ask.")


def test_what_loads_nothing_does_without_the_cache(lab: Lab, name: str, tmp_path: Path) -> None:
    """A cache that is refused matters only to what loads."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    model = lab.model(name, cache_dir=tmp_path / "cache")
    model.promote(1)
    assert model.status().live == 1
    assert model.production() is not None
    model.withdraw()
    model.promote(1)
    with pytest.raises(ProdpointerError, match="can be written by others"):
        model.load_production()
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_registry_that_is_down_is_told_first(tmp_path: Path, closed_port: int) -> None:
    """Who connects to a registry that is down learns of it, and that the cache is refused too."""
    tmp_path.chmod(0o777)
    with pytest.raises(RegistryUnavailable, match="The cache is not used"):
        prodpointer.connect("news", tracking_uri=f"http://127.0.0.1:{closed_port}", timeout=2, cache_dir=tmp_path)

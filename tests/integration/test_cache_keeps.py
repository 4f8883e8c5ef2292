"""Verified bytes stay in the cache until their successor is complete."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from prodpointer.artifacts.cache import Cache, ModelCache
from prodpointer.artifacts.digest import Examined, sha256_of
from prodpointer.artifacts.entries import CacheEntry, Examine, discard
from prodpointer.artifacts.last_known_good import VersionKey
from prodpointer.artifacts.locks import EntryLock, try_exclusive
from prodpointer.errors import IntegrityError, ProdpointerError, RegistryUnavailable
from tests.integration.conftest import Lab

BYTES = b"whole"


@pytest.fixture
def kept(tmp_path: Path) -> ModelCache:
    """What is kept of one model, with version 1 downloaded."""
    found = Cache(tmp_path).of("http://registry", "news")
    obtain(found, fetching(BYTES))
    return found


def fetching(content: bytes, *, recorded: bool = True) -> Callable[[Path], CacheEntry]:
    """Return what downloads one file."""

    def fetch(partial: Path) -> CacheEntry:
        file = partial / "artifact" / "model.pkl"
        file.write_bytes(content)
        return CacheEntry(partial, file.name, sha256_of(file), recorded)

    return fetch


def failing(_: Path) -> CacheEntry:
    """Download in vain."""
    raise RegistryUnavailable("No byte came.")


def obtain(kept: ModelCache, fetch: Callable[[Path], CacheEntry], *, wanted: bool = True) -> bytes:
    """Return the bytes of version 1; an entry that is here already may not be what is wanted."""
    with kept.obtain(VersionKey("1", 1), fetch=fetch, sha256=None if wanted else "0" * 64) as entry:
        return entry.path.read_bytes()


def look_up(kept: ModelCache, examine: Examine | None = None) -> bytes | None:
    """Return the bytes of version 1 if they are here."""
    with kept.find(VersionKey("1", 1), examine=examine) as entry:
        return None if entry is None else entry.path.read_bytes()


def test_a_download_that_fails_leaves_what_it_was_to_replace(kept: ModelCache) -> None:
    """An entry that one caller does not want is still there for the others."""
    with pytest.raises(RegistryUnavailable):
        obtain(kept, failing, wanted=False)
    assert look_up(kept) == BYTES


def test_a_whole_download_takes_the_place(kept: ModelCache, tmp_path: Path) -> None:
    """What was there is gone then."""
    assert obtain(kept, fetching(b"other"), wanted=False) == b"other"
    assert look_up(kept) == b"other"
    assert list(tmp_path.rglob(".gone-*")) == []


def test_what_was_there_comes_back_where_its_successor_cannot_be_moved(
    kept: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The swap is two moves, and the second may fail."""
    move = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self.name.startswith(".partial-"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return move(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        obtain(kept, fetching(b"other"), wanted=False)
    assert look_up(kept) == BYTES


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EIO])
def test_bytes_that_cannot_be_read_now_stay(kept: ModelCache, code: int) -> None:
    """They may be right: that they cannot be read is an error of its own, and fetches nothing."""

    def unreadable(_: Path) -> Examined:
        raise OSError(code, os.strerror(code))

    for verb in (
        lambda: look_up(kept, unreadable),
        lambda: kept.obtain(VersionKey("1", 1), fetch=failing, examine=unreadable).__enter__(),
    ):
        with pytest.raises(OSError, match=os.strerror(code)):
            verb()
    assert look_up(kept) == BYTES


def test_looking_for_an_entry_removes_nothing(kept: ModelCache) -> None:
    """Damaged bytes are not returned, and stay until another caller downloads them again."""
    assert look_up(kept, lambda _: Examined("another digest", {})) is None
    assert look_up(kept) == BYTES


def test_a_stricter_reader_takes_nothing_from_the_others(lab: Lab, name: str) -> None:
    """In an outage one that demands a recorded digest is refused, and the next one still has the last-known-good."""
    model = lab.model(name)
    lab.client.delete_model_version_tag(name, "1", "prodpointer.sha256")
    model.promote(1)
    with pytest.warns(UserWarning, match="has no recorded digest"):
        assert model.load_production() == {"n": 1}
    delivery = model._loading.delivery  # noqa: SLF001  # a registry in a file is never down
    last, why = delivery.last_known_good(), RegistryUnavailable("down")
    assert last is not None
    with pytest.raises(RegistryUnavailable), delivery.deliver_last_known_good(last, verify="required", why=why):
        pass
    with pytest.raises(IntegrityError):
        model.load_production(verify="required")
    with delivery.deliver_last_known_good(last, verify="warn", why=why) as entry:
        assert entry.path.exists()


@pytest.mark.parametrize(
    "reading", ["prodpointer.artifacts.digest._examine_file", "prodpointer.artifacts.entries.read_text"]
)
def test_a_disk_that_cannot_be_read_is_an_error_of_its_own(
    lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch, reading: str
) -> None:
    """It says what it is, and is not taken for a registry that is down."""
    model = lab.model(name)
    model.promote(1)
    model.load_production()

    def out_of_files(*_: object, **__: object) -> str:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(reading, out_of_files)
    with pytest.raises(ProdpointerError, match=r"Too many open files\..*Nothing was removed") as refused:
        model.load_production(on_unavailable="last-known-good")
    assert type(refused.value) is ProdpointerError


@pytest.fixture
def slot(tmp_path: Path) -> Path:
    """An entry with its file of uses."""
    return made(tmp_path / "slot")


def made(directory: Path) -> Path:
    """Make an entry."""
    directory.mkdir()
    (directory / "used").touch()
    return directory


@contextmanager
def replaced_once_opened(slot: Path) -> Iterator[None]:
    """Let another process evict an entry and fetch it again just after its file of uses is opened."""
    opened = os.open
    with pytest.MonkeyPatch.context() as patch:

        def open_old(path: Path, *arguments: int) -> int:
            handle = opened(path, *arguments)
            patch.undo()
            discard(slot)
            made(slot)
            return handle

        patch.setattr(os, "open", open_old)
        yield


def test_a_use_is_of_the_entry_that_is_there(slot: Path) -> None:
    """A lock on a file that was removed meanwhile keeps no bytes: the one in its place is locked."""
    with replaced_once_opened(slot):
        use = EntryLock.acquire(slot / "used")
    assert use is not None
    with try_exclusive(slot / "used") as free:
        assert not free
    use.release()
    with try_exclusive(slot / "used") as free:
        assert free


def test_an_entry_that_was_replaced_is_not_free(slot: Path) -> None:
    """Eviction removes nothing that was downloaded after its check."""
    with replaced_once_opened(slot), try_exclusive(slot / "used") as free:
        assert not free

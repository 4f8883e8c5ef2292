"""Where downloads are kept: in writable and read-only directories, and without file locks."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import prodpointer
from prodpointer import CacheWarning, ProdpointerError, RegistryUnavailable
from prodpointer.artifacts import cache
from prodpointer.artifacts.cache import Cache, ModelCache
from prodpointer.artifacts.digest import sha256_of
from prodpointer.artifacts.entries import CacheEntry
from prodpointer.artifacts.last_known_good import VersionKey
from prodpointer.artifacts.notes import PointerNotes
from tests.integration.conftest import Lab

POINTER = "production by auto"


class Store:
    """A store that counts its downloads."""

    def __init__(self) -> None:
        """Begin at none."""
        self.downloads = 0

    def fetch(self, partial: Path) -> CacheEntry:
        """Download one file."""
        self.downloads += 1
        file = partial / "artifact" / "model.pkl"
        file.write_bytes(b"bytes")
        return CacheEntry(partial, file.name, sha256_of(file), recorded=True)


@pytest.fixture(autouse=True)
def newly_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has not yet found that it cannot keep anything."""
    monkeypatch.setattr("prodpointer.artifacts.cache._spares", {})
    monkeypatch.setattr("prodpointer.artifacts.cache._unusable", set())


@pytest.fixture
def store() -> Store:
    """A store that counts its downloads."""
    return Store()


def obtain(kept: ModelCache, store: Store) -> Path:
    """Return where version 1 is, once it is there."""
    with kept.obtain(VersionKey("1", 1), fetch=store.fetch) as entry:
        assert entry.path.read_bytes() == b"bytes"
        return entry.directory


@pytest.fixture
def homeless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user whose cache directory cannot be made, in a process that has not noticed it yet."""
    (tmp_path / "file").write_text("no directory")
    monkeypatch.delenv("PRODPOINTER_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(
        "prodpointer.artifacts.cache.user_cache_path", lambda *_, **__: tmp_path / "file" / "prodpointer"
    )
    return tmp_path


def test_a_process_without_a_cache_downloads_once(homeless: Path, store: Store) -> None:
    """However often it connects, it has one directory for all, and is told once."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        places = {obtain(Cache().of("http://registry", "news"), store) for _ in range(3)}
    assert (len(places), store.downloads) == (1, 1)
    assert [each.category for each in told] == [CacheWarning]


def test_a_process_without_a_cache_has_a_last_known_good(homeless: Path, store: Store) -> None:
    """What it saw live is there for its next connection too."""
    with pytest.warns(CacheWarning):
        obtain(Cache().of("http://registry", "news"), store)
    PointerNotes(Cache().of("http://registry", "news"), POINTER).note_verified(VersionKey("1", 1))
    last = PointerNotes(Cache().of("http://registry", "news"), POINTER).read().verified
    assert last is not None
    assert last.key.version == 1


FORKED = """
import os, sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from prodpointer.artifacts import cache
from tests.integration.test_cache_places import Store, obtain
kept = cache.Cache().of("http://registry", "news")
mine = obtain(kept, Store())
child = os.fork()
if child == 0:
    store = Store()
    theirs = obtain(cache.Cache().of("http://registry", "news"), store)
    print(store.downloads, theirs != mine, flush=True)
    sys.exit()
os.waitpid(child, 0)
print(mine.exists(), flush=True)
"""


def test_a_forked_process_has_a_directory_of_its_own(homeless: Path) -> None:
    """Its end takes nothing away from its parent, and both leave nothing behind."""
    (homeless / "temporary").mkdir()
    home = {"XDG_CACHE_HOME": str(homeless / "file"), "TMPDIR": str(homeless / "temporary")}
    answer = subprocess.run(
        [sys.executable, "-c", FORKED], capture_output=True, text=True, env={**os.environ, **home}, check=True
    )
    assert answer.stdout.split() == ["1", "True", "True"]
    assert list((homeless / "temporary").iterdir()) == []


def test_a_user_without_a_home_still_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    """As in containers whose user has no name; connecting says nothing of it."""
    monkeypatch.delenv("PRODPOINTER_CACHE_DIR", raising=False)
    monkeypatch.setattr(
        "prodpointer.artifacts.cache.user_cache_path", lambda *_, **__: Path("~nosuchuser/.cache/prodpointer")
    )
    kept = Cache().of("http://registry", "news")
    with pytest.warns(CacheWarning):
        obtain(kept, store)
    assert kept.entry(VersionKey("1", 1)) is not None


def test_what_loads_nothing_opens_no_cache(
    lab: Lab, name: str, homeless: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """Promoting works, without a warning, where nothing can be kept; loading works too, and warns."""
    model = lab.model(name)
    model.promote(1)
    assert model.status().live == 1
    assert [each for each in recwarn if each.category is CacheWarning] == []
    with pytest.warns(CacheWarning, match="PRODPOINTER_CACHE_DIR") as told:
        assert model.load_production() == {"n": 1}
    assert told[0].filename == __file__


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store, code: int
) -> None:
    """It is said for what it is, and the version is loaded all the same."""
    kept = Cache(tmp_path).of("http://registry", "news")
    lock = fcntl.flock

    def flock(handle: int, operation: int) -> None:
        if any(os.path.samestat(os.fstat(handle), path.stat()) for path in tmp_path.rglob("*")):
            raise OSError(code, os.strerror(code))
        lock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.warns(CacheWarning, match="has no locks"):
        place = obtain(kept, store)
    assert not place.is_relative_to(tmp_path)
    assert obtain(kept, store) == place
    assert store.downloads == 1


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a file system read-only, also for root."""
    opened = os.open

    def open_to_read(path: str | Path, flags: int, *arguments: int, **options: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return opened(path, flags, *arguments, **options)

    def utime(path: str | Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(os, "utime", utime)
    monkeypatch.setattr(os, "open", open_to_read)


def test_a_cache_that_is_only_read_serves_what_it_has(
    lab: Lab, name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A lock to read needs no right to write; what is not there is refused by the disk, not by the registry."""
    model = lab.model(name, 2, cache_dir=tmp_path)
    model.promote(1)
    model.load_production()
    request.getfixturevalue("read_only")
    assert model.load_production() == {"n": 1}
    request.getfixturevalue("monkeypatch").undo()
    model.promote(2)
    request.getfixturevalue("monkeypatch").setattr(cache, "check_locks", _read_only)
    with pytest.raises(ProdpointerError, match=r"Read-only file system.*cache_dir=") as refused:
        model.load_production(on_unavailable="last-known-good")
    assert not isinstance(refused.value, RegistryUnavailable)


def _read_only(file: Path) -> None:
    """Refuse to make a file."""
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(file))


def test_a_chosen_path_without_a_meaning_is_refused(lab: Lab, name: str) -> None:
    """It is an error of this library's, whichever it is."""
    with pytest.raises(ProdpointerError, match="Give a path without ~"):
        prodpointer.connect(name, tracking_uri=lab.uri, cache_dir="~nosuchuser/cache")


@pytest.mark.parametrize(("directory", "told"), [("a\0b", "null"), ("a\ud800b", "encode")])
def test_a_path_that_no_directory_has_matters_to_what_loads(
    lab: Lab, name: str, tmp_path: Path, directory: str, told: str
) -> None:
    """Promoting works; loading says what is wrong with the path."""
    model = lab.model(name, cache_dir=str(tmp_path / directory))
    model.promote(1)
    assert model.status().live == 1
    with pytest.raises(ProdpointerError, match=f"cache is not used.*{told}.*cache_dir="):
        model.load_production()


def test_a_working_directory_that_was_removed_matters_to_what_loads(
    lab: Lab, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To connect opens no cache, also where a relative path of one leads nowhere."""
    lab.model(name).promote(1)
    (tmp_path / "removed").mkdir()
    monkeypatch.chdir(tmp_path / "removed")
    (tmp_path / "removed").rmdir()
    model = prodpointer.connect(name, tracking_uri=lab.uri, cache_dir="relative")
    assert model.live_version() == 1
    with pytest.raises(ProdpointerError, match=r"is relative, and the working directory was removed.*cache_dir="):
        model.load_production()


def test_a_size_that_is_too_long_to_be_a_number_is_told(lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python reads no number of thousands of digits, and the error does not print them all."""
    monkeypatch.setenv("PRODPOINTER_CACHE_BYTES", "9" * 5000)
    with pytest.raises(ProdpointerError, match=r"Invalid number of bytes '.*'\. \[PRODPOINTER_CACHE_BYTES\]") as told:
        prodpointer.connect(name, tracking_uri=lab.uri)
    assert len(str(told.value)) < 200


@pytest.mark.parametrize("part", ["locks", "1.lock"])
def test_a_directory_in_the_place_of_a_lock_is_told(lab: Lab, name: str, tmp_path: Path, part: str) -> None:
    """It cannot be locked in a file's stead, and the error says what to do with it."""
    model = lab.model(name, cache_dir=tmp_path)
    model.promote(1)
    model.load_production()
    (entry,) = tmp_path.rglob("entry.json")
    entry.unlink()
    created = entry.parent.parent
    lock = created / part if part == "1.lock" else created.parent / part
    lock.unlink(missing_ok=True)  # some versions of filelock leave none behind
    lock.mkdir()
    with pytest.raises(ProdpointerError, match=r"Is a directory.*A file is expected there") as told:
        model.load_production()
    assert told.value.where == str(lock)

"""A file that was digested is read in pieces, so that unpickling it leaves other threads their turn."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from prodpointer.artifacts import digest
from prodpointer.artifacts.digest import examine

PIECE = 64 * 1024


@pytest.fixture(params=["held", "checked"])
def written(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pickle of 3 MB, of a size that is held in memory, and of one that is read from the disk again."""
    if request.param == "checked":
        monkeypatch.setattr(digest, "_HELD", 1000)
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps([f"{number:060}" for number in range(50_000)]))
    return path


def opened(path: Path) -> io.BufferedReader:
    """Return the content of a file as it was digested."""
    content = examine(path, keep=True).content
    assert content is not None
    file = content.open()
    assert isinstance(file, io.BufferedReader)
    return file


def test_unpickling_calls_python_for_each_piece(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two calls of Python's the interpreter's lock is held, so there are many."""
    file = opened(written)
    kind = type(file.raw)
    read, real = [], kind.readinto

    def counted(self: Any, buffer: Any) -> int:
        count = real(self, buffer)
        read.append(count)
        return count or 0

    monkeypatch.setattr(kind, "readinto", counted)
    assert len(pickle.load(file)) == 50_000
    assert sum(filter(None, read)) == written.stat().st_size
    assert len(read) > written.stat().st_size / PIECE / 2


def test_any_part_can_be_read(written: Path) -> None:
    """A library may look at the end first, as one for archives does."""
    content, file = written.read_bytes(), opened(written)
    assert file.read() == content
    for offset, whence in ((-100, os.SEEK_END), (1_500_000, os.SEEK_SET), (1000, os.SEEK_CUR)):
        file.seek(offset, whence)
        at = file.tell()
        assert file.read(200_000) == content[at : at + 200_000]
    assert file.seek(0, os.SEEK_END) == len(content)
    assert file.read(1) == b""

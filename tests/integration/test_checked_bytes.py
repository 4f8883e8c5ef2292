"""The checked bytes are the deserialised bytes, and files without a digest are named."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import pytest

from prodpointer.artifacts import digest, loaders
from prodpointer.artifacts.digest import examine, sha256_of
from prodpointer.errors import IntegrityError
from tests.integration.conftest import quiet

with quiet():
    import skops.io

ROWS = [[number, str(number)] for number in range(2000)]


def write(file: Path, content: Any) -> None:
    """Write an object in the format of a file's name, into the file that is there."""
    dump: dict[str, Callable[..., Any]] = {".joblib": joblib.dump, ".skops": skops.io.dump}
    beside = file.with_name(f"new{file.suffix}")
    if file.suffix in dump:
        dump[file.suffix](content, beside)
    else:
        beside.write_bytes(pickle.dumps(content))
    file.write_bytes(beside.read_bytes())
    beside.unlink()


def load(path: Path, **options: Any) -> Any:
    """Load as ``load_production`` does."""
    return loaders.load(path, **{"loader": None, "flavor": None, "tags": {}, **options})


@pytest.fixture(params=["model.pkl", "model.joblib", "model.skops"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file of each format."""
    path = tmp_path / "bundle" / str(request.param)
    path.parent.mkdir()
    write(path, ROWS)
    return path


@pytest.mark.parametrize("around", [False, True])
def test_a_file_that_is_exchanged_after_its_digest_is_not_what_is_loaded(around: bool, file: Path) -> None:
    """The bytes that were digested are loaded, whatever is written into the file afterwards."""
    artifact = file.parent if around else file
    examined = examine(artifact, keep=True)
    write(file, ["other"])
    assert load(artifact, sha256=examined.sha256, examined=examined) == ROWS


def test_a_large_file_that_is_exchanged_after_its_digest_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file that is not held in memory each block is checked again as it is loaded."""
    monkeypatch.setattr(digest, "_HELD", 0)
    monkeypatch.setattr(digest, "_CHECKED", 1000)
    examined = examine(file, keep=True)
    assert load(file, sha256=examined.sha256, examined=examined) == ROWS
    changed = bytearray(file.read_bytes())
    changed[len(changed) // 2] ^= 1
    file.write_bytes(changed)
    with pytest.raises(IntegrityError, match="changed while it was loaded"):
        load(file, sha256=examined.sha256, examined=examined)


def test_the_digest_does_not_depend_on_what_is_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one piece, in blocks, or without its content, a file has one digest."""
    digests = {sha256_of(file), examine(file, keep=True).sha256}
    monkeypatch.setattr(digest, "_HELD", 0)
    monkeypatch.setattr(digest, "_CHECKED", 1000)
    assert digests == {examine(file, keep=True).sha256}


def test_a_file_with_another_digest_is_not_loaded(tmp_path: Path) -> None:
    """Nothing is unpickled before its bytes are compared with the digest that they must have."""
    file = tmp_path / "model.pkl"
    file.write_bytes(f"(S{str(tmp_path / 'made')!r}\nios\nmkdir\n.".encode())
    with pytest.raises(IntegrityError, match="not those registered"):
        load(file, sha256="0" * 64)
    assert not (tmp_path / "made").exists()


def test_a_file_that_changes_while_a_loader_reads_it_is_noticed(tmp_path: Path) -> None:
    """A loader that takes a path reads by itself: its object is not returned if a file changed meanwhile."""
    write(tmp_path / "model.pkl", ROWS)

    def exchanged(path: Path) -> Any:
        (path / "model.pkl").write_bytes(b"other")
        return (path / "model.pkl").read_bytes()

    with pytest.raises(IntegrityError, match=r"changed while it was loaded.*model\.pkl"):
        load(tmp_path, loader=exchanged, sha256=sha256_of(tmp_path))


def test_a_loader_may_add_files(tmp_path: Path) -> None:
    """What Python or a library keeps beside a model is no change of it."""
    write(tmp_path / "model.pkl", ROWS)
    assert load(tmp_path, loader=lambda path: (path / "__pycache__").mkdir(), sha256=sha256_of(tmp_path)) is None


@pytest.fixture
def bundle(tmp_path: Path) -> Iterator[Path]:
    """A directory with one file and one directory, removed whatever its depth."""
    directory = tmp_path / "bundle"
    (directory / "inside").mkdir(parents=True)
    (directory / "inside" / "one.txt").write_text("one")
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.parametrize("target", ["inside", ".", "/usr"])
def test_a_link_to_a_directory_has_no_digest(target: str, bundle: Path) -> None:
    """What is behind such a link is in no manifest, so the link is named."""
    (bundle / "link").symlink_to(target)
    with pytest.raises(IntegrityError, match=r"link to a directory.*\[bundle/link\]"):
        sha256_of(bundle)


def test_what_is_no_file_has_no_digest(bundle: Path) -> None:
    """A pipe is named at once rather than waited for, and so is a link to a device or to nothing."""
    os.mkfifo(bundle / "pipe")
    with pytest.raises(IntegrityError, match=r"not a regular file.*\[bundle/pipe\]"):
        sha256_of(bundle)
    (bundle / "pipe").unlink()
    (bundle / "zero").symlink_to("/dev/zero")
    with pytest.raises(IntegrityError, match=r"not a regular file.*\[bundle/zero\]"):
        sha256_of(bundle)
    (bundle / "zero").unlink()
    (bundle / "gone").symlink_to("nowhere")
    with pytest.raises(IntegrityError, match=r"link to nothing.*\[bundle/gone\]"):
        sha256_of(bundle)


def test_a_directory_that_is_too_deep_has_no_digest(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that is too long for the system is said to be, and not left out."""
    monkeypatch.chdir(bundle)
    for _ in range(25):
        Path("d" * 200).mkdir()
        os.chdir("d" * 200)
    with pytest.raises(IntegrityError, match="File name too long"):
        sha256_of(bundle)


def test_a_directory_that_cannot_be_listed_has_no_digest(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that cannot be seen are not left out of the manifest; refused as another user's would be, also to root."""
    listed = os.scandir

    def refused(path: Any) -> Any:
        if Path(path) == bundle / "inside":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listed(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refused)
        with pytest.raises(IntegrityError, match=r"Permission denied.*\[bundle/inside\]"):
            sha256_of(bundle)

"""What is copied from a local artifact store, and what is refused before anything is written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from prodpointer.errors import UnsafeModel
from prodpointer.mlflow_client.local_artifacts import copy_local
from tests.integration.conftest import Lab


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with a directory of two files beside a file."""
    (tmp_path / "store" / "bundle" / "code").mkdir(parents=True)
    (tmp_path / "store" / "bundle" / "model.pkl").write_bytes(b"model")
    (tmp_path / "store" / "bundle" / "code" / "one.py").write_bytes(b"one")
    (tmp_path / "store" / "other.pkl").write_bytes(b"other")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_bytes(b"key")
    return tmp_path / "store"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Where copies go."""
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def test_a_file_and_a_directory_are_copied(root: Path, here: Path) -> None:
    """The files arrive under their names, and a link inside as the file that it leads to."""
    (root / "bundle" / "link.py").symlink_to("code/one.py")
    copied = copy_local(root, "bundle", here)
    found = {file.relative_to(copied).as_posix(): file.read_bytes() for file in copied.rglob("*") if file.is_file()}
    assert found == {"model.pkl": b"model", "code/one.py": b"one", "link.py": b"one"}
    assert not any(file.is_symlink() for file in copied.rglob("*"))
    assert copy_local(root, "other.pkl", here).read_bytes() == b"other"


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("/dev/zero", "leads out of it"),
        ("../../secret/key", "leads out of it"),
        ("../other.pkl", "leads out of it"),
        ("../../secret", "leads out of it"),
        ("code", "link to a directory"),
        (".", "link to a directory"),
        ("nowhere", "link to nothing"),
        ("code/link", "link to nothing"),
    ],
)
def test_a_link_that_is_no_file_of_the_artifact_is_refused(target: str, why: str, root: Path, here: Path) -> None:
    """The link is named and nothing is written."""
    (root / "bundle" / "code" / "link").symlink_to(Path("..", target) if not target.startswith("/") else target)
    with pytest.raises(UnsafeModel, match=rf"{why}.*\[bundle/code/link\]"):
        copy_local(root, "bundle", here)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("target", ["/dev/zero", "../secret/key", "../secret"])
def test_an_artifact_that_is_itself_a_link_out_is_refused(target: str, root: Path, here: Path) -> None:
    """What a version names may not lead away from where it is."""
    (root / "model.pkl").symlink_to(target)
    with pytest.raises(UnsafeModel, match=r"leads out of its directory.*\[model\.pkl\]"):
        copy_local(root, "model.pkl", here)
    assert list(here.iterdir()) == []


def test_a_pipe_is_refused(root: Path, here: Path) -> None:
    """What is no regular file is not waited for."""
    os.mkfifo(root / "bundle" / "pipe")
    with pytest.raises(UnsafeModel, match=r"not a regular file.*\[bundle/pipe\]"):
        copy_local(root, "bundle", here)
    assert list(here.iterdir()) == []


def test_a_file_of_holes_is_refused(root: Path, here: Path) -> None:
    """A file that claims 100 GB and has none of them is not written out."""
    with (root / "bundle" / "weights.bin").open("wb") as file:
        file.truncate(100 * 1000**3)
    with pytest.raises(UnsafeModel, match=r"100000000000 bytes long.*holes.*\[bundle/weights\.bin\]"):
        copy_local(root, "bundle", here)
    assert list(here.iterdir()) == []


def test_what_does_not_fit_is_not_begun(root: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The total size of all files is checked before the first is written."""
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 7}))
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        copy_local(root, "bundle", here)
    assert list(here.iterdir()) == []


def test_a_version_with_such_a_link_is_not_loaded(lab: Lab, name: str, tmp_path: Path) -> None:
    """A link that is put in the store after the registration is an error of its own."""
    model = lab.model(name, cache_dir=tmp_path / "cache")
    model.promote(1)
    run_id = model.version(1).run_id
    assert run_id is not None
    lab.artifact(run_id, "bundle/zero").symlink_to("/dev/zero")
    with pytest.raises(UnsafeModel, match=r"bundle/zero"):
        model.load_production()
    assert list((tmp_path / "cache").rglob("zero")) == []

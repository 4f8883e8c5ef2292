"""Loading: the right bytes, checked before they are deserialised."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import pytest

from prodpointer import (
    ArtifactNotFound,
    IntegrityError,
    LoadFailed,
    ProdpointerError,
    RegisteredModel,
    UnsafeModel,
    UnverifiedWarning,
)
from tests.conformance.conftest import Connect, Registry


class Explosive:
    """A pickle that leaves a file behind when it is loaded."""

    def __init__(self, trace: Path) -> None:
        """Remember the file."""
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        """Make the file when unpickled."""
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("artifact", ["bundle", "newsreco.pkl"])
def test_changed_bytes_are_never_deserialised(
    fresh: Connect, registry: Registry, tmp_path: Path, artifact: str
) -> None:
    """Bytes changed after the registration raise IntegrityError before anything is unpickled."""
    content = pickle.dumps(1)
    run_id = registry.run_with({"newsreco.pkl": content, "bundle/newsreco.pkl": content})
    model = fresh()
    model.promote(model.register(run_id, artifact))
    path = "newsreco.pkl" if artifact == "newsreco.pkl" else "bundle/newsreco.pkl"
    trace = tmp_path / "exploded"
    registry.stored(run_id, path).write_bytes(pickle.dumps(Explosive(trace)))
    with pytest.raises(IntegrityError, match="SHA-256"):
        model.load_production()
    with pytest.raises(IntegrityError):
        model.pull(tmp_path / "pulled")
    assert list(tmp_path.iterdir()) == []


def test_an_added_file_is_detected(fresh: Connect, registry: Registry) -> None:
    """A file added to a registered directory raises IntegrityError."""
    run_id = registry.run_with({"bundle/newsreco.pkl": pickle.dumps(1)})
    model = fresh()
    model.promote(model.register(run_id, "bundle"))
    registry.stored(run_id, "bundle/newsreco.pkl").with_name("extra.txt").write_text("extra")
    with pytest.raises(IntegrityError):
        model.load_production()


@pytest.mark.parametrize("artifact", ["bundle", "newsreco.pkl"])
def test_a_missing_artifact_is_reported(fresh: Connect, registry: Registry, artifact: str) -> None:
    """Bytes removed after the registration raise ArtifactNotFound, and the pointer stays."""
    content = pickle.dumps(1)
    run_id = registry.run_with({"newsreco.pkl": content, "bundle/newsreco.pkl": content})
    model = fresh()
    model.promote(model.register(run_id, artifact))
    shutil.rmtree(registry.stored(run_id, "newsreco.pkl").parent)
    with pytest.raises(ArtifactNotFound, match="does not exist or is empty"):
        model.load_production()
    assert model.live_version() == 1


def test_a_version_registered_elsewhere_loads_with_a_warning(fresh: Connect, registry: Registry) -> None:
    """A version without a digest loads, and a warning says that it cannot be verified."""
    model = fresh()
    registry.plain.create_registered_model(model.name)
    run = registry.plain.get_run(registry.runs[2])
    registry.plain.create_model_version(model.name, f"{run.info.artifact_uri}/bundle", run.info.run_id)
    model.promote(1)
    with pytest.warns(UnverifiedWarning, match="has no recorded digest") as warned:
        assert model.load_production() == {"recommender": "r3", "ranker": 3}
    assert warned[0].filename == __file__


def test_a_source_written_as_a_runs_uri_loads(fresh: Connect, registry: Registry) -> None:
    """A version whose source is ``runs:/…``, as many projects wrote it, loads: a file and a directory."""
    model = fresh()
    registry.plain.create_registered_model(model.name)
    for path in ("bundle", "newsreco.pkl"):
        source = f"runs:/{registry.runs[0]}/{path}"
        made = registry.plain.create_model_version(model.name, source, registry.runs[0])
        model.promote(made.version)
        with pytest.warns(UnverifiedWarning):
            assert model.load_production() == {"recommender": "r1", "ranker": 1}


def test_the_callers_loader_gets_the_path(fresh: Connect, registry: Registry) -> None:
    """A loader of the caller's is given the verified download."""
    model = fresh()
    model.promote(model.register(registry.run_with({"notes.txt": b"live"}), "notes.txt"))
    assert model.load_production(lambda path: path.read_text()) == "live"
    with pytest.raises(UnsafeModel, match="loader="):
        model.load_production()


def test_a_pickle_that_raises_names_both_sides(fresh: Connect, registry: Registry) -> None:
    """A pickle that cannot be loaded raises LoadFailed with the versions of both sides."""
    model = fresh()
    model.promote(model.register(registry.run_with({"bad.pkl": b"cno_such_module\nThing\n."}), "bad.pkl"))
    with pytest.raises(LoadFailed, match=r"no_such_module.*Registered with Python .*; here Python "):
        model.load_production()


def test_no_download_is_left_behind(
    news: RegisteredModel, tmp_path: Path, cache_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading leaves one entry in the cache and nothing beside it, also where a damaged one was replaced."""
    news.promote(1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    news.load_production()
    (kept,) = cache_directory.rglob("newsreco.pkl")
    kept.write_bytes(b"damaged")
    news.load_production()
    assert list(tmp_path.iterdir()) == []
    assert list(cache_directory.rglob("newsreco.pkl")) == [kept]
    assert [path for path in cache_directory.rglob("*") if path.name[0] == "." or path.suffix == ".partial"] == []


def test_a_model_that_does_not_load_is_downloaded_once(fresh: Connect, registry: Registry) -> None:
    """Verified bytes that do not become an object stay: a service that tries again fills no disk and no line."""
    model = fresh()
    run_id = registry.run_with({"bundle/bad.pkl": b"cno_such_module\nThing\n."})
    model.promote(model.register(run_id, "bundle"))
    with pytest.raises(LoadFailed):
        model.load_production()
    registry.stored(run_id, "bundle/bad.pkl").unlink()
    with pytest.raises(LoadFailed):
        model.load_production()


def test_a_pull_copies_the_live_artifact(news: RegisteredModel, tmp_path: Path) -> None:
    """The live version's artifact is copied, with the digest it was checked against."""
    news.promote(2)
    pulled = news.pull(tmp_path / "new" / "place")
    assert pulled is not None
    assert (pulled.version, pulled.path) == (2, tmp_path / "new" / "place" / "bundle")
    assert pickle.loads((pulled.path / "newsreco.pkl").read_bytes()) == {"recommender": "r2", "ranker": 2}
    assert pulled.sha256 == news.version(2).sha256


def test_a_pull_replaces_nothing(news: RegisteredModel, tmp_path: Path) -> None:
    """What is at the destination already stays as it is."""
    news.promote(2)
    (tmp_path / "bundle").write_text("mine")
    with pytest.raises(ProdpointerError, match="already"):
        news.pull(tmp_path)
    assert (tmp_path / "bundle").read_text() == "mine"


def test_a_pull_without_a_live_version_copies_nothing(news: RegisteredModel, tmp_path: Path) -> None:
    """Where nothing is live, nothing is copied."""
    assert news.pull(tmp_path / "place") is None
    assert not (tmp_path / "place").exists()

"""Cache and digests: verified bytes are kept, and cached bytes are checked before use."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import prodpointer
from prodpointer import CacheWarning, IntegrityError, ProdpointerError, RegisteredModel, UnverifiedWarning
from tests.conformance.conftest import Connect, Registry, model_behind
from tests.proxy import Hang, Proxy, on_path

LOAD = """
import sys, warnings
warnings.simplefilter("ignore")
import prodpointer
model = prodpointer.connect(sys.argv[1], tracking_uri=sys.argv[2], timeout=60)
print(model.load_production()["ranker"])
"""


def loading(name: str, uri: str) -> subprocess.Popen[str]:
    """Start a process that loads what is live."""
    return subprocess.Popen([sys.executable, "-c", LOAD, name, uri], stdout=subprocess.PIPE, text=True)


def entries(cache: Path) -> list[Path]:
    """Return the directories of the entries in a cache."""
    return sorted(file.parent for file in cache.rglob("entry.json"))


def kept(cache: Path) -> Path:
    """Return the one file that is kept in a cache."""
    (entry,) = entries(cache)
    (file,) = (file for file in (entry / "artifact").rglob("*") if file.is_file())
    return file


def elsewhere(model: RegisteredModel, registry: Registry, run_id: str) -> None:
    """Register a run's bundle as version 1 with plain MLflow, and make it live."""
    registry.plain.create_registered_model(model.name)
    run = registry.plain.get_run(run_id)
    registry.plain.create_model_version(model.name, f"{run.info.artifact_uri}/bundle", run.info.run_id)
    model.promote(1)


def test_a_download_is_kept(fresh: Connect, registry: Registry, cache_directory: Path) -> None:
    """What was loaded once is loaded again without its artifact store."""
    news = fresh(2)
    news.promote(2)
    assert news.load_production() == {"recommender": "r2", "ranker": 2}
    assert pickle.loads(kept(cache_directory).read_bytes()) == {"recommender": "r2", "ranker": 2}
    stored = registry.stored(registry.runs[1], "bundle/newsreco.pkl")
    moved = stored.rename(stored.with_name("elsewhere"))
    try:
        assert news.load_production() == {"recommender": "r2", "ranker": 2}
    finally:
        moved.rename(stored)


def test_a_damaged_entry_is_downloaded_again(fresh: Connect, cache_directory: Path) -> None:
    """Bytes that changed in the cache are never loaded: they are replaced by the registered ones."""
    news = fresh(2)
    news.promote(2)
    news.load_production()
    right = kept(cache_directory).read_bytes()
    kept(cache_directory).write_bytes(pickle.dumps("forged"))
    assert news.load_production() == {"recommender": "r2", "ranker": 2}
    assert kept(cache_directory).read_bytes() == right


@pytest.mark.parametrize("damage", ["", "{", '{"leaf": 1}'])
def test_an_empty_entry_is_downloaded_again(fresh: Connect, cache_directory: Path, damage: str) -> None:
    """A description that cannot be read is no entry."""
    news = fresh(2)
    news.promote(2)
    news.load_production()
    (entry,) = entries(cache_directory)
    (entry / "entry.json").write_text(damage)
    assert news.load_production() == {"recommender": "r2", "ranker": 2}


def test_a_recreated_model_serves_its_own_bytes(fresh: Connect, registry: Registry, cache_directory: Path) -> None:
    """A model that was deleted and made again restarts at version 1, and never serves the old version 1."""
    model = fresh(1)
    model.promote(1)
    assert model.load_production()["ranker"] == 1
    registry.plain.delete_registered_model(model.name)
    model.register(registry.runs[2], "bundle", sha256=registry.digests[2])
    model.promote(1)
    assert model.load_production()["ranker"] == 3
    assert len(entries(cache_directory)) == 2


def test_wrong_bytes_are_not_kept(fresh: Connect, registry: Registry, cache_directory: Path) -> None:
    """What fails the check of its digest leaves nothing in the cache."""
    run_id = registry.run_with({"bundle/newsreco.pkl": pickle.dumps(1)})
    model = fresh()
    model.promote(model.register(run_id, "bundle"))
    registry.stored(run_id, "bundle/newsreco.pkl").write_bytes(pickle.dumps(2))
    with pytest.raises(IntegrityError):
        model.load_production()
    assert list(cache_directory.rglob("*.pkl")) == []
    assert entries(cache_directory) == []


@pytest.fixture
def behind(served: Registry, between: Proxy) -> RegisteredModel:
    """A model with two versions, the first of them live, behind the proxy."""
    model = model_behind(between, served, 2)
    model.promote(1)
    return model


def downloads(between: Proxy) -> int:
    """Return how often the bundle's file came from the server."""
    return sum(path.endswith("newsreco.pkl") for _, path in between.requests)


def test_many_processes_download_once(behind: RegisteredModel, between: Proxy) -> None:
    """However many processes and threads ask at once, the bytes come once."""
    processes = [loading(behind.name, between.uri) for _ in range(2)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: behind.load_production()["ranker"], range(8)))
    assert found == [1] * 8
    assert [process.communicate(timeout=120)[0].strip() for process in processes] == ["1"] * 2
    assert downloads(between) == 1


def test_a_warm_load_sends_one_request_and_downloads_nothing(behind: RegisteredModel, between: Proxy) -> None:
    """What is live is asked for, and nothing else; also by another process of the same user."""
    behind.promote(2)
    behind.load_production()
    between.clear()
    assert behind.load_production()["ranker"] == 2
    assert [path.partition("?")[0] for _, path in between.requests] == ["/api/2.0/mlflow/registered-models/get"]


def test_a_killed_downloader_blocks_nothing(behind: RegisteredModel, between: Proxy) -> None:
    """Half a download of a killed process is no entry, and its lock ends with it."""
    between.when(on_path("newsreco.pkl"), Hang(60))
    process = loading(behind.name, between.uri)
    deadline = time.monotonic() + 60
    while not downloads(between) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    between.heal()
    assert behind.load_production()["ranker"] == 1


def test_the_least_recently_used_is_evicted_and_never_the_live_version(
    fresh: Connect, cache_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above the size limit what was used longest ago is removed; what is live for anybody stays, whatever its age."""
    monkeypatch.setenv("PRODPOINTER_CACHE_BYTES", "1")
    first, second = fresh(1), fresh(2)
    first.promote(1)
    first.load_production()
    second.promote(1)
    second.load_production()
    assert len(entries(cache_directory)) == 2
    second.promote(2)
    second.load_production()
    assert sorted(entry.name for entry in entries(cache_directory)) == ["1", "2"]
    assert first.load_production()["ranker"] == 1


def test_what_fits_is_kept(fresh: Connect, cache_directory: Path) -> None:
    """Below the limit a version that was displaced stays, so that rolling back downloads nothing."""
    model = fresh(2)
    for version in (1, 2):
        model.promote(version)
        model.load_production()
    assert sorted(entry.name for entry in entries(cache_directory)) == ["1", "2"]


def test_other_users_cannot_enter(fresh: Connect, registry: Registry, cache_directory: Path) -> None:
    """The directories of the cache are the user's alone, and closed where others could look in."""
    model = fresh(1)
    model.promote(1)
    model.load_production()
    root = cache_directory / "v1"
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    root.chmod(0o755)
    model.register(registry.runs[1], "bundle", sha256=registry.digests[1])
    model.promote(2)
    model.load_production()
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    for each in (path for path in root.iterdir() if path.is_dir()):
        assert stat.S_IMODE(each.stat().st_mode) == 0o700


def test_a_cache_of_another_user_is_refused(
    fresh: Connect, cache_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Write access to a cache decides what is loaded from it, so only its user may have it."""
    model = fresh(1)
    model.promote(1)
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with pytest.raises(ProdpointerError, match="another user"):
        model.load_production()


def test_loading_works_without_a_cache_directory(
    registry: Registry, fresh: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the user's cache cannot be written, as in many containers, loading works and says so."""
    name = fresh(1).name
    (tmp_path / "file").write_text("no directory")
    monkeypatch.delenv("PRODPOINTER_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    model = prodpointer.connect(name, tracking_uri=registry.uri)
    model.promote(1)
    with pytest.warns(CacheWarning, match="PRODPOINTER_CACHE_DIR"):
        assert model.load_production()["ranker"] == 1


def test_the_callers_cache_is_used(fresh: Connect, cache_directory: Path, tmp_path: Path) -> None:
    """``cache_dir=`` is where downloads are kept."""
    model = fresh(1, cache_dir=tmp_path / "mine")
    model.promote(1)
    model.load_production()
    assert (len(entries(tmp_path / "mine")), entries(cache_directory)) == (1, [])


def test_an_invalid_size_is_refused(fresh: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """A size limit that is no number is an error, not a default."""
    monkeypatch.setenv("PRODPOINTER_CACHE_BYTES", "20 GB")
    with pytest.raises(ProdpointerError, match="PRODPOINTER_CACHE_BYTES"):
        fresh()


def test_the_first_download_fixes_the_digest(fresh: Connect, registry: Registry, cache_directory: Path) -> None:
    """Bytes without a recorded digest may not change once this machine has verified them, even after eviction."""
    run_id = registry.run_with({"bundle/newsreco.pkl": pickle.dumps(1)})
    model = fresh()
    elsewhere(model, registry, run_id)
    with pytest.warns(UnverifiedWarning):
        assert model.load_production() == 1
    (entry,) = entries(cache_directory)
    shutil.rmtree(entry)
    registry.stored(run_id, "bundle/newsreco.pkl").write_bytes(pickle.dumps(2))
    with pytest.raises(IntegrityError, match="SHA-256"):
        model.load_production()
    with pytest.raises(IntegrityError):
        model.adopt(1)


def test_a_version_without_a_digest_can_be_refused(fresh: Connect, registry: Registry, tmp_path: Path) -> None:
    """Where a digest is required, a version without one is neither loaded nor pulled, also out of the cache."""
    model = fresh()
    elsewhere(model, registry, registry.runs[0])
    for _ in range(2):
        with pytest.raises(IntegrityError, match="prodpointer adopt"):
            model.load_production(verify="required")
        with pytest.warns(UnverifiedWarning):
            assert model.load_production()["ranker"] == 1
    with pytest.raises(IntegrityError):
        model.pull(tmp_path, verify="required")
    assert list(tmp_path.iterdir()) == []


def test_an_adopted_version_is_verified(fresh: Connect, registry: Registry) -> None:
    """A digest that is recorded later is checked from then on, on every machine."""
    run_id = registry.run_with({"bundle/newsreco.pkl": pickle.dumps(1)})
    model = fresh()
    elsewhere(model, registry, run_id)
    digest = model.adopt(1)
    assert model.version(1).sha256 == digest == model.adopt(1)
    assert model.load_production(verify="required") == 1
    registry.stored(run_id, "bundle/newsreco.pkl").write_bytes(pickle.dumps(2))
    with pytest.raises(IntegrityError):
        fresh(name=model.name, cache_dir=registry.files / f"cache-{model.name}").load_production()


def test_a_changed_digest_is_detected(fresh: Connect, registry: Registry) -> None:
    """The event of a promotion contains the digest too, so changing the tag is not enough to load other bytes."""
    run_id = registry.run_with({"bundle/newsreco.pkl": pickle.dumps(1)})
    model = fresh()
    model.promote(model.register(run_id, "bundle"))
    registry.stored(run_id, "bundle/newsreco.pkl").write_bytes(pickle.dumps(2))
    other = fresh()
    forged = other.version(other.register(run_id, "bundle")).sha256
    registry.plain.set_model_version_tag(model.name, "1", "prodpointer.sha256", forged)
    with pytest.raises(IntegrityError, match="Two digests"):
        model.load_production()


def test_invalid_options_are_refused(fresh: Connect) -> None:
    """A misspelt option is an error before anything is asked."""
    model = fresh(1)
    with pytest.raises(prodpointer.InvalidName):
        model.load_production(verify="require")  # type: ignore[arg-type]
    with pytest.raises(prodpointer.InvalidName):
        model.load_production(on_unavailable="last")  # type: ignore[arg-type]

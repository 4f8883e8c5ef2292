"""A download from a store is complete and from one version, whatever happened to earlier downloads."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from prodpointer import ArtifactStoreUnavailable, RegistryError
from prodpointer.mlflow_client.object_store import ObjectStore
from prodpointer.mlflow_client.worker import NoAnswer
from tests.proxy import Answer, Cut, Hang, everything, first, on_path
from tests.stores.conftest import BUCKET, Store, pickled

FILES = {**pickled(1), **{f"part-{number}.bin": bytes(1000) for number in range(12)}}


def eventually(holds: Callable[[], bool]) -> bool:
    """Wait a few seconds for what comes to hold."""
    end = time.monotonic() + 5
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    return holds()


@pytest.fixture(autouse=True)
def _no_thread_of_another_test() -> Iterator[None]:
    """Wait for the downloads that a test left behind."""
    yield
    assert eventually(lambda: not any(each.name == "prodpointer-call" for each in threading.enumerate()))


def test_a_directory_arrives_whole(store: Store, name: str, tmp_path: Path) -> None:
    """Every file that the store lists, below other directories too, and nothing else."""
    files = {**FILES, "data/more/deep.bin": b"deep", "empty.bin": b""}
    model = store.model(name, files)
    model.promote(1)
    pulled = model.pull(tmp_path / "here")
    assert pulled is not None
    place = pulled.path
    found = {file.relative_to(place).as_posix(): file.read_bytes() for file in place.rglob("*") if file.is_file()}
    assert found == files


def test_a_download_that_was_given_up_has_no_part_in_the_next(store: Store, name: str, cache_directory: Path) -> None:
    """The next one begins at once, while the first still hangs, and what the first still writes goes nowhere."""
    model = store.model(name, FILES, timeout=0.3)
    model.promote(1)
    store.proxy.when(first(1, on_path("/part-7.bin")), Hang(5))
    with pytest.raises(ArtifactStoreUnavailable):
        model.load_production()
    began = time.monotonic()
    names = model.load_production(loader=lambda path: sorted(file.name for file in path.iterdir()))
    assert (names, time.monotonic() - began < 4) == (sorted(FILES), True)
    assert eventually(lambda: list(cache_directory.rglob(".partial*")) == [])


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_download_has_no_part_in_the_next(store: Store, name: str, cache_directory: Path) -> None:
    """Ctrl-C in a notebook, and the same call again."""
    model = store.model(name, FILES, timeout=5)
    model.promote(1)
    asked = first(1, on_path("/part-7.bin"))

    def interrupted(method: str, path: str) -> bool:
        if not asked(method, path):
            return False
        # While the answer is waited for.
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        return True

    store.proxy.when(interrupted, Hang(3))
    with pytest.raises(KeyboardInterrupt):
        model.load_production()
    names = model.load_production(loader=lambda path: sorted(file.name for file in path.iterdir()))
    assert names == sorted(FILES)
    assert eventually(lambda: list(cache_directory.rglob(".partial*")) == [])


def test_after_a_failure_no_further_file_is_asked_for(store: Store, name: str) -> None:
    """The first file that cannot be had ends the download, and not the last."""
    files = {f"part-{number:03}.bin": b"x" for number in range(60)}
    model = store.model(name, files)
    model.promote(1)
    store.proxy.clear()
    store.proxy.when(on_path("/part-"), Answer(403))
    with pytest.raises(Exception, match="denied access"):
        model.load_production()
    assert len([path for _, path in store.proxy.requests if "/part-" in path]) < 30


def test_an_abandoned_download_ends(store: Store, name: str, tmp_path: Path) -> None:
    """A follower that is closed does not wait for the bytes of the version it was about to load."""
    store.model(name, FILES)
    key = store.s3.list_objects_v2(Bucket=BUCKET)["Contents"][0]["Key"].rsplit("/bundle", 1)[0]
    store.proxy.when(everything, Hang(1))
    began = time.monotonic()
    with pytest.raises(NoAnswer):
        ObjectStore(f"s3://{BUCKET}/{key}", timeout=30, stopped=lambda: True).download("bundle", tmp_path)
    assert time.monotonic() - began < 0.8


def listing(key: str, size: int) -> Answer:
    """Return a listing of one file as S3 gives it."""
    entry = f"<Contents><Key>{key}</Key><Size>{size}</Size></Contents>"
    xml = f'<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>{entry}</ListBucketResult>'
    return Answer(200, xml.encode(), "application/xml")


@pytest.mark.parametrize("path", ["../../../evil.pkl", "../evil.pkl"])
def test_a_listed_path_that_leads_out_is_refused(store: Store, name: str, tmp_path: Path, path: str) -> None:
    """Nothing is written by it, nor anything else that is listed."""
    model = store.model(name, FILES)
    model.promote(1)
    run_id = store.client.get_model_version(name, "1").run_id
    store.proxy.when(on_path("list-type"), listing(f"{store.key(run_id)}/bundle/{path}", 1))
    with pytest.raises(RegistryError, match="evil"):
        model.pull(tmp_path / "here")
    assert list(tmp_path.rglob("*.pkl")) == []


def test_a_file_shorter_than_listed_is_an_outage(store: Store, name: str) -> None:
    """What a broken connection leaves of a file is not the file, also where no digest tells."""
    model = store.model(name, FILES)
    model.promote(1)
    run_id = store.client.get_model_version(name, "1").run_id
    size = len(FILES["model.pkl"]) + 1
    store.proxy.when(on_path("list-type"), listing(f"{store.key(run_id)}/bundle/model.pkl", size))
    with pytest.raises(ArtifactStoreUnavailable, match=f"of {size} bytes"):
        model.load_production()


def test_a_file_that_breaks_off_is_an_outage(store: Store, name: str) -> None:
    """The store's library tries a few times, and then it is the connection."""
    model = store.model(name, FILES)
    model.promote(1)
    store.proxy.when(on_path("/part-7.bin", "GET"), Cut(10))
    with pytest.raises(ArtifactStoreUnavailable):
        model.load_production()

"""Digests, and downloads that match what was registered."""

from __future__ import annotations

import hashlib
import pickle
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from prodpointer.artifacts import digest as artifacts
from prodpointer.artifacts.digest import DigestAhead, check_digest, download, sha256_of
from prodpointer.errors import ArtifactNotFound, IntegrityError
from prodpointer.mlflow_client.artifact_store import ArtifactStore
from prodpointer.mlflow_client.open import open_registry
from tests.integration.conftest import Lab, quiet

FILES = {"MLmodel": b"flavors", "model.pkl": b"bytes", "code/one.py": b"1", "code/two.py": b"2"}


@pytest.fixture
def store(lab: Lab) -> ArtifactStore:
    """Return the artifacts beside the session's registry."""
    return ArtifactStore(open_registry(lab.uri, None, timeout=5, create_database=False, upgrade_database=False))


def tree(directory: Path, files: dict[str, bytes]) -> Path:
    """Write files below a directory, in the order given."""
    for path, content in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content)
    return directory


@pytest.mark.parametrize("content", [b"", b"bytes", bytes(range(256)) * 10_000], ids=["empty", "short", "long"])
def test_the_digest_of_a_file_is_its_sha256(tmp_path: Path, content: bytes) -> None:
    """A file's digest is what any other tool computes."""
    (tmp_path / "model.pkl").write_bytes(content)
    assert sha256_of(tmp_path / "model.pkl") == hashlib.sha256(content).hexdigest()


def test_the_name_of_a_file_is_not_part_of_its_digest(tmp_path: Path) -> None:
    """The same bytes under another name have the same digest."""
    tree(tmp_path, {"one.pkl": b"bytes", "two.pkl": b"bytes"})
    assert sha256_of(tmp_path / "one.pkl") == sha256_of(tmp_path / "two.pkl")


def test_a_large_file_is_read_in_blocks(tmp_path: Path) -> None:
    """The digest of a file of 64 MB takes a few MB of memory."""
    with (tmp_path / "large.pkl").open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    tracemalloc.start()
    try:
        sha256_of(tmp_path / "large.pkl")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * 1024 * 1024


def test_the_digest_of_a_directory_is_that_of_its_manifest(tmp_path: Path) -> None:
    """The manifest has a line for each file in the order of their paths, as ``sha256sum`` prints it."""
    lines = [f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in sorted(FILES.items())]
    assert sha256_of(tree(tmp_path, FILES)) == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_the_order_of_writing_does_not_count(tmp_path: Path) -> None:
    """Two directories with the same files have the same digest, whichever file came first."""
    backwards = dict(reversed(FILES.items()))
    assert sha256_of(tree(tmp_path / "one", FILES)) == sha256_of(tree(tmp_path / "two", backwards))


def test_the_place_of_a_directory_does_not_count(tmp_path: Path) -> None:
    """A directory that was moved has the digest it had."""
    before = sha256_of(tree(tmp_path / "one", FILES))
    (tmp_path / "one").rename(tmp_path / "elsewhere")
    assert sha256_of(tmp_path / "elsewhere") == before


def test_an_empty_directory_inside_does_not_count(tmp_path: Path) -> None:
    """Artifact stores keep files alone, so an empty directory changes nothing."""
    before = sha256_of(tree(tmp_path, FILES))
    (tmp_path / "empty").mkdir()
    assert sha256_of(tmp_path) == before


@pytest.mark.parametrize(
    "files",
    [
        {**FILES, "more.txt": b""},
        {**FILES, "code/three.py": b"3"},
        {path: content for path, content in FILES.items() if path != "model.pkl"},
        {("renamed.pkl" if path == "model.pkl" else path): content for path, content in FILES.items()},
        {**FILES, "model.pkl": b"other"},
        {**FILES, "code/one.py": b"2", "code/two.py": b"1"},
        {path.replace("code/", "src/"): content for path, content in FILES.items()},
        {path.replace("code/", ""): content for path, content in FILES.items()},
    ],
    ids=["added", "added below", "removed", "renamed", "changed", "swapped", "directory renamed", "moved up"],
)
def test_every_difference_changes_the_digest_of_a_directory(tmp_path: Path, files: dict[str, bytes]) -> None:
    """A file added, removed, renamed, moved or changed gives another digest."""
    assert sha256_of(tree(tmp_path / "one", FILES)) != sha256_of(tree(tmp_path / "two", files))


def test_a_line_break_in_a_name_forges_no_manifest(tmp_path: Path) -> None:
    """One file whose name looks like a second line of the manifest is not taken for two files."""
    second = hashlib.sha256(b"2").hexdigest()
    one = tree(tmp_path / "one", {"a": b"1", "b": b"2"})
    forged = tree(tmp_path / "two", {f"a\n{second}  b": b"1"})
    assert sha256_of(one) != sha256_of(forged)


def test_nothing_has_no_digest(tmp_path: Path) -> None:
    """A path where nothing is raises ``ArtifactNotFound`` with that path."""
    with pytest.raises(ArtifactNotFound, match=r"gone\.pkl"):
        sha256_of(tmp_path / "gone.pkl")


def test_the_right_bytes_pass(tmp_path: Path) -> None:
    """Bytes with the recorded digest are what was registered."""
    check_digest(tree(tmp_path, FILES), sha256_of(tmp_path), "version 1")


def test_the_wrong_bytes_do_not_pass(tmp_path: Path) -> None:
    """The error names the version and both digests."""
    actual = sha256_of(tree(tmp_path, FILES))
    with pytest.raises(IntegrityError, match=f"version 1 of 'news'.*{actual}.*{'0' * 64}"):
        check_digest(tmp_path, "0" * 64, "version 1 of 'news'")


def test_a_download_is_the_file(lab: Lab, store: ArtifactStore) -> None:
    """A file is downloaded under its name, with its bytes."""
    run_id = lab.run({"model.pkl": b"bytes"})
    with download(store, store.locate(f"runs:/{run_id}/model.pkl")) as path:
        assert (path.name, path.read_bytes()) == ("model.pkl", b"bytes")


def test_a_download_is_the_directory(lab: Lab, store: ArtifactStore) -> None:
    """A directory is downloaded with everything below it."""
    run_id = lab.run({f"bundle/{path}": content for path, content in FILES.items()})
    with download(store, store.locate(f"runs:/{run_id}/bundle")) as path:
        found = {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    assert (path.name, found) == ("bundle", FILES)


def test_a_download_is_a_copy(lab: Lab, store: ArtifactStore) -> None:
    """Changing a download changes nothing in the store."""
    run_id = lab.run({"model.pkl": b"bytes"})
    with download(store, store.locate(f"runs:/{run_id}/model.pkl")) as path:
        path.write_bytes(b"other")
    assert lab.artifact(run_id, "model.pkl").read_bytes() == b"bytes"


def test_a_download_is_removed_afterwards(lab: Lab, store: ArtifactStore) -> None:
    """No temporary directory stays behind."""
    run_id = lab.run({"model.pkl": b"bytes"})
    with download(store, store.locate(f"runs:/{run_id}/model.pkl")) as path:
        pass
    assert not path.parent.exists()


def test_a_download_is_removed_after_an_error(lab: Lab, store: ArtifactStore) -> None:
    """What fails inside leaves no temporary directory behind either."""
    run_id = lab.run({"model.pkl": b"bytes"})
    seen: list[Path] = []

    def fail() -> None:
        with download(store, store.locate(f"runs:/{run_id}/model.pkl")) as path:
            seen.append(path)
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert not seen[0].parent.exists()


@pytest.mark.parametrize("path", ["gone.pkl", "bundle/gone.pkl", "gone/gone.pkl"])
def test_bytes_that_are_gone_are_named(path: str, lab: Lab, store: ArtifactStore) -> None:
    """A download of nothing is ``ArtifactNotFound`` with the place that was looked at."""
    run_id = lab.run({"bundle/model.pkl": b"bytes"})
    with (
        pytest.raises(ArtifactNotFound, match=path),
        download(store, store.locate(f"runs:/{run_id}/{path}")),
    ):
        pass


def test_an_empty_directory_is_no_artifact(lab: Lab, store: ArtifactStore) -> None:
    """A directory without a file is what some MLflow versions answer for an artifact that is gone."""
    run_id = lab.run({"bundle/model.pkl": b"bytes"})
    lab.artifact(run_id, "bundle/model.pkl").unlink()
    with (
        pytest.raises(ArtifactNotFound, match="empty"),
        download(store, store.locate(f"runs:/{run_id}/bundle")),
    ):
        pass


@pytest.mark.parametrize(
    ("path", "kind"),
    [("model.pkl", "file"), ("bundle", "directory"), ("bundle/code", "directory"), ("bundle/code/one.py", "file"),
     ("gone", None), ("bundle/gone", None), ("gone/gone", None), ("model", None)],
)  # fmt: skip
def test_the_kind_of_an_artifact(path: str, kind: str | None, lab: Lab, store: ArtifactStore) -> None:
    """A path below a run's artifacts is a file, a directory or nothing."""
    run_id = lab.run({"model.pkl": b"bytes", "bundle/code/one.py": b"1"})
    assert store.kind(store.locate(f"runs:/{run_id}/").rstrip("/"), path) == kind


def test_a_run_uri_is_the_run_s_own_place(lab: Lab, store: ArtifactStore) -> None:
    """``runs:/`` is read as the run's artifact URI, which needs no process-wide setting."""
    run_id = lab.run({"model.pkl": b"bytes"})
    assert store.locate(f"runs:/{run_id}/a/b") == f"{lab.client.get_run(run_id).info.artifact_uri}/a/b"


@pytest.mark.parametrize("uri", ["file:///x/y", "s3://bucket/key", "/x/y"])
def test_other_uris_stay_as_they_are(uri: str, store: ArtifactStore) -> None:
    """A place that can be read as it is needs no other name."""
    assert store.locate(uri) == uri


@pytest.mark.parametrize("run_id", ["0" * 32, "nonsense", "", "../x"])
def test_a_run_that_does_not_exist(run_id: str, store: ArtifactStore) -> None:
    """An unknown run, and an id that can be none, are ``ArtifactNotFound``."""
    with pytest.raises(ArtifactNotFound):
        store.run(run_id)


def test_a_logged_model_that_does_not_exist(store: ArtifactStore) -> None:
    """An unknown logged model is ``ArtifactNotFound``, also where MLflow knows no logged models at all."""
    with pytest.raises(ArtifactNotFound, match="m-0000"):
        store.logged_model("m-" + "0" * 32)


def test_loading_checks_the_bytes_first(lab: Lab, name: str) -> None:
    """Bytes that changed since they were registered are never unpickled."""
    witness = lab.file.parent / f"{name}-was-here"
    model = lab.model(name)
    model.promote(1)
    version = model.version(1)
    assert version.run_id is not None
    bomb = f"(S'open({str(witness)!r}, \"w\")'\ni__builtin__\neval\n.".encode()
    lab.artifact(version.run_id, "bundle/model.pkl").write_bytes(bomb)
    with pytest.raises(IntegrityError):
        model.load_production()
    assert not witness.exists()
    with quiet():
        pickle.loads(bomb).close()
    assert witness.exists()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A directory with one file."""
    directory = tmp_path / "bundle"
    directory.mkdir()
    (directory / "newsreco.pkl").write_bytes(b"one")
    return directory


def test_a_digest_begun_before_is_the_digest(bundle: Path) -> None:
    """What was computed while the caller waited is what would be computed now."""
    assert DigestAhead(lambda: bundle).examine(bundle).sha256 == sha256_of(bundle)


def test_a_digest_begun_before_is_computed_once(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later call does not read the bytes again."""
    ahead = DigestAhead(lambda: bundle)
    digest = ahead.examine(bundle).sha256
    monkeypatch.setattr(artifacts, "examine", None)
    assert ahead.examine(bundle).sha256 == digest


def test_a_digest_begun_before_is_of_no_other_artifact(bundle: Path, tmp_path: Path) -> None:
    """Another artifact, or another one in its place, is digested itself."""
    ahead = DigestAhead(lambda: bundle)
    other = tmp_path / "other.pkl"
    other.write_bytes(b"two")
    assert ahead.examine(other).sha256 == sha256_of(other) != ahead.examine(bundle).sha256
    bundle.rename(tmp_path / "before")
    bundle.mkdir()
    (bundle / "newsreco.pkl").write_bytes(b"three")
    assert ahead.examine(bundle).sha256 == sha256_of(bundle) != sha256_of(tmp_path / "before")


def test_a_digest_begun_of_nothing_is_the_error_of_who_asks(tmp_path: Path) -> None:
    """A missing artifact is an error only once its digest is needed."""
    ahead = DigestAhead(lambda: tmp_path / "gone")
    with pytest.raises(ArtifactNotFound):
        ahead.examine(tmp_path / "gone")


def test_a_digest_begun_where_nothing_is_known_is_computed_when_it_is_asked_for(bundle: Path) -> None:
    """Without a guess nothing is digested beforehand."""
    assert DigestAhead(lambda: None).examine(bundle).sha256 == sha256_of(bundle)


def test_a_digest_of_another_artifact_is_not_waited_for(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong guess costs nothing, however long its digest takes."""
    guessed, waiting, examine = tmp_path / "guessed", threading.Event(), artifacts.examine

    def slow(path: Path, *, keep: bool = False) -> artifacts.Examined:
        if path == guessed:
            waiting.wait(30)
        return examine(path, keep=keep)

    monkeypatch.setattr(artifacts, "examine", slow)
    ahead = DigestAhead(lambda: guessed)
    try:
        with ThreadPoolExecutor(1) as asking:
            asked = asking.submit(ahead.examine, bundle)
            assert asked.result(20).sha256 == examine(bundle).sha256
    finally:
        waiting.set()

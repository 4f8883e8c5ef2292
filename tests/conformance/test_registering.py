"""Registering: from a run's artifact to a version."""

from __future__ import annotations

import hashlib
import pickle
import platform
import sqlite3
import uuid
from importlib import metadata
from pathlib import Path

import mlflow
import pytest

import prodpointer
from prodpointer import ArtifactNotFound, InvalidName, RegistryUnsupported
from tests.conformance.conftest import RELEASE, Connect, Registry


def test_the_first_registration_creates_the_model(fresh: Connect, registry: Registry) -> None:
    """Registering in a model that does not exist creates it, with version 1."""
    model = fresh()
    assert model.register(registry.runs[0], "bundle") == 1
    assert model.name in registry.names()


def test_each_registration_creates_a_version(fresh: Connect, registry: Registry) -> None:
    """Registering in a model that exists adds the next version, of the same run too."""
    model = fresh(1)
    assert [model.register(registry.runs[0], "bundle") for _ in range(2)] == [2, 3]


@pytest.mark.parametrize("artifact", ["bundle", "bundle/", "bundle/newsreco.pkl", "newsreco.pkl", "./newsreco.pkl"])
def test_a_file_and_a_directory_load_unchanged(fresh: Connect, registry: Registry, artifact: str) -> None:
    """A pickled file, alone or in a directory, loads as the object that was logged."""
    model = fresh()
    model.promote(model.register(registry.runs[1], artifact))
    assert model.load_production() == {"recommender": "r2", "ranker": 2}


def test_plain_mlflow_can_download_a_registered_directory(
    fresh: Connect, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory registered here is what plain MLflow downloads by the version's URI."""
    model = fresh()
    model.register(registry.runs[0], "bundle")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.uri)
    found = Path(mlflow.artifacts.download_artifacts(f"models:/{model.name}/1"))
    assert pickle.loads((found / "newsreco.pkl").read_bytes()) == {"recommender": "r1", "ranker": 1}


def test_the_source_is_the_runs_artifact_itself(fresh: Connect, registry: Registry) -> None:
    """The source is the run's artifact URI and the path, with the run's id: which most combinations can read."""
    model = fresh()
    model.register(registry.runs[0], "bundle")
    version = registry.plain.get_model_version(model.name, "1")
    assert version.source == f"{registry.plain.get_run(registry.runs[0]).info.artifact_uri}/bundle"
    assert version.run_id == registry.runs[0]


def test_the_digest_of_a_file_is_its_sha256(fresh: Connect, registry: Registry) -> None:
    """A single file's recorded digest is what any tool computes for its bytes."""
    content = pickle.dumps(["anything", 1])
    model = fresh()
    model.register(registry.run_with({"model.pkl": content}), "model.pkl")
    assert model.version(1).sha256 == hashlib.sha256(content).hexdigest()


def test_the_digest_of_a_directory_is_that_of_its_manifest(fresh: Connect, registry: Registry) -> None:
    """A directory's recorded digest is the SHA-256 of its lines of digest and path."""
    files = {"kept/b/two.bin": b"2", "kept/a.bin": b"1"}
    model = fresh()
    model.register(registry.run_with(files), "kept")
    lines = "".join(
        f"{hashlib.sha256(body).hexdigest()}  {path}\n" for body, path in ((b"1", "a.bin"), (b"2", "b/two.bin"))
    )
    assert model.version(1).sha256 == hashlib.sha256(lines.encode()).hexdigest()


def test_a_local_copy_gives_the_same_digest(fresh: Connect, registry: Registry, tmp_path: Path) -> None:
    """The digest of a local copy is the one a download would give."""
    content = pickle.dumps("local")
    copy = tmp_path / "model.pkl"
    copy.write_bytes(content)
    model = fresh()
    run_id = registry.run_with({"model.pkl": content})
    model.register(run_id, "model.pkl", local_path=copy)
    model.register(run_id, "model.pkl")
    assert model.version(1).sha256 == model.version(2).sha256


def test_a_local_copy_of_another_kind_is_refused(fresh: Connect, registry: Registry, tmp_path: Path) -> None:
    """A directory is no copy of a file: InvalidName, and no model is made."""
    model = fresh()
    with pytest.raises(InvalidName, match="artifact is a file"):
        model.register(registry.runs[0], "newsreco.pkl", local_path=tmp_path)
    assert model.name not in registry.names()


def test_no_digest_is_recorded_on_request(fresh: Connect, registry: Registry) -> None:
    """``digest=False`` records none."""
    model = fresh()
    model.register(registry.runs[0], "bundle", digest=False)
    assert model.version(1).sha256 is None


def test_a_version_records_its_origin(fresh: Connect, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tags hold the caller's own, the owner, and the Python, MLflow and library versions."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "carol")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "unused-by-this-server")
    model = fresh()
    model.register(registry.runs[0], "bundle", tags={"dataset": "clicks-2026-11"})
    version = model.version(1)
    assert version.run_id == registry.runs[0]
    assert version.tags["dataset"] == "clicks-2026-11"
    assert version.tags["prodpointer.owner"] == "carol"
    assert version.tags["prodpointer.python"] == platform.python_version()
    assert version.tags["prodpointer.mlflow"] == mlflow.__version__
    assert f"cloudpickle=={metadata.version('cloudpickle')}" in version.tags["prodpointer.libraries"].split()


def test_the_commit_is_the_runs_own(fresh: Connect, registry: Registry) -> None:
    """The commit that the run recorded is the version's."""
    run_id = registry.run_with({"model.pkl": pickle.dumps(1)})
    registry.plain.set_tag(run_id, "mlflow.source.git.commit", "c0ffee")
    model = fresh()
    model.register(run_id, "model.pkl")
    assert model.version(1).tags["prodpointer.git_commit"] == "c0ffee"


def test_the_commit_is_else_the_one_given(fresh: Connect, registry: Registry) -> None:
    """For a run without a commit it is the caller's, and none where none was given."""
    model = fresh()
    for commit in ("c0ffee", None):
        model.register(registry.runs[0], "bundle", git_commit=commit)
    assert [model.version(number).tags.get("prodpointer.git_commit") for number in (1, 2)] == ["c0ffee", None]


def log_dataset(registry: Registry, run_id: str) -> str | None:
    """Log a dataset as an input of a run and return its name and digest; None before 2.4.0, which knows none."""
    if not hasattr(registry.plain, "log_inputs"):
        return None
    from mlflow.entities import Dataset, DatasetInput

    registry.plain.log_inputs(run_id, [DatasetInput(Dataset("clicks", "1a2b3c4d", "local", "{}"), [])])
    return "clicks:1a2b3c4d"


def test_the_datasets_are_the_runs_own(fresh: Connect, registry: Registry) -> None:
    """The datasets that the run logged stand in the version's tags, with their digests."""
    run_id = registry.run_with({"model.pkl": pickle.dumps(1)})
    logged = log_dataset(registry, run_id)
    model = fresh()
    model.register(run_id, "model.pkl")
    assert model.version(1).tags.get("prodpointer.datasets") == logged


def test_a_missing_run_creates_nothing(fresh: Connect, registry: Registry) -> None:
    """An unknown run raises ArtifactNotFound, and no model is made."""
    model = fresh()
    for run_id in ("0" * 32, "no-such-run", "../.."):
        with pytest.raises(ArtifactNotFound, match="run"):
            model.register(run_id, "bundle")
    assert model.name not in registry.names()


def test_a_missing_artifact_creates_nothing(fresh: Connect, registry: Registry) -> None:
    """An unknown artifact, or a path that leads out of the run, raises ArtifactNotFound, and no model is made."""
    model = fresh()
    for artifact in (
        "no-such",
        "bundle/no-such.pkl",
        "bundle2",
        "",
        ".",
        "..",
        "../bundle",
        "/bundle",
        "s3://b/bundle",
    ):
        with pytest.raises(ArtifactNotFound):
            model.register(registry.runs[0], artifact)
    assert model.name not in registry.names()


def test_a_missing_store_library_is_reported(fresh: Connect, registry: Registry) -> None:
    """Artifacts on gs:// without its library: RegistryUnsupported names what to install, and no model is made."""
    experiment = registry.plain.create_experiment(f"gs-{uuid.uuid4().hex}", artifact_location="gs://bucket/news")
    run_id = registry.plain.create_run(experiment).info.run_id
    model = fresh()
    with pytest.raises(RegistryUnsupported, match=r"library is missing.*google"):
        model.register(run_id, "bundle")
    assert model.name not in registry.names()


def test_an_invalid_path_creates_nothing(fresh: Connect, registry: Registry) -> None:
    """A path with '#', '?' or '%20' raises InvalidName rather than being lost on the way, and no model is made."""
    model = fresh()
    for artifact in ("a#b.pkl", "a?b.pkl", "a%20b.pkl"):
        with pytest.raises(InvalidName, match="URI"):
            model.register(registry.runs[0], artifact)
    assert model.name not in registry.names()


def test_an_invalid_digest_or_tag_creates_nothing(fresh: Connect, registry: Registry) -> None:
    """A wrong digest or a reserved tag raises InvalidName, and no model is made."""
    model = fresh()
    for options in ({"sha256": "abc"}, {"tags": {"": "x"}}, {"tags": {"prodpointer.sha256": "x"}}):
        with pytest.raises(InvalidName):
            model.register(registry.runs[0], "bundle", **options)
    assert model.name not in registry.names()


def test_a_model_name_that_new_mlflow_cannot_read_is_refused(registry: Registry, forgetful: None) -> None:
    """A name with '/' or ':' raises InvalidName on every MLflow, since 3.11.1 and later cannot read such a model."""
    for name in ("news/reco", "news:reco"):
        with pytest.raises(InvalidName, match="'/' or ':'"):
            prodpointer.connect(name, tracking_uri=registry.uri).register(registry.runs[0], "bundle")
        assert name not in registry.names()


def test_an_existing_model_with_such_a_name_still_works(registry: Registry, forgetful: None) -> None:
    """A model that an older MLflow made with '/' in its name gets new versions as long as its registry can read it."""
    name = f"team/{uuid.uuid4().hex[:8]}"
    with sqlite3.connect(registry.database, timeout=20) as database:
        database.execute("INSERT INTO registered_models (name, creation_time) VALUES (?, 1)", (name,))
    database.close()
    model = prodpointer.connect(name, tracking_uri=registry.uri)
    if RELEASE >= (3, 11, 1):
        with pytest.raises(InvalidName):
            model.register(registry.runs[0], "bundle")
        return
    model.promote(model.register(registry.runs[0], "bundle"))
    assert model.load_production() == {"recommender": "r1", "ranker": 1}


@pytest.mark.parametrize("name", ["news reco", "наука", "news.reco@team", "100%", "it's", 'say "news"', "a&b=c?d#e"])
def test_an_odd_name_works_throughout(registry: Registry, forgetful: None, name: str) -> None:
    """A name that every MLflow takes can be registered, promoted, loaded and withdrawn."""
    model = prodpointer.connect(name, tracking_uri=registry.uri)
    version = model.register(registry.runs[0], "bundle", sha256=registry.digests[0])
    model.promote(version)
    assert model.load_production() == {"recommender": "r1", "ranker": 1}
    assert model.status().live == version
    model.withdraw()
    assert model.production() is None


def test_a_retried_registration_creates_no_second_version(fresh: Connect, registry: Registry) -> None:
    """With ``if_exists="reuse"`` the same artifact of the same run is the version that it is already."""
    model = fresh()
    first = [model.register(registry.runs[0], path, if_exists="reuse") for path in ("bundle", "newsreco.pkl")]
    assert [model.register(registry.runs[0], path, if_exists="reuse") for path in ("bundle", "newsreco.pkl")] == first
    assert model.register(registry.runs[1], "bundle", if_exists="reuse") == 3
    assert model.register(registry.runs[0], "bundle") == 4

"""The source and tags of a new version, and what is refused before anything is created."""

from __future__ import annotations

import getpass
import hashlib
import os
import pickle
import platform
import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest
from packaging.version import Version
from sklearn.linear_model import LogisticRegression

import prodpointer
from prodpointer._identity import acting_user
from prodpointer.artifacts.digest import sha256_of
from prodpointer.artifacts.register import callers_tags
from prodpointer.errors import ArtifactNotFound, InvalidName, ModelNotFound
from tests.integration.conftest import IS_THREE, MLFLOW, Lab, quiet

CONTENT = pickle.dumps({"n": 1})
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def exists(lab: Lab, name: str) -> bool:
    """Tell whether a registered model of that name is there."""
    try:
        prodpointer.connect(name, tracking_uri=lab.uri).status()
    except ModelNotFound:
        return False
    return True


def test_the_first_version_is_one(lab: Lab, name: str) -> None:
    """Registering makes the registered model and gives the number of the version, an int."""
    number = lab.model(name, 0).register(lab.run({"model.pkl": CONTENT}), "model.pkl")
    assert (number, type(number)) == (1, int)


def test_the_next_version_is_two(lab: Lab, name: str) -> None:
    """A registered model that exists gets another version."""
    assert lab.model(name).register(lab.run({"model.pkl": CONTENT}), "model.pkl") == 2


def test_registering_puts_nothing_live(lab: Lab, name: str) -> None:
    """A new version is not live, whatever its number."""
    assert lab.model(name).live_version() is None


@pytest.mark.parametrize(
    "artifact", ["model.pkl", "bundle", "bundle/model.pkl", "./bundle/", "bundle//model.pkl", "a/../bundle"]
)
def test_the_source_is_the_run_s_own_uri(artifact: str, lab: Lab, name: str) -> None:
    """The source is the run's artifact URI and the normal path, with the run's id beside it."""
    run_id = lab.run({"model.pkl": CONTENT, "bundle/model.pkl": CONTENT})
    model = lab.model(name, 0)
    version = model.version(model.register(run_id, artifact))
    path = {"./bundle/": "bundle", "bundle//model.pkl": "bundle/model.pkl", "a/../bundle": "bundle"}.get(
        artifact, artifact
    )
    assert version.source == f"{lab.client.get_run(run_id).info.artifact_uri}/{path}"
    assert version.run_id == run_id


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make a second registry, which has no runs."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('elsewhere').as_posix()}/registry.db"
    with quiet():
        prodpointer.connect("any", tracking_uri=uri)
    return uri


def test_runs_elsewhere_are_named_by_their_id(lab: Lab, name: str, elsewhere: str) -> None:
    """Where runs and registry are apart, the source is ``runs:/``, which the registry need not reach."""
    run_id = lab.run({"model.pkl": CONTENT})
    model = prodpointer.connect(name, tracking_uri=lab.uri, registry_uri=elsewhere)
    model.register(run_id, "model.pkl")
    assert model.version(1).source == f"runs:/{run_id}/model.pkl"


def test_runs_elsewhere_are_loaded(lab: Lab, name: str, elsewhere: str) -> None:
    """Where runs and registry are apart, what is live loads from where the runs are."""
    model = prodpointer.connect(name, tracking_uri=lab.uri, registry_uri=elsewhere)
    model.register(lab.run({"model.pkl": CONTENT}), "model.pkl")
    model.promote(1)
    assert model.load_production() == {"n": 1}


@pytest.mark.parametrize(
    "artifact",
    [
        "gone.pkl",
        "bundle/gone.pkl",
        "gone/gone.pkl",
        "model",
        "it's.pkl",
        'a"b.pkl',
        "a`b.pkl",
        "100%.pkl",
        "models:/other/1",
        "runs:/x/y",
    ],
)
def test_an_artifact_the_run_does_not_have_creates_nothing(artifact: str, lab: Lab, name: str) -> None:
    """A missing artifact is ``ArtifactNotFound`` with its name, and no registered model appears."""
    run_id = lab.run({"model.pkl": CONTENT, "bundle/model.pkl": CONTENT})
    with pytest.raises(ArtifactNotFound):
        lab.model(name, 0).register(run_id, artifact)
    assert not exists(lab, name)


@pytest.mark.parametrize("artifact", ["it's.pkl", "a b.pkl", "100%.pkl", "\u00fcn\u00ef.pkl", "a+b.pkl", "..a.pkl"])
def test_an_artifact_may_have_an_unusual_name(artifact: str, lab: Lab, name: str) -> None:
    """A file that is there is registered and loaded under the name it has."""
    model = lab.model(name, 0)
    model.promote(model.register(lab.run({artifact: CONTENT}), artifact))
    assert model.load_production() == {"n": 1}


@pytest.mark.parametrize(
    "artifact", ["", ".", "/", "..", "../x", "/etc/passwd", "a/../../x", "file:///etc/passwd", "s3://b/k"]
)
def test_a_path_that_leads_out_of_the_run_is_refused(artifact: str, lab: Lab, name: str) -> None:
    """Only a path below the run's artifacts is an artifact of the run."""
    with pytest.raises(ArtifactNotFound, match="Invalid artifact path"):
        lab.model(name, 0).register(lab.run({"model.pkl": CONTENT}), artifact)
    assert not exists(lab, name)


@pytest.mark.parametrize("run_id", ["0" * 32, "nonsense", ""])
def test_a_run_that_does_not_exist_creates_nothing(run_id: str, lab: Lab, name: str) -> None:
    """An unknown run is ``ArtifactNotFound``, and no registered model appears."""
    with pytest.raises(ArtifactNotFound):
        lab.model(name, 0).register(run_id, "model.pkl")
    assert not exists(lab, name)


@pytest.mark.parametrize("bad", ["a/b", "a:b"])
def test_a_name_newer_mlflow_cannot_read_creates_nothing(bad: str, lab: Lab, name: str) -> None:
    """A new model never gets a name with a slash or a colon."""
    run_id = lab.run({"model.pkl": CONTENT})
    with pytest.raises(InvalidName, match="'/' or ':'"):
        prodpointer.connect(f"{name}{bad}", tracking_uri=lab.uri).register(run_id, "model.pkl")


def test_a_name_that_no_search_can_hold_creates_nothing(lab: Lab, name: str) -> None:
    """MLflow's searches quote a name, so one with both kinds of quotes could never be read again."""
    run_id = lab.run({"model.pkl": CONTENT})
    with pytest.raises(InvalidName, match="quotes"):
        lab.model(f"{name}'\"", 0).register(run_id, "model.pkl")


@pytest.mark.parametrize("suffix", ["'", '"', "`", "%", "_", " ", ".", "\u00fc"])
def test_a_model_may_have_an_unusual_name(suffix: str, lab: Lab, name: str) -> None:
    """Any name that MLflow takes goes round the whole loop."""
    model = lab.model(f"{name}{suffix}x")
    model.promote(1)
    assert (model.status().live, model.load_production()) == (1, {"n": 1})


def test_the_digest_is_that_of_the_file(lab: Lab, name: str) -> None:
    """A file's recorded digest is its SHA-256."""
    model = lab.model(name, 0)
    model.register(lab.run({"model.pkl": CONTENT}), "model.pkl")
    assert model.version(1).sha256 == DIGEST


def test_the_digest_is_that_of_the_directory(lab: Lab, name: str) -> None:
    """A directory's recorded digest is that of its manifest."""
    run_id = lab.run({"bundle/model.pkl": CONTENT, "bundle/more.txt": b""})
    model = lab.model(name, 0)
    model.register(run_id, "bundle")
    assert model.version(1).sha256 == sha256_of(lab.artifact(run_id, "bundle"))


@pytest.mark.parametrize("given", [DIGEST, DIGEST.upper(), f" {DIGEST}\n"], ids=["lower", "upper", "blanks"])
def test_a_digest_that_was_given_is_recorded(given: str, lab: Lab, name: str) -> None:
    """A given digest is recorded in lower case, without a download."""
    model = lab.model(name, 0)
    model.register(lab.run({"model.pkl": CONTENT}), "model.pkl", sha256=given)
    assert model.version(1).sha256 == DIGEST


@pytest.mark.parametrize("given", ["", "abc", "g" * 64, DIGEST[:-1], DIGEST + "0", "sha256:" + DIGEST])
def test_what_is_no_digest_creates_nothing(given: str, lab: Lab, name: str) -> None:
    """A digest of another form is ``InvalidName``, and no registered model appears."""
    with pytest.raises(InvalidName, match="Invalid SHA-256"):
        lab.model(name, 0).register(lab.run({"model.pkl": CONTENT}), "model.pkl", sha256=given)
    assert not exists(lab, name)


def test_a_digest_may_be_taken_from_a_local_copy(lab: Lab, name: str, tmp_path: Path) -> None:
    """A local copy saves the download."""
    (tmp_path / "copy.pkl").write_bytes(b"other")
    model = lab.model(name, 0)
    model.register(lab.run({"model.pkl": CONTENT}), "model.pkl", local_path=tmp_path / "copy.pkl")
    assert model.version(1).sha256 == hashlib.sha256(b"other").hexdigest()


def test_a_local_copy_that_is_missing_creates_nothing(lab: Lab, name: str, tmp_path: Path) -> None:
    """A wrong path is ``ArtifactNotFound``, and no registered model appears."""
    with pytest.raises(ArtifactNotFound, match=r"gone\.pkl"):
        lab.model(name, 0).register(lab.run({"model.pkl": CONTENT}), "model.pkl", local_path=str(tmp_path / "gone.pkl"))
    assert not exists(lab, name)


def test_a_digest_may_be_left_out(lab: Lab, name: str) -> None:
    """With ``digest=False`` none is recorded."""
    model = lab.model(name, 0)
    model.register(lab.run({"model.pkl": CONTENT}), "model.pkl", digest=False)
    assert model.version(1).sha256 is None


def test_the_caller_s_tags_are_kept_as_text(lab: Lab, name: str) -> None:
    """Tags of the caller's are there beside the library's own, numbers as text."""
    tags: dict[str, Any] = {"dataset": "clicks", "rows": 3, "empty": ""}
    model = lab.model(name, 0)
    model.register(lab.run({"model.pkl": CONTENT}), "model.pkl", tags=tags)
    assert {key: model.version(1).tags[key] for key in tags} == {"dataset": "clicks", "rows": "3", "empty": ""}


@pytest.mark.parametrize("tags", [{"prodpointer.sha256": "0"}, {"prodpointer.x": "1"}, {"": "x"}, {" ": "x"}], ids=str)
def test_a_tag_the_library_keeps_for_itself_is_refused(tags: Mapping[str, str]) -> None:
    """Keys of this library's and blank ones are no tags of the caller's."""
    with pytest.raises(InvalidName, match="Invalid tag"):
        callers_tags(tags)


@pytest.mark.parametrize(
    "tags", [{"bad!key": "x"}, {"k" * 300: "x"}, {"k": "x" * 200_000}], ids=["character", "long key", "long value"]
)
def test_a_tag_that_no_registry_can_hold_creates_nothing(tags: dict[str, str], lab: Lab, name: str) -> None:
    """A key or value that MLflow refuses is ``InvalidName``, and no registered model appears."""
    with pytest.raises(InvalidName):
        lab.model(name, 0).register(lab.run({"model.pkl": CONTENT}), "model.pkl", tags=tags)
    assert not exists(lab, name)


def test_every_version_says_with_what_it_was_made(lab: Lab, name: str) -> None:
    """Python, MLflow and the libraries are tags."""
    tags = lab.model(name).version(1).tags
    assert tags["prodpointer.python"] == platform.python_version()
    assert tags["prodpointer.mlflow"] == mlflow.__version__
    assert "scikit-learn==" in tags["prodpointer.libraries"]


def test_every_version_says_who_registered_it(lab: Lab, name: str) -> None:
    """The owner is a tag: who is named, else who acts."""
    model = lab.model(name)
    model.register(lab.run({"model.pkl": CONTENT}), "model.pkl", by="ada")
    owners = [model.version(number).tags["prodpointer.owner"] for number in (1, 2)]
    assert owners == [acting_user(), "ada"]


def test_the_commit_of_the_run_is_a_tag(lab: Lab, name: str) -> None:
    """The commit that the run recorded counts."""
    run_id = lab.run({"model.pkl": CONTENT})
    lab.client.set_tag(run_id, "mlflow.source.git.commit", "c0ffee")
    model = lab.model(name, 0)
    model.register(run_id, "model.pkl")
    assert model.version(1).tags["prodpointer.git_commit"] == "c0ffee"


def test_the_commit_checked_out_is_not_the_run_s(
    lab: Lab, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the registration runs says nothing of the code that trained: no commit is made up."""
    identity = ["-c", "user.name=x", "-c", "user.email=x@y"]
    for command in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    assert "prodpointer.git_commit" not in lab.model(name).version(1).tags


def test_a_commit_that_was_given_is_a_tag(lab: Lab, name: str) -> None:
    """Who knows the commit names it, also where the run recorded another one."""
    run_id = lab.run({"model.pkl": CONTENT})
    lab.client.set_tag(run_id, "mlflow.source.git.commit", "0000000")
    model = lab.model(name, 0)
    model.register(run_id, "model.pkl", git_commit="c0ffee")
    assert model.version(1).tags["prodpointer.git_commit"] == "c0ffee"


@pytest.mark.parametrize("commit", ["", " ", "c0ffee\n", "\x1b[31m", "-x", "x" * 300])
def test_what_is_no_commit_creates_nothing(commit: str, lab: Lab, name: str) -> None:
    """A commit of another form is refused before anything is made."""
    with pytest.raises(InvalidName, match="Invalid commit"):
        lab.model(name, 0).register(lab.run({"model.pkl": CONTENT}), "model.pkl", git_commit=commit)
    assert not exists(lab, name)


def test_a_version_that_is_not_ready_is_not_reused(lab: Lab, name: str) -> None:
    """A registration that failed is tried again as a new version."""
    run_id = lab.run({"model.pkl": CONTENT})
    model = lab.model(name, 0)
    for expected in (1, 1):
        assert model.register(run_id, "model.pkl", if_exists="reuse") == expected
    with closing(sqlite3.connect(lab.file)) as database, database:
        database.execute("UPDATE model_versions SET status = 'FAILED_REGISTRATION' WHERE name = ?", (name,))
    assert [model.register(run_id, "model.pkl", if_exists="reuse") for _ in range(2)] == [2, 2]


def test_a_version_that_is_reused_gets_the_tags_given(lab: Lab, name: str) -> None:
    """What the caller says of it now is added, and nothing else is changed."""
    run_id = lab.run({"model.pkl": CONTENT})
    model = lab.model(name, 0)
    model.register(run_id, "model.pkl", tags={"dataset": "one", "kept": "yes"}, by="ada")
    before = model.version(1).tags
    model.register(
        run_id, "model.pkl", tags={"dataset": "two", "more": "1"}, git_commit="c0ffee", by="bob", if_exists="reuse"
    )
    added = {"dataset": "two", "more": "1", "prodpointer.git_commit": "c0ffee"}
    assert model.version(1).tags == {**before, **added}


def test_the_datasets_of_the_run_are_a_tag(lab: Lab, name: str) -> None:
    """Each logged dataset is named with its digest, from MLflow 2.4 on; before, runs have none."""
    run_id = lab.run({"model.pkl": CONTENT})
    model = lab.model(name, 0)
    if Version("2.4") > MLFLOW:
        expected = None
    else:
        from mlflow.entities import Dataset, DatasetInput

        dataset = Dataset(name="clicks", digest="abc123", source_type="local", source="x")
        lab.client.log_inputs(run_id, [DatasetInput(dataset=dataset, tags=[])])
        expected = "clicks:abc123"
    model.register(run_id, "model.pkl")
    assert model.version(1).tags.get("prodpointer.datasets") == expected


def test_who_acts_is_mlflow_s_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """``MLFLOW_TRACKING_USERNAME`` names who acts."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    assert acting_user() == "ada"


def test_who_acts_is_else_the_system_s_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without MLflow's user the operating system's counts."""
    monkeypatch.setenv("LOGNAME", "grace")
    assert acting_user() == getpass.getuser() == "grace"


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may run under a number that has no name."""
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 987_654)
    assert acting_user() == "uid-987654"


@pytest.mark.parametrize("error", [KeyError, ImportError, OSError])
def test_a_system_that_knows_no_user_has_a_fixed_one(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    """Python says it with a KeyError or, on Windows, an ImportError, and from 3.13 on with an OSError."""

    def unknown() -> str:
        raise error("no user")

    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    monkeypatch.setattr(getpass, "getuser", unknown)
    monkeypatch.delattr(os, "getuid")
    assert acting_user() == "unknown"


@dataclass(frozen=True)
class Logged:
    """A classifier logged with its flavor: the run, and on MLflow 3 the id of the logged model."""

    run_id: str
    model_id: str


@pytest.fixture(scope="module")
def logged(lab: Lab) -> Logged:
    """Log a classifier as MLflow itself does, under ``classifier``; on MLflow 2 the id is one that is not there."""
    with pytest.MonkeyPatch.context() as patch, quiet():
        patch.setenv("MLFLOW_TRACKING_URI", lab.uri)
        with mlflow.start_run(experiment_id=lab.experiment) as run:
            info = mlflow.sklearn.log_model(
                LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]),
                "classifier",
                serialization_format="cloudpickle",
            )
    return Logged(run.info.run_id, getattr(info, "model_id", None) or "m-" + "0" * 32)


def location_of(lab: Lab, logged: Logged) -> str:
    """Return where a logged model is: what a database is told, which would look its id up in another registry."""
    return str(lab.client.get_logged_model(logged.model_id).artifact_location)


def test_a_model_logged_with_a_flavor_is_registered_by_its_name(lab: Lab, name: str, logged: Logged) -> None:
    """The source is the run's directory on MLflow 2 and the logged model on MLflow 3, which keeps it beside the run."""
    model = lab.model(name, 0)
    model.register(logged.run_id, "classifier")
    in_run = f"{lab.client.get_run(logged.run_id).info.artifact_uri}/classifier"
    assert model.version(1).source == (location_of(lab, logged) if IS_THREE else in_run)


def test_a_model_logged_with_a_flavor_is_loaded(lab: Lab, name: str, logged: Logged) -> None:
    """What was logged as a model is what loads, its digest checked."""
    model = lab.model(name, 0)
    model.promote(model.register(logged.run_id, "classifier"))
    with quiet():
        loaded = model.load_production(flavor="sklearn")
    assert model.version(1).sha256
    assert list(loaded.predict([[0.0], [3.0]])) == [0, 1]


def test_a_logged_model_is_registered_by_its_id(lab: Lab, name: str, logged: Logged) -> None:
    """``models:/m-…`` is a source on MLflow 3; MLflow 2 has no such thing, and the error says so."""
    model = lab.model(name, 0)
    if IS_THREE:
        model.register(logged.run_id, f"models:/{logged.model_id}")
        assert model.version(1).source == location_of(lab, logged)
    else:
        with pytest.raises(ArtifactNotFound, match="need MLflow 3"):
            model.register(logged.run_id, f"models:/{logged.model_id}")


def test_a_logged_model_of_another_run_creates_nothing(lab: Lab, name: str, logged: Logged) -> None:
    """A logged model counts only with the run that logged it."""
    other = lab.run({"model.pkl": CONTENT})
    with pytest.raises(ArtifactNotFound, match=logged.model_id):
        lab.model(name, 0).register(other, f"models:/{logged.model_id}")
    assert not exists(lab, name)


def test_a_logged_model_that_does_not_exist_creates_nothing(lab: Lab, name: str) -> None:
    """An unknown id is ``ArtifactNotFound`` on every MLflow."""
    with pytest.raises(ArtifactNotFound, match="m-0000"):
        lab.model(name, 0).register(lab.run({"model.pkl": CONTENT}), "models:/m-" + "0" * 32)
    assert not exists(lab, name)

"""Handles and values in other processes: a model is pickled by what ``connect`` was given, a follower is not."""

from __future__ import annotations

import copy
import multiprocessing
import operator
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import prodpointer
from prodpointer import GateFailed
from tests.integration.conftest import Lab
from tests.integration.stub import registry, stub

SECRET = "s3cr3t-p4ss"

there_and_back = pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["copy", "deep", "pickle"]
)


@there_and_back
def test_a_copy_does_what_the_model_does(lab: Lab, name: str, again: Callable[[Any], Any]) -> None:
    """A copy reads, loads and moves the same pointer of the same model."""
    model = lab.model(name, 2, alias="Champion")
    model.promote(1)
    other = again(model)
    assert other.load_production() == {"n": 1}
    other.promote(2)
    assert model.live_version() == 2
    assert repr(other) == repr(model)


def test_a_model_is_the_argument_of_a_process_pool(lab: Lab, name: str) -> None:
    """A worker that was spawned loads with a handle; values and errors come back whole, fields and all."""
    model = lab.model(name, 2)
    model.promote(1, reason="first")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(operator.methodcaller("load_production"), model).result(60) == {"n": 1}
        assert pool.submit(operator.methodcaller("history"), model).result(60) == model.history()
        assert pool.submit(operator.methodcaller("production"), model).result(60) == model.production()
        refused = pool.submit(operator.methodcaller("promote", 2, gates=["auc >= 1"]), model).exception(60)
    assert isinstance(refused, GateFailed)
    assert [verdict.metric for verdict in refused.verdicts] == ["auc"]
    with pytest.raises(GateFailed) as here:
        model.promote(2, gates=["auc >= 1"])
    assert vars(here.value) == vars(refused)


def test_what_was_bound_stays_bound(lab: Lab, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Registry, pointer, alias, stages, hosts and timeout come from the handle, and not from the other process."""
    options: dict[str, Any] = {
        "pointer": "both",
        "alias": "Champion",
        "stages": {"champion": "Staging"},
        "timeout": 7.5,
        "cache_dir": tmp_path / "cache",
        "allowed_hosts": ["files:5000"],
    }
    model = lab.model(name, **options)
    text = pickle.dumps(model)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///another.db")
    monkeypatch.setenv("PRODPOINTER_POINTER", "stage")
    other = pickle.loads(text)
    assert other.promote(1).pointers == ("alias", "stage")
    assert other.load_production() == {"n": 1}
    assert model.status().in_stage == (1,)
    assert list(lab.client.get_registered_model(name).aliases) == ["Champion"]
    assert (tmp_path / "cache" / "v1").is_dir()
    assert pickle.dumps(other) == text


def test_a_relative_file_is_the_same_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in another directory opens the file that the handle has open."""
    monkeypatch.chdir(tmp_path)
    text = pickle.dumps(prodpointer.connect("news", tracking_uri="sqlite:///here.db"))
    (tmp_path / "below").mkdir()
    monkeypatch.chdir("below")
    assert str(tmp_path / "here.db") in repr(pickle.loads(text))


def test_unpickling_asks_nothing(lab: Lab, name: str, tmp_path: Path) -> None:
    """A registry that is gone is an error of the first call: unpickling would take a worker of a pool with it."""
    (tmp_path / "registry.db").write_bytes(lab.file.read_bytes())
    text = pickle.dumps(prodpointer.connect(name, tracking_uri=f"sqlite:///{tmp_path / 'registry.db'}"))
    (tmp_path / "registry.db").rename(tmp_path / "away.db")
    other = pickle.loads(text)
    with pytest.raises(prodpointer.ProdpointerError):
        other.status()
    assert not (tmp_path / "registry.db").exists()
    (tmp_path / "away.db").rename(tmp_path / "registry.db")
    with pytest.raises(prodpointer.ModelNotFound):
        other.status()


def test_a_login_is_never_pickled(name: str, forgetful: None) -> None:
    """An address with a password is refused, with what to do, and without the password; a copy here needs none."""
    with stub(lambda _, request: registry()(request)) as server:
        model = prodpointer.connect(name, tracking_uri=server.uri.replace("http://", f"http://me:{SECRET}@"))
    with pytest.raises(TypeError, match="MLFLOW_TRACKING_USERNAME") as refused:
        pickle.dumps(model)
    assert SECRET not in str(refused.value)
    assert repr(copy.deepcopy(model)) == repr(model)


def test_a_login_of_the_environment_is_not_in_the_pickle(lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What MLflow's own variables say is asked for where the handle is used."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
    assert SECRET.encode() not in pickle.dumps(lab.model(name))


@there_and_back
def test_a_follower_is_refused_by_name(lab: Lab, name: str, again: Callable[[Any], Any]) -> None:
    """A ``Live`` is a thread of this process: the error says what to give to another one."""
    with lab.model(name).follow() as live, pytest.raises(TypeError, match=r"RegisteredModel and call follow\(\)"):
        again(live)

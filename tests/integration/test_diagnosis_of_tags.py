"""``doctor``: the tags of one model, and addresses that are not encrypted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient

from prodpointer.diagnostics.doctor import _address_notes, diagnose, screen
from prodpointer.errors import InvalidName
from prodpointer.history.record import EVENT_TAG
from prodpointer.types import Diagnosis
from tests.integration.conftest import Lab, quiet


def told(lab: Lab, name: str) -> Diagnosis:
    """Return what is told of one model."""
    return diagnose(tracking_uri=lab.uri, registry_uri=None, model=name)


def test_a_model_as_it_should_be_is_no_problem(lab: Lab, name: str) -> None:
    """Events of its own are nothing to tell."""
    lab.model(name).promote(1)
    assert (told(lab, name).problems, told(lab, name).notes) == ((), ())


def test_tags_that_are_no_events_are_a_problem(lab: Lab, name: str) -> None:
    """It says which they are and what to do."""
    lab.model(name).promote(1)
    lab.client.set_model_version_tag(name, "1", f"{EVENT_TAG}zzz", "x")
    [problem] = told(lab, name).problems
    assert f"{EVENT_TAG}zzz of version 1" in problem
    assert f"`prodpointer repair {name}`" in problem


@pytest.mark.skipif(not hasattr(MlflowClient, "copy_model_version"), reason="MLflow copies from 2.8 on")
def test_copied_events_are_told(lab: Lab, name: str) -> None:
    """It says how many there are, from where, and on which versions."""
    lab.model(f"{name}-dev").promote(1)
    with quiet():
        lab.client.copy_model_version(f"models:/{name}-dev/1", name)
    [note] = told(lab, name).notes
    assert "(1)" in note
    assert f"of '{name}-dev', on versions: 1." in note
    assert any(line.startswith("! warning") for line in screen(told(lab, name)))


def test_a_tag_that_names_no_pointer_is_a_problem(lab: Lab, name: str) -> None:
    """It says what is wrong and how to mend it; the error of a load does too."""
    model = lab.model(name)
    model.promote(1)
    lab.client.set_registered_model_tag(name, "prodpointer.pointer", "nonsense")
    [problem] = told(lab, name).problems
    assert "'nonsense'" in problem
    assert "or delete it" in problem
    with pytest.raises(InvalidName, match="or delete it"):
        model.load_production()


def test_a_tag_that_names_no_pointer_is_overridden(lab: Lab, name: str) -> None:
    """Who says which pointer is meant reads it."""
    pointer = lab.model(name).promote(1).pointers[0]
    lab.client.set_registered_model_tag(name, "prodpointer.pointer", "nonsense")
    assert lab.model(name, 0, pointer=pointer).load_production() == {"n": 1}


@pytest.mark.parametrize(
    ("uri", "open_"),
    [
        ("http://mlflow.example:5000", True),
        ("http://10.0.0.3", True),
        ("http://[2001:db8::1]:5000", True),
        ("https://mlflow.example", False),
        ("http://localhost:5000", False),
        ("http://127.0.0.2:5000", False),
        ("http://[::1]:5000", False),
        ("sqlite:///registry.db", False),
    ],
)
def test_an_address_that_is_not_encrypted_is_told(uri: str, open_: bool) -> None:
    """Plain HTTP to another machine is worth knowing; on this one it stays here."""
    registry: Any = SimpleNamespace(addresses=SimpleNamespace(registry_uri=uri, tracking_uri=uri))
    assert len(_address_notes(registry)) == open_


def test_a_login_in_such_an_address_is_not_told() -> None:
    """The address is shown as everywhere else."""
    uri = "http://ada:s3cr3t@mlflow.example"
    registry: Any = SimpleNamespace(addresses=SimpleNamespace(registry_uri=uri, tracking_uri=uri))
    assert "s3cr3t" not in "".join(_address_notes(registry))

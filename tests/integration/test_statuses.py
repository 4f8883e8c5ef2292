"""The status of a whole registry: what each model's own status says, in a request for each page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from prodpointer import InvalidName, PointerStatus
from prodpointer.connection import registered_model_statuses
from prodpointer.mlflow_client.registry import Registry
from prodpointer.promotion import promoter
from tests.integration.conftest import Lab


def statuses(lab: Lab, **options: Any) -> dict[str, PointerStatus]:
    """Return the status of each model of the registry."""
    found = registered_model_statuses(tracking_uri=lab.uri, **options)
    return {each.name: each for each in found if isinstance(each, PointerStatus)}


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Collect for each list of versions of all models which tag it was filtered by; no other version is read."""
    asked: list[str | None] = []
    real = Registry.version_pages

    def counted(registry: Registry, tag: str | None = None) -> Iterator[Any]:
        asked.append(tag)
        return real(registry, tag)

    monkeypatch.setattr(Registry, "version_pages", counted)
    for alone in ("version", "versions", "existing_version", "model"):
        monkeypatch.setattr(Registry, alone, None)
    return asked


@pytest.fixture
def fleet(lab: Lab, name: str) -> dict[str, PointerStatus]:
    """Make models with aliases alone, and return the status that each tells of itself."""
    models = {kind: lab.model(f"{name}-{kind}", 3, pointer="alias") for kind in ("new", "old", "withdrawn", "never")}
    models["new"].promote(3)
    models["old"].promote(1)
    models["withdrawn"].promote(2)
    models["withdrawn"].withdraw()
    return {model.name: model.status() for model in models.values()}


def test_each_model_is_as_its_own_status_says(
    lab: Lab, fleet: dict[str, PointerStatus], pages: list[str | None]
) -> None:
    """The versions with events are enough where aliases are used."""
    assert fleet.items() <= statuses(lab, pointer="alias").items()
    assert pages == ["prodpointer.record"]


def test_all_versions_are_read_where_a_stage_is_used(lab: Lab, name: str, request: pytest.FixtureRequest) -> None:
    """Two versions in the stage show as two."""
    model = lab.model(name, 3)
    for version in (1, 2):
        lab.to_stage(name, version, "Production")
    own = model.status()
    asked = request.getfixturevalue("pages")
    assert statuses(lab)[name] == own
    assert own.in_stage == (1, 2)
    assert asked == [None]


def test_an_alias_of_a_version_without_events_does_not_dangle(
    lab: Lab, name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All versions are listed to find it."""
    monkeypatch.setattr(promoter, "SMALL", 0)
    model = lab.model(name, 3, pointer="alias")
    lab.client.set_registered_model_alias(name, "champion", "2")
    asked = request.getfixturevalue("pages")
    assert statuses(lab, pointer="alias", alias="champion")[name].live == 2
    assert asked[-1] is None
    assert model.name == name


def test_a_model_that_cannot_be_read_is_an_error_beside_the_others(lab: Lab, name: str) -> None:
    """Two spellings of one alias, of which nobody knows which is meant."""
    lab.model(name, 2)
    for alias, version in (("production", "1"), ("Production", "2")):
        lab.client.set_registered_model_alias(name, alias, version)
    found = list(registered_model_statuses(tracking_uri=lab.uri))
    assert [each for each in found if isinstance(each, InvalidName)]
    lab.client.delete_registered_model_alias(name, "Production")


def test_an_empty_registry_has_no_statuses(tmp_path: Any, new_database: tuple[Any, str]) -> None:
    """No versions are asked for."""
    file = tmp_path / "empty.db"
    file.write_bytes(new_database[0].read_bytes())
    assert list(registered_model_statuses(tracking_uri=f"sqlite:///{file.as_posix()}")) == []

"""The package index, the Python and the MLflow of a server of a specific version."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from prodpointer.testing import EnvironmentFailed
from prodpointer.testing.environments import KNOWN, Release, environment, environments_directory, release_of

AT_HAND = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: str(known.version))
def test_a_known_version_is_installed_as_it_was_tested(known: Release) -> None:
    """A listed version is of its own day; from 2.22 on the Python at hand will do."""
    new = tuple(int(part) for part in known.version.split(".")) >= (2, 22)
    assert release_of(known.version) == (replace(known, python=AT_HAND) if new else known)


def test_a_version_between_is_installed_like_the_next() -> None:
    """MLflow 2.20.0 gets the libraries that 2.22.5 is tested with."""
    (later,) = (known for known in KNOWN if known.version == "2.22.5")
    assert release_of("2.20.0") == replace(later, version="2.20.0")


def test_a_later_mlflow_2_gets_what_it_does_not_say_it_needs() -> None:
    """Beyond the last listed 2.x today's index is used, without the libraries that break MLflow 2."""
    found = release_of("2.99.0")
    assert found.as_of is None
    assert found.python == AT_HAND
    assert "sqlalchemy<2.1" in found.extra


def test_a_later_mlflow_3_is_installed_plainly() -> None:
    """Beyond the last listed 3.x nothing is known to be needed."""
    assert (release_of("3.99.0").as_of, release_of("3.99.0").extra) == (None, ())


def test_an_invalid_version_is_refused() -> None:
    """A name such as "newest" is said to be no version."""
    with pytest.raises(EnvironmentFailed, match="newest"):
        release_of("newest")


def test_a_variable_says_where_environments_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``PRODPOINTER_ENVIRONMENTS`` names the directory, and without it the user's cache is used."""
    monkeypatch.setenv("PRODPOINTER_ENVIRONMENTS", str(tmp_path))
    assert environments_directory() == tmp_path
    monkeypatch.delenv("PRODPOINTER_ENVIRONMENTS")
    assert environments_directory().parent.name == "prodpointer"


def test_a_machine_without_uv_is_told_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where uv is on no path, the error says how to get it."""
    monkeypatch.setenv("PRODPOINTER_ENVIRONMENTS", str(tmp_path / "environments"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(EnvironmentFailed, match="pip install uv"):
        environment(Release("2.22.5", AT_HAND))

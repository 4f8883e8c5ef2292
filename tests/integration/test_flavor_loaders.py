"""Which modules an ``MLmodel`` file may import, and its maximum size."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from prodpointer.artifacts import loaders
from prodpointer.errors import LoadFailed, UnsafeModel
from tests.integration.conftest import quiet


def load(directory: Path, **options: Any) -> Any:
    """Load a directory as ``load_production`` does."""
    with quiet():
        return loaders.load(directory, loader=None, tags={}, **{"flavor": None, "trusted": (), **options})


def model_of(directory: Path, module: str) -> Path:
    """Write an ``MLmodel`` file that names a loader, and nothing else."""
    flavors = {"python_function": {"loader_module": module, "python_version": "3.11.7"}}
    (directory / "MLmodel").write_text(yaml.safe_dump({"flavors": flavors, "model_uuid": "0" * 32}))
    return directory


@pytest.mark.parametrize("module", ["mlflow", "mlflow.cli", "mlflow.__main__", "mlflow.server", "mlflow.no.such"])
@pytest.mark.parametrize("trusted", [(), ["mlflow"]])
def test_a_module_of_mlflow_that_loads_no_model_is_refused(
    module: str, trusted: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module without ``_load_pyfunc`` is not imported: importing some runs a program."""
    if module != "mlflow":
        monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(UnsafeModel, match=f"by '{module}', which is not a loader. It was not imported"):
        load(model_of(tmp_path, module), trusted=trusted)
    assert module == "mlflow" or module not in sys.modules


@pytest.mark.parametrize("module", ["mlflow.pyfunc.model", "mlflow.sklearn", "mlflow.spark", "mlflow.xgboost"])
def test_a_loader_of_mlflow_may_load(module: str, tmp_path: Path) -> None:
    """MLflow's own loaders are asked, and fail on a model without data or without their library."""
    with pytest.raises(LoadFailed):
        load(model_of(tmp_path, module))


def test_a_program_is_no_loader_even_if_its_package_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust in a package does not reach its ``__main__``."""
    package = tmp_path / "code" / "acme_models"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n")
    monkeypatch.syspath_prepend(tmp_path / "code")
    for trusted in ("acme_models", "acme_models.__main__"):
        with pytest.raises(UnsafeModel, match="not a loader"):
            load(model_of(tmp_path, "acme_models.__main__"), trusted=[trusted])
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("flavor", ["__main__", "cli"])
def test_a_flavor_that_loads_no_model_is_not_imported(
    flavor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module without ``load_model`` is no flavor."""
    monkeypatch.delitem(sys.modules, f"mlflow.{flavor}", raising=False)
    with pytest.raises(UnsafeModel, match="no flavor"):
        load(model_of(tmp_path, "mlflow.sklearn"), flavor=flavor)
    assert f"mlflow.{flavor}" not in sys.modules


def test_an_mlmodel_file_of_more_than_a_megabyte_is_refused(tmp_path: Path) -> None:
    """A file that keeps the parser for minutes is not parsed."""
    (tmp_path / "MLmodel").write_text("flavors: {}\n" + "a: &a {b: c}\n" * 400_000)
    with pytest.raises(UnsafeModel, match="larger than 1 MB"):
        load(tmp_path)

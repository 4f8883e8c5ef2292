"""``mlflow-skinny`` only: what does not work; tests/conformance has what works."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from mlflow.version import VERSION

import prodpointer
from prodpointer import RegistryUnsupported, UnsafeModel
from tests import mlflow_table
from tests.servers import Server, environment, serve

# Run by a whole MLflow: it logs a model with a flavor and prints the run.
LOG_MODEL = """
import mlflow
from sklearn.dummy import DummyClassifier

classifier = DummyClassifier(strategy="constant", constant=7).fit([[0], [1]], [7, 8])
with mlflow.start_run() as run:
    mlflow.sklearn.log_model(classifier, "model", pip_requirements=["scikit-learn"])
print(run.info.run_id)
"""


@pytest.fixture(scope="module")
def whole() -> Path:
    """The Python of a whole MLflow of this version."""
    return environment(mlflow_table.row(VERSION))


@pytest.fixture(scope="module")
def server(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of this version, which only a whole MLflow can be."""
    with serve(whole, tmp_path_factory.mktemp("server"), version=VERSION) as found:
        yield found


@pytest.fixture(scope="module")
def flavored(whole: Path, server: Server) -> str:
    """A run in which a whole MLflow logged a scikit-learn model."""
    done = subprocess.run([whole, "-c", LOG_MODEL], env={"MLFLOW_TRACKING_URI": server.uri}, stdout=-1, check=True)
    return done.stdout.decode().split()[-1]


@pytest.mark.parametrize("library", ["mlflow", "sqlalchemy", "alembic", "numpy", "pandas", "sklearn"])
def test_only_what_comes_with_skinny_is_here(library: str) -> None:
    """The environment proves something: of all this nothing is installed but skinny's own ``mlflow``."""
    assert mlflow_table.installed() in {(row.distribution, row.version) for row in mlflow_table.skinny_rows()}
    assert (find_spec(library) is not None) == (library == "mlflow")


def test_importing_needs_nothing_of_it() -> None:
    """The command line answers, with and without MLflow in it."""
    asked = [
        [sys.executable, "-m", "prodpointer", "--version"],
        [sys.executable, "-m", "prodpointer", "doctor", "--help"],
    ]
    assert [subprocess.run(each, check=False, capture_output=True).returncode for each in asked] == [0, 0]


@pytest.mark.parametrize("given", ["tracking_uri", "registry_uri"])
@pytest.mark.parametrize("kind", ["sqlite:///{0}/registry.db", "postgresql://carol:s3cret@127.0.0.1:1/registry"])
def test_a_database_is_refused_and_what_to_install_is_named(given: str, kind: str, tmp_path: Path) -> None:
    """A database needs SQLAlchemy and alembic: the refusal names both and shows no password, and nothing is made."""
    connect: Callable[..., object] = prodpointer.connect
    with pytest.raises(RegistryUnsupported, match="pip install sqlalchemy alembic") as refused:
        connect("news", **{given: kind.format(tmp_path)})
    assert "s3cret" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_refuses_a_database(tmp_path: Path) -> None:
    """The command line says the same and ends with 1, without a traceback."""
    command = [sys.executable, "-m", "prodpointer", "--tracking-uri", f"sqlite:///{tmp_path}/registry.db", "status"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install sqlalchemy alembic" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_model_of_mlflow_is_registered_promoted_and_pulled(server: Server, flavored: str, tmp_path: Path) -> None:
    """What a whole MLflow logged with a flavor can be registered, made live and fetched, its digest checked."""
    model = prodpointer.connect("pulled", tracking_uri=server.uri)
    model.promote(model.register(flavored, "model"))
    pulled = model.pull(tmp_path / "here")
    assert pulled is not None
    assert (pulled.path / "MLmodel").is_file()
    assert pulled.sha256 == model.version(1).sha256


@pytest.mark.parametrize("flavor", [None, "pyfunc", "sklearn"])
def test_a_model_of_mlflow_is_not_loaded_and_what_to_install_is_named(
    server: Server, flavored: str, flavor: str | None
) -> None:
    """MLflow's own loaders need numpy and pandas: the refusal names both, and the pointer stays."""
    model = prodpointer.connect(f"not-loaded-{flavor}", tracking_uri=server.uri)
    model.promote(model.register(flavored, "model"))
    with pytest.raises(UnsafeModel, match=r"'numpy' is not installed.*pip install numpy pandas"):
        model.load_production(flavor=flavor)
    assert model.live_version() == 1


def test_a_loader_of_the_callers_needs_none_of_it(server: Server, flavored: str) -> None:
    """A model that MLflow cannot load here is still handed to the caller's loader."""
    model = prodpointer.connect("own-loader", tracking_uri=server.uri)
    model.promote(model.register(flavored, "model"))
    assert model.load_production(lambda path: (path / "MLmodel").is_file()) is True

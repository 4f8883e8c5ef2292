"""Models with an ``MLmodel`` file: which loaders are allowed, and where paths may lead."""

from __future__ import annotations

import inspect
import os
import pickle
import shutil
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml
from packaging.version import Version
from sklearn.linear_model import LogisticRegression

from prodpointer.artifacts import loaders
from prodpointer.errors import LoadFailed, UnsafeModel
from prodpointer.mlflow_client.mlmodel import load_flavor
from tests.integration.conftest import MLFLOW, quiet

with quiet():
    import mlflow.pyfunc
    import mlflow.sklearn

ROWS = [[0.0], [1.0], [2.0], [3.0]]
LABELS = [0, 0, 1, 1]
FORMATS = mlflow.sklearn.SUPPORTED_SERIALIZATION_FORMATS
# The one word for code that goes with a model, as this MLflow spells it.
CODE = "code_paths" if "code_paths" in inspect.signature(mlflow.pyfunc.save_model).parameters else "code_path"
# A Python model is pickled, or saved as its code since 2.12.2.
KINDS = ["pickle", "code"] if Version("2.12.2") <= MLFLOW else ["pickle"]

OWN_LOADER = """
import pathlib

class Constant:
    def __init__(self, value):
        self.value = value

    def predict(self, model_input, params=None):
        return [self.value] * len(model_input)

def _load_pyfunc(path):
    directory = pathlib.Path(path)
    (directory.parent / "imported").touch()
    return Constant((directory / "value.txt").read_text())
"""
MODEL_AS_CODE = """
import mlflow

class Constant(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[list[float]], params=None) -> list[str]:
        with open(context.artifacts["value"]) as file:
            return [file.read()] * len(model_input)

mlflow.models.set_model(Constant())
"""


class Constant(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """A model whose one answer is an artifact of its own."""

    def predict(self, context: Any, model_input: list[list[float]], params: Any = None) -> list[str]:
        """Answer with the text of the artifact."""
        return [Path(context.artifacts["value"]).read_text()] * len(model_input)


class Explosive:
    """A pickle that leaves a directory behind when it is loaded."""

    def __init__(self, trace: Path) -> None:
        """Remember where."""
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        """Make the directory when unpickled."""
        return os.mkdir, (str(self.trace),)


def load(path: Path, flavor: str | None = None, trusted: Collection[str] = ()) -> Any:
    """Load a directory as ``load_production`` does."""
    with quiet():
        return loaders.load(path, loader=None, flavor=flavor, tags={}, trusted=trusted)


def change(directory: Path, flavor: str, **entries: Any) -> None:
    """Change entries of one flavor in the ``MLmodel`` file."""
    content = yaml.safe_load((directory / "MLmodel").read_text())
    content["flavors"].setdefault(flavor, {}).update(entries)
    (directory / "MLmodel").write_text(yaml.safe_dump(content))


@pytest.fixture(scope="session", params=FORMATS)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a scikit-learn model in each format that this MLflow has."""
    directory = tmp_path_factory.mktemp("flavors") / "model"
    model = LogisticRegression().fit(ROWS, LABELS)
    with quiet():
        mlflow.sklearn.save_model(
            model, str(directory), serialization_format=request.param, pip_requirements=["scikit-learn"]
        )
    return directory


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a scikit-learn model that a test may change."""
    directory = tmp_path / "model"
    estimator = LogisticRegression().fit(ROWS, LABELS)
    with quiet():
        mlflow.sklearn.save_model(
            estimator, str(directory), serialization_format="pickle", pip_requirements=["scikit-learn"]
        )
    return directory


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Save a model that brings its own loader, ``own_loader``; loading it leaves ``imported`` beside its data."""
    (tmp_path / "own_loader.py").write_text(OWN_LOADER)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "value.txt").write_text("own")
    options = {CODE: [str(tmp_path / "own_loader.py")], "data_path": str(tmp_path / "data")}
    monkeypatch.setattr(sys, "path", list(sys.path))
    with quiet():
        mlflow.pyfunc.save_model(
            str(tmp_path / "model"), loader_module="own_loader", pip_requirements=["mlflow"], **options
        )
    yield tmp_path / "model"
    sys.modules.pop("own_loader", None)


def imported(directory: Path) -> bool:
    """Tell whether the loader of a model's own was imported, by the process and by the trace it leaves."""
    return "own_loader" in sys.modules or any(directory.rglob("imported"))


@pytest.mark.parametrize("flavor", [None, "pyfunc", "sklearn"])
def test_what_mlflow_saved_is_loaded(flavor: str | None, saved: Path) -> None:
    """A model in any format of MLflow's passes the check and predicts."""
    loaded = load(saved, flavor)
    assert list(loaded.predict(ROWS)) == LABELS


@pytest.mark.parametrize("kind", KINDS)
def test_a_python_model_is_loaded_with_its_artifacts(kind: str, tmp_path: Path) -> None:
    """A Python model finds its artifact inside the directory; where that and its code came from is not read."""
    (tmp_path / "value.txt").write_text("an artifact")
    (tmp_path / "constant.py").write_text(MODEL_AS_CODE)
    with quiet():
        mlflow.pyfunc.save_model(
            str(tmp_path / "model"),
            python_model=Constant() if kind == "pickle" else str(tmp_path / "constant.py"),
            artifacts={"value": (tmp_path / "value.txt").as_uri()},
            pip_requirements=["mlflow"],
        )
    flavor = yaml.safe_load((tmp_path / "model" / "MLmodel").read_text())["flavors"]["python_function"]
    assert flavor["artifacts"]["value"]["uri"].startswith("file:///")
    for file in ("value.txt", "constant.py"):
        (tmp_path / file).unlink()
    assert list(load(tmp_path / "model").predict(ROWS)) == ["an artifact"] * 4


@pytest.mark.parametrize("trusted", [(), ["own"], ["own_loader.sub"], ["mlflow"]])
def test_a_loader_of_the_models_own_is_refused(trusted: Collection[str], own: Path) -> None:
    """A module that the caller does not name is named in the error and is not imported."""
    with pytest.raises(UnsafeModel, match=r"by 'own_loader'.*not imported.*trusted=\['own_loader'\]"):
        load(own, trusted=trusted)
    assert not imported(own)


def test_a_trusted_loader_of_the_models_own_loads_it(own: Path) -> None:
    """A module that the caller names loads the model."""
    assert list(load(own, trusted=["own_loader"]).predict(ROWS)) == ["own"] * 4
    assert imported(own)


@pytest.mark.parametrize(
    "module",
    ["mlflow_own", "mlflow.", "mlflow..own_loader", "mlflow/../own_loader", "os.path", "", None, 3, ["mlflow"]],
)
def test_only_mlflows_own_modules_need_no_name(module: Any, model: Path) -> None:
    """What merely looks like a module of MLflow's is none."""
    change(model, "python_function", loader_module=module)
    with pytest.raises(UnsafeModel, match="not MLflow's"):
        load(model)


def test_a_package_stands_for_what_is_below_it(model: Path) -> None:
    """Who trusts a package trusts its modules: here MLflow is asked to load by one that exists nowhere."""
    change(model, "python_function", loader_module="company.loaders.ranker")
    for trusted in (["company"], ["company.loaders"], ["company.loaders.ranker"]):
        with pytest.raises(LoadFailed, match="ModuleNotFoundError: No module named 'company'"):
            load(model, trusted=trusted)
    for trusted in (["company.load"], ["comp"], ["loaders"], ["company.loaders.ranker.fast"]):
        with pytest.raises(UnsafeModel, match=r"company\.loaders\.ranker"):
            load(model, trusted=trusted)


def test_every_flavor_is_checked(model: Path) -> None:
    """A loader in a flavor that is not asked for is refused as well."""
    change(model, "ranker", loader_module="own_loader")
    with pytest.raises(UnsafeModel, match="own_loader"):
        load(model, "sklearn")


@pytest.mark.parametrize("types", [["os.system"], "os.system", True])
@pytest.mark.parametrize("flavor", [None, "sklearn"])
def test_a_model_names_no_types_to_trust(flavor: str | None, types: Any, model: Path) -> None:
    """What a model says that skops may trust is refused unless the caller says so too."""
    change(model, "sklearn", skops_trusted_types=types)
    with pytest.raises(UnsafeModel, match=r"asks to trust types that you did not name: (os\.system|True)\."):
        load(model, flavor)


def test_types_that_the_caller_names_may_be_trusted(model: Path) -> None:
    """A model that asks for no more than the caller trusts is loaded."""
    change(model, "sklearn", skops_trusted_types=["newsreco.Ranker"])
    assert list(load(model, trusted=["newsreco.Ranker", "newsreco.Other"]).predict(ROWS)) == LABELS


@pytest.mark.parametrize("kind", ["absolute", "above", "through a directory", "linked"])
@pytest.mark.parametrize(("flavor", "key"), [("python_function", "model_path"), ("sklearn", "pickled_model")])
def test_a_path_that_leads_out_is_refused(flavor: str, key: str, kind: str, model: Path, tmp_path: Path) -> None:
    """A pickle outside the directory, which plain MLflow would load, is not."""
    outside = tmp_path / "outside.pkl"
    outside.write_bytes(pickle.dumps(Explosive(tmp_path / "exploded")))
    (model / "inside").mkdir()
    path = {"absolute": str(outside), "above": "../outside.pkl", "through a directory": "inside/../../outside.pkl"}
    if kind == "linked":
        (model / "inside" / "link").symlink_to(tmp_path)
    change(model, flavor, **{key: path.get(kind, "inside/link/outside.pkl")})
    with pytest.raises(UnsafeModel, match="leads out of"):
        load(model, "sklearn" if flavor == "sklearn" else None)
    assert not (tmp_path / "exploded").exists()


def test_a_path_through_a_link_is_refused(model: Path, tmp_path: Path) -> None:
    """A flavor follows no link out of the directory, also without an earlier check for links."""
    (tmp_path / "outside.pkl").write_bytes(pickle.dumps(Explosive(tmp_path / "exploded")))
    (model / "link").symlink_to(tmp_path)
    change(model, "python_function", model_path="link/outside.pkl")
    with pytest.raises(UnsafeModel, match="A path in the MLmodel file leads out"):
        load_flavor(model, "pyfunc")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "entry",
    [
        {"code": "../code"},
        {"data": "/srv/model"},
        {"env": "../conda.yaml"},
        {"env": {"conda": "conda.yaml", "virtualenv": "/srv/python_env.yaml"}},
        {"artifacts": {"value": {"path": "../value.txt", "uri": "value.txt"}}},
        {"extra_files": [{"path": "extra_files/one.txt"}, {"path": "/srv/two.txt"}]},
        {"components": ["tokenizer", "../../tokenizer"]},
        {"local_base_model_path": "base"},
    ],
    ids=str,
)
def test_every_path_of_a_flavor_is_checked(entry: dict[str, Any], model: Path) -> None:
    """Whatever a flavor keeps a path under, and however deep, stays inside the directory."""
    change(model, "python_function", **entry)
    with pytest.raises(UnsafeModel, match="A path in the MLmodel file leads out"):
        load(model)


def test_an_input_example_elsewhere_is_refused(model: Path) -> None:
    """The input example, which MLflow reads with the model, stays inside the directory."""
    text = (model / "MLmodel").read_text() + "saved_input_example_info: {artifact_path: ../../secret.json}\n"
    (model / "MLmodel").write_text(text)
    with pytest.raises(UnsafeModel, match=r"artifact_path: \.\./\.\./secret\.json"):
        load(model)


@pytest.mark.parametrize(
    "entry",
    [
        {"code": None},
        {"data": "./inside/../model.pkl", "model_path": "model.pkl"},
        {"artifacts": {"value": {"path": "artifacts/value.txt", "uri": "/srv/value.txt"}}},
        {"source_model_name": "/srv/bert"},
        {"config": {"data": "/srv/index", "loader_module": "of the model's own configuration"}},
        {"model_code_path": "/home/jo/model.py"},
    ],
    ids=str,
)
def test_what_is_no_path_of_mlflows_may_be_anything(entry: dict[str, Any], model: Path) -> None:
    """Where an artifact came from, a model's own configuration and the paths of another machine are not refused."""
    (model / "inside").mkdir()
    change(model, "of_another_library", **entry)
    assert list(load(model).predict(ROWS)) == LABELS


def test_a_link_inside_the_directory_is_followed(model: Path) -> None:
    """A link that leads to another file of the model is as good as the file."""
    (model / "weights").mkdir()
    shutil.move(str(model / "model.pkl"), model / "weights" / "model.pkl")
    (model / "model.pkl").symlink_to(Path("weights", "model.pkl"))
    assert list(load(model).predict(ROWS)) == LABELS


@pytest.mark.parametrize("link", ["extra", "deep/down/extra"])
def test_a_link_that_leads_out_is_refused(link: str, model: Path, tmp_path: Path) -> None:
    """A link to a file or directory outside is refused, whether or not the ``MLmodel`` file names it."""
    (model / link).parent.mkdir(parents=True, exist_ok=True)
    (model / link).symlink_to(tmp_path)
    with pytest.raises(UnsafeModel, match=f"symbolic link .* leads out of it: {link}"):
        load(model)


@pytest.mark.parametrize(
    "text",
    [
        b"flavors: [",
        b"flavors: [python_function]",
        b"flavors: everything",
        b"- flavors",
        b"flavors",
        b"",
        b"\xff\xfe\x00",
        b"flavors: !!python/object/apply:os.mkdir [exploded]",
        b"flavors: {a: 2001-99-99}",
        b"[" * 5000,
    ],
    ids=lambda text: repr(text[:30]),
)
def test_an_mlmodel_file_that_cannot_be_read_is_refused(text: bytes, model: Path) -> None:
    """What cannot be checked is not loaded."""
    (model / "MLmodel").write_bytes(text)
    with pytest.raises(UnsafeModel, match="Invalid MLmodel file"):
        load(model)
    assert not Path("exploded").exists()


def test_an_mlmodel_file_that_repeats_itself_is_checked_once(model: Path) -> None:
    """Anchors that stand for a thousand million entries, or for themselves, end the check neither late nor never."""
    rows = ["a0: &a0 {path: inside}"] + [f"a{n}: &a{n} {[f'*a{n - 1}'] * 10}".replace("'", "") for n in range(1, 10)]
    lines = ["first: {loader_module: own_loader}", *rows, "loop: &loop {again: *loop}"]
    (model / "MLmodel").write_text("flavors:\n" + "".join(f"  {line}\n" for line in lines))
    with pytest.raises(UnsafeModel, match="own_loader"):
        load(model)

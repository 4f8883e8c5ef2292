"""From verified bytes to an object: which loader is chosen, what is refused, and what an error says."""

from __future__ import annotations

import importlib
import pickle
import platform
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import joblib
import mlflow
import pytest
from sklearn.linear_model import LogisticRegression

from prodpointer.artifacts import loaders
from prodpointer.artifacts.loaders import LIBRARIES_TAG, MLFLOW_TAG, PYTHON_TAG, Loader, versions_here
from prodpointer.errors import LoadFailed, UnsafeModel
from tests.integration.conftest import quiet

with quiet():
    import skops.io

BUNDLE = {"n": 1}
ROWS = [[0.0], [1.0], [2.0], [3.0]]
LABELS = [0, 0, 1, 1]


class Stubborn:
    """An object whose pickle does not load."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a call that raises."""
        return int, ("not a number",)


def load(
    path: Path,
    loader: Loader | None = None,
    flavor: str | None = None,
    tags: dict[str, str] | None = None,
    trusted: Collection[str] = (),
) -> Any:
    """Load with the arguments that a test does not give left at nothing."""
    return loaders.load(path, loader=loader, flavor=flavor, tags=tags or {}, trusted=trusted)


@dataclass(frozen=True)
class Foreign:
    """A skops file with an object of a module that is not imported; importing that module leaves ``trace``."""

    file: Path
    type: str
    trace: Path

    @property
    def untouched(self) -> bool:
        """Whether nothing imported the module."""
        return self.type.partition(".")[0] not in sys.modules and not self.trace.exists()


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Foreign]:
    """Save such a file, and forget the module."""
    trace, module = tmp_path / "imported", "foreign_ranker"
    code = f"import pathlib\npathlib.Path({str(trace)!r}).touch()\n\nclass Ranker:\n    pass\n"
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / f"{module}.py").write_text(code)
    (tmp_path / "model").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "code")
    made = Foreign(tmp_path / "model" / "model.skops", f"{module}.Ranker", trace)
    ranker = importlib.import_module(module).Ranker()
    ranker.weights = [0.25, 0.75]
    skops.io.dump(ranker, made.file)
    del sys.modules[module]
    trace.unlink()
    yield made
    sys.modules.pop(module, None)


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a scikit-learn model as MLflow itself does."""
    directory = tmp_path_factory.mktemp("flavor") / "model"
    with quiet():
        mlflow.sklearn.save_model(
            LogisticRegression().fit(ROWS, LABELS), str(directory), serialization_format="cloudpickle"
        )
    return directory


@pytest.mark.parametrize("name", ["model.pkl", "model.pickle", "a.b.pkl"])
def test_a_pickle_is_unpickled(name: str, tmp_path: Path) -> None:
    """Files with a pickle's suffix load by pickle."""
    (tmp_path / name).write_bytes(pickle.dumps(BUNDLE))
    assert load(tmp_path / name) == BUNDLE


def test_a_joblib_file_is_loaded_by_joblib(tmp_path: Path) -> None:
    """Files with joblib's suffix load by joblib, which reads its own compressed form."""
    joblib.dump(BUNDLE, tmp_path / "model.joblib", compress=3)
    assert load(tmp_path / "model.joblib") == BUNDLE


def test_a_skops_file_of_known_types_is_loaded(tmp_path: Path) -> None:
    """What skops itself trusts, as scikit-learn's own models, needs no name."""
    skops.io.dump(LogisticRegression().fit(ROWS, LABELS), tmp_path / "model.skops")
    with quiet():
        assert list(load(tmp_path / "model.skops").predict(ROWS)) == LABELS


def test_a_type_that_is_not_trusted_is_refused(foreign: Foreign) -> None:
    """The error names the type and how to trust it, and the type's module is not even imported."""
    with pytest.raises(UnsafeModel, match=r"not trusted: foreign_ranker\.Ranker\..*trusted=\["):
        load(foreign.file)
    assert foreign.untouched


def test_a_type_that_is_trusted_is_loaded(foreign: Foreign) -> None:
    """A type that the caller names is made."""
    assert load(foreign.file, trusted=[foreign.type]).weights == [0.25, 0.75]
    assert not foreign.untouched


def test_one_trusted_name_is_one_name(foreign: Foreign) -> None:
    """A name given without a list around it is not taken for its letters."""
    assert load(foreign.file, trusted=foreign.type).weights == [0.25, 0.75]


@pytest.mark.parametrize(
    "trusted", [["foreign_ranker"], ["Ranker"], ["foreign_ranker.Ranker.weights"], ["builtins.object"]]
)
def test_a_type_is_trusted_by_its_whole_name(trusted: list[str], foreign: Foreign) -> None:
    """Neither the module of a type nor part of its name stands for it."""
    with pytest.raises(UnsafeModel, match=r"foreign_ranker\.Ranker"):
        load(foreign.file, trusted=trusted)
    assert foreign.untouched


def test_a_skops_file_alone_in_a_directory_is_checked_too(foreign: Foreign) -> None:
    """A directory around a single skops file loads as the file, by the same rule."""
    with pytest.raises(UnsafeModel, match=r"foreign_ranker\.Ranker.*\[model\.skops\]"):
        load(foreign.file.parent)
    assert load(foreign.file.parent, trusted={foreign.type}).weights == [0.25, 0.75]


def test_the_first_few_untrusted_types_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many types the first five in order are named, and the rest are counted."""
    (tmp_path / "many_types.py").write_text("".join(f"class T{number}:\n    pass\n" for number in range(7)))
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("many_types")
    skops.io.dump([getattr(module, f"T{number}")() for number in (6, 5, 4, 3, 2, 1, 0)], tmp_path / "model.skops")
    five = ", ".join(f"many_types.T{number}" for number in range(5))
    with pytest.raises(UnsafeModel, match=f"{five} and 2 more"):
        load(tmp_path / "model.skops")


def test_a_broken_skops_file_fails_to_load(tmp_path: Path) -> None:
    """What is no skops file at all is ``LoadFailed``."""
    (tmp_path / "model.skops").write_bytes(b"no archive")
    with pytest.raises(LoadFailed, match="did not load"):
        load(tmp_path / "model.skops")


def test_without_skops_its_files_are_refused(foreign: Foreign, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where skops is not installed, the error says to install it."""
    monkeypatch.setitem(sys.modules, "skops", None)
    monkeypatch.delitem(sys.modules, "skops.io")
    with pytest.raises(UnsafeModel, match=r"Install skops\."):
        load(foreign.file, trusted=[foreign.type])


def test_a_directory_with_one_file_is_that_file(tmp_path: Path) -> None:
    """A directory around a single file, which is how files are best logged, loads as the file."""
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(BUNDLE))
    assert load(tmp_path) == BUNDLE


def test_a_directory_with_two_files_is_ambiguous(tmp_path: Path) -> None:
    """Nobody can say which of two files is the model, so a loader is asked for."""
    for name in ("one.pkl", "two.pkl"):
        (tmp_path / name).write_bytes(pickle.dumps(BUNDLE))
    with pytest.raises(UnsafeModel, match=r"does not hold a single file.*loader="):
        load(tmp_path)


def test_a_file_beside_a_directory_is_ambiguous(tmp_path: Path) -> None:
    """A file with a directory beside it may need that directory, so a loader is asked for."""
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(BUNDLE))
    (tmp_path / "more").mkdir()
    with pytest.raises(UnsafeModel, match="loader="):
        load(tmp_path)


@pytest.mark.parametrize("name", ["model.onnx", "model.bin", "model", "model.pkl.gz", "model.PKL2", ".pkl"])
def test_an_unknown_file_is_not_guessed_at(name: str, tmp_path: Path) -> None:
    """A file without a known suffix is never unpickled on the chance that it is one."""
    (tmp_path / name).write_bytes(pickle.dumps(BUNDLE))
    with pytest.raises(UnsafeModel, match="loader="):
        load(tmp_path / name)


def test_an_unknown_file_alone_in_a_directory_is_named(tmp_path: Path) -> None:
    """The error names the file inside, not the directory around it."""
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(UnsafeModel, match=r"\*\.onnx.*model\.onnx"):
        load(tmp_path)


def test_a_link_out_of_the_artifact_is_refused(tmp_path: Path) -> None:
    """The target of a link was not registered, whatever loads it."""
    (tmp_path / "model").mkdir()
    (tmp_path / "outside.pkl").write_bytes(pickle.dumps(BUNDLE))
    (tmp_path / "model" / "model.pkl").symlink_to(tmp_path / "outside.pkl")
    for loader in (None, lambda path: path):
        with pytest.raises(UnsafeModel, match=r"symbolic link .* leads out of it: model\.pkl"):
            load(tmp_path / "model", loader=loader)


@pytest.mark.parametrize("name", ["model.onnx", "model.pkl"])
def test_a_loader_of_the_caller_s_comes_first(name: str, tmp_path: Path) -> None:
    """A given loader gets the path, whatever the file is called."""
    (tmp_path / name).write_bytes(b"bytes")
    assert load(tmp_path / name, loader=lambda path: (path.name, path.read_bytes())) == (name, b"bytes")


def test_a_loader_gets_the_directory_whole(tmp_path: Path) -> None:
    """A loader for a directory is not given the file inside."""
    (tmp_path / "model.pkl").write_bytes(b"")
    assert load(tmp_path, loader=lambda path: path) == tmp_path


def test_a_loader_may_refuse(tmp_path: Path) -> None:
    """``UnsafeModel`` from a caller's loader stays what it is."""

    def refuse(_: Path) -> None:
        raise UnsafeModel("Not on the list.")

    with pytest.raises(UnsafeModel, match=r"^Not on the list\.$"):
        load(tmp_path, loader=refuse)


def test_a_failing_load_keeps_its_cause(tmp_path: Path) -> None:
    """What the loader raised is named in the message and is the cause."""
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(Stubborn()))
    with pytest.raises(LoadFailed, match=r"ValueError: invalid literal for int.*not a number") as caught:
        load(tmp_path / "model.pkl")
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_failing_load_names_the_versions_here(tmp_path: Path) -> None:
    """The message tells this side's Python, MLflow and scikit-learn."""
    (tmp_path / "model.pkl").write_bytes(b"no pickle")
    with pytest.raises(LoadFailed) as caught:
        load(tmp_path / "model.pkl")
    here = str(caught.value).partition("; here ")[2]
    assert f"Python {platform.python_version()}, MLflow {mlflow.__version__}" in here
    assert f"scikit-learn=={metadata.version('scikit-learn')}" in here


def test_a_failing_load_names_the_versions_there(tmp_path: Path) -> None:
    """The message tells the other side's versions from the tags that registering wrote."""
    (tmp_path / "model.pkl").write_bytes(b"no pickle")
    tags = {PYTHON_TAG: "3.8.1", MLFLOW_TAG: "2.0.1", LIBRARIES_TAG: "scikit-learn==0.24"}
    with pytest.raises(LoadFailed, match=r"Registered with Python 3\.8\.1, MLflow 2\.0\.1, scikit-learn==0\.24; here"):
        load(tmp_path / "model.pkl", tags=tags)


def test_a_failing_load_says_if_no_versions_are_recorded(tmp_path: Path) -> None:
    """Without tags the message says that the versions are unknown."""
    (tmp_path / "model.pkl").write_bytes(b"")
    with pytest.raises(LoadFailed, match="Registered with unrecorded versions; here"):
        load(tmp_path / "model.pkl")


def test_an_interrupt_is_no_failed_load(tmp_path: Path) -> None:
    """Ctrl-C while loading stops the program."""

    def interrupt(_: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(tmp_path, loader=interrupt)


def test_an_mlmodel_directory_loads_as_pyfunc(saved_model: Path) -> None:
    """Without a flavor MLflow's generic model is loaded, and it predicts."""
    with quiet():
        model = load(saved_model)
        predicted = list(model.predict(ROWS))
    assert predicted == LABELS
    assert type(model).__name__ == "PyFuncModel"


def test_an_mlmodel_directory_loads_by_its_flavor(saved_model: Path) -> None:
    """With a flavor the library's own object comes back."""
    with quiet():
        model = load(saved_model, flavor="sklearn")
    assert isinstance(model, LogisticRegression)
    assert list(model.predict(ROWS)) == LABELS


@pytest.mark.parametrize(
    "flavor",
    ["nonsense", "entities", "version", "sklearn.utils", "../sklearn", "os", "pyfunc.model"],
)
def test_an_unknown_flavor_is_refused(flavor: str, saved_model: Path) -> None:
    """What is no flavor module of MLflow's is named, and nothing is imported from elsewhere."""
    with pytest.raises(UnsafeModel, match="no flavor"):
        load(saved_model, flavor=flavor)


def test_a_broken_mlmodel_directory_fails_to_load(tmp_path: Path) -> None:
    """What MLflow raises on a broken model is ``LoadFailed``."""
    (tmp_path / "MLmodel").write_text("flavors: {}\n")
    with quiet(), pytest.raises(LoadFailed, match="did not load"):
        load(tmp_path)


def test_the_versions_here_are_three_tags() -> None:
    """Python, MLflow and the libraries that decide whether a pickle loads are recorded as text."""
    tags = versions_here()
    assert tags[PYTHON_TAG] == platform.python_version()
    assert tags[MLFLOW_TAG] == mlflow.__version__
    assert f"joblib=={joblib.__version__}" in tags[LIBRARIES_TAG].split()


def test_only_installed_libraries_are_recorded() -> None:
    """A library that is not there has no version."""
    named = [entry.partition("==")[0] for entry in versions_here()[LIBRARIES_TAG].split()]
    assert [name for name in named if not metadata.version(name)] == []

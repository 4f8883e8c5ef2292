"""Fixtures: the installed MLflow as client, with a database opened directly and with a server of the same version."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import pickle
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.version import VERSION

import prodpointer
from prodpointer import RegisteredModel
from tests import mlflow_table
from tests.conformance.combinations import row_of, select
from tests.conftest import NEWEST
from tests.proxy import Proxy, proxy
from tests.servers import environment, serve

RELEASE = tuple(int(part) for part in VERSION.split(".")[:3])
HERE = ".".join(map(str, RELEASE))
HAS_ALIASES = RELEASE >= (2, 3, 0)
IS_THREE = RELEASE >= (3, 0, 0)
# mlflow-skinny has no server and no database: it is a client of a whole MLflow of its version.
SKINNY = mlflow_table.installed() == (mlflow_table.SKINNY, HERE)
INSTALLED = (mlflow_table.SKINNY if SKINNY else mlflow_table.FULL, HERE)
if not SKINNY:
    importlib.import_module("tests.quick_sqlite.sitecustomize")  # sets up each connection to SQLite

# The cases with an alias exist where there are aliases, the refusals of one where there are none.
collect_ignore = ["test_before_aliases.py"] if HAS_ALIASES else ["test_auto_aliases.py"]
if not IS_THREE:
    collect_ignore.append("test_logged_model_metrics.py")
# A database of one's own and models that MLflow saved need more than that; tests/skinny asserts what is said then.
if SKINNY:
    collect_ignore += ["test_databases.py", "test_flavor_models.py"]
# What is about this library's own steps, whichever MLflow is there: with the newest of each major.
OWN_STEPS = {
    "test_lost_registry.py",
    "test_any_text.py",
    "test_cache.py",
    "test_doctor.py",
    "test_follow.py",
    "test_one_story.py",
    "test_outages.py",
}

# What this client and a registry of its version can hold; test_before_aliases.py asserts that the rest is refused.
STORES = ("served",) if SKINNY else ("direct", "served")
POSSIBLE = ("auto", "stage", "alias", "both") if HAS_ALIASES else ("auto", "stage")


# The fixtures that are a store; one that a whole module shares takes seconds, so that its tests have the same store.
BY_STORE, SHARED, BY_POINTER = ("registry", "tried"), "tried", "pointer"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what is about own steps where another row runs it."""
    left_out = not NEWEST or config.getoption("--no-own-steps")
    return True if left_out and collection_path.name in OWN_STEPS else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the combinations that ``--combinations`` does not ask for."""
    here = [item for item in items if isinstance(item, pytest.Function) and Path(__file__).parent in item.path.parents]
    choice = config.getoption("--combinations")
    running = select({item: _combination(item) for item in here}, row_of(INSTALLED), choice)
    left_out = [item for item in here if item not in running]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in {*left_out}]


def _combination(item: pytest.Function) -> tuple[str, str, str]:
    """Return the test that an item is of, with its other parameters, its store and its pointer."""
    # A test without parameters has no such attribute.
    given = dict(item.callspec.params) if hasattr(item, "callspec") else {}
    stores = [str(given.pop(name)) for name in BY_STORE if name in given]
    pointer = str(given.pop(BY_POINTER, "")) if BY_POINTER in item.fixturenames else ""
    test = "" if SHARED in item.fixturenames else item.originalname
    return f"{item.path.stem} {test} {sorted(map(repr, given.values()))}", "".join(stores), pointer


@dataclass(frozen=True)
class Registry:
    """One registry, plain MLflow's client for it, and three runs that logged the bundles 1, 2 and 3.

    Each run has ``bundle/newsreco.pkl``, a directory with one pickle, and the same pickle as ``newsreco.pkl``.
    ``files`` is the directory in which the registry's artifacts end up, ``database`` the SQLite file behind it.
    ``registered`` are the versions that registering the three bundles made: source, run and tags of each.
    """

    uri: str
    plain: MlflowClient
    experiment: str
    files: Path
    database: Path
    runs: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    registered: tuple[tuple[str, str, dict[str, str]], ...] = ()

    def register_again(self, name: str, versions: int) -> None:
        """Make a model whose versions are copies of those that this library registered, in fewer requests."""
        self.plain.create_registered_model(name)
        for source, run_id, tags in self.registered[:versions]:
            self.plain.create_model_version(name, source, run_id, tags)

    def stages(self, name: str) -> dict[int, str]:
        """Return the stage of each version, as plain MLflow tells."""
        found = self.plain.search_model_versions(f"name='{name}'")
        return {int(version.version): version.current_stage for version in found}

    def aliases(self, name: str) -> dict[str, int]:
        """Return the aliases, as plain MLflow tells; none where the client knows none."""
        aliases = getattr(self.plain.get_registered_model(name), "aliases", {})
        return {alias: int(version) for alias, version in aliases.items()}

    def pointers(self, name: str) -> set[int]:
        """Return every version that plain MLflow takes for live, by its stage or by its alias."""
        in_production = {version for version, stage in self.stages(name).items() if stage == "Production"}
        return in_production | {version for alias, version in self.aliases(name).items() if alias == "production"}

    def picture(self, name: str) -> tuple[object, ...]:
        """Return everything a verb could have changed about a model, to compare before and after."""
        found = self.plain.search_model_versions(f"name='{name}'")
        tags = {int(version.version): dict(version.tags) for version in found}
        return self.stages(name), self.aliases(name), tags, dict(self.plain.get_registered_model(name).tags)

    def stored(self, run_id: str, path: str) -> Path:
        """Return the file of a run's artifact, which can be changed without MLflow."""
        (found,) = self.files.rglob(f"{run_id}/artifacts/{path}")
        return found

    def names(self) -> set[str]:
        """Return the names of all registered models."""
        return {model.name for model in self.plain.search_registered_models(max_results=1000)}

    def move_stage(self, name: str, version: int, stage: str) -> None:
        """Move a stage as a job written for MLflow 2 does, without archiving what is there."""
        transition = inspect.unwrap(MlflowClient.transition_model_version_stage)  # what warns is only around it
        transition(self.plain, name, str(version), stage)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Set an alias as a job written for MLflow 3 does."""
        self.plain.set_registered_model_alias(name, alias, str(version))

    def promoted_by_jobs(self, model: RegisteredModel, *, alias: int | None = None, stage: int | None = None) -> None:
        """Point to versions as jobs of plain MLflow of either major do."""
        if stage is not None:
            self.move_stage(model.name, stage, "Production")
        if alias is not None:
            self.set_alias(model.name, "production", alias)

    def run_with(self, files: dict[str, bytes]) -> str:
        """Return a new run that logged these files, by their paths."""
        run_id = str(self.plain.create_run(self.experiment).info.run_id)
        # Old clients find a server's artifacts by the process's tracking URI, not by the client's own.
        with tempfile.TemporaryDirectory() as scratch, pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_URI", self.uri)
            for path, content in files.items():
                local = Path(scratch, path)
                local.parent.mkdir(parents=True, exist_ok=True)
                local.write_bytes(content)
            self.plain.log_artifacts(run_id, scratch)
        return run_id


def _registry(uri: str, directory: Path, artifact_location: str | None) -> Registry:
    """Return a registry with its three runs."""
    plain = MlflowClient(uri)
    experiment = str(plain.create_experiment(f"news-{uuid.uuid4().hex}", artifact_location=artifact_location))
    registry = Registry(uri, plain, experiment, directory / "artifacts", directory / "mlflow.db")
    runs, digests = [], []
    for number in (1, 2, 3):
        content = pickle.dumps({"recommender": f"r{number}", "ranker": number})
        runs.append(registry.run_with({"newsreco.pkl": content, "bundle/newsreco.pkl": content}))
        manifest = f"{hashlib.sha256(content).hexdigest()}  newsreco.pkl\n"
        digests.append(hashlib.sha256(manifest.encode()).hexdigest())
    registry = replace(registry, runs=tuple(runs), digests=tuple(digests))
    return replace(registry, registered=tuple(_registered(registry)))


def _registered(registry: Registry) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Register the three bundles once and yield what that made."""
    model = prodpointer.connect(f"news-{uuid.uuid4().hex}", tracking_uri=registry.uri)
    for run_id, digest in zip(registry.runs, registry.digests, strict=True):
        number = model.register(run_id, "bundle", sha256=digest)
        made = registry.plain.get_model_version(model.name, str(number))
        yield made.source, run_id, dict(made.tags)
    registry.plain.delete_registered_model(model.name)


@pytest.fixture(scope="session")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """An SQLite database that this process opens itself."""
    directory = tmp_path_factory.mktemp("direct")
    return _registry(f"sqlite:///{directory / 'mlflow.db'}", directory, (directory / "artifacts").as_uri())


@pytest.fixture(scope="session")
def whole() -> str:
    """The Python of a whole MLflow of this client's version: this one, unless it is skinny."""
    return str(environment(mlflow_table.row(VERSION))) if SKINNY else sys.executable


@pytest.fixture(scope="session")
def served(whole: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A real server of this client's version, on SQLite."""
    with serve(whole, tmp_path_factory.mktemp("served"), version=VERSION) as server:
        yield _registry(server.uri, server.directory, None)


@pytest.fixture(params=STORES)
def registry(request: pytest.FixtureRequest) -> Registry:
    """Each registry of this environment in turn."""
    found: Registry = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=POSSIBLE)
def pointer(request: pytest.FixtureRequest) -> str:
    """Each supported pointer in turn."""
    return str(request.param)


def tree(directory: Path) -> list[str]:
    """Return everything below a directory."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


Connect = Callable[..., RegisteredModel]


@pytest.fixture
def fresh(registry: Registry, forgetful: None) -> Connect:
    """Connect to a registered model, by default a new one; ``versions`` exist already."""

    def connect(versions: int = 0, name: str | None = None, **options: Any) -> RegisteredModel:
        name = f"news-{uuid.uuid4().hex[:12]}" if name is None else name
        if versions:
            registry.register_again(name, versions)
        return prodpointer.connect(name, tracking_uri=registry.uri, **options)

    return connect


@pytest.fixture
def news(fresh: Connect, pointer: str) -> RegisteredModel:
    """A registered model with three versions, none of them live, under each possible pointer."""
    return fresh(3, pointer=pointer)


@pytest.fixture
def between(served: Registry, forgetful: None) -> Iterator[Proxy]:
    """A real proxy between this client and the server, which counts, and can answer in the server's place."""
    with proxy(served.uri) as found:
        yield found


def model_behind(between: Proxy, served: Registry, versions: int, **options: Any) -> RegisteredModel:
    """Connect by the proxy to a new model of the server behind it, which has so many versions."""
    name = f"news-{uuid.uuid4().hex[:12]}"
    served.register_again(name, versions)
    return prodpointer.connect(name, tracking_uri=between.uri, **options)

"""One registry, called by REST or through MLflow's client; every answer is one of our values or one of our errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime, timezone
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

from prodpointer.errors import (
    ArtifactNotFound,
    InvalidName,
    ModelNotFound,
    ProdpointerError,
    RegistryError,
    RegistryUnavailable,
    RegistryUnsupported,
    VersionNotFound,
)
from prodpointer.mlflow_client import converters
from prodpointer.mlflow_client.calls import Calls, make_calls
from prodpointer.mlflow_client.exceptions import Missing, error_code, translate
from prodpointer.mlflow_client.rest import CONTROL_MODEL, CONTROL_MODEL_ENDPOINT, Rest
from prodpointer.mlflow_client.runs import Runs, make_runs
from prodpointer.mlflow_client.uris import Addresses, Place, opening_step, place_of, sqlite_file
from prodpointer.mlflow_client.worker import InTime, run_together, worker_for
from prodpointer.mlflow_client.workspaces import InWorkspace, call_in
from prodpointer.types import ModelReply, ModelVersion

T = TypeVar("T")
U = TypeVar("U")

_RENAME_STEP = (
    "MLflow 3.11.1 and later cannot read a model with '/' or ':' in its name, though older ones create it: rename it "
    "with rename_registered_model on MLflow 3.10.1 or older, before the upgrade, or on a copy of the database."
)
# An alias that is not set, and from 3.10.0 on one of a model that does not exist (measured).
_NO_ALIAS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
_ONCE_OPEN = {"_calls", "_client", "client_has_aliases", "rest"}
_failed: set[str] = set()


class Registry:
    """A model registry behind one pair of URIs.

    Parameters
    ----------
    addresses
        Where it is. A database has been looked at before: see ``prepare_database``.
    timeout
        Seconds for each request.
    """

    def __init__(self, addresses: Addresses, *, timeout: float) -> None:
        """Make MLflow's client; for a database this opens it."""
        from mlflow import MlflowClient

        self.addresses = addresses
        self.place: Place = place_of(addresses.registry_uri)
        with self._translate_opening("open the registry", opening_step(addresses.registry_uri, addresses.tracking_uri)):
            client = self._make_client(lambda: MlflowClient(addresses.tracking_uri, addresses.registry_uri), timeout)
            inner = InWorkspace(client, addresses.workspace)
            in_time = InTime(client, addresses.workspace, addresses.registry_uri, timeout)
            self._client: Any = inner if self._is_here else in_time
            is_server = self.place is Place.SERVER
            speaks_rest = is_server or (self.place is Place.PLUGIN and self._is_rest_store())
        self.timeout = timeout
        self.client_has_aliases: bool = hasattr(client, "set_registered_model_alias")
        self.rest: Rest | None = Rest(addresses, timeout=timeout) if speaks_rest else None
        # A managed registry may copy a model's files as it makes a version, which takes as long as it takes.
        making = self._client if self.place is Place.DATABASE else inner
        self._calls: Calls = make_calls(self._client, making, self.rest, is_server=is_server, timeout=timeout)

    def _make_client(self, make: Callable[[], T], timeout: float) -> T:
        """Return MLflow's client; where a workspace is active, making it asks the server (3.10.0 to 3.17.2)."""
        workspace = self.addresses.workspace
        if workspace is None or self._is_here:
            return call_in(workspace, make)
        return worker_for(self.addresses.registry_uri).call(lambda: call_in(workspace, make), timeout=timeout)

    def check_workspace(self) -> None:
        """Raise unless the workspace of a database exists; for a client of MLflow 3.10 or later."""
        with self.translate("find the workspace"):
            self._client.get_workspace(self.addresses.workspace)

    @property
    def client(self) -> Any:
        """MLflow's client, for the other modules of this package; each of its calls has ``timeout`` seconds."""
        return self._client

    @property
    def runs(self) -> Runs:
        """The runs beside the registry."""
        return make_runs(self._client, self.addresses, timeout=self.timeout)

    def page(self, name: str, version: int | None) -> str | None:
        """Return the address of a page of MLflow's UI, without credentials; None where the registry is no server."""
        if self.place is not Place.SERVER:
            return None
        path = f"/#/models/{quote(name, safe='')}" + ("" if version is None else f"/versions/{version}")
        workspace = self.addresses.workspace
        asked = f"?workspace={quote(workspace, safe='')}" if workspace else ""
        return f"{_without_login(self.addresses.registry_uri).rstrip('/')}{path}{asked}"

    @property
    def takes_several(self) -> bool:
        """Whether several calls may be made at the same time: a server's; MLflow's client is called one at a time."""
        return self.place is Place.SERVER

    @property
    def finds_tags(self) -> bool:
        """Whether a search finds versions by a tag: MLflow's own registries do (2.0.1 to 3.17.2 measured)."""
        return self.place in (Place.SERVER, Place.DATABASE)

    def now(self) -> datetime:
        """Return the time by the server's clock, as its answers tell it, else by this machine's."""
        here = datetime.now(timezone.utc)
        return here if self.rest is None else here + self.rest.clock_ahead

    @property
    def may_deny(self) -> bool:
        """Whether the registry may have permissions for the caller: a server has none for anonymous callers."""
        if self.place is Place.SERVER and self.rest is not None:
            return self.rest.names_caller
        return self.place is not Place.DATABASE

    def together(self, one: Callable[[], T], other: Callable[[], U]) -> tuple[T, U]:
        """Return the results of two independent reads, made at the same time where that is possible."""
        return run_together(one, other) if self.takes_several else (one(), other())

    @property
    def _is_here(self) -> bool:
        """Whether runs and registry are files of this machine, whose calls need no time limit and no thread."""
        places = (self.addresses.registry_uri, self.addresses.tracking_uri)
        return all(sqlite_file(uri) is not None or place_of(uri) is Place.FILES for uri in places)

    def open_database(self) -> None:
        """Open the database of a registry that is not that of the runs: MLflow's client would at its first call."""
        if self.place is Place.DATABASE and self.addresses.registry_uri != self.addresses.tracking_uri:
            with self._translate_opening("open the registry", ""):
                self._store()

    def store_has(self, method: str) -> bool:
        """Tell whether a plugin's own store defines a method, and not only MLflow's abstract one."""
        with self._translate_opening("open the registry", opening_step(self.addresses.registry_uri)):
            classes = type(self._store()).__mro__
        defining = next((each.__name__ for each in classes if method in vars(each)), "AbstractStore")
        return defining != "AbstractStore"

    def leave_inherited_connections(self) -> None:
        """Connect to a database anew, in a process that was forked: the connections it inherited are the parent's."""
        opened = vars(self).get("_client")
        uris = (self.addresses.registry_uri, self.addresses.tracking_uri)
        if opened is None or all(place_of(uri) is not Place.DATABASE for uri in uris):
            return
        for store in (opened._get_registry_client().store, opened._tracking_client.store):  # noqa: SLF001  # 2.0.1 to 3.17.2
            for name in ("engine", "read_engine"):
                engine = getattr(store, name, None)
                if engine is not None:
                    engine.pool = engine.pool.recreate()  # closes no connection: the parent would notice

    def _translate_opening(self, doing: str, step: str) -> AbstractContextManager[None]:
        """Translate what fails before any registry is asked."""
        unsupported = RegistryUnsupported
        return translate(doing, self.addresses.shown, other=unsupported, invalid=unsupported, step=step)

    def _store(self) -> Any:
        """Return what MLflow's client talks through."""
        from mlflow.tracking._model_registry.utils import _get_store

        return call_in(self.addresses.workspace, lambda: _get_store(self.addresses.registry_uri))

    def _is_rest_store(self) -> bool:
        """Tell whether a plugin speaks MLflow's own REST API, as those of Azure ML and SageMaker do."""
        from mlflow.store.model_registry.rest_store import RestStore

        return isinstance(self._store(), RestStore)

    @property
    def connection_failed(self) -> bool:
        """Whether a connection to this registry failed in this process since it was last asked what it is."""
        return self.addresses.registry_uri in _failed

    def connection_restored(self) -> None:
        """Note that the registry answered again."""
        _failed.discard(self.addresses.registry_uri)

    @contextmanager
    def translate(
        self,
        doing: str,
        *,
        missing: Missing | None = None,
        invalid: type[ProdpointerError] = RegistryError,
        name: str = "",
    ) -> Iterator[None]:
        """Translate what fails inside, and remember when the connection did; ``name`` is the model's, where it is one.

        MLflow 3.11.1 and later refuse to read the models with ``/`` or ``:`` in their names that older ones create.
        """
        step = ""
        if "/" in name or ":" in name:
            invalid, step = InvalidName, _RENAME_STEP
        try:
            with translate(doing, self.addresses.shown, missing=missing, invalid=invalid, step=step):
                yield
        except RegistryUnavailable:
            _failed.add(self.addresses.registry_uri)
            raise

    def _translate_about(self, doing: str, name: str, version: int) -> AbstractContextManager[None]:
        """Translate what fails about one version."""
        doing = f"{doing} version {version} of {name!r}"
        return self.translate(doing, missing=lambda: self._no_version(name, version), name=name)

    def model(self, name: str, *, retried: bool = False) -> ModelReply:
        """Return what one reply says of a registered model, or raise ``ModelNotFound``; a prompt is none.

        Parameters
        ----------
        name
            Its name.
        retried
            Whether a server that fails in passing is asked again within the timeout: no service waits for the answer.
        """
        with self.translate(
            f"read the registered model {name!r}",
            missing=lambda: self.no_model(name),
            invalid=InvalidName,
            name=name,
        ):
            reply = self._calls.model(name, retried=retried)
        if not self._is_same_name(reply.name, name):
            raise RegistryUnsupported(
                f"The server is not a model registry: asked for {name!r}, it answered about {reply.name!r}.",
                where=self.addresses.shown,
                next_step="Check the URL.",
            )
        if converters.marks_a_prompt(reply.tags):
            raise self.no_model(name)
        return reply

    def _is_same_name(self, found: str, asked: str) -> bool:
        """Tell whether a reply is about the model that was asked for; Unity Catalog folds names to lower case."""
        return found.lower() == asked.lower() if self.place is Place.UNITY_CATALOG else found == asked

    def names(self) -> list[str]:
        """Return the names of all registered models, in order; prompts are not models."""
        return sorted(reply.name for page in self.model_pages() for reply in page)

    def model_pages(self) -> Iterator[list[ModelReply]]:
        """Yield each page of registered models with their aliases and newest versions, prompts left out."""
        empty = True
        with self.translate("list the registered models"):
            for page in self._calls.model_pages():
                empty = empty and not page
                yield page
        if empty:
            self._check_readable_workspace()

    def _check_readable_workspace(self) -> None:
        """Raise ``AccessDenied`` where the workspace may not be read: a server lists nothing then (3.17.2 measured)."""
        if self.addresses.workspace is None or self.rest is None:
            return
        doing = "list the registered models"
        with suppress(ModelNotFound), self.translate(doing, missing=lambda: self.no_model(CONTROL_MODEL)):
            self.rest.once("GET", CONTROL_MODEL_ENDPOINT)

    def version(self, name: str, version: int) -> ModelVersion:
        """Return one version, or raise ``VersionNotFound`` or ``ModelNotFound``."""
        with self._translate_about("read", name, version):
            return self._calls.version(name, str(version))

    def existing_version(self, name: str, version: int) -> ModelVersion | None:
        """Return one version of a model known to exist, or None if it was deleted; one request either way."""
        gone = VersionNotFound("deleted")
        try:
            with self.translate(f"read version {version} of {name!r}", missing=lambda: gone, name=name):
                return self._calls.version(name, str(version))
        except VersionNotFound:
            return None

    def versions(self, name: str, tag: str | None = None) -> list[ModelVersion]:
        """Return every version with its tags, lowest number first; empty for a model that does not exist.

        With ``tag`` only the versions that have it, where :attr:`finds_tags`.
        """
        with self.translate(f"list the versions of {name!r}", name=name):
            every = [each for page in self._calls.version_pages(name, tag) for each in page]
        return sorted(every, key=lambda version: version.version)

    def version_pages(self, tag: str | None = None) -> Iterator[list[ModelVersion]]:
        """Yield each page of the versions of all models, or of those with a tag, where :attr:`finds_tags`."""
        with self.translate("list the versions of all models"):
            yield from self._calls.version_pages(None, tag)

    def plain_alias(self, name: str, alias: str) -> int | None:
        """Return the version that plain MLflow loads for ``models:/name@alias``, asked as plain clients ask, or None.

        Another way than the one by which this library reads, so that a mistake of the one shows in the other.
        """
        from mlflow.exceptions import MlflowException

        with self.translate(f"read the alias {alias!r} of {name!r}", name=name):
            try:
                return self._calls.plain_alias(name, alias)
            except MlflowException as error:
                if error_code(error) not in _NO_ALIAS:
                    raise
                return None

    def plain_stage(self, name: str, stage: str) -> int | None:
        """Return the version that plain MLflow loads for ``models:/name/stage``, asked the same way, or None."""
        with self.translate(f"read the stage {stage} of {name!r}", missing=lambda: self.no_model(name), name=name):
            return next(iter(self._calls.plain_stage(name, stage)), None)

    def create_model(self, name: str) -> None:
        """Create the registered model unless it exists; any other refusal is an error."""
        from mlflow.exceptions import MlflowException

        with self.translate(f"create the registered model {name!r}", invalid=InvalidName):
            try:
                self._calls.create_model(name)
            except MlflowException as error:
                if error_code(error) not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):
                    raise

    def delete_model(self, name: str) -> None:
        """Delete the registered model with its versions; only for models that were made to be thrown away."""
        with self.translate(f"delete the registered model {name!r}", missing=lambda: self.no_model(name)):
            self._calls.delete_model(name)

    def create_version(
        self, name: str, source: str, *, run_id: str | None, model_id: str | None, tags: Mapping[str, str]
    ) -> int:
        """Create a version from a source and return its number."""
        # MLflow 3.17.0 and later refuse a logged model's source without its id; clients before 3 know no such id.
        given = {"run_id": run_id, "model_id": model_id}
        details = {key: value for key, value in given.items() if value}
        with self.translate(
            f"create a version of {name!r} from {source!r}", missing=lambda: self._no_source(name, source)
        ):
            return self._calls.new_version(name, source, tags=dict(tags), **details)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Move an alias to a version."""
        # As text: clients 2.3.0 to 2.20.4 fail with a TypeError on an int over REST (measured).
        doing = f"set the alias {alias!r} of {name!r} to version {version}"
        with self.translate(doing, missing=lambda: self._no_version(name, version), invalid=InvalidName, name=name):
            self._calls.set_alias(name, alias, str(version))

    def delete_alias(self, name: str, alias: str) -> None:
        """Delete an alias; one that is not set is no error."""
        doing = f"delete the alias {alias!r} of {name!r}"
        with self.translate(doing, missing=lambda: self.no_model(name), invalid=InvalidName, name=name):
            self._calls.delete_alias(name, alias)

    def move_to_stage(self, name: str, version: int, stage: str) -> None:
        """Move a version to a stage, and no other version."""
        doing = f"move version {version} of {name!r} to the stage {stage}"
        with self.translate(doing, missing=lambda: self._no_version(name, version), name=name):
            self._calls.move_to_stage(name, str(version), stage)

    def tag_version(self, name: str, version: int, key: str, value: str) -> None:
        """Set one tag of a version."""
        with self._translate_about("tag", name, version):
            self._calls.tag_version(name, str(version), key, value)

    def untag_version(self, name: str, version: int, key: str) -> None:
        """Delete one tag of a version; one that is not there is no error."""
        with self._translate_about("delete a tag of", name, version):
            self._calls.untag_version(name, str(version), key)

    def tag_model(self, name: str, key: str, value: str | None) -> None:
        """Set one tag of a registered model, or delete it where the value is None; a missing tag is not an error."""
        with self.translate(f"tag the registered model {name!r}", missing=lambda: self.no_model(name), name=name):
            if value is not None:
                self._calls.tag_model(name, key, value)
            else:
                self._calls.untag_model(name, key)

    def download_uri(self, name: str, version: int) -> str:
        """Return where the registry says that the artifact of a version is."""
        with self._translate_about("find the artifact of", name, version):
            return self._calls.download_uri(name, str(version))

    def no_model(self, name: str) -> ProdpointerError:
        """Return the error for a registered model that does not exist."""
        return ModelNotFound(
            f"The registered model {name!r} does not exist.",
            where=self.addresses.shown,
            next_step="Check the name, or register a first version, which creates it.",
        )

    def _no_source(self, name: str, source: str) -> ProdpointerError:
        """Return the error for a version that could not be made."""
        no_source = ArtifactNotFound(
            f"The registry cannot find {source!r}.",
            where=self.addresses.shown,
            next_step="Check that the registry and the runs belong to the same server, or log the files with the run.",
        )
        return self._unless_no_model(name, no_source)

    def _no_version(self, name: str, version: int) -> ProdpointerError:
        """Return the error for a missing version."""
        no_version = VersionNotFound(
            f"Version {version} of {name!r} does not exist or was deleted.",
            where=self.addresses.shown,
            next_step="`prodpointer status` shows the live version.",
        )
        return self._unless_no_model(name, no_version)

    def _unless_no_model(self, name: str, error: ProdpointerError) -> ProdpointerError:
        """Return ``error``, or that the model itself is missing: MLflow has one code for both, so ask."""
        try:
            self.model(name)
        except ModelNotFound as no_model:
            return no_model
        return error


class DownRegistry(Registry):
    """A registry that is opened by the first call that finds it up: one that could not be reached before.

    A database, or a server that MLflow's client asks for workspaces as it is made; and each one that was pickled.

    Parameters
    ----------
    addresses, timeout
        As for :class:`Registry`.
    prepare
        Looks at the database before the block that opens it; raises while it cannot be reached.
    failure
        What it raised a moment ago, which the first call raises again without waiting; None where it was not asked.
    """

    def __init__(
        self,
        addresses: Addresses,
        *,
        timeout: float,
        prepare: Callable[[], AbstractContextManager[bool]],
        failure: RegistryUnavailable | None = None,
    ) -> None:
        self.addresses = addresses
        self.place: Place = place_of(addresses.registry_uri)
        self.timeout = timeout
        self._prepare = prepare
        self._failure = failure

    def __getattr__(self, name: str) -> Any:
        """Open the database for what is there only once it is open."""
        if name not in _ONCE_OPEN:
            raise AttributeError(name)
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        with self._prepare():
            super().__init__(self.addresses, timeout=self.timeout)
        return vars(self)[name]


def _without_login(uri: str) -> str:
    """Return the address of a server without user and password, which a browser asks for itself."""
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))

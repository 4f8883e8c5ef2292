"""One registry, asked through MLflow's own client; every answer is one of our values or one of our errors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, TypeVar

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
from prodpointer.mlflow_border import entities
from prodpointer.mlflow_border.addresses import Addresses, Place, opening_step, place_of, sqlite_file
from prodpointer.mlflow_border.lane import InTime, Lane, lane_to
from prodpointer.mlflow_border.rest import CONTROL_MODEL, MODELS_PAGE, Rest, pages
from prodpointer.mlflow_border.translation import Missing, error_code, translated
from prodpointer.mlflow_border.workspaces import InWorkspace, called_in
from prodpointer.records import ModelReply, ModelVersion

T = TypeVar("T")

# The largest page that every MLflow from 2.2.0 on accepts.
_VERSIONS_PAGE = 10_000

_RENAME_STEP = (
    "MLflow 3.11.1 and later cannot read a model with '/' or ':' in its name, though older ones create it: rename it "
    "with rename_registered_model on MLflow 3.10.1 or older, before the upgrade, or on a copy of the database."
)

_ONCE_OPEN = {"_client", "_making", "client_has_aliases", "rest"}
_failed: set[str] = set()


class Registry:
    """A model registry behind one pair of URIs.

    Parameters
    ----------
    addresses
        Where it is. A database has been looked at before: see ``prepare_database``.
    timeout
        Seconds for each request.
    at_once
        Whether many calls are made at once: what a fleet is asked and told goes to a server by single requests then,
        since MLflow's client is called one call at a time.
    """

    _at_once = False

    def __init__(self, addresses: Addresses, *, timeout: float, at_once: bool = False) -> None:
        """Make MLflow's client; for a database this opens it."""
        from mlflow import MlflowClient

        self.addresses = addresses
        self.place: Place = place_of(addresses.registry_uri)
        with self._opening("open the registry", opening_step(addresses.registry_uri, addresses.tracking_uri)):
            client = self._opened(lambda: MlflowClient(addresses.tracking_uri, addresses.registry_uri), timeout)
            inner = InWorkspace(client, addresses.workspace)
            in_time = InTime(client, addresses.workspace, addresses.registry_uri, timeout)
            self._client: Any = inner if self._is_here else in_time
            # A managed registry may copy a model's files as it makes a version, which takes as long as it takes.
            self._making: Any = self._client if self.place in (Place.SERVER, Place.DATABASE) else inner
            speaks_rest = self.place is Place.SERVER or (self.place is Place.PLUGIN and self._is_rest_store())
        self.timeout = timeout
        self._at_once = at_once
        self.client_has_aliases: bool = hasattr(client, "set_registered_model_alias")
        self.rest: Rest | None = Rest(addresses, timeout=timeout) if speaks_rest else None

    def _opened(self, make: Callable[[], T], timeout: float) -> T:
        """Return MLflow's client; where a workspace is active, making it asks the server (3.10.0 to 3.17.2)."""
        workspace = self.addresses.workspace
        if workspace is None or self._is_here:
            return called_in(workspace, make)
        return self.lane.call(lambda: called_in(workspace, make), timeout=timeout)

    def check_workspace(self) -> None:
        """Raise unless the workspace of a database exists; for a client of MLflow 3.10 or later."""
        with self.asking("find the workspace"):
            self._client.get_workspace(self.addresses.workspace)

    @property
    def client(self) -> Any:
        """MLflow's client, for the other rooms of the border; each of its calls has ``timeout`` seconds."""
        return self._client

    @property
    def lane(self) -> Lane:
        """The time limit for what has none of its own."""
        return lane_to(self.addresses.registry_uri)

    @property
    def _is_here(self) -> bool:
        """Whether runs and registry are files of this machine, whose calls need no time limit and no thread."""
        places = (self.addresses.registry_uri, self.addresses.tracking_uri)
        return all(sqlite_file(uri) is not None or place_of(uri) is Place.FILES for uri in places)

    @property
    def _asked_by_rest(self) -> Rest | None:
        """The way to ask a server what a service asks while it may be down; None where there is no server."""
        return self.rest if self.place is Place.SERVER else None

    def open_database(self) -> None:
        """Open the database of a registry that is not that of the runs: MLflow's client would at its first call."""
        if self.place is Place.DATABASE and self.addresses.registry_uri != self.addresses.tracking_uri:
            with self._opening("open the registry", ""):
                self._store()

    def store_has(self, method: str) -> bool:
        """Tell whether a plugin's own store defines a method, and not only MLflow's abstract one."""
        with self._opening("open the registry", opening_step(self.addresses.registry_uri)):
            classes = type(self._store()).__mro__
        defining = next((each.__name__ for each in classes if method in vars(each)), "AbstractStore")
        return defining != "AbstractStore"

    def _opening(self, doing: str, step: str) -> AbstractContextManager[None]:
        """Translate what fails before any registry is asked."""
        unsupported = RegistryUnsupported
        return translated(doing, self.addresses.shown, other=unsupported, invalid=unsupported, step=step)

    def _store(self) -> Any:
        """Return what MLflow's client talks through."""
        from mlflow.tracking._model_registry.utils import _get_store

        return called_in(self.addresses.workspace, lambda: _get_store(self.addresses.registry_uri))

    def _is_rest_store(self) -> bool:
        """Tell whether a plugin speaks MLflow's own REST API, as those of Azure ML and SageMaker do."""
        from mlflow.store.model_registry.rest_store import RestStore

        return isinstance(self._store(), RestStore)

    @property
    def _alias_rest(self) -> Rest | None:
        """The way to a server's aliases for a client from before them; None where the client has its own."""
        return self.written_by_rest if self.client_has_aliases else self.rest

    @property
    def written_by_rest(self) -> Rest | None:
        """The way to a server for calls of which many are made at once; None for MLflow's client."""
        return self._asked_by_rest if self._at_once else None

    @property
    def connection_failed(self) -> bool:
        """Whether a connection to this registry failed in this process since it was last asked what it is."""
        return self.addresses.registry_uri in _failed

    def connection_restored(self) -> None:
        """Note that the registry answered again."""
        _failed.discard(self.addresses.registry_uri)

    @contextmanager
    def asking(
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
            with translated(doing, self.addresses.shown, missing=missing, invalid=invalid, step=step):
                yield
        except RegistryUnavailable:
            _failed.add(self.addresses.registry_uri)
            raise

    def model(self, name: str) -> ModelReply:
        """Return what one reply says of a registered model, or raise ``ModelNotFound``.

        A client before 2.3 drops the aliases that the REST reply carries (measured: 2.2.2), another reason to read a
        server's reply without the client's entity.
        """
        with self.asking(
            f"read the registered model {name!r}",
            missing=lambda: self.no_model(name),
            invalid=InvalidName,
            name=name,
        ):
            if (rest := self._asked_by_rest or self._alias_rest) is not None:
                reply = entities.reply_from_json(rest.get_model(name))
            else:
                reply = entities.reply(self._client.get_registered_model(name))
        if not self._is_same_name(reply.name, name):
            raise RegistryUnsupported(
                f"What answers is not a model registry: asked for {name!r}, it spoke of {reply.name!r}.",
                where=self.addresses.shown,
                next_step="Check the URL.",
            )
        return reply

    def _is_same_name(self, found: str, asked: str) -> bool:
        """Tell whether a reply is about the model that was asked for; Unity Catalog folds names to lower case."""
        return found.lower() == asked.lower() if self.place is Place.UNITY_CATALOG else found == asked

    def names(self, *, unfiltered: bool = False) -> list[str]:
        """Return the names of all registered models, in order; prompts are not models.

        Parameters
        ----------
        unfiltered
            Whether a server is asked without the filter that MLflow's client adds: see ``lists_nothing``.
        """
        return sorted(reply.name for page in self.model_pages(unfiltered=unfiltered) for reply in page)

    def model_pages(self, *, unfiltered: bool) -> Iterator[list[ModelReply]]:
        """Yield each page of registered models with their aliases and newest versions, prompts left out.

        Parameters
        ----------
        unfiltered
            Whether a server is asked without the filter that clients from 2.21 on add, which servers up to 2.20.4
            answer with nothing (measured).
        """
        empty = True
        for page in self._model_pages(unfiltered=unfiltered):
            empty = empty and not page
            yield page
        if empty:
            self._check_readable_workspace()

    def _check_readable_workspace(self) -> None:
        """Raise ``AccessDenied`` where the workspace may not be read: a server lists nothing then (3.17.2 measured)."""
        if self.addresses.workspace is None or self.rest is None:
            return
        doing = "list the registered models"
        with suppress(ModelNotFound), self.asking(doing, missing=lambda: self.no_model(CONTROL_MODEL)):
            self.rest.get_model(CONTROL_MODEL)

    def _model_pages(self, *, unfiltered: bool) -> Iterator[list[ModelReply]]:
        """Yield each page of registered models; see :meth:`model_pages`."""
        with self.asking("list the registered models"):
            if unfiltered and self.rest is not None:
                yield from map(entities.replies_from_json, self.rest.model_pages())
                return

            def ask(token: str | None) -> tuple[Any, Any]:
                page = self._client.search_registered_models(max_results=MODELS_PAGE, page_token=token)
                return page, page.token

            for page in pages(ask):
                yield [entities.reply(model) for model in page if not entities.is_prompt(model)]

    def version(self, name: str, version: int) -> ModelVersion:
        """Return one version, or raise ``VersionNotFound`` or ``ModelNotFound``."""
        doing = f"read version {version} of {name!r}"
        with self.asking(doing, missing=lambda: self._no_version(name, version), name=name):
            return self._version(name, version)

    def existing_version(self, name: str, version: int) -> ModelVersion | None:
        """Return one version of a model known to exist, or None if it was deleted; one request either way."""
        gone = VersionNotFound("deleted")
        try:
            with self.asking(f"read version {version} of {name!r}", missing=lambda: gone, name=name):
                return self._version(name, version)
        except VersionNotFound:
            return None

    def _version(self, name: str, version: int) -> ModelVersion:
        """Ask for one version."""
        if (rest := self._asked_by_rest) is not None:
            return entities.version_from_json(rest.get_version(name, str(version)))
        return entities.model_version(self._client.get_model_version(name, str(version)))

    def versions(self, name: str) -> list[ModelVersion]:
        """Return every version with its tags, lowest number first; empty for a model that does not exist."""
        quote = '"' if "'" in name else "'"
        wanted = f"name={quote}{name}{quote}"
        with self.asking(f"list the versions of {name!r}", name=name):
            pages = self.version_pages(wanted, max_results=_VERSIONS_PAGE)
            return sorted((each for page in pages for each in page), key=lambda version: version.version)

    def version_pages(self, wanted: str, **paging: Any) -> Iterator[list[ModelVersion]]:
        """Yield each page of the versions that a filter names; what fails is MLflow's error.

        The client of 2.0.1 takes nothing but the filter and answers with everything.
        """
        if (rest := self.written_by_rest) is not None:
            yield from map(entities.versions_from_json, rest.version_pages(filter=wanted, **paging))
            return
        search = self._client.search_model_versions
        if "page_token" not in inspect.signature(search).parameters:
            paging = {}

        def ask(token: str | None) -> tuple[Any, Any]:
            page = search(wanted, **(paging if token is None else {**paging, "page_token": token}))
            return page, getattr(page, "token", None) if paging else None

        for page in pages(ask):
            yield [entities.model_version(version) for version in page]

    def create_model(self, name: str) -> None:
        """Create the registered model unless it exists; any other refusal is an error."""
        from mlflow.exceptions import MlflowException

        with self.asking(f"create the registered model {name!r}", invalid=InvalidName):
            try:
                self._client.create_registered_model(name)
            except MlflowException as error:
                if error_code(error) not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):
                    raise

    def delete_model(self, name: str) -> None:
        """Delete the registered model with its versions; only for models that were made to be thrown away."""
        with self.asking(f"delete the registered model {name!r}", missing=lambda: self.no_model(name)):
            if (rest := self._asked_by_rest) is not None:  # also while a call that was interrupted still goes on
                rest.delete_model(name)
            else:
                self._client.delete_registered_model(name)

    def create_version(
        self, name: str, source: str, *, run_id: str | None, model_id: str | None, tags: Mapping[str, str]
    ) -> int:
        """Create a version from a source and return its number."""
        # MLflow 3.17.0 and later refuse a logged model's source without its id; clients before 3 know no such id.
        extra = {"model_id": model_id} if model_id else {}
        with self.asking(
            f"create a version of {name!r} from {source!r}", missing=lambda: self._no_source(name, source)
        ):
            created = self._making.create_model_version(name, source, run_id=run_id, tags=dict(tags), **extra)
            return entities.version_number(created.version)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Move an alias to a version."""
        # As text: clients 2.3.0 to 2.20.4 fail with a TypeError on an int over REST (measured).
        doing = f"set the alias {alias!r} of {name!r} to version {version}"
        with self.asking(doing, missing=lambda: self._no_version(name, version), invalid=InvalidName, name=name):
            if (rest := self._alias_rest) is not None:
                rest.set_alias(name, alias, str(version))
            else:
                self._client.set_registered_model_alias(name, alias, str(version))

    def delete_alias(self, name: str, alias: str) -> None:
        """Delete an alias; one that is not set is no error."""
        doing = f"delete the alias {alias!r} of {name!r}"
        with self.asking(doing, missing=lambda: self.no_model(name), invalid=InvalidName, name=name):
            if (rest := self._alias_rest) is not None:
                rest.delete_alias(name, alias)
            else:
                self._client.delete_registered_model_alias(name, alias)

    def move_to_stage(self, name: str, version: int, stage: str) -> None:
        """Move a version to a stage, and no other version.

        MLflow's method warns on every call from 2.9.0 on; what it wraps is called instead, since switching warnings
        off is a change to the whole process that other threads would see.
        """
        from mlflow import MlflowClient

        transition = inspect.unwrap(MlflowClient.transition_model_version_stage)
        doing = f"move version {version} of {name!r} to the stage {stage}"
        with self.asking(doing, missing=lambda: self._no_version(name, version), name=name):
            if (rest := self.written_by_rest) is not None:
                rest.move_to_stage(name, str(version), stage)
            else:
                self.called(transition, name, str(version), stage)

    def called(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """Call a method of MLflow's client that is not the one its users call, within the time of any other."""
        return self._client.within(method, *arguments)

    def tag_version(self, name: str, version: int, key: str, value: str) -> None:
        """Set one tag of a version."""
        doing = f"tag version {version} of {name!r}"
        with self.asking(doing, missing=lambda: self._no_version(name, version), name=name):
            if (rest := self.written_by_rest) is not None:
                rest.tag_version(name, str(version), key, value)
            else:
                self._client.set_model_version_tag(name, str(version), key, value)

    def untag_version(self, name: str, version: int, key: str) -> None:
        """Delete one tag of a version; one that is not there is no error."""
        doing = f"delete a tag of version {version} of {name!r}"
        with self.asking(doing, missing=lambda: self._no_version(name, version), name=name):
            self._client.delete_model_version_tag(name, str(version), key)

    def download_uri(self, name: str, version: int) -> str:
        """Return where the registry says that the artifact of a version is."""
        doing = f"find the artifact of version {version} of {name!r}"
        with self.asking(doing, missing=lambda: self._no_version(name, version), name=name):
            if (rest := self._asked_by_rest) is not None:
                return entities.download_uri_from_json(rest.get_download_uri(name, str(version)))
            return entities.text(self._client.get_model_version_download_uri(name, str(version)), "artifact_uri")

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
            next_step="`prodpointer status` shows what is live.",
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
    """A registry that could not be reached, which is opened by the first call that finds it up again.

    A database, or a server that MLflow's client asks for workspaces as it is made.

    Parameters
    ----------
    addresses, timeout
        As for :class:`Registry`.
    prepared
        Looks at the database before the block that opens it; raises while it cannot be reached.
    failure
        What it raised a moment ago, which the first call raises again without waiting.
    """

    def __init__(
        self,
        addresses: Addresses,
        *,
        timeout: float,
        prepared: Callable[[], AbstractContextManager[bool]],
        failure: RegistryUnavailable,
    ) -> None:
        """Bind what is given; nothing is opened."""
        self.addresses = addresses
        self.place: Place = place_of(addresses.registry_uri)
        self.timeout = timeout
        self._prepared = prepared
        self._failure: RegistryUnavailable | None = failure

    def __getattr__(self, name: str) -> Any:
        """Open the database for what is there only once it is open."""
        if name not in _ONCE_OPEN:
            raise AttributeError(name)
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        with self._prepared():
            super().__init__(self.addresses, timeout=self.timeout)
        return vars(self)[name]

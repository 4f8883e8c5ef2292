"""Where the registry is: MLflow's own settings, and what kind of place a URI names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from urllib.parse import SplitResult, urlsplit, urlunsplit

from prodpointer.errors import InvalidName, RegistryUnsupported, without_credentials, without_login
from prodpointer.mlflow_client.installed import require_mlflow
from prodpointer.mlflow_client.workspaces import active_workspace

_MLRUNS = "mlruns"  # where MLflow keeps a file store by default


class Place(Enum):
    """The kinds of place a registry URI can name."""

    SERVER = "server"
    DATABASE = "database"
    FILES = "files"
    WORKSPACE = "Databricks workspace registry"
    UNITY_CATALOG = "Unity Catalog"
    OPEN_UNITY_CATALOG = "open-source Unity Catalog"
    PLUGIN = "plugin"


_PLACES = {
    "http": Place.SERVER,
    "https": Place.SERVER,
    "sqlite": Place.DATABASE,
    "postgresql": Place.DATABASE,
    "mysql": Place.DATABASE,
    "mssql": Place.DATABASE,
    "databricks": Place.WORKSPACE,
    "databricks-uc": Place.UNITY_CATALOG,
    "uc": Place.OPEN_UNITY_CATALOG,
    "file": Place.FILES,
    "": Place.FILES,
}

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9_.-]+(:[0-9]{1,5})?|[0-9a-f]*(:[0-9a-f]*){2,7}")  # a name, or an address of IPv6
_OF_SERVER = re.compile(r"\s*https?:", re.IGNORECASE)
_SERVER = re.compile(r"https?://[^\s\\/?#\x00-\x1f][^\s\\\x00-\x1f\x7f]*", re.IGNORECASE)
_LOGIN_WITHOUT_SCHEME = re.compile(r"(?!file:|[a-z]:[\\/])[^\s/\\:]+:(?!/)[^/]*@", re.IGNORECASE)

ALLOWED_HOSTS_VARIABLE = "PRODPOINTER_ALLOWED_HOSTS"
"""The environment variable with the hosts from which artifacts may be read beside the registry's own."""

# The package whose entry points make MLflow know a scheme.
_PACKAGES = {"azureml": "azureml-mlflow", "arn": "sagemaker-mlflow"}


@dataclass(frozen=True)
class Addresses:
    """The two URIs in force, whether the caller or a setting chose them, and the workspace, where one is named."""

    tracking_uri: str
    registry_uri: str
    chosen: bool
    workspace: str | None = None
    allowed_hosts: frozenset[str] = frozenset()

    def owns(self, uri: str) -> bool:
        """Tell whether an address is on the tracking server or the registry, so that credentials may go there."""
        return any(has_same_origin(own, uri) for own in (self.tracking_uri, self.registry_uri))

    def allows(self, uri: str) -> bool:
        """Tell whether artifacts may be read from an address at all."""
        found = origin(uri)
        return self.owns(uri) or (
            found is not None and not self.allowed_hosts.isdisjoint({found[1], f"{found[1]}:{found[2]}"})
        )

    @property
    def portable(self) -> Addresses:
        """The same for another process of this machine: files by absolute paths; ``TypeError`` for what holds a login.

        A login in a pickle would lie in queues and files, and without it the other process would ask as no user.
        """
        for uri in (self.registry_uri, self.tracking_uri):
            if without_login(uri) != uri:
                raise TypeError(
                    f"Cannot pickle a handle of {without_credentials(uri)!r}: a credential is in its address. Set "
                    "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or the settings of the database's driver, "
                    "in place of it; or call connect() in the other process."
                )
        return replace(
            self,
            tracking_uri=_with_absolute_file(self.tracking_uri),
            registry_uri=_with_absolute_file(self.registry_uri),
        )

    @property
    def shown(self) -> str:
        """The registry's URI and workspace, fit to be shown."""
        shown = without_credentials(self.registry_uri)
        return shown if self.workspace is None else f"{shown}, workspace {self.workspace}"

    @property
    def identity(self) -> str:
        """What distinguishes registries in every key on this machine: address and workspace, no credentials."""
        file = sqlite_file(self.registry_uri)
        address = without_login(self.registry_uri).rstrip("/") if file is None else f"sqlite:{file.absolute()}"
        return address if self.workspace is None else f"{address} workspace {self.workspace}"


def place_of(uri: str) -> Place:
    """Return the kind of place a URI names, by its scheme alone."""
    scheme = _scheme(uri)
    if len(scheme) == 1:  # a drive letter, C:\mlruns
        return Place.FILES
    return _PLACES.get(scheme, Place.PLUGIN)


def opening_step(*uris: str) -> str:
    """Return what to do where MLflow cannot open one of these: the package to install for a plugin's scheme."""
    schemes = [_scheme(uri) for uri in uris if place_of(uri) is Place.PLUGIN]
    if not schemes:
        return ""
    package = _PACKAGES.get(schemes[0])
    if package:
        return f"Install {package} here if it is missing: it makes MLflow know {schemes[0]!r} addresses."
    return f"Check the address, or install the plugin that makes MLflow know {schemes[0]!r} addresses."


def root_of(uri: str) -> str | None:
    """Return a server's address without its path, or None where it has none."""
    parts = _parts(uri)
    return urlunsplit((parts.scheme, parts.netloc, "", "", "")) if parts.path.strip("/") else None


def read_allowed_hosts(chosen: Iterable[str] | None) -> frozenset[str]:
    """Return the hosts, with or without a port, from which a caller or the environment lets artifacts be read.

    Parameters
    ----------
    chosen
        The caller's hosts, or None for those of ``PRODPOINTER_ALLOWED_HOSTS``, with commas between them.

    Raises
    ------
    InvalidName
        One of them is not the name of a host.
    """
    source = "allowed_hosts="
    if chosen is None:
        source, chosen = ALLOWED_HOSTS_VARIABLE, os.environ.get(ALLOWED_HOSTS_VARIABLE, "")
    if isinstance(chosen, str):
        chosen = [host for host in chosen.split(",") if host.strip()]
    hosts = [str(host).strip().lower() for host in chosen]
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise InvalidName(
                f"Invalid host {host[:80]!r}.", where=source, next_step="Use HOST or HOST:PORT, such as 'files:5000'."
            )
    return frozenset(hosts)


def origin(uri: str) -> tuple[str, str, int | None] | None:
    """Return scheme, host and port of an HTTP address, or None for any other URI."""
    try:
        parts = urlsplit(uri)
        scheme, port = parts.scheme.lower(), parts.port
    except ValueError:
        return None
    if scheme not in _PORTS:
        return None
    return scheme, (parts.hostname or "").rstrip("."), port or _PORTS[scheme]


def has_same_origin(one: str, other: str) -> bool:
    """Tell whether credentials for one address may go to the other: one origin, or the step from HTTP up to HTTPS."""
    mine, theirs = origin(one), origin(other)
    if mine is None or theirs is None:
        return False
    return mine == theirs or (mine, theirs) == (("http", mine[1], 80), ("https", mine[1], 443))


def _scheme(uri: str) -> str:
    """Return the scheme of a URI, without a driver; a Databricks URI may be nothing else."""
    return uri if uri in ("databricks", "databricks-uc") else _parts(uri).scheme.split("+")[0].lower()


def _parts(uri: str) -> SplitResult:
    """Return the parts of a URI, or raise ``RegistryUnsupported`` for what has none."""
    try:
        return urlsplit(uri)
    except ValueError as error:
        raise RegistryUnsupported(f"Invalid URI: {error}.", where=without_credentials(uri)) from None


def _refuse_malformed(uri: str) -> None:
    """Raise ``RegistryUnsupported`` for an address in which MLflow and its libraries find a login in different places.

    What they say of it may hold a part of the password.
    """
    if _LOGIN_WITHOUT_SCHEME.match(uri) or (_OF_SERVER.match(uri) and not _SERVER.fullmatch(uri)):
        raise RegistryUnsupported(
            "Invalid address of a server.",
            where=f"***@{uri.rpartition('@')[2]}" if "@" in uri else without_credentials(uri),
            next_step="Use http://HOST:PORT or https://HOST. In a user name or password write a space as %20, "
            "a slash as %2F and a backslash as %5C.",
        )


def resolve_addresses(tracking_uri: str | None, registry_uri: str | None, workspace: str | None = None) -> Addresses:
    """Return the URIs and the workspace that MLflow itself would use, arguments first.

    Raises ``RegistryUnsupported`` where nothing is configured and MLflow's default (a file store up to 3.6, from 3.7
    on ``mlflow.db`` in the working directory) holds no registry.
    """
    require_mlflow()
    import mlflow
    from mlflow.tracking import is_tracking_uri_set
    from mlflow.tracking._model_registry.utils import _resolve_registry_uri  # what MlflowClient calls, 2.0.1 to 3.17.2

    tracking_chosen = bool(tracking_uri or is_tracking_uri_set())
    tracking = tracking_uri or mlflow.get_tracking_uri()
    for uri in (tracking, registry_uri or tracking):
        _refuse_malformed(uri)
        place_of(uri)  # which refuses what is no URI, where MLflow would fail in some way of its own
    registry = str(_resolve_registry_uri(_named_registry(registry_uri), tracking))
    chosen = tracking_chosen or registry != tracking
    if chosen and not tracking_chosen and place_of(registry) in (Place.SERVER, Place.DATABASE):
        tracking = registry  # rather than MLflow's default, which may be made in the working directory
    found = Addresses(tracking, registry, chosen, active_workspace(workspace))
    if not chosen and not _exists(registry):
        raise RegistryUnsupported(
            f"No registry is configured, and {_default_store()}.",
            where=found.shown,
            next_step="Set MLFLOW_TRACKING_URI (for example http://host:5000 or sqlite:///registry.db), "
            "or give tracking_uri=.",
        )
    return found


def _default_store() -> str:
    """Return what stands in the working directory where MLflow would look by default."""
    if Path(_MLRUNS).is_dir():
        return f"the directory {_MLRUNS} here is a plain file store, which cannot be used as one"
    return "there is none in the working directory"


def _named_registry(registry_uri: str | None) -> str | None:
    """Return the configured registry: MLflow 2.0 does not read the variable that later versions do (2.0.1)."""
    from mlflow.tracking._model_registry.utils import _get_registry_uri_from_context

    return registry_uri or _get_registry_uri_from_context() or os.environ.get("MLFLOW_REGISTRY_URI")


def sqlite_file(uri: str) -> Path | None:
    """Return the file of an SQLite URI, or None for other databases and for one in memory.

    Raises ``RegistryUnsupported`` for one without three slashes, in which SQLAlchemy finds no file.
    """
    if _scheme(uri) != "sqlite":
        return None
    _, slashes, place = uri.partition("://")
    if not slashes or (place and not place.startswith(("/", "?"))):
        raise RegistryUnsupported(
            "Invalid SQLite address.",
            where=without_credentials(uri),
            next_step="Write sqlite:///registry.db, or sqlite:////srv/registry.db for an absolute path.",
        )
    path = place.split("?", 1)[0][1:]  # not unquoted: SQLAlchemy takes it as it is
    path = re.sub(r"^file:(//)?", "", path)  # SQLite's own form, sqlite:///file:registry.db?uri=true
    return Path(path) if path and path != ":memory:" else None


def _with_absolute_file(uri: str) -> str:
    """Return the URI of an SQLite file with its absolute path, and any other URI as it is."""
    file = sqlite_file(uri)
    if file is None:
        return uri
    scheme, _, place = uri.partition("://")
    form = "file:" if place.startswith("/file:") else ""  # SQLite's own
    _, mark, parameters = place.partition("?")
    return f"{scheme}:///{form}{file.absolute().as_posix()}{mark}{parameters}"


def _exists(uri: str) -> bool:
    """Tell whether a default URI, which was not configured, names a database that is there."""
    file = sqlite_file(uri)
    return file is not None and file.exists()

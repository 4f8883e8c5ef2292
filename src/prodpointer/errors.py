"""Every error of this library, under one root.

::

    ProdpointerError
    ├── RegistryUnavailable      cannot be reached within ``timeout``
    │   ├── ArtifactStoreUnavailable    the registry answers, the store of the bytes does not
    │   └── MoveUnconfirmed      the registry was lost while a pointer was being moved
    ├── AccessDenied             401, 403, a refused Host header
    ├── RegistryUnsupported      reached, but there is no model registry that can be used
    │   └── WorkspaceNotFound    a workspace is named that does not exist there
    ├── SchemaMismatch           the database belongs to another MLflow; nothing was touched
    ├── RegistryError            any other answer; its code is kept
    ├── ModelNotFound
    ├── VersionNotFound
    ├── ArtifactNotFound
    ├── InvalidName              also a ValueError: model, alias, version, tag
    ├── PointerUnsupported       this client or registry cannot hold that pointer
    ├── PromotionRefused         the version may not go live
    │   ├── ExpectationFailed    the pointer moved since the caller looked
    │   └── GateFailed           a metric is missing, or not good enough
    ├── PromotionLost            read back after the write: another promotion won
    ├── IntegrityError           the bytes differ from what was registered
    ├── UnsafeModel              no loader or host that the caller trusts fits the artifact
    ├── LoadFailed               the bytes are right and still do not become an object
    └── NothingToRollBack        no version is known that was live before, or it cannot go live again

Beside them stand five warnings: ``StageOnlyWarning``, ``PointerDriftWarning``, ``UnverifiedWarning`` for versions
without a recorded digest, ``LastKnownGoodWarning`` for what is loaded while the registry is down, and ``CacheWarning``.
"""

from __future__ import annotations

import os
import re
from urllib.parse import unquote

from prodpointer._text import shortened, visible
from prodpointer.types import Verdict

# Bounded, so that a long word is not searched from each of its letters on: MLflow's errors may hold whole pages.
# White space belongs to a URI only where what stands before it can be a login and cannot be a host with its port.
_URI = re.compile(
    r"\b(?P<scheme>(?i:https?)(?=:)|[A-Za-z][A-Za-z0-9+.\-]{0,40}(?=://))(?P<slashes>:[/\\]*)(?P<rest>"
    r"[^\s/\\@:?#\[]{0,100}:(?!\d{1,5}(?:[^\w@]|$))(?=[^\s@]{0,200}\w)[^\s@]{1,200}\s[^@]{0,200}@\S*|\S+)"
)
# A login and a host without a scheme, where the host looks like one or nothing stands beside the two.
_LOGIN = r"(?!mailto:)[\w.+\-]{1,64}:(?![/\\])[^\s'\"]{4,200}@"
_BARE_LOGIN = re.compile(
    rf"(?P<open>^|['\"]){_LOGIN}(?=[^\s@'\"]+(?:['\"]|$))"
    rf"|(?<![\w.+\-/@]){_LOGIN}(?=\[|localhost\b|\d+\.\d+\.\d|[\w.\-]{{1,255}}:\d)"
)
# Schemes whose path may hold an @ of its own; in a database's URI it belongs to the password.
_WITH_PATHS = {
    "http",
    "https",
    "file",
    "s3",
    "gs",
    "dbfs",
    "hdfs",
    "wasbs",
    "abfss",
    "mlflow-artifacts",
    "runs",
    "models",
}
# Azure names the container where other addresses name the user; no credential has its form and place.
_AZURE_SCHEMES = {"wasb", "wasbs", "abfs", "abfss"}
_CONTAINER_AND_ACCOUNT = re.compile(r"[a-z0-9$-]{1,63}@[\w-]+\.[\w.-]+(:\d{1,5})?['\",;.)\]]*")
_HOST_AND_PORT = re.compile(r"\[.*|[^:]*(:\d{1,5})?")
_PARAMETER = re.compile(r"(?:[?&;#]|%3B|%26)(?P<name>[^\s=&;?#'\"]{1,60}?)(?:=|%3D)", re.IGNORECASE)
_VALUE = re.compile(r"[^&;\s'\"]+")
# Names of parameters without what stands between their words.
_SECRET_NAME = re.compile(
    r".*(?:password|passwd|passphrase|pwd|token|secret|credentials?|signature|jwt"
    r"|(?:api|access|account|secret|private|shared|subscription|storage|function)s?key(?:id)?)"
    r"|(?:x|proxy)?(?:auth|authorization)|(?:auth|authorization)?code|(?:db|user)?pass|key|sas|sig"
)
# What MLflow and the stores of its artifacts take their credentials from, one each.
_SECRET_VARIABLES = (
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_PASSWORD",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_ACCESS_KEY",
    "DATABRICKS_TOKEN",
)
_SEVERAL_SECRETS = "PRODPOINTER_WEBHOOK_SECRET"  # with blanks between them
_SHORTEST_SECRET = 6  # characters: a shorter one is part of many words
_LONGEST_PART = 2000  # characters of what, where and next_step each: a registry's words are in them
_AUTHORIZATION = re.compile(
    r"(?P<kind>authorization['\"]?\s*[:=]\s*['\"]?(?:(?:basic|bearer)\s+)?|\b(?:basic|bearer)\s+(?=\S{16}))"
    r"[^\s'\",}]+",
    re.IGNORECASE,
)


def without_credentials(text: str) -> str:
    """Return ``text`` with every credential in it replaced by ``***``: of URIs, headers and variables."""
    for secret in _secrets_here():
        text = text.replace(secret, "***")
    return without_login(text)


def without_login(text: str) -> str:
    """Return ``text`` with every credential that a URI or header in it carries replaced by ``***``."""
    text = _URI.sub(_without_userinfo, text)
    text = _BARE_LOGIN.sub(lambda login: f"{login['open'] or ''}***@", text)
    text = _without_parameters(text)
    return _AUTHORIZATION.sub(r"\g<kind>***", text)


def _secrets_here() -> list[str]:
    """Return the credentials that the environment holds, the longest first."""
    found = {os.environ.get(name, "").strip() for name in _SECRET_VARIABLES}
    found.update(os.environ.get(_SEVERAL_SECRETS, "").split())
    return sorted((each for each in found if len(each) >= _SHORTEST_SECRET), key=len, reverse=True)


def _without_parameters(text: str) -> str:
    """Return a text without the values of parameters whose names say that they are secret."""
    parts, end = [], 0
    for parameter in _PARAMETER.finditer(text):
        name = re.sub(r"[\W_]", "", unquote(parameter["name"])).lower()
        if parameter.start() < end or not _SECRET_NAME.fullmatch(name):
            continue
        if value := _VALUE.match(text, parameter.end()):
            parts += [text[end : value.start()], "***"]
            end = value.end()
    return "".join((*parts, text[end:]))


def _without_userinfo(uri: re.Match[str]) -> str:
    """Return a URI without user and password, also where / and quotes stand in the password as they are."""
    scheme, slashes, rest = uri["scheme"], uri["slashes"], uri["rest"]
    if scheme.lower() not in ("http", "https"):  # of which clients take any number of slashes, and backslashes
        slashes, rest = "://", slashes[3:] + rest
    authority = rest.partition("/")[0]
    if scheme.lower() in _AZURE_SCHEMES and _CONTAINER_AND_ACCOUNT.fullmatch(authority):
        return uri[0]
    web = scheme.lower() in _WITH_PATHS
    if "@" in authority and web:
        end = authority.rfind("@")  # a later @ belongs to the path
    elif authority and "@" in rest and not (web and _HOST_AND_PORT.fullmatch(authority)):
        end = rest.rfind("@")
    else:
        return uri[0]
    return f"{scheme}{slashes}***@{rest[end + 1 :]}"


def _shown(text: str) -> str:
    """Return a part of an error as it is shown: escaped, without credentials, of a bounded length."""
    return shortened(visible(without_credentials(text)), _LONGEST_PART)


class ProdpointerError(Exception):
    """The root of every error this library raises on purpose.

    Parameters are the three things a reader needs: ``what`` happened, ``where`` (a registry, a model, a file) and
    what to do ``next``. None of them ever shows a credential. The fields survive pickling. ``exit_code`` is what the
    command line ends with.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", next_step: str = "") -> None:
        """Keep the three parts, each without credentials, fit for a terminal and of a bounded length."""
        self.what: str = _shown(what)
        self.where: str = _shown(where)
        self.next_step: str = _shown(next_step)
        super().__init__(self.what)

    def __str__(self) -> str:
        """Return one line: what, where, next."""
        text = f"{self.what} [{self.where}]" if self.where else self.what
        return f"{text} {self.next_step}" if self.next_step else text


class RegistryUnavailable(ProdpointerError):
    """The registry cannot be reached within ``timeout``."""

    exit_code = 5


class ArtifactStoreUnavailable(RegistryUnavailable):
    """The registry answers, and the store of the artifacts does not within ``timeout``."""


class MoveUnconfirmed(RegistryUnavailable):
    """The registry was lost while a pointer was being moved: the move may be done.

    ``version`` is the one that was to go live, None for a withdrawal; ``event`` is the id of its record.
    """

    exit_code = 1
    version: int | None = None
    event: str | None = None


class AccessDenied(ProdpointerError):
    """The registry or the artifact store was reached and refuses: 401, 403, or a Host header it does not accept."""


class RegistryUnsupported(ProdpointerError):
    """Something answered, or nothing is configured, but there is no model registry that can be used."""


class WorkspaceNotFound(RegistryUnsupported):
    """The server has workspaces, and the one that is named does not exist, or no longer."""


class SchemaMismatch(ProdpointerError):
    """The database belongs to another MLflow; nothing in it was touched.

    Fields: ``found`` and ``expected`` are schema revisions, None for an empty database.
    """

    found: str | None = None
    expected: str | None = None


class RegistryError(ProdpointerError):
    """The registry gave an answer that has no error of its own here; ``code`` is MLflow's name for it."""

    code: str = ""


class ModelNotFound(ProdpointerError):
    """The registered model does not exist; a typo must not look like "nothing is live"."""

    exit_code = 2


class VersionNotFound(ProdpointerError):
    """The model version does not exist, or was deleted."""


class ArtifactNotFound(ProdpointerError):
    """The run or its artifact does not exist, or the registered bytes are gone."""


class InvalidName(ProdpointerError, ValueError):
    """A model, alias, stage, version, pointer or tag that no registry can hold, or a gate that says nothing."""

    exit_code = 2


class PointerUnsupported(ProdpointerError):
    """The client or the registry cannot hold that pointer, or the write would leave another one behind."""


class PromotionRefused(ProdpointerError):
    """The version may not go live, and nothing was moved."""

    exit_code = 3


class ExpectationFailed(PromotionRefused):
    """The live version is not the one the caller expected; nothing was moved.

    Fields: ``expected`` and ``live`` are version numbers, None for "nothing is live".
    """

    expected: int | None = None
    live: int | None = None


class GateFailed(PromotionRefused):
    """At least one gate did not pass; nothing was moved. ``verdicts`` holds what became of each."""

    verdicts: tuple[Verdict, ...] = ()


class PromotionLost(ProdpointerError):
    """The read-back after the write shows another version: ``winner``, by the recorded ``event``; None if unknown."""

    exit_code = 3
    winner: int | None = None
    event: str | None = None


class IntegrityError(ProdpointerError):
    """The bytes differ from what was registered; nothing was loaded."""


class UnsafeModel(ProdpointerError):
    """No loader that the caller trusts fits the artifact, or it is on a host that the caller does not trust."""


class LoadFailed(ProdpointerError):
    """The bytes are the registered bytes and still do not become an object here."""


class NothingToRollBack(ProdpointerError):
    """No version is known that was live before, or it cannot go live again; the text names a candidate."""


class StageOnlyWarning(UserWarning):
    """A stage alone says what is live, on an MLflow 3 registry."""


class PointerDriftWarning(UserWarning):
    """Alias and stage name different versions; the alias is taken as live."""


class UnverifiedWarning(UserWarning):
    """A version without a recorded digest was loaded; its integrity cannot be verified."""


class LastKnownGoodWarning(UserWarning):
    """The registry is down, and what was loaded is the version that was live when it last answered."""


class CacheWarning(UserWarning):
    """Downloads cannot be kept on this machine, or what is kept as last-known-good is out of date and stays."""

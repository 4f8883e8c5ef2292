"""The few REST calls that MLflow's client does not make, with the client's own credentials and settings.

They are ``/version`` and its control questions, the alias calls of clients before 2.3.0, the list of models without the
filter that clients from 2.21 on add, what a migration asks and tells several models at a time, and what a service has
to ask again and again while a registry may be down: the model, a version and where its bytes are. MLflow's client would
try for minutes; here every request has its time.
"""

from __future__ import annotations

import copy
import inspect
import json
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urljoin

from prodpointer.errors import RegistryError, RegistryUnavailable, UnsafeModel
from prodpointer.mlflow_border.addresses import Addresses, has_same_origin, root_of
from prodpointer.mlflow_border.deadline import cut_off
from prodpointer.mlflow_border.lane import NoAnswer
from prodpointer.mlflow_border.workspaces import bound_to, called_in

T = TypeVar("T")

_API = "/api/2.0/mlflow/registered-models"
_VERSIONS_API = "/api/2.0/mlflow/model-versions"

BUSY_STATUSES = (429, 502, 503, 504)
"""What a gateway says where nobody is behind it, or a server that is too busy."""

CONTROL_MODEL = "prodpointer-control-question"
"""A registered model that no registry holds, so that a registry answers with its own error and nothing else does."""

CONTROL_MODEL_ENDPOINT = f"{_API}/get?name={CONTROL_MODEL}"
CONTROL_ALIAS_ENDPOINT = f"{_API}/alias?name={CONTROL_MODEL}&alias=production"
CONTROL_LOGGED_MODEL_ENDPOINT = "/api/2.0/mlflow/logged-models/m-00000000000000000000000000000000"
NO_ENDPOINT = "/api/2.0/mlflow/prodpointer-control-question"
"""A call that no registry has, to find out who gives the same answer to everything."""

_SHARE = 0.45  # of the time, for each of the two tries: what is left is for the rest of a call

_PAGE_PATIENCE = 6.0  # how much longer a page of a thousand models, each with its versions, may take than one model

MODELS_PAGE = 1000
"""The largest page of models that every MLflow takes."""

MIB = 1024 * 1024
ANSWER_LIMIT = 16 * MIB
"""Bytes, once decompressed, that the answer about one thing may have: a model with its newest versions, a version."""

PAGE_LIMIT = 64 * MIB
"""The same for a page: a thousand models, or 5,000 versions with the record of many moves, are 5 to 30 MB."""

MOST_PAGES = 10_000
"""Pages after which a list does not end: ten million models."""

_BLOCK = 64 * 1024  # bytes of an answer that are read, and decompressed, at once
# What a request may carry to another origin than the one it was meant for; all else may identify the caller.
_ANONYMOUS_HEADERS = {"accept", "accept-encoding", "connection", "content-length", "content-type", "user-agent"}
_REDIRECTS = (301, 302, 303, 307, 308)
_READING = ("GET", "HEAD")
_NOT_FOLLOWED = "x-prodpointer-not-followed"  # where a redirect led that was not followed; set here alone
_ODD_STEP = "Check that the address is that of an MLflow server, and look into its log."


class Rest:
    """Direct questions to the registry's server.

    Parameters
    ----------
    addresses
        Where the server is.
    timeout
        Seconds that one request may take, the single repetition after a broken connection included.
    """

    def __init__(self, addresses: Addresses, *, timeout: float) -> None:
        """Bind the addresses; nothing is asked yet."""
        self._addresses = addresses
        self._timeout = timeout

    def answer(self, endpoint: str) -> tuple[int, str]:
        """Return status and text of a GET."""
        return self._answer(self._credentials(), endpoint)

    def answer_at_root(self, endpoint: str) -> tuple[int, str]:
        """Return status and text of a GET of the same server without the path in its address."""
        credentials = copy.copy(self._credentials())
        credentials.host = root_of(credentials.host) or credentials.host
        return self._answer(credentials, endpoint)

    def model_pages(self) -> Iterator[dict[str, Any]]:
        """Yield the JSON of each page of registered models, prompts among them; GET in 2.0.1 to 3.17.2."""
        return self._pages(f"{_API}/search", {"max_results": MODELS_PAGE})

    def version_pages(self, **question: Any) -> Iterator[dict[str, Any]]:
        """Yield the JSON of each page of the versions that a filter names."""
        return self._pages(f"{_VERSIONS_API}/search", question)

    def _pages(self, endpoint: str, question: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the JSON of each page of a search."""

        def ask(token: str | None) -> tuple[dict[str, Any], Any]:
            asked = question if token is None else {**question, "page_token": token}
            page = self._checked("GET", endpoint, patience=_PAGE_PATIENCE, limit=PAGE_LIMIT, params=asked)
            return page, page.get("next_page_token")

        return pages(ask)

    def get_model(self, name: str) -> dict[str, Any]:
        """Return the whole JSON reply for a registered model."""
        return self._checked("GET", f"{_API}/get", params={"name": name})

    def delete_model(self, name: str) -> None:
        """Delete a registered model with its versions."""
        self._checked("DELETE", f"{_API}/delete", json={"name": name})

    def get_version(self, name: str, version: str) -> dict[str, Any]:
        """Return the whole JSON reply for a version."""
        asked = {"name": name, "version": version}
        return self._checked("GET", f"{_VERSIONS_API}/get", params=asked)

    def get_download_uri(self, name: str, version: str) -> dict[str, Any]:
        """Return the JSON reply that says where the artifact of a version is."""
        asked = {"name": name, "version": version}
        return self._checked("GET", f"{_VERSIONS_API}/get-download-uri", params=asked)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Set an alias."""
        self._checked("POST", f"{_API}/alias", json={"name": name, "alias": alias, "version": version})

    def delete_alias(self, name: str, alias: str) -> None:
        """Delete an alias."""
        self._checked("DELETE", f"{_API}/alias", json={"name": name, "alias": alias})

    def tag_version(self, name: str, version: str, key: str, value: str) -> None:
        """Set a tag of a version."""
        self._checked(
            "POST", f"{_VERSIONS_API}/set-tag", json={"name": name, "version": version, "key": key, "value": value}
        )

    def move_to_stage(self, name: str, version: str, stage: str) -> None:
        """Move a version to a stage and archive nothing."""
        moved = {"name": name, "version": version, "stage": stage, "archive_existing_versions": False}
        self._checked("POST", f"{_VERSIONS_API}/transition-stage", json=moved)

    def tag_model(self, name: str, key: str, value: str) -> None:
        """Set a tag of a registered model."""
        self._checked("POST", f"{_API}/set-tag", json={"name": name, "key": key, "value": value})

    def untag_model(self, name: str, key: str) -> None:
        """Delete a tag of a registered model."""
        self._checked("DELETE", f"{_API}/delete-tag", json={"name": name, "key": key})

    def get_by_alias(self, name: str, alias: str) -> dict[str, Any]:
        """Return the JSON with the version of an alias, as plain ``get_model_version_by_alias`` gets it."""
        return self._checked("GET", f"{_API}/alias", params={"name": name, "alias": alias})

    def get_latest(self, name: str, stage: str) -> dict[str, Any]:
        """Return the JSON with the newest version of a stage, as plain ``get_latest_versions`` gets it."""
        asked = {"name": name, "stages": [stage]}
        return self._checked("POST", f"{_API}/get-latest-versions", json=asked)

    def _checked(
        self, method: str, endpoint: str, *, patience: float = 1.0, limit: int = ANSWER_LIMIT, **body: Any
    ) -> dict[str, Any]:
        """Send a call of the API and return its JSON, or raise MLflow's own exception for the answer."""
        seconds, workspace = patience * self._timeout, self._addresses.workspace
        response = bounded(
            self._credentials(), method, endpoint, timeout=seconds, workspace=workspace, limit=limit, **body
        )
        if response.status_code in BUSY_STATUSES:
            raise unavailable(f"ask {endpoint}", response.status_code, self._addresses.shown)
        return document_in(response, endpoint)

    def _answer(self, credentials: Any, endpoint: str) -> tuple[int, str]:
        """Return status and text of a GET; see :meth:`answer`."""
        response = bounded(credentials, "GET", endpoint, timeout=self._timeout, workspace=self._addresses.workspace)
        return int(response.status_code), str(response.text)

    def _credentials(self) -> Any:
        """Return the address and the credentials that MLflow's client uses."""
        from mlflow.tracking._model_registry.utils import _get_store

        return called_in(self._addresses.workspace, lambda: _get_store(self._addresses.registry_uri).get_host_creds())


def pages(ask: Callable[[str | None], tuple[T, Any]]) -> Iterator[T]:
    """Yield the pages of a list, or raise ``RegistryError`` for a list that does not end.

    Parameters
    ----------
    ask
        Asked with the token of a page, None for the first one; returns the page and the token of the next.
    """
    seen: set[str] = set()
    token: str | None = None
    for _ in range(MOST_PAGES):
        page, following = ask(token)
        yield page
        if not following:
            return
        if not isinstance(following, str) or following in seen:
            wrong = (
                "repeats a page" if isinstance(following, str) else "names its next page by something else than text"
            )
            raise RegistryError(f"The registry's list {wrong}, so it has no end.", next_step=_ODD_STEP)
        seen.add(following)
        token = following
    raise RegistryError(f"The registry's list has no end: {MOST_PAGES:,} pages came.", next_step=_ODD_STEP)


def document_in(response: Any, endpoint: str) -> dict[str, Any]:
    """Return the JSON object of an answer, or raise MLflow's own exception for one that is an error."""
    from mlflow.utils.rest_utils import verify_rest_response

    if response.status_code == 200 and response.content.strip():
        try:
            document = json.loads(response.content)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise RegistryError(f"The answer to {endpoint} is not a JSON object.", next_step=_ODD_STEP)
        return document
    found: dict[str, Any] = verify_rest_response(response, endpoint).json()
    return found


def bounded(
    credentials: Any,
    method: str,
    endpoint: str,
    *,
    timeout: float,
    workspace: str | None,
    limit: int = ANSWER_LIMIT,
    stream: bool = False,
    **options: Any,
) -> Any:
    """Send one request as MLflow's client would, authentication and TLS settings included, within ``timeout`` seconds.

    Parameters
    ----------
    credentials
        The server's address and what MLflow's client sends there; an address alone is asked without credentials.
    method, endpoint, options
        As MLflow's ``http_request`` takes them.
    timeout
        Seconds for all of it, the repetition after a broken connection and each byte of the answer included.
    workspace
        The workspace that the request names, alone, whichever one is active in MLflow by now.
    limit
        Bytes that the answer may have once decompressed.
    stream
        Whether the caller reads the body of an answer that is no error; neither the time nor the limit applies to it.

    Raises
    ------
    NoAnswer
        The time was over; what a write asked for may still be done.
    RegistryError
        The answer is larger than ``limit``.
    UnsafeModel
        The server redirects a write to another origin; it was not sent there.
    """
    failure: Exception | None = None
    with cut_off(timeout) as cut:
        try:
            response = _sent(credentials, method, endpoint, timeout=timeout, workspace=workspace, **options)
            if not stream or response.status_code >= 400:
                _read(response, limit, endpoint)
        except Exception as error:  # noqa: BLE001  # a closed connection fails in many ways; raised below
            failure = error
    if cut.is_set():
        # Raised here and not above: how the connection broke once it was closed is not what happened.
        may_be_done = "" if method == "GET" else "; what was asked for may still be done"
        raise NoAnswer(f"no complete answer within {timeout:g} s{may_be_done}")
    if failure is not None:
        raise failure
    if response.status_code in _REDIRECTS and (elsewhere := response.headers.get(_NOT_FOLLOWED)):
        raise UnsafeModel(
            "The server sends a write on to another address, which was not followed.",
            where=f"{response.url} to {elsewhere}",
            next_step="Nothing was written. If you trust that server, give its own address to connect.",
        )
    return response


def _sent(
    credentials: Any, method: str, endpoint: str, *, timeout: float, workspace: str | None, **options: Any
) -> Any:
    """Send one request and return the answer with its body unread.

    A connection that breaks is tried once more, so each of the two tries has a little less than half of the time. It
    is one retry and not none, since clients up to 2.2.2 take 0 for the default. A server's ``Retry-After`` may be any
    time, so it is not obeyed by the clients that can be told (2.22.5 and 3.17.2 can, 2.9.2 cannot).
    """
    options |= {"stream": True, "hooks": {"response": [_write_nothing_elsewhere, _stay_anonymous_elsewhere]}}
    if isinstance(credentials, str):
        import requests

        url = f"{credentials.rstrip('/')}{endpoint}"
        return requests.request(method, url, auth=_nobody, timeout=timeout, **options)
    from mlflow.utils.rest_utils import http_request

    options["timeout"] = _SHARE * timeout
    if _can_be_told_of_retry_after(http_request):
        options["respect_retry_after_header"] = False
    with bound_to(workspace):
        return http_request(
            host_creds=credentials, endpoint=endpoint, method=method, max_retries=1, retry_codes=(), **options
        )


def _nobody(request: Any) -> Any:
    """Sign nothing; having a signer at all keeps requests from taking one from the URL or ``.netrc``."""
    return request


def _write_nothing_elsewhere(response: Any, **_: Any) -> None:
    """Keep a write from being sent on to another origin: :func:`bounded` raises for what is left, the redirect."""
    if response.is_redirect and response.request.method not in _READING and _leads_elsewhere(response):
        response.headers[_NOT_FOLLOWED] = response.headers.pop("location")


def _leads_elsewhere(response: Any) -> bool:
    """Tell whether a redirect leads to another origin."""
    return not has_same_origin(response.url, urljoin(response.url, response.headers["location"]))


def _stay_anonymous_elsewhere(response: Any, **_: Any) -> None:
    """Take what may identify the caller out of a request that is redirected to another origin.

    ``requests`` itself takes out the ``Authorization`` header, and not those of MLflow's plugins.
    """
    if not response.is_redirect or not _leads_elsewhere(response):
        return
    headers = response.request.headers  # which the redirected request copies
    for name in [name for name in headers if name.lower() not in _ANONYMOUS_HEADERS]:
        del headers[name]


def blocks_of(response: Any) -> Iterator[bytes]:
    """Yield the body of an answer in blocks, each of a bounded size once decompressed.

    urllib3 before 2.6 decompresses all that one read brings, a thousand times its size, and copies what is left of it
    with each block (measured with 2.2.0: 20 s for 50 MB). What it knows beside gzip and deflate is left to it.
    """
    headers = response.raw.headers
    if headers.get("content-encoding", "").strip().lower() not in ("gzip", "x-gzip", "deflate"):
        yield from response.iter_content(_BLOCK)
        return
    del headers["content-encoding"]  # so that iter_content yields what came
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, by what it begins with
    try:
        for received in response.iter_content(_BLOCK):
            left = received
            while left and not decompressor.eof:
                yield decompressor.decompress(left, _BLOCK)
                left = decompressor.unconsumed_tail
    except zlib.error as error:
        raise RegistryError(f"The answer cannot be decompressed ({error}).", next_step=_ODD_STEP) from error


def _read(response: Any, limit: int, endpoint: str) -> None:
    """Read an answer's body, counting what it has once decompressed."""
    if response.raw is None:  # of Databricks' library, which has read it
        return
    blocks, size = [], 0
    with response:
        for block in blocks_of(response):
            size += len(block)
            if size > limit:
                raise RegistryError(f"The answer to {endpoint} has more than {limit // MIB} MiB.", next_step=_ODD_STEP)
            blocks.append(block)
    response._content = b"".join(blocks)  # noqa: SLF001  # what MLflow itself sets, so that text and json() read it
    response.encoding = response.encoding or "utf-8"  # or it would be guessed, which takes minutes for a long body


@cache
def _can_be_told_of_retry_after(http_request: Callable[..., Any]) -> bool:
    """Tell whether a client can be told not to obey ``Retry-After``."""
    return "respect_retry_after_header" in inspect.signature(http_request).parameters


def unavailable(doing: str, status: int, where: str) -> RegistryUnavailable:
    """Return the error for what a gateway says in a server's place."""
    return RegistryUnavailable(
        f"Could not {doing}: HTTP {status}, nobody is behind that gateway or it is too busy.",
        where=where,
        next_step="Check that the server is running, then try again.",
    )

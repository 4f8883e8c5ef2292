"""The REST calls to an MLflow server, sent by MLflow's ``http_request`` with its client's credentials and settings.

MLflow's client would retry for minutes, ask before each write whether the model is a prompt (from 2.21 on), and read
answers of any size. Here every request has a time limit, every answer a size limit, and a write is never sent on to
another host.
"""

from __future__ import annotations

import copy
import inspect
import json
import math
import random
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urljoin

from packaging.version import Version

from prodpointer.errors import RegistryError, RegistryUnavailable, UnsafeModel
from prodpointer.mlflow_client.call_log import log_request
from prodpointer.mlflow_client.deadline import cut_off
from prodpointer.mlflow_client.installed import client_version
from prodpointer.mlflow_client.uris import Addresses, has_same_origin, root_of
from prodpointer.mlflow_client.worker import NoAnswer
from prodpointer.mlflow_client.workspaces import bind_workspace, call_in

T = TypeVar("T")

API = "/api/2.0/mlflow"
MODELS_API = f"{API}/registered-models"

BUSY_STATUSES = (429, 502, 503, 504)
"""What a gateway answers whose server is down, or a server that is overloaded."""

CONTROL_MODEL = "prodpointer-control-question"
"""A registered model that no registry holds, so that a registry answers with its own error and nothing else does."""

CONTROL_MODEL_ENDPOINT = f"{MODELS_API}/get?name={CONTROL_MODEL}"
CONTROL_ALIAS_ENDPOINT = f"{MODELS_API}/alias?name={CONTROL_MODEL}&alias=production"
CONTROL_LOGGED_MODEL_ENDPOINT = f"{API}/logged-models/m-00000000000000000000000000000000"
NO_ENDPOINT = f"{API}/prodpointer-control-question"
"""A call that no registry has, to recognise a server that gives the same answer to everything."""

_LOGINS = ("username", "token", "auth", "aws_sigv4", "client_cert_path", "use_databricks_sdk")
_MLFLOWS_HEADERS = ("user-agent", "x-mlflow-")
_SHARE = 0.45  # of the time, for each of the two tries: what is left is for the rest of a call

_PAGE_PATIENCE = 6.0  # how much longer a page of a thousand models, each with its versions, may take than one model

MIB = 1024 * 1024
ANSWER_LIMIT = 16 * MIB
"""Bytes, once decompressed, that the answer about one thing may have: a model with its newest versions, a version."""

PAGE_LIMIT = 64 * MIB
"""The same for a page: a thousand models, or 5,000 versions with the record of many moves, are 5 to 30 MB."""

MOST_PAGES = 10_000
"""Pages after which a list does not end: ten million models."""

# What passes: the statuses that MLflow's client retries, but for 500, which is the registry's own answer.
_PASSING = (408, *BUSY_STATUSES)
_NOT_DONE = (429, 503)  # those that say that the request was not carried out
_LONGEST_PAUSE = 120.0  # seconds; urllib3's

_DATE_IS_OLD = timedelta(seconds=60)  # a busy server sends the second of a while ago (3.17.2)
_DATE_IS_AHEAD = timedelta(seconds=2)  # clocks drift a little
_BLOCK = 64 * 1024  # bytes of an answer that are read, and decompressed, at once
# What a request may carry to another origin than the one it was meant for; all else may identify the caller.
_ANONYMOUS_HEADERS = {"accept", "accept-encoding", "connection", "content-length", "content-type", "user-agent"}
_REDIRECTS = (301, 302, 303, 307, 308)
_READING = ("GET", "HEAD")
_NOT_FOLLOWED = "x-prodpointer-not-followed"  # where a redirect led that was not followed; set here alone
_ODD_STEP = "Check that the address is that of an MLflow server, and read its log."


class Rest:
    """Requests to the server that keeps a registry, or that keeps runs.

    Reads that serving repeats are retried once, when a connection breaks. All else is retried as MLflow's settings say
    (``MLFLOW_HTTP_REQUEST_MAX_RETRIES`` and its backoff, ``Retry-After``) within the timeout.

    Parameters
    ----------
    addresses
        Where the server is.
    timeout
        Seconds that one request may take, its retries included.
    of_runs
        Whether the tracking server is meant and not the registry's.
    """

    def __init__(self, addresses: Addresses, *, timeout: float, of_runs: bool = False) -> None:
        self._addresses = addresses
        self._timeout = timeout
        self._of_runs = of_runs
        self.clock_ahead: timedelta = timedelta(0)
        """How far the server's clock is ahead of this machine's, by its last answer; 0 below what that can show."""

    def answer(self, endpoint: str, *, at_root: bool = False) -> tuple[int, str]:
        """Return status and text of a GET, if wanted of the same server without the path in its address."""
        credentials = self._credentials()
        if at_root:
            credentials = copy.copy(credentials)
            credentials.host = root_of(credentials.host) or credentials.host
        workspace = self._addresses.workspace
        response = send_request(credentials, "GET", endpoint, timeout=self._timeout, workspace=workspace)
        return int(response.status_code), str(response.text)

    @property
    def names_caller(self) -> bool:
        """Whether anything in a request may identify its sender: a login, a certificate, or a header of a plugin."""
        from mlflow.tracking.request_header.registry import resolve_request_headers
        from requests.utils import get_netrc_auth

        credentials = self._credentials()
        added = [name for name in resolve_request_headers() if not name.lower().startswith(_MLFLOWS_HEADERS)]
        login = any(getattr(credentials, name, None) for name in _LOGINS) or "@" in credentials.host
        return bool(added) or login or get_netrc_auth(credentials.host) is not None

    def wants_login(self) -> bool | None:
        """Tell whether a server refuses a caller without credentials; None where its answer says neither.

        Sent to the address alone: MLflow's own function adds what its settings, its plugins and ``.netrc`` hold.
        """
        import requests

        credentials = self._credentials()
        try:
            answer = send_request(
                credentials.host,
                "GET",
                CONTROL_MODEL_ENDPOINT,
                timeout=self._timeout,
                workspace=None,
                verify=credentials.server_cert_path or not credentials.ignore_tls_verification,
                cert=credentials.client_cert_path,
                allow_redirects=False,  # to a login page
            )
        except (requests.RequestException, NoAnswer, RegistryError):
            return None
        if answer.status_code in (*_REDIRECTS, 401, 403):
            return True
        return False if "RESOURCE_DOES_NOT_EXIST" in answer.text else None

    def pages(self, endpoint: str, *, patience: float | None = None, **question: Any) -> Iterator[dict[str, Any]]:
        """Yield the JSON of each page of a list, which has more time than other answers."""

        def ask(token: str | None) -> tuple[dict[str, Any], Any]:
            asked = question if token is None else {**question, "page_token": token}
            page = self.retried("GET", endpoint, patience=patience or _PAGE_PATIENCE, limit=PAGE_LIMIT, params=asked)
            return page, page.get("next_page_token")

        return pages(ask)

    def once(self, method: str, endpoint: str, **body: Any) -> dict[str, Any]:
        """Send a call of the API and return its JSON, or raise MLflow's own exception for the answer."""
        return self._read_document(self._send(method, endpoint, self._timeout, **body), endpoint)

    def retried(
        self,
        method: str,
        endpoint: str,
        *,
        patience: float = 1.0,
        repeatable: bool = True,
        **body: Any,
    ) -> dict[str, Any]:
        """Do as :meth:`once`, and send the call again as often and after such pauses as MLflow's settings say.

        What is not ``repeatable`` is sent again only where the server certainly has not carried it out.
        """
        until = time.monotonic() + patience * self._timeout
        pauses = _pauses()
        while True:
            try:
                response = self._send(method, endpoint, until - time.monotonic(), tries=1, **body)
            except Exception as error:
                pause = next(pauses, math.inf)
                if not _passes(error, repeatable=repeatable) or time.monotonic() + pause >= until:
                    raise
            else:
                if response.status_code not in (_PASSING if repeatable else _NOT_DONE):
                    break
                pause = max(next(pauses, math.inf), _retry_after(response))
                if time.monotonic() + pause >= until:
                    break
            time.sleep(pause)
        return self._read_document(response, endpoint)

    def _send(self, method: str, endpoint: str, seconds: float, **options: Any) -> Any:
        """Send a request with the credentials and the workspace, and return its answer."""
        workspace = self._addresses.workspace
        began = datetime.now(timezone.utc)
        response = send_request(self._credentials(), method, endpoint, timeout=seconds, workspace=workspace, **options)
        self.clock_ahead = _clock_ahead(response.headers.get("date"), began, datetime.now(timezone.utc))
        return response

    def _read_document(self, response: Any, endpoint: str) -> dict[str, Any]:
        """Return the JSON of an answer; raise ``RegistryUnavailable`` for a gateway's, MLflow's for an error."""
        if response.status_code in BUSY_STATUSES:
            where = self._addresses.tracking_uri if self._of_runs else self._addresses.shown
            raise unavailable(f"ask {endpoint}", response.status_code, where)
        return read_document(response, endpoint)

    def _credentials(self) -> Any:
        """Return the address and the credentials that MLflow's client uses."""
        if self._of_runs:
            from mlflow.tracking._tracking_service.utils import _get_store
        else:
            from mlflow.tracking._model_registry.utils import _get_store
        uri = self._addresses.tracking_uri if self._of_runs else self._addresses.registry_uri
        return call_in(self._addresses.workspace, lambda: _get_store(uri).get_host_creds())


def _clock_ahead(date: str | None, began: datetime, ended: datetime) -> timedelta:
    """Return how far a server's clock is ahead of this one; 0 where its ``Date``, in whole seconds, may be the same."""
    try:
        theirs = parsedate_to_datetime(date or "").astimezone(timezone.utc)
    except (TypeError, ValueError):
        return timedelta(0)
    if began - _DATE_IS_OLD <= theirs <= ended + _DATE_IS_AHEAD:
        return timedelta(0)
    return theirs - ended


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
        if isinstance(following, bytes):  # from MLflow's own store of a database
            following = following.decode("ascii", "replace")
        if not isinstance(following, str) or following in seen:
            wrong = "a page is repeated" if isinstance(following, str) else "the token of the next page is not text"
            raise RegistryError(f"The registry's list does not end: {wrong}.", next_step=_ODD_STEP)
        seen.add(following)
        token = following
    raise RegistryError(f"The registry's list does not end after {MOST_PAGES:,} pages.", next_step=_ODD_STEP)


def read_document(response: Any, endpoint: str) -> dict[str, Any]:
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


def send_request(
    credentials: Any,
    method: str,
    endpoint: str,
    *,
    timeout: float,
    workspace: str | None,
    limit: int = ANSWER_LIMIT,
    stream: bool = False,
    tries: int = 2,
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
    tries
        How often it is sent while the connection breaks.

    Raises
    ------
    NoAnswer
        The time was over; a write may still succeed.
    RegistryError
        The answer is larger than ``limit``.
    UnsafeModel
        The server redirects a write to another origin; it was not sent there.
    """
    failure: Exception | None = None
    began = time.monotonic()
    with cut_off(timeout) as cut:
        try:
            response = _send_unread(
                credentials, method, endpoint, timeout=timeout, workspace=workspace, tries=tries, **options
            )
            if not stream or response.status_code >= 400:
                _read(response, limit, endpoint)
        except Exception as error:  # noqa: BLE001  # a closed connection fails in many ways; raised below
            failure = error
    address = credentials if isinstance(credentials, str) else credentials.host
    log_request(method, address, endpoint, NoAnswer() if cut.is_set() else failure or response.status_code, began)
    if cut.is_set():
        # Raised here and not above: how the connection broke once it was closed is not what happened.
        may_be_done = "" if method == "GET" else "; the write may still succeed"
        raise NoAnswer(f"no complete answer within {timeout:g} s{may_be_done}")
    if failure is not None:
        raise failure
    if response.status_code in _REDIRECTS and (elsewhere := response.headers.get(_NOT_FOLLOWED)):
        raise UnsafeModel(
            "The server redirects a write to another address; the redirect was not followed.",
            where=f"{response.url} to {elsewhere}",
            next_step="Nothing was written. If you trust that server, give its own address to connect.",
        )
    return response


def _send_unread(
    credentials: Any,
    method: str,
    endpoint: str,
    *,
    timeout: float,
    workspace: str | None,
    tries: int,
    **options: Any,
) -> Any:
    """Send one request and return the answer with its body unread.

    Where it may be sent twice, each of the two tries has a little less than half of the time. Clients up to 2.2.2 take
    0 retries for their default, so that theirs is one at least. A server's ``Retry-After`` may be any time, so it is
    left to :meth:`Rest.retried` by the clients that can ignore it (2.22.5 and 3.17.2 can, 2.9.2 cannot).
    """
    options |= {"stream": True, "hooks": {"response": [_write_nothing_elsewhere, _stay_anonymous_elsewhere]}}
    if isinstance(credentials, str):
        import requests

        url = f"{credentials.rstrip('/')}{endpoint}"
        return requests.request(method, url, auth=_anonymous, timeout=timeout, **options)
    from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT
    from mlflow.utils.rest_utils import http_request

    retries = tries - 1 if _can_do_without_retries() else 1
    options["timeout"] = min((_SHARE if retries else 1.0) * timeout, MLFLOW_HTTP_REQUEST_TIMEOUT.get())
    if _can_ignore_retry_after(http_request):
        options["respect_retry_after_header"] = False
    with bind_workspace(workspace):
        return http_request(
            host_creds=credentials, endpoint=endpoint, method=method, max_retries=retries, retry_codes=(), **options
        )


def _pauses() -> Iterator[float]:
    """Yield the seconds before each retry as MLflow's settings and urllib3 make them: none before the first."""
    from mlflow import environment_variables as settings

    jitter = getattr(settings, "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", None)
    for count in range(settings.MLFLOW_HTTP_REQUEST_MAX_RETRIES.get()):
        pause = settings.MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR.get() * 2**count if count else 0.0
        extra = random.uniform(0, jitter.get()) if jitter and count else 0.0  # noqa: S311  # a pause, no secret
        yield min(_LONGEST_PAUSE, pause + extra)


def _retry_after(response: Any) -> float:
    """Return the seconds for which an answer asks to wait; 0 where it does not, or MLflow's settings ignore it."""
    from mlflow import environment_variables as settings
    from urllib3.exceptions import HTTPError
    from urllib3.util import Retry

    obeyed = getattr(settings, "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER", None)
    if obeyed is not None and not obeyed.get():
        return 0.0
    try:
        return float(Retry().get_retry_after(response) or 0.0)
    except HTTPError:  # neither a number nor a date
        return 0.0


def _passes(error: Exception, *, repeatable: bool) -> bool:
    """Tell whether a request may be sent again: its connection failed, and the server is not busy with it still."""
    import requests
    from urllib3.exceptions import NewConnectionError, ReadTimeoutError

    kinds: tuple[type[BaseException], ...] = (NewConnectionError,)
    if repeatable:
        kinds = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)
    links = list(chain(error))
    if any(isinstance(link, ReadTimeoutError | requests.exceptions.ReadTimeout) for link in links):
        return False
    return any(isinstance(link, kinds) for link in links)


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those it came from; older clients chain by context alone."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _anonymous(request: Any) -> Any:
    """Sign nothing; having a signer at all keeps requests from taking one from the URL or ``.netrc``."""
    return request


def _write_nothing_elsewhere(response: Any, **_: Any) -> None:
    """Keep a write from being sent on to another origin: :func:`send_request` raises for what is left, the redirect."""
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


def read_blocks(response: Any) -> Iterator[bytes]:
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
        for block in read_blocks(response):
            size += len(block)
            if size > limit:
                raise RegistryError(f"The answer to {endpoint} has more than {limit // MIB} MiB.", next_step=_ODD_STEP)
            blocks.append(block)
    response._content = b"".join(blocks)  # noqa: SLF001  # what MLflow itself sets, so that text and json() read it
    response.encoding = response.encoding or "utf-8"  # or it would be guessed, which takes minutes for a long body


@cache
def _can_do_without_retries() -> bool:
    """Tell whether a client sends a request once where it is told to; up to 2.2.2 no retries mean the default's."""
    return client_version() >= Version("2.3")


@cache
def _can_ignore_retry_after(http_request: Callable[..., Any]) -> bool:
    return "respect_retry_after_header" in inspect.signature(http_request).parameters


def unavailable(doing: str, status: int, where: str) -> RegistryUnavailable:
    """Return the error for what a gateway says in a server's place."""
    why = "too many requests" if status == 429 else "the upstream server is down or overloaded"
    return RegistryUnavailable(
        f"Could not {doing}: HTTP {status}, {why}.",
        where=where,
        next_step="Check that the server is running, then try again.",
    )

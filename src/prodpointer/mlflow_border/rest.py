"""The few REST calls that MLflow's client does not make, with the client's own credentials and settings.

They are ``/version`` and its control questions, the alias calls of clients before 2.3.0, the list of models without the
filter that clients from 2.21 on add, what a migration asks and tells several models at a time, and what a service has
to ask again and again while a registry may be down: the model, a version and where its bytes are. MLflow's client would
try for minutes; here every request has its time.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from prodpointer.errors import RegistryUnavailable
from prodpointer.mlflow_border.addresses import Addresses, root_of
from prodpointer.mlflow_border.workspaces import bound_to, called_in

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
        while True:
            page = self._checked("GET", endpoint, patience=_PAGE_PATIENCE, params=question)
            yield page
            if not page.get("next_page_token"):
                return
            question = {**question, "page_token": page["next_page_token"]}

    def get_model(self, name: str) -> dict[str, Any]:
        """Return the whole JSON reply for a registered model."""
        document: dict[str, Any] = self._checked("GET", f"{_API}/get", params={"name": name})
        return document

    def delete_model(self, name: str) -> None:
        """Delete a registered model with its versions."""
        self._checked("DELETE", f"{_API}/delete", json={"name": name})

    def get_version(self, name: str, version: str) -> dict[str, Any]:
        """Return the whole JSON reply for a version."""
        asked = {"name": name, "version": version}
        document: dict[str, Any] = self._checked("GET", f"{_VERSIONS_API}/get", params=asked)
        return document

    def get_download_uri(self, name: str, version: str) -> str:
        """Return where the server says that the artifact of a version is."""
        asked = {"name": name, "version": version}
        return str(self._checked("GET", f"{_VERSIONS_API}/get-download-uri", params=asked)["artifact_uri"])

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
        document: dict[str, Any] = self._checked("GET", f"{_API}/alias", params={"name": name, "alias": alias})
        return document

    def get_latest(self, name: str, stage: str) -> dict[str, Any]:
        """Return the JSON with the newest version of a stage, as plain ``get_latest_versions`` gets it."""
        asked = {"name": name, "stages": [stage]}
        document: dict[str, Any] = self._checked("POST", f"{_API}/get-latest-versions", json=asked)
        return document

    def _checked(self, method: str, endpoint: str, *, patience: float = 1.0, **body: Any) -> Any:
        """Send a call of the API and return its JSON, or raise MLflow's own exception for the answer."""
        from mlflow.utils.rest_utils import verify_rest_response

        seconds, workspace = patience * self._timeout, self._addresses.workspace
        response = bounded(self._credentials(), method, endpoint, timeout=seconds, workspace=workspace, **body)
        if response.status_code in BUSY_STATUSES:
            raise unavailable(f"ask {endpoint}", response.status_code, self._addresses.shown)
        return verify_rest_response(response, endpoint).json()

    def _answer(self, credentials: Any, endpoint: str) -> tuple[int, str]:
        """Return status and text of a GET; see :meth:`answer`."""
        response = bounded(credentials, "GET", endpoint, timeout=self._timeout, workspace=self._addresses.workspace)
        return int(response.status_code), str(response.text)

    def _credentials(self) -> Any:
        """Return the address and the credentials that MLflow's client uses."""
        from mlflow.tracking._model_registry.utils import _get_store

        return called_in(self._addresses.workspace, lambda: _get_store(self._addresses.registry_uri).get_host_creds())


def bounded(
    credentials: Any, method: str, endpoint: str, *, timeout: float, workspace: str | None, **options: Any
) -> Any:
    """Send one request as MLflow's client would, authentication and TLS settings included, within ``timeout`` seconds.

    It names ``workspace`` alone, whichever one is active in MLflow by now.

    A connection that breaks is tried once more, so each of the two tries has a little less than half of the time. It
    is one retry and not none, since clients up to 2.2.2 take 0 for the default. A server's ``Retry-After`` may be any
    time, so it is not obeyed by the clients that can be told (2.22.5 and 3.17.2 can, 2.9.2 cannot).
    """
    from mlflow.utils.rest_utils import http_request

    if _can_be_told_of_retry_after(http_request):
        options["respect_retry_after_header"] = False
    with bound_to(workspace):
        return http_request(
            host_creds=credentials,
            endpoint=endpoint,
            method=method,
            max_retries=1,
            timeout=_SHARE * timeout,
            retry_codes=(),
            **options,
        )


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

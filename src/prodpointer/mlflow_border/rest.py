"""The few REST calls that MLflow's client does not make, with the client's own credentials and settings.

They are ``/version`` and its control questions, the alias calls of clients before 2.3.0, and the list of models without
the filter that clients from 2.21 on add.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from prodpointer.mlflow_border.addresses import Addresses, root_of

_API = "/api/2.0/mlflow/registered-models"

CONTROL_MODEL = "prodpointer-control-question"
"""A registered model that no registry holds, so that a registry answers with its own error and nothing else does."""

CONTROL_MODEL_ENDPOINT = f"{_API}/get?name={CONTROL_MODEL}"
CONTROL_ALIAS_ENDPOINT = f"{_API}/alias?name={CONTROL_MODEL}&alias=production"
CONTROL_LOGGED_MODEL_ENDPOINT = "/api/2.0/mlflow/logged-models/m-00000000000000000000000000000000"
NO_ENDPOINT = "/api/2.0/mlflow/prodpointer-control-question"
"""A call that no registry has, to find out who gives the same answer to everything."""

MODELS_PAGE = 1000
"""The largest page of models that every MLflow takes."""


class Rest:
    """Direct questions to the registry's server.

    Parameters
    ----------
    addresses
        Where the server is.
    timeout
        Seconds that one question may take, the single repetition included.
    """

    def __init__(self, addresses: Addresses, *, timeout: float) -> None:
        """Bind the addresses; nothing is asked yet."""
        self._addresses = addresses
        self._timeout = timeout

    def answer(self, endpoint: str) -> tuple[int, str]:
        """Return status and text of a GET.

        Asked with one retry: clients up to 2.2.2 read ``max_retries=0`` as "the default", which is minutes.
        """
        return self._answer(self._credentials(), endpoint)

    def answer_at_root(self, endpoint: str) -> tuple[int, str]:
        """Return status and text of a GET of the same server without the path in its address."""
        credentials = copy.copy(self._credentials())
        credentials.host = root_of(credentials.host) or credentials.host
        return self._answer(credentials, endpoint)

    def model_pages(self) -> Iterator[dict[str, Any]]:
        """Yield the JSON of each page of registered models, prompts among them; GET in 2.0.1 to 3.17.2."""
        paging: dict[str, Any] = {"max_results": MODELS_PAGE}
        while True:
            page = self._checked("GET", f"{_API}/search", params=paging)
            yield page
            if not page.get("next_page_token"):
                return
            paging["page_token"] = page["next_page_token"]

    def get_model(self, name: str) -> dict[str, Any]:
        """Return the whole JSON reply for a registered model."""
        document: dict[str, Any] = self._checked("GET", f"{_API}/get", params={"name": name})
        return document

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Set an alias."""
        self._checked("POST", f"{_API}/alias", json={"name": name, "alias": alias, "version": version})

    def delete_alias(self, name: str, alias: str) -> None:
        """Delete an alias."""
        self._checked("DELETE", f"{_API}/alias", json={"name": name, "alias": alias})

    def _checked(self, method: str, endpoint: str, **body: Any) -> Any:
        """Send a call of the API and return its JSON, or raise MLflow's own exception for the answer."""
        from mlflow.utils.rest_utils import verify_rest_response

        return verify_rest_response(self._send(method, endpoint, **body), endpoint).json()

    def _send(self, method: str, endpoint: str, **options: Any) -> Any:
        """Send one request as MLflow's client would, authentication and TLS settings included."""
        return _requested(self._credentials(), method, endpoint, **options)

    def _answer(self, credentials: Any, endpoint: str) -> tuple[int, str]:
        """Return status and text of a GET; see :meth:`answer`."""
        response = _requested(credentials, "GET", endpoint, max_retries=1, timeout=self._timeout / 2, retry_codes=())
        return int(response.status_code), str(response.text)

    def _credentials(self) -> Any:
        """Return the address and the credentials that MLflow's client uses."""
        from mlflow.tracking._model_registry.utils import _get_store

        return _get_store(self._addresses.registry_uri).get_host_creds()


def _requested(credentials: Any, method: str, endpoint: str, **options: Any) -> Any:
    """Send one request by MLflow's own function."""
    from mlflow.utils.rest_utils import http_request

    return http_request(host_creds=credentials, endpoint=endpoint, method=method, **options)

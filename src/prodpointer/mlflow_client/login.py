"""Whether a server wants a login: the one request that leaves the credentials out on purpose."""

from __future__ import annotations

from prodpointer.errors import RegistryError
from prodpointer.mlflow_client.rest import CONTROL_MODEL_ENDPOINT, bounded
from prodpointer.mlflow_client.uris import Addresses
from prodpointer.mlflow_client.worker import NoAnswer
from prodpointer.mlflow_client.workspaces import called_in


def wants_login(addresses: Addresses, *, timeout: float) -> bool | None:
    """Tell whether a server refuses who gives no credentials; None where its answer says neither.

    Sent to the address alone: MLflow's own function adds what its settings, its plugins and ``.netrc`` hold.

    Parameters
    ----------
    addresses
        Where the server is.
    timeout
        Seconds that the question may take.
    """
    import requests
    from mlflow.tracking._model_registry.utils import _get_store

    host = called_in(addresses.workspace, lambda: _get_store(addresses.registry_uri).get_host_creds())
    try:
        answer = bounded(
            host.host,
            "GET",
            CONTROL_MODEL_ENDPOINT,
            timeout=timeout,
            workspace=None,
            verify=host.server_cert_path or not host.ignore_tls_verification,
            cert=host.client_cert_path,
            allow_redirects=False,  # to a login page
        )
    except (requests.RequestException, NoAnswer, RegistryError):
        return None
    if answer.status_code in (301, 302, 303, 307, 308, 401, 403):
        return True
    return False if "RESOURCE_DOES_NOT_EXIST" in answer.text else None

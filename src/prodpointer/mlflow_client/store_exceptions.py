"""From what the libraries of object stores raise to our errors, the same for every MLflow.

MLflow 3.17.2 gives some answers of S3 a code of its own and 2.22.5 none, so the answer itself is looked for: behind
MLflow's exception, in the exception of the store's library.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from prodpointer.errors import (
    AccessDenied,
    ArtifactNotFound,
    ArtifactStoreUnavailable,
    ProdpointerError,
    RegistryError,
)
from prodpointer.mlflow_client.exceptions import DENIED_CODES, error_code, first_line, loaded_classes, missing_library
from prodpointer.mlflow_client.rest import chain
from prodpointer.mlflow_client.worker import NoAnswer

# Codes whose HTTP status (400) does not say it.
_DENIED = {"ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired", *DENIED_CODES}
_BUSY = {"RequestTimeout", "RequestTimeoutException", "SlowDown", "Throttling", "TEMPORARILY_UNAVAILABLE"}
_NOT_FOR_LATER = {501, 505}  # server errors that are the same the next time
_MISSING = "RESOURCE_DOES_NOT_EXIST"

_NO_CONNECTION = (
    ("botocore.exceptions", "ConnectionError"),
    ("botocore.exceptions", "HTTPClientError"),
    ("botocore.exceptions", "IncompleteReadError"),
    ("boto3.exceptions", "RetriesExceededError"),
    ("s3transfer.exceptions", "RetriesExceededError"),
    ("azure.core.exceptions", "ServiceRequestError"),
    ("azure.core.exceptions", "ServiceResponseError"),
    ("azure.core.exceptions", "IncompleteReadError"),
    ("google.auth.exceptions", "TransportError"),
    ("google.api_core.exceptions", "RetryError"),
    ("requests.exceptions", "ConnectionError"),
    ("requests.exceptions", "Timeout"),
    ("requests.exceptions", "ChunkedEncodingError"),
    ("socket", "gaierror"),
)
_NO_CREDENTIALS = (
    ("botocore.exceptions", "NoCredentialsError"),
    ("botocore.exceptions", "PartialCredentialsError"),
    ("botocore.exceptions", "CredentialRetrievalError"),
    ("botocore.exceptions", "TokenRetrievalError"),
    ("botocore.exceptions", "NoAuthTokenError"),
    ("botocore.exceptions", "SSOError"),
    ("azure.core.exceptions", "ClientAuthenticationError"),
    ("google.auth.exceptions", "GoogleAuthError"),
)

# For each scheme of MLflow's: the credentials, the permissions that are needed, and what leads to the address.
_S3 = (
    "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN (or AWS_PROFILE)",
    "s3:ListBucket and s3:GetObject",
    "MLFLOW_S3_ENDPOINT_URL and the network",
)
_AZURE = (
    "AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_ACCESS_KEY (or the Azure identity)",
    "Storage Blob Data Reader on the container",
    "the storage account's name and the network",
)
_GOOGLE = (
    "GOOGLE_APPLICATION_CREDENTIALS (or the service account of this machine)",
    "storage.objects.list and storage.objects.get",
    "the network",
)
_STORES = {"s3": _S3, "r2": _S3, "b2": _S3, "wasbs": _AZURE, "abfss": _AZURE, "gs": _GOOGLE}
_ANY = ("the credentials of this machine for the artifact store", "to list and to read", "its address and the network")
_SAID: dict[type[ProdpointerError], tuple[str, str]] = {
    ArtifactStoreUnavailable: ("does not answer", "Check {place}, then try again."),
    AccessDenied: ("denied access", "Check {who}, and the permissions there: {needed}."),
    ArtifactNotFound: (
        "has no such artifact",
        "Check that the artifacts were not deleted or moved, and register a version that has them.",
    ),
}


def store_failure(doing: str, uri: str, error: Exception) -> ProdpointerError:
    """Return our error for what a store, or its library, did not do.

    Parameters
    ----------
    doing
        What was attempted, to follow "could not".
    uri
        A located URI of the store.
    error
        What was raised.
    """
    where = store_address(uri)
    who, needed, place = _STORES.get(urlsplit(uri).scheme, _ANY)
    if isinstance(error, ImportError):
        return missing_library(doing, where, error)
    kind = next(filter(None, map(_kind, chain(error))), RegistryError)
    if kind in _SAID:
        said, step = _SAID[kind]
        what = f"Could not {doing}: the artifact store {said} ({_text(error)})."
        return kind(what, where=where, next_step=step.format(who=who, needed=needed, place=place))
    failure = RegistryError(
        f"Could not {doing}: {_text(error)}",
        where=where,
        next_step="Check that the artifact store answers, and this machine's permissions there.",
    )
    failure.code = error_code(error) or type(error).__name__
    return failure


def _kind(error: BaseException) -> type[ProdpointerError] | None:
    """Return the class of our error for one exception of a chain, or None where it does not tell."""
    status, code = _answer(error)
    if code in _BUSY or status in (408, 429) or (status is not None and status >= 500 and status not in _NOT_FOR_LATER):
        return ArtifactStoreUnavailable
    if code in _DENIED or status in (401, 403):
        return AccessDenied
    if code == _MISSING or status in (404, 410):
        return ArtifactNotFound
    if isinstance(error, (NoAnswer, ConnectionError, TimeoutError, *loaded_classes(*_NO_CONNECTION))):
        return ArtifactStoreUnavailable
    return AccessDenied if isinstance(error, loaded_classes(*_NO_CREDENTIALS)) else None


def _answer(error: BaseException) -> tuple[int | None, str]:
    """Return the HTTP status and the code of the answer behind an exception, each where it is certain."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore's; without a body, as after HEAD, its code is the status
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status, str(response.get("Error", {}).get("Code", ""))
    if code := error_code(error):  # MLflow's, whose status is 500 for whatever it does not know, and Azure's
        return (None if _is_mlflow_s(error) else getattr(error, "status_code", None)), code
    # Azure's, those of requests, and Google's, of which some have the status as their code.
    found = (getattr(error, "status_code", None), getattr(response, "status_code", None), getattr(error, "code", None))
    return next((int(status) for status in found if isinstance(status, int)), None), ""


def _is_mlflow_s(error: BaseException) -> bool:
    """Tell whether an exception is MLflow's own."""
    return isinstance(error, loaded_classes(("mlflow.exceptions", "MlflowException")))


def _text(error: BaseException) -> str:
    """Return what happened in one line: the store's own words where it answered."""
    links = list(chain(error))
    telling = next((link for link in links if _answer(link) != (None, "") and not _is_mlflow_s(link)), None)
    return first_line(telling or links[0]).rstrip(".")


def store_address(uri: str) -> str:
    """Return where a store is: the bucket or container, and the endpoint of S3 where one is set."""
    scheme, authority, *_ = urlsplit(uri)
    shown = f"{scheme}://{authority}" if authority else uri
    endpoint = next(filter(None, map(os.environ.get, ("MLFLOW_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"))), None)
    return f"{shown} at {endpoint}" if scheme == "s3" and endpoint else shown

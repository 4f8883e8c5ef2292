"""Responses and failures of an artifact store raise the same errors with MLflow 2 and 3."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest

import prodpointer
from prodpointer import (
    AccessDenied,
    ArtifactNotFound,
    ArtifactStoreUnavailable,
    ModelNotFound,
    ProdpointerError,
    RegisteredModel,
)
from tests.integration.conftest import Command
from tests.proxy import Answer, Drop, Hang, Matches, everything, on_path
from tests.stores.conftest import BUCKET, Store, pickled

LISTING = on_path("list-type", "GET")
ANSWERS = [
    (403, "AccessDenied", AccessDenied),
    (403, "InvalidAccessKeyId", AccessDenied),
    (403, "SignatureDoesNotMatch", AccessDenied),
    (400, "ExpiredToken", AccessDenied),
    (401, "Unauthorized", AccessDenied),
    (404, "NoSuchBucket", ArtifactNotFound),
    (404, "NoSuchKey", ArtifactNotFound),
    (500, "InternalError", ArtifactStoreUnavailable),
    (503, "SlowDown", ArtifactStoreUnavailable),
    (503, "ServiceUnavailable", ArtifactStoreUnavailable),
    (429, "TooManyRequests", ArtifactStoreUnavailable),
]
AZURE_ANSWERS = [
    (403, "AuthenticationFailed", AccessDenied),
    (403, "AuthorizationPermissionMismatch", AccessDenied),
    (404, "ContainerNotFound", ArtifactNotFound),
    (404, "BlobNotFound", ArtifactNotFound),
    (503, "ServerBusy", ArtifactStoreUnavailable),
]


@pytest.fixture
def news(store: Store) -> RegisteredModel:
    """A model with version 1 live, and nothing of it on this machine; the same for all tests that only fail to load."""
    model = store.model("failing", timeout=5)
    try:
        model.status()
    except ModelNotFound:
        store.model("failing", pickled(1)).promote(1)
    return model


def answer(status: int, code: str) -> Answer:
    """Return an answer as S3 gives it."""
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>The store says so.</Message></Error>'
    return Answer(status, body.encode(), "application/xml")


def failure(model: RegisteredModel) -> ProdpointerError:
    """Load, and return the error."""
    with pytest.raises(ProdpointerError) as caught:
        model.load_production()
    return caught.value


@pytest.mark.parametrize(("status", "code", "kind"), ANSWERS, ids=[code for _, code, _ in ANSWERS])
def test_an_answer_to_a_listing_is_the_error_it_stands_for(
    news: RegisteredModel, store: Store, status: int, code: str, kind: type[ProdpointerError]
) -> None:
    """The store says by a code what it refuses."""
    store.proxy.when(LISTING, answer(status, code))
    assert type(failure(news)) is kind


@pytest.mark.parametrize(
    ("status", "kind"), [(403, AccessDenied), (404, ArtifactNotFound), (503, ArtifactStoreUnavailable)]
)
def test_an_answer_without_a_body_is_the_error_it_stands_for(
    news: RegisteredModel, store: Store, status: int, kind: type[ProdpointerError]
) -> None:
    """A file is asked for with HEAD first, so the status alone has to tell."""
    store.proxy.when(on_path("model.pkl"), Answer(status))
    assert type(failure(news)) is kind


def test_a_token_that_expires_between_two_questions_is_a_refusal(news: RegisteredModel, store: Store) -> None:
    """S3 answers HEAD with 400 and no body then, so the store is asked once more."""
    expired = Event()

    def is_object(_: str, path: str) -> bool:
        if "model.pkl" in path:
            expired.set()
        return "model.pkl" in path

    store.proxy.when(is_object, Answer(400))
    store.proxy.when(lambda *_: expired.is_set(), answer(400, "ExpiredToken"))
    assert type(failure(news)) is AccessDenied


def test_a_refused_connection_is_an_outage(news: RegisteredModel, store: Store) -> None:
    """Nothing listens at the store's address."""
    store.proxy.refuse()
    assert type(failure(news)) is ArtifactStoreUnavailable


@pytest.mark.parametrize("asked", [LISTING, on_path("model.pkl")], ids=["listing", "object"])
def test_a_connection_that_breaks_is_an_outage(news: RegisteredModel, store: Store, asked: Matches) -> None:
    """The store closes the connection instead of an answer."""
    store.proxy.when(asked, Drop())
    assert type(failure(news)) is ArtifactStoreUnavailable


def test_a_store_that_says_nothing_is_an_outage(store: Store, name: str) -> None:
    """No byte comes within the time."""
    model = store.model(name, pickled(1), timeout=0.3)
    model.promote(1)
    store.proxy.when(everything, Hang(30))
    assert type(failure(model)) is ArtifactStoreUnavailable


def test_no_credentials_at_all_are_a_refusal(
    news: RegisteredModel, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where this machine has none the store is not asked, and the error names where they are looked for."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # it keeps those that it found
    # Another address of the same proxy: MLflow keeps a client for each.
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", store.proxy.uri.replace("127.0.0.1", "localhost"))
    error = failure(news)
    assert (type(error), "AWS_ACCESS_KEY_ID" in error.next_step) == (AccessDenied, True)


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (404, "NoSuchBucket"), (503, "SlowDown")])
def test_an_error_names_the_store_and_what_to_do_there(
    news: RegisteredModel, store: Store, status: int, code: str
) -> None:
    """Bucket and endpoint, not the registry; the store's settings, not those of MLflow's server."""
    store.proxy.when(LISTING, answer(status, code))
    error = failure(news)
    assert error.where == f"s3://{BUCKET} at {store.proxy.uri}"
    assert "MLFLOW_TRACKING" not in str(error)
    assert "The store says so" in error.what


def test_a_password_in_the_endpoint_is_not_shown(
    news: RegisteredModel, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some put a user into the address of their own store."""
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", store.proxy.uri.replace("//", "//me:s3cr3t@"))
    store.proxy.when(everything, answer(403, "AccessDenied"))
    assert "s3cr3t" not in str(failure(news))


def test_a_refusal_never_starts_last_known_good(store: Store, name: str) -> None:
    """The version that is live is not this machine's to read; the one before is not loaded in its place."""
    model = store.model(name, pickled(1), pickled(2))
    model.promote(1)
    model.load_production()
    model.promote(2)
    store.proxy.when(everything, answer(403, "AccessDenied"))
    with pytest.raises(AccessDenied):
        model.load_production(on_unavailable="last-known-good")


def test_a_store_that_is_down_leaves_the_registry_in_service(store: Store, name: str) -> None:
    """What hangs in the store keeps no question to the registry waiting."""
    model = store.model(name, pickled(1), timeout=0.3)
    model.promote(1)
    store.proxy.when(everything, Hang(30))
    failure(model)
    assert model.live_version() == 1


def test_the_command_line_ends_with_5(store: Store, name: str, tmp_path: Path, cli: Command) -> None:
    """An outage of the store has the exit code of an outage."""
    store.model(name, pickled(1)).promote(1)
    store.proxy.refuse()
    assert cli("--tracking-uri", store.uri, "pull", name, tmp_path / "here").exit_code == 5


def test_rollback_says_that_a_bucket_is_gone(store: Store, name: str) -> None:
    """A version whose bucket does not exist has lost its artifact."""
    model = store.model(name, pickled(1), pickled(2))
    model.promote(1)
    model.promote(2)
    store.proxy.when(LISTING, answer(404, "NoSuchBucket"))
    with pytest.raises(prodpointer.NothingToRollBack, match="has lost its artifact"):
        model.rollback()


@pytest.fixture
def azure(store: Store, name: str, monkeypatch: pytest.MonkeyPatch) -> RegisteredModel:
    """A live version whose files are in a container of Azure; the proxy stands for the store."""
    account = f"AccountName=account;AccountKey=c2VjcmV0;BlobEndpoint={store.proxy.uri}/account"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", f"DefaultEndpointsProtocol=http;{account};")
    place = "wasbs://models@account.blob.core.windows.net/runs"
    store.client.create_registered_model(name)
    store.client.create_model_version(name, f"{place}/bundle")
    model = store.model(name, timeout=0.5)
    model.promote(1)
    return model


@pytest.mark.parametrize(("status", "code", "kind"), AZURE_ANSWERS, ids=[code for _, code, _ in AZURE_ANSWERS])
def test_an_answer_of_azure_is_the_error_it_stands_for(
    azure: RegisteredModel, store: Store, status: int, code: str, kind: type[ProdpointerError]
) -> None:
    """Its errors are told apart as those of S3 are, and name the container and what decides there."""
    store.proxy.when(everything, answer(status, code))
    error = failure(azure)
    assert (type(error), error.where) == (kind, "wasbs://models@account.blob.core.windows.net")
    assert kind is not AccessDenied or "AZURE_STORAGE_CONNECTION_STRING" in error.next_step


def test_azure_out_of_reach_is_an_outage(azure: RegisteredModel, store: Store) -> None:
    """Nothing listens there, and its library tries again for a minute."""
    store.proxy.refuse()
    assert type(failure(azure)) is ArtifactStoreUnavailable

"""Error texts: never a credential, no control characters, and a limited length."""

from __future__ import annotations

import pickle
import re
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

import prodpointer
from prodpointer.errors import AccessDenied, IntegrityError, ProdpointerError, RegistryUnsupported, without_credentials
from prodpointer.mlflow_client.uris import Addresses
from prodpointer.types import DIGEST_TAG
from tests.integration.conftest import Lab, quiet
from tests.integration.stub import Request, Stub, document, registry, stub

SECRET = "pWs3cr3t"
ADDRESSES = {
    "space": "http://u:pWs3 cr3t@127.0.0.1:1/",
    "spaces": f"http://u:pWs3 {SECRET} {SECRET}@127.0.0.1:1/",
    "newline": f"http://u:{SECRET}\n@127.0.0.1:1/",
    "no scheme": f"u:{SECRET}@127.0.0.1",
    "no slashes": f"http:u:{SECRET}@127.0.0.1:1",
    "three slashes": f"http:///u:{SECRET}@127.0.0.1:1/",
    "backslashes": rf"http:\\u:{SECRET}@127.0.0.1",
}
each_address = pytest.mark.parametrize("uri", ADDRESSES.values(), ids=ADDRESSES)


def shown(error: BaseException) -> str:
    """Return all that an error shows, its causes included."""
    return f"{error} {error!r} {vars(error)} {[str(each) for each in (error.__cause__, error.__context__)]}"


@each_address
@pytest.mark.parametrize("text", ["{}", "Could not read {} now."])
def test_a_login_of_an_odd_form_is_not_shown(uri: str, text: str) -> None:
    """Wherever it stands in a text."""
    assert not re.search("pWs3|cr3t", without_credentials(text.format(uri)))


@each_address
@pytest.mark.parametrize("kind", ["tracking_uri", "registry_uri"])
def test_an_odd_address_is_refused_without_its_login(uri: str, kind: str) -> None:
    """Before MLflow is asked, which finds the host elsewhere in it."""
    options = {"tracking_uri": "http://127.0.0.1:1", kind: uri}
    with quiet(), pytest.raises(RegistryUnsupported) as refused:
        prodpointer.connect("m", timeout=1, **options)  # type: ignore[arg-type]
    assert "pWs3" not in shown(refused.value)
    assert "127.0.0.1" in refused.value.where


@pytest.mark.parametrize(
    "name",
    ["key", "jwt", "auth", "code", "pass", "AWSAccessKeyId", "api-key", "apikey", "acc%65ss_token", "token%3D", "sas"],
)
def test_a_parameter_with_a_secret_name_loses_its_value(name: str) -> None:
    """However the name is written; the parameters beside it stay."""
    assert without_credentials(f"http://h/x?a=1&{name}={SECRET}&b=2").startswith(f"http://h/x?a=1&{name}")
    assert SECRET not in without_credentials(f"http://h/x?a=1&{name}={SECRET}&b=2")
    assert without_credentials(f"http://h/x?a=1&{name}={SECRET}&b=2").endswith("***&b=2")


@pytest.mark.parametrize(
    "text",
    [
        "http://host:5000: no answer; ask ada@example.org",
        "Could not reach 'http://host:5000' (ask ada@example.org).",
        "http://wiki: ask ada@example.org",
        "https://[::1]:5000/x failed; ask ada@example.org",
        "owner: ada@example.org, mailto:ada@example.org",
        "https://host/x?page=3&metric_key=auc&error_code=3&author=ada",
        "wasbs://container@account.blob.core.windows.net/x",
    ],
)
def test_an_address_of_a_person_stays(text: str) -> None:
    """What is no login is shown."""
    assert without_credentials(text) == text


@pytest.mark.parametrize(
    "variable",
    [
        "MLFLOW_TRACKING_TOKEN",
        "MLFLOW_TRACKING_PASSWORD",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AZURE_STORAGE_ACCESS_KEY",
        "DATABRICKS_TOKEN",
    ],
)
def test_a_credential_of_the_environment_is_not_shown(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nothing beside it says what it is."""
    monkeypatch.setenv(variable, SECRET)
    assert str(ProdpointerError(f"It said {SECRET}!")) == "It said ***!"


def test_a_short_password_hides_no_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be found in all of them."""
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "model")
    assert without_credentials("the model") == "the model"


def test_a_registry_is_the_same_one_with_every_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept on this machine belongs to the address, also where the password is a part of it."""
    addresses = Addresses("http://mlflow.example", "http://mlflow.example", chosen=True)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "mlflow")
    assert addresses.identity == "http://mlflow.example"


def test_a_token_that_a_server_repeats_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal may hold what was refused."""
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", SECRET)

    def answer(_: Stub, request: Request) -> Iterable[bytes]:
        refusal = document({"error_code": "UNAUTHENTICATED", "message": f"no {SECRET}"}, status=401)
        return [refusal] if request.path.startswith("/api") else registry()(request)

    with stub(answer) as server, quiet(), pytest.raises(AccessDenied) as refused:
        prodpointer.connect("m", tracking_uri=server.uri, timeout=5).status()
    assert SECRET not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("kind", ["tracking_uri", "registry_uri"])
def test_a_port_that_is_no_number_is_refused(kind: str) -> None:
    """SQLAlchemy raises a plain ValueError with a part of the password in it."""
    options = {"tracking_uri": "http://127.0.0.1:1", kind: f"mysql://u:p@{SECRET}:x@127.0.0.1:1/db"}
    with quiet(), pytest.raises(RegistryUnsupported, match="port is not a number") as refused:
        prodpointer.connect("m", timeout=1, **options)  # type: ignore[arg-type]
    assert SECRET not in shown(refused.value)
    assert ":x@" not in shown(refused.value)


def test_databricks_from_elsewhere_is_unsupported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow has an error of its own for a secret that only a cluster of Databricks can read."""
    monkeypatch.setenv("HOME", str(tmp_path))

    def asked() -> object:
        return prodpointer.connect("m", tracking_uri=server.uri, registry_uri="databricks://a:b@x", timeout=5).status()

    with stub() as server, quiet(), pytest.raises(RegistryUnsupported, match="Databricks"):
        asked()


@pytest.mark.parametrize("junk", ["x\x1b[31m\u202e", "x" * 4000, "ab" * 31], ids=["acting", "long", "short"])
def test_a_digest_that_is_none_is_named(junk: str, lab: Lab, name: str, tmp_path: Path) -> None:
    """What stands in its place is shown, and shortened."""
    model = lab.model(name, 1, cache_dir=tmp_path / "cache")
    model.promote(1)
    lab.client.set_model_version_tag(name, "1", DIGEST_TAG, junk)
    with quiet(), pytest.raises(IntegrityError, match="not a SHA-256") as refused:
        model.load_production()
    assert refused.value.what.isprintable()
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize("part", ["what", "where", "next_step"])
def test_an_error_holds_nothing_that_a_terminal_acts_on(part: str) -> None:
    """The words of a registry are in it, and logs are read on terminals."""
    parts = {"what": "It broke.", part: "a\x1b[31m\x9b\u202e\u200b"}
    error = ProdpointerError(parts.pop("what"), **parts)
    assert "a\\x1b[31m\\x9b\\u202e\\u200b" in str(error)
    assert str(error).isprintable()
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_an_error_keeps_its_lines() -> None:
    """Lines and tabs are no danger."""
    assert str(ProdpointerError("one\n\ttwo")) == "one\n\ttwo"


@pytest.mark.parametrize("make", [lambda word: word * 100_000, lambda word: word.join("\u202e" * 50_000)])
def test_an_error_has_a_longest_text(make: Callable[[str], str]) -> None:
    """However much a registry says."""
    assert len(str(ProdpointerError(make("x"), where=make("y")))) < 4200

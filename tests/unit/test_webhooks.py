"""Events as signed CloudEvents: the form, the signature by two libraries, and what each answer means.

``signature.json`` was made by the npm package standardwebhooks 1.1.1, with ``node sign.js > signature.json`` here.
"""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from prodpointer.errors import InvalidName
from prodpointer.types import Promotion
from prodpointer.watch.delivery import NotTaken
from prodpointer.watch.documents import document_of, event_id, source_of
from prodpointer.watch.receivers import Webhook
from tests.receiver import Endpoint, endpoint

MADE_BY_NPM = json.loads(Path(__file__).with_name("signature.json").read_text(encoding="utf-8"))
SECRET = MADE_BY_NPM["secret"]
SOURCE = "http://mlflow:5000"
AT = datetime(2026, 11, 30, 12, 0, tzinfo=timezone.utc)
MOVE = Promotion("café", 3, 4, ("alias",), AT, "ada", "weekly retrain", event="000000000001-aaaaaaaa")
EVENT = document_of(MOVE, event_id(SOURCE, MOVE, AT, "000000000001-aaaaaaaa done"), SOURCE)


@pytest.fixture
def receiving() -> Iterator[Endpoint]:
    """Return a receiver that takes everything."""
    with endpoint() as found:
        yield found


def webhook(url: str, *secrets: str, timeout: float = 5.0) -> Webhook:
    """Return a webhook with a secret."""
    return Webhook(url, secrets or (SECRET,), source=SOURCE, timeout=timeout)


def test_an_event_is_a_cloud_event(receiving: Endpoint) -> None:
    """Structured JSON that the CloudEvents library reads; the data is what every receiver gets."""
    webhook(receiving.url).send(EVENT)
    posted = receiving.posted[0]
    event = from_structured_event(HTTPMessage(dict(posted.headers), posted.body))
    assert event.get_attributes() == {
        "specversion": "1.0",
        "id": EVENT["id"],
        "source": SOURCE,
        "type": "io.github.prodpointer.move.done",
        "subject": "café@production",
        "time": AT,
        "datacontenttype": "application/json",
        "kind": "promote",
    }
    assert event.get_data() == EVENT
    assert posted.headers["content-type"] == "application/cloudevents+json"


def test_the_signature_is_verified_by_the_python_package(receiving: Endpoint) -> None:
    """As a receiver does, with the same id in header and event."""
    webhook(receiving.url).send(EVENT)
    posted = receiving.posted[0]
    assert Verifier(SECRET).verify(posted.body, dict(posted.headers))["id"] == posted.headers["webhook-id"]


def test_another_body_is_not_verified(receiving: Endpoint) -> None:
    """So that the test above can fail."""
    webhook(receiving.url).send(EVENT)
    posted = receiving.posted[0]
    with pytest.raises(WebhookVerificationError):
        Verifier(SECRET).verify(posted.body.replace(b"ada", b"eve"), dict(posted.headers))


def test_the_signature_is_that_of_the_npm_package(receiving: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same secret, id, time and body are signed alike."""
    at = datetime.fromtimestamp(int(MADE_BY_NPM["timestamp"]), timezone.utc)

    class Then(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return at

    monkeypatch.setattr("prodpointer.watch.receivers.datetime", Then)
    monkeypatch.setattr("prodpointer.watch.receivers.structured", lambda *_: MADE_BY_NPM["body"].encode())
    webhook(receiving.url).send({"id": MADE_BY_NPM["id"]})
    headers = receiving.posted[0].headers
    assert headers["webhook-signature"] == MADE_BY_NPM["signature"]
    assert headers["webhook-timestamp"] == MADE_BY_NPM["timestamp"]


def test_two_secrets_sign_while_they_are_changed(receiving: Endpoint) -> None:
    """A receiver that knows either of them takes the event."""
    other = "whsec_" + base64.b64encode(b"o" * 32).decode()
    webhook(receiving.url, SECRET, other).send(EVENT)
    posted = receiving.posted[0]
    for secret in (SECRET, other):
        Verifier(secret).verify(posted.body, dict(posted.headers))


@pytest.mark.parametrize(("status", "by_event"), [(400, True), (404, False), (429, False), (500, True), (503, False)])
def test_an_answer_other_than_2xx_takes_nothing(receiving: Endpoint, status: int, by_event: bool) -> None:
    """What a receiver says of itself holds up all models, what it says of an event its own alone."""
    receiving.answer = lambda _: (status, {"Retry-After": "7"})
    with pytest.raises(NotTaken, match=f"HTTP {status} from http://127.0.0.1") as refusal:
        webhook(receiving.url).send(EVENT)
    assert (refusal.value.by_event, refusal.value.after) == (by_event, 7.0)


def test_a_redirect_is_not_followed(receiving: Endpoint) -> None:
    """The event goes to the address that was given and to no other."""
    receiving.answer = lambda _: (307, {"Location": f"{receiving.url}/elsewhere"})
    with pytest.raises(NotTaken, match="HTTP 307"):
        webhook(receiving.url).send(EVENT)
    assert len(receiving.posted) == 1


def test_a_receiver_that_is_down_takes_nothing() -> None:
    """No model's event is taken then."""
    with endpoint() as gone:
        pass
    with pytest.raises(NotTaken, match="cannot be reached: Connection refused") as refusal:
        webhook(gone.url).send(EVENT)
    assert not refusal.value.by_event


def test_an_answer_that_trickles_ends_with_the_timeout() -> None:
    """The limit is for the request as a whole."""
    done = threading.Event()
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def trickle() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                while not done.wait(0.05):
                    connection.sendall(b"H")

        thread = threading.Thread(target=trickle, daemon=True)
        thread.start()
        with pytest.raises(NotTaken, match="no answer from"):
            webhook(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.3).send(EVENT)
        done.set()
        thread.join()


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_not base64", "plain"])
def test_a_secret_that_protects_nothing_is_refused(secret: str) -> None:
    """Neither is it shown."""
    with pytest.raises(InvalidName, match="secret to sign webhooks with") as refusal:
        Webhook("https://example.com", [secret] if secret else [], source=SOURCE, timeout=1)
    assert not secret or secret not in str(refusal.value).replace("whsec_$(openssl", "")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com",
        "file:///etc/passwd",
        "example.com",
        "https://ada:pw@example.com",
        "https://example.com/hook/SEC RET",
        "https://example.com/hök",
        "https://example.com:abc/",
        "https://[::1/",
        "https://example.com/\r\nX: y",
    ],
)
def test_an_address_that_cannot_be_posted_to_is_refused(url: str) -> None:
    """Before anything is sent, and without showing it; a login would show in the list of processes."""
    with pytest.raises(InvalidName, match="Invalid address of a webhook") as refusal:
        webhook(url)
    assert url not in str(refusal.value)


def test_an_answer_that_is_not_http_is_not_shown() -> None:
    """It may hold anything."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"SECRET\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with pytest.raises(NotTaken, match=r"cannot be reached: BadStatusLine$"):
            webhook(f"http://127.0.0.1:{listener.getsockname()[1]}").send(EVENT)
        thread.join()


@pytest.mark.parametrize(("content", "why"), [(None, "No such file"), ("no certificate", "")])
def test_a_certificate_bundle_that_cannot_be_read_is_an_error_with_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, why: str
) -> None:
    """And not a traceback."""
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with pytest.raises(InvalidName, match=rf"The certificate bundle cannot be read: .*{why}") as refusal:
        webhook("https://example.com")
    assert refusal.value.where == "REQUESTS_CA_BUNDLE"


def test_a_certificate_bundle_may_be_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it may be for the registry."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    webhook("https://example.com")


def test_an_id_is_that_of_one_event_of_one_registry() -> None:
    """The same event has the same id; another state, model, registry or model of the same name another one."""
    one = event_id(SOURCE, MOVE, AT, "1 done")
    ids = {
        one,
        event_id(SOURCE, MOVE, AT, "1 lost"),
        event_id(SOURCE, Promotion("other", 3, 4, (), AT, ""), AT, "1 done"),
        event_id("http://other:5000", MOVE, AT, "1 done"),
        event_id(SOURCE, MOVE, None, "1 done"),
    }
    assert len(ids) == 5
    assert one == event_id(SOURCE, MOVE, AT, "1 done") == "evt_75661f5d6e50dd3f1be83712c4094232"


def test_a_source_is_a_uri_reference_that_names_the_workspace() -> None:
    """No blank is in it."""
    assert source_of("http://mlflow:5000 workspace team a", "team a") == "http://mlflow:5000#workspace=team%20a"

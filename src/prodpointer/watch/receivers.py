"""Where events go: lines of text, a command, or a webhook."""

from __future__ import annotations

import base64
import binascii
import json
import os
import shlex
import shutil
import signal
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from prodpointer.errors import InvalidName, ProdpointerError
from prodpointer.mlflow_client import cut_off
from prodpointer.watch.delivery import NotTaken, Receiver
from prodpointer.watch.documents import attributes_of

SECRET_VARIABLE = "PRODPOINTER_WEBHOOK_SECRET"  # noqa: S105  # the name of a variable
"""The environment variable with the secret that signs webhooks: ``whsec_`` and base64; several with blanks between."""

COMMAND_TIMEOUT = 60.0
"""Seconds that a command has for one event."""

_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # in the order of requests
_SHORTEST_SECRET, _LONGEST_SECRET = 24, 64  # bytes, as Standard Webhooks asks
# The gateway speaks for the receiver as a whole; any other status is about the event.
_OF_RECEIVER = {401, 403, 404, 407, 408, 410, 429, 502, 503, 504}
_VARIABLES = ("id", "name", "alias", "kind", "state", "from_version", "to_version", "at", "by")


class Lines(Receiver):
    """Prints each event as one line.

    Parameters
    ----------
    write
        Writes one document and flushes it.
    """

    one_by_one = False  # many a second, and a reader of lines that are printed twice sees the same id

    def __init__(self, write: Callable[[Mapping[str, Any]], object]) -> None:
        self._write = write

    def send(self, document: Mapping[str, Any]) -> None:
        """Print an event."""
        self._write(document)


class Command(Receiver):
    """Runs a command for each event: the document on its standard input, some of it in ``PRODPOINTER_EVENT_*``.

    The command takes an event by exit code 0. No shell reads it.

    Parameters
    ----------
    command
        The program and its arguments, quoted as for a shell.
    timeout
        Seconds after which the command, and what it started, is killed.
    """

    one_by_one = True

    def __init__(self, command: str, *, timeout: float = COMMAND_TIMEOUT) -> None:
        try:
            self._arguments = shlex.split(command)
        except ValueError as error:
            raise InvalidName(f"Invalid command: {error}.", where="--exec") from error  # it may hold a secret
        self._timeout = timeout
        if not self._arguments or shutil.which(self._arguments[0]) is None:
            name = self._arguments[0] if self._arguments else ""
            step = "Give a program that can be run, and its arguments."
            raise InvalidName(f"The command {name!r} is not found.", where="--exec", next_step=step)

    def send(self, document: Mapping[str, Any]) -> None:
        """Run the command with one event."""
        given = {key: document.get(key) for key in _VARIABLES}
        own = {f"PRODPOINTER_EVENT_{key.upper()}": "" if value is None else str(value) for key, value in given.items()}
        text = json.dumps(document, ensure_ascii=False) + "\n"
        try:
            running = subprocess.Popen(  # noqa: S603  # the operator's own command
                self._arguments,
                stdin=subprocess.PIPE,
                env={**os.environ, **own},
                start_new_session=True,  # a signal for the watcher is none for the command, which ends first
            )
        except OSError as error:
            raise NotTaken(f"{self._arguments[0]} cannot be run: {error.strerror}", by_event=False) from error
        with running:
            try:
                running.communicate(text.encode(), timeout=self._timeout)
            except subprocess.TimeoutExpired:
                _kill(running)
                raise NotTaken(f"the command did not end within {self._timeout:g} s", by_event=True) from None
            except BaseException:
                _kill(running)
                raise
        if running.returncode != 0:
            raise NotTaken(f"exit code {running.returncode}", by_event=True)


def _kill(running: subprocess.Popen[bytes]) -> None:
    """Kill a command and what it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(running.pid, signal.SIGKILL) if hasattr(os, "killpg") else running.kill()
    running.wait()


class Webhook(Receiver):
    """Posts each event as a CloudEvent (structured JSON), signed as Standard Webhooks asks.

    The receiver takes an event by an answer of 2xx; a redirect is none.

    Parameters
    ----------
    url
        Where to.
    secrets
        The secrets that sign, as ``whsec_`` and base64: more than one while they are changed.
    source
        The CloudEvents source.
    timeout
        Seconds for each request as a whole.

    Raises
    ------
    InvalidName
        The address or a secret is invalid.
    ProdpointerError
        The packages of the extra ``events`` are not installed.
    """

    one_by_one = True

    def __init__(self, url: str, secrets: Sequence[str], *, source: str, timeout: float) -> None:
        self._url = url
        self._origin = _checked_origin(url)
        self._signers = [_signer(secret) for secret in _checked_secrets(secrets)]
        self._source = source
        self._timeout = timeout
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self._origin.startswith("https"):  # reading the system's authorities takes a while
            context = _trusting()
        self._opener = urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=context))

    def send(self, document: Mapping[str, Any]) -> None:
        """Post one event."""
        body = structured(document, self._source)
        now = datetime.now(timezone.utc)
        text, event_id = body.decode(), str(document["id"])
        request = urllib.request.Request(  # noqa: S310  # http or https alone
            self._url,
            data=body,
            method="POST",
            headers={
                "Content-Type": "application/cloudevents+json",
                "User-Agent": "prodpointer",
                "webhook-id": event_id,
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": " ".join(signer.sign(event_id, now, text) for signer in self._signers),
            },
        )
        late = f"no answer from {self._origin} within {self._timeout:g} s"
        with cut_off(self._timeout) as cut:
            try:
                with self._opener.open(request, timeout=self._timeout):
                    return
            except urllib.error.HTTPError as answer:
                with answer:
                    raise self._refusal(answer) from None
            except (OSError, HTTPException) as error:
                # The text of an HTTPException may hold the address, or what the server sent.
                reason = getattr(error, "reason", error) if isinstance(error, OSError) else type(error).__name__
                if cut.is_set() or isinstance(reason, TimeoutError):
                    raise NotTaken(late, by_event=True) from None
                raise NotTaken(f"{self._origin} cannot be reached: {_said(reason)}", by_event=False) from error

    def _refusal(self, answer: urllib.error.HTTPError) -> NotTaken:
        """Return what an answer other than 2xx means."""
        wait = answer.headers.get("Retry-After") or ""
        after = float(wait) if wait.isascii() and wait.isdigit() and len(wait) < 6 else 0.0
        said = f"HTTP {answer.code} from {self._origin}"
        return NotTaken(said, by_event=answer.code not in _OF_RECEIVER, after=after)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the address that was given is the one that takes events."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Return no request, so that the answer is an error."""
        return


def structured(document: Mapping[str, Any], source: str) -> bytes:
    """Return an event as a CloudEvent in structured JSON."""
    from cloudevents.core.bindings.http import to_structured_event
    from cloudevents.core.v1.event import CloudEvent

    return bytes(to_structured_event(CloudEvent(attributes_of(document, source), dict(document))).body)


def _checked_origin(url: str) -> str:
    """Return the scheme and host of an address, which may be shown; raise for one that cannot be posted to."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # its text may hold the address, and that a secret
        parts, host, port = urlsplit(""), None, None
    plain = url.isascii() and url.isprintable() and " " not in url
    if not plain or parts.scheme.lower() not in ("http", "https") or not host or "@" in parts.netloc:
        step = "Give https://HOST/PATH without a login, other characters as %XX; events are signed."
        raise InvalidName("Invalid address of a webhook.", where="--webhook", next_step=step)
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme.lower()}://{host}" + (f":{port}" if port is not None else "")


def _trusting() -> ssl.SSLContext:
    """Return what trusts the certificate authorities that the registry's clients trust."""
    variable = next((each for each in _BUNDLES if os.environ.get(each)), None)
    if variable is None:
        return ssl.create_default_context()
    bundle = os.environ[variable]
    try:
        if Path(bundle).is_dir():
            return ssl.create_default_context(capath=bundle)
        return ssl.create_default_context(cafile=bundle)
    except OSError as error:
        why = f"The certificate bundle cannot be read: {error.strerror or error}."
        step = "Give a file in PEM format, or a directory of them."
        raise InvalidName(why, where=variable, next_step=step) from error


def _checked_secrets(secrets: Sequence[str]) -> Sequence[str]:
    """Return the secrets; raise where there is none, or one is not as Standard Webhooks asks."""
    step = f"Set it to 24 to 64 random bytes in base64: export {SECRET_VARIABLE}=whsec_$(openssl rand -base64 32)"
    if not secrets:
        raise InvalidName("No secret to sign webhooks with.", where=SECRET_VARIABLE, next_step=step)
    for secret in secrets:
        try:
            count = len(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
        except binascii.Error:
            count = 0
        if not _SHORTEST_SECRET <= count <= _LONGEST_SECRET:
            raise InvalidName("Invalid secret to sign webhooks with.", where=SECRET_VARIABLE, next_step=step)
    return secrets


def _signer(secret: str) -> Any:
    """Return what signs with one secret."""
    try:
        import cloudevents.core.v1.event  # noqa: F401  # so that a missing package shows before anything is sent
        from standardwebhooks.webhooks import Webhook as Signer
    except ModuleNotFoundError as error:
        raise ProdpointerError(
            f"Webhooks need {(error.name or '').partition('.')[0]}, which is not installed.",
            where="--webhook",
            next_step="Install it: pip install 'prodpointer[events]'.",
        ) from error
    return Signer(secret)


def _said(reason: object) -> str:
    """Return why a connection failed, in a few words."""
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__

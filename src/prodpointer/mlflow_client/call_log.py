"""Each request in the log at DEBUG, with its time: no header, body, parameter or credential."""

from __future__ import annotations

import logging
import time

from prodpointer.errors import without_credentials

_log = logging.getLogger("prodpointer")


def log_request(method: str, address: str, endpoint: str, outcome: object, began: float) -> None:
    """Log a request to a server: its status, or the class of the error in place of one.

    Parameters
    ----------
    method, address, endpoint
        What was sent where; a query is left out.
    outcome
        The status, or an exception.
    began
        The ``time.monotonic()`` at its start.
    """
    if _log.isEnabledFor(logging.DEBUG):
        url = f"{address.partition('?')[0].rstrip('/')}{endpoint.partition('?')[0]}"
        _log.debug("%s %s: %s in %s", method, without_credentials(url), _shown(outcome), _milliseconds(began))


def log_call(name: str, outcome: object, began: float) -> None:
    """Log a call of MLflow's client, which reads a database or a plugin's registry."""
    if _log.isEnabledFor(logging.DEBUG):
        _log.debug("MlflowClient.%s: %s in %s", name, _shown(outcome), _milliseconds(began))


def _shown(outcome: object) -> str:
    return type(outcome).__name__ if isinstance(outcome, BaseException) else str(outcome)


def _milliseconds(began: float) -> str:
    return f"{(time.monotonic() - began) * 1000:.1f} ms"

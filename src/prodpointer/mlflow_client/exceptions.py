"""From MLflow's exceptions to ours, once."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prodpointer.errors import (
    AccessDenied,
    ProdpointerError,
    RegistryError,
    RegistryUnavailable,
    RegistryUnsupported,
    without_credentials,
)
from prodpointer.mlflow_client.rest import BUSY_STATUSES, chain
from prodpointer.mlflow_client.worker import NoAnswer
from prodpointer.mlflow_client.workspaces import WORKSPACE_STEP, no_workspace, says_no_workspace

DENIED_CODES = {"PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED", "UNAUTHENTICATED"}
_BUSY = {"TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED"}
_LOCKED = re.compile(r"database (table )?is locked")  # SQLite, while another process upgrades it for example
# What urllib3 says after too many answers of one status, rather than after a failed connection.
_TOO_MANY_ANSWERS = re.compile(r"too many (\d{3}) error responses")

# Clients up to 2.9.2 trip over a code that only newer servers send, instead of raising MLflow's exception.
_UNKNOWN_CODE = "Enum ErrorCode has no value defined for name"
_UNREACHABLE_STEP = "Check the address and that the server is running, then try again."
_DENIED_STEP = (
    "Check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or the token), the user's permissions on the model, "
    "and that the server accepts this host name (--allowed-hosts)."
)
# MLflow has no code of its own for them: a RuntimeError of databricks_cli up to 2.3, INTERNAL_ERROR since.
_NO_DATABRICKS = re.compile(
    r"haven't configured the CLI|malformed Databricks CLI|databricks credential configuration", re.IGNORECASE
)
_NO_DBUTILS = "_NoDbutilsError"  # 2.0.1 to 3.17.2
_DATABRICKS_STEP = (
    "Set DATABRICKS_HOST and DATABRICKS_TOKEN, or run `databricks configure`, and check the profile's name."
)
_REFUSED_HOST = "Invalid Host header"
_REFUSED_HOST_STEP = (
    "The server does not accept the host name it was asked by: start it with --allowed-hosts naming that host "
    "(MLFLOW_SERVER_ALLOWED_HOSTS), or use an address that it accepts. Credentials are not the cause."
)
_UNREADABLE_STEP = "Check that the address is that of an MLflow server, and whether a proxy changes its answers."
_ODD_STEP = "Read the registry's log, then try again."
_NO_SUCH_CALL_STEP = "Check the URL and the server's --static-prefix: MLflow 3.7 moved its API under it, to URL/PREFIX."

_FOREIGN = (
    ("mlflow.exceptions", "MlflowException"),
    ("requests", "RequestException"),
    ("databricks_cli.utils", "InvalidConfigurationError"),  # what MLflow up to 2.3 asks for credentials
    ("mlflow.utils.databricks_utils", _NO_DBUTILS),  # outside of a Databricks cluster
    ("alembic.util", "CommandError"),
    ("sqlalchemy.exc", "SQLAlchemyError"),
)
_LONGEST_CAUSE = 100_000  # characters; MLflow puts the whole body of an answer into its errors

# One failing call, one error of ours: made only when needed, since making it may ask the registry a second question.
Missing = Callable[[], ProdpointerError]


@contextmanager
def translate(
    doing: str,
    where: str,
    *,
    missing: Missing | None = None,
    invalid: type[ProdpointerError] = RegistryError,
    other: type[ProdpointerError] = RegistryError,
    step: str = "",
) -> Iterator[None]:
    """Turn whatever MLflow, requests or SQLAlchemy raises inside into one error of ours.

    Parameters
    ----------
    doing
        What was attempted, to follow "could not".
    where
        The registry or the file asked.
    missing
        Makes the error for ``RESOURCE_DOES_NOT_EXIST``.
    invalid
        The error for ``INVALID_PARAMETER_VALUE``, which MLflow uses for bad names and much else.
    other
        The error for every other answer.
    step
        What to do next about an ``invalid`` or an ``other`` answer.
    """
    try:
        yield
    except _foreign() as error:
        ours = _Attempt(doing, where, missing, invalid, other, step).error_for(error)
        raise ours from shown_cause(error)
    except ProdpointerError as ours:
        if not isinstance(ours, RegistryError) or ours.where:
            raise
        # Of what read an answer, which knows neither what was asked nor where.
        what = f"Could not {doing}: {ours.what[:1].lower()}{ours.what[1:]}"
        raise RegistryError(what, where=where, next_step=ours.next_step) from shown_cause(ours)
    except ImportError as error:
        raise missing_library(doing, where, error) from error
    except NotImplementedError as error:  # MLflow's client for the open-source Unity Catalog, and plugins
        raise RegistryUnsupported(
            f"Could not {doing}: MLflow's client does not support it for such a registry.", where=where, next_step=step
        ) from error
    except Exception as error:  # MLflow's client checks no types: what an answer makes it raise may be anything
        unreadable = _unreadable(error, doing, where)
        if unreadable is None:
            raise
        raise unreadable from shown_cause(error)


def missing_library(doing: str, where: str, error: ImportError) -> RegistryUnsupported:
    """Return the error for a library that is not installed, or has another version than this MLflow needs."""
    if "cannot import name" in str(error):
        # MLflow before 3.9 sets no upper bound, and fails with SQLAlchemy 2.1.
        old = "Run `pip install 'sqlalchemy<2.1'`." if "sqlalchemy" in str(error) else "Install the version it needs."
        what = f"Could not {doing}: the version of a library does not fit this MLflow ({error})."
        return RegistryUnsupported(what, where=where, next_step=old)
    return RegistryUnsupported(
        f"Could not {doing}: a library is missing ({error}).", where=where, next_step="Install it."
    )


def _unreadable(error: Exception, doing: str, where: str) -> RegistryError | None:
    """Return our error for an answer that MLflow's client cannot read, or None for an error of another kind."""
    if isinstance(error, ValueError) and str(error).startswith(_UNKNOWN_CODE):
        why, step = f"unknown error code in the answer ({error})", "Use a client as new as the server."
    elif _is_of_an_answer(error):
        why = f"MLflow's client cannot read the answer ({type(error).__name__}: {first_line(error)})"
        step = _UNREADABLE_STEP
    else:
        return None
    return RegistryError(f"Could not {doing}: {why}.", where=where, next_step=step)


def _is_of_an_answer(error: Exception) -> bool:
    """Tell whether MLflow's client raised an error because of an answer's types or keys, and not a caller of it."""
    kinds: tuple[type[Exception], ...] = (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    )
    if parsing := sys.modules.get("google.protobuf.json_format"):
        kinds = (*kinds, parsing.Error)
    modules = [str(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    inside = any(module.startswith("mlflow.") for module in modules)
    stores = any(module.startswith("mlflow.store.artifact.") for module in modules)  # whose libraries say what is wrong
    return inside and not stores and isinstance(error, kinds)


def denied_step(text: str) -> str:
    """Return what to do about a refusal, by what it says: a refused Host header has nothing to do with permissions."""
    return _REFUSED_HOST_STEP if _REFUSED_HOST in text else _DENIED_STEP


def error_code(error: BaseException) -> str:
    """Return MLflow's name for an error, or the empty string."""
    code = getattr(error, "error_code", "")
    return code if isinstance(code, str) else ""


def _foreign() -> tuple[type[BaseException], ...]:
    return (NoAnswer, *loaded_classes(*_FOREIGN))


def loaded_classes(*names: tuple[str, str]) -> tuple[type[BaseException], ...]:
    """Return those of the exception classes, by module and name, whose modules are loaded.

    One that no module of this process holds cannot have been raised, so nothing is imported: SQLAlchemy and alembic
    take seconds, which an answer within a time limit does not have.
    """
    found = (getattr(sys.modules.get(module), name, None) for module, name in names)
    return tuple(each for each in found if each is not None)


@dataclass(frozen=True)
class _Attempt:
    """What was attempted, and the errors that its answers stand for; see :func:`translate`."""

    doing: str
    where: str
    missing: Missing | None
    invalid: type[ProdpointerError]
    other: type[ProdpointerError]
    step: str

    def error_for(self, error: BaseException) -> ProdpointerError:
        """Return our error for one exception from below."""
        code = error_code(error)
        if code == "RESOURCE_DOES_NOT_EXIST" and says_no_workspace(str(error)):  # deleted since the handle was made
            return no_workspace(self.where)
        if code == "RESOURCE_DOES_NOT_EXIST" and self.missing is not None:
            return self.missing()
        if code == "INVALID_PARAMETER_VALUE" and self.invalid is not RegistryError:
            return self.invalid(f"Could not {self.doing}: {first_line(error)}", where=self.where, next_step=self.step)
        kind, why, step = self._kind(error, code)
        ours = kind(f"Could not {self.doing}: {why}.", where=self.where, next_step=step)
        if isinstance(ours, RegistryError):
            ours.code = code or type(error).__name__
        return ours

    def _kind(self, error: BaseException, code: str) -> tuple[type[ProdpointerError], str, str]:
        """Return the error's class, what happened and what to do next."""
        if _is_unreachable(error):
            return RegistryUnavailable, f"no connection ({_root_text(error)})", _UNREACHABLE_STEP
        text = first_line(error)
        if code in DENIED_CODES or _http_status(error) in (401, 403):
            return AccessDenied, f"access denied ({text})", denied_step(str(error))
        if _NO_DATABRICKS.search(text) or type(error).__name__ == _NO_DBUTILS:
            return RegistryUnsupported, f"no credentials for Databricks ({text})", _DATABRICKS_STEP
        if code in _BUSY or _LOCKED.search(text):
            return RegistryUnavailable, f"the registry is busy ({text})", "Try again later."
        if code in ("ENDPOINT_NOT_FOUND", "FEATURE_DISABLED") or _is_no_address(error):
            without = code == "FEATURE_DISABLED" and "workspace" in text.lower()  # since the handle was made
            what = "the server has no workspaces" if without else "the server has no such call"
            return RegistryUnsupported, f"{what} ({text})", WORKSPACE_STEP if without else _NO_SUCH_CALL_STEP
        return self.other, text, self.step or (_ODD_STEP if self.other is RegistryError else "")


def _is_unreachable(error: BaseException) -> bool:
    """Tell whether a connection failed or a gateway's upstream server is down."""
    import requests

    for link in chain(error):
        if isinstance(
            link, requests.ConnectionError | requests.Timeout | requests.exceptions.ChunkedEncodingError | NoAnswer
        ):
            return True
        if isinstance(link, requests.exceptions.RetryError):
            failed = _TOO_MANY_ANSWERS.search(str(link))
            return failed is not None and int(failed.group(1)) in BUSY_STATUSES
        if _is_lost_database(link):
            return True
    return False


def _is_no_address(error: BaseException) -> bool:
    """Tell whether the URL itself cannot be used."""
    import requests

    return any(isinstance(link, requests.exceptions.InvalidURL) for link in chain(error))


def _is_lost_database(error: BaseException) -> bool:
    """Tell whether SQLAlchemy had no connection: it failed before any statement, or it broke during one."""
    if type(error).__name__ not in ("OperationalError", "InterfaceError") or not hasattr(error, "statement"):
        return False
    return error.statement is None or bool(getattr(error, "connection_invalidated", False))


def _http_status(error: BaseException) -> int | None:
    """Return the HTTP status behind an error where it is certain."""
    response = getattr(error, "response", None)
    return getattr(response, "status_code", None)


def first_line(error: BaseException) -> str:
    """Return a short form of an exception's text: MLflow's may hold a whole HTML page."""
    shown = without_credentials(str(error)[:_LONGEST_CAUSE])  # before a line is cut inside of a login
    lines = [line.strip() for line in shown.splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."


def _root_text(error: BaseException) -> str:
    """Return the text of the innermost connection failure."""
    *_, root = chain(error)
    return first_line(root)


def shown_cause(error: BaseException) -> BaseException | None:
    """Return the exception to show as the cause, or None where its text would show a credential or a whole answer."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if len(text) > _LONGEST_CAUSE:
        return None
    return error if without_credentials(text) == text else None

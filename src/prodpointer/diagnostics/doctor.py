"""``doctor``: versions, the chosen pointer and why, known problems, permissions, and the next step."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from urllib.parse import urlsplit

from prodpointer.connection import rule_for
from prodpointer.diagnostics.known_issues import limits, unreadable
from prodpointer.diagnostics.permissions import (
    Permissions,
    ReadAccess,
    probe_model,
    probe_read_access,
    probe_scratch_model,
)
from prodpointer.errors import ProdpointerError, without_credentials
from prodpointer.history.record import read_record
from prodpointer.mlflow_client import (
    CONTROL_MODEL,
    Capabilities,
    Registry,
    client_version,
    open_registry,
    probe_capabilities,
)
from prodpointer.pointers.rule import Rule
from prodpointer.pointers.selection import check_supported, pointers_to_move
from prodpointer.pointers.snapshot import read_reply
from prodpointer.types import POINTER_TAG, POINTERS, Diagnosis, ModelReply
from prodpointer.validation import model_name

LINES, COLUMNS = 24, 100
"""The size of the screen that the printed diagnosis fits on."""

OK, WARNING, PROBLEM = "ok", "warning", "problem"
_SYMBOLS = {OK: "\u2713", WARNING: "!", PROBLEM: "\u2717"}
_STATE, _LABEL = 9, 18
_FEW = 3  # examples listed by name


def diagnose(
    *,
    tracking_uri: str | None,
    registry_uri: str | None,
    workspace: str | None = None,
    pointer: str = "auto",
    alias: str = "production",
    timeout: float = 10.0,
    model: str | None = None,
    trying: bool = False,
) -> Diagnosis:
    """Return a diagnosis of the configured registry; an unusable registry is a finding, not an exception.

    Parameters
    ----------
    tracking_uri, registry_uri, workspace, pointer, alias, timeout
        As for :func:`prodpointer.connect`. No database is created or upgraded.
    model
        A registered model whose permissions are probed, by requests that cannot change it.
    trying
        Whether to probe permissions on a scratch model, which is deleted afterwards. Otherwise nothing is written.

    Raises
    ------
    InvalidName
        The pointer, alias or model name is invalid.
    ProdpointerError
        It was interrupted while ``trying``, and the scratch model could not be deleted.
    """
    rule = rule_for(alias, None, pointer)
    subject = None if model is None else model_name(model)
    try:
        registry = open_registry(tracking_uri, registry_uri, timeout=timeout, workspace=workspace)
        found = probe_capabilities(registry)
        access = probe_read_access(registry)
    except ProdpointerError as error:
        shown = without_credentials(registry_uri or tracking_uri or "MLflow's own settings")
        shown += f", workspace {workspace}" if workspace else ""
        return Diagnosis(
            shown,
            _client_version(),
            None,
            None,
            "no usable registry",
            (str(error),),
            error.exit_code,
            next_step=error.next_step,
            workspace=workspace or None,
        )
    permissions = [] if subject is None else [probe_model(registry, found, subject)]
    permissions += [probe_scratch_model(registry, found)] if trying else []
    diagnosis = _diagnose_registry(registry, found, rule, access, permissions)
    problems, notes = ((), ()) if subject is None else _check_tags(registry, subject)
    return replace(
        diagnosis,
        problems=(*diagnosis.problems, *problems),
        notes=(*_address_notes(registry), *notes, *access.notes, *limits(registry, found, access.names)),
        workspace=registry.addresses.workspace,
    )


def _client_version() -> str:
    """Return the version of the installed MLflow, also where it cannot be imported."""
    try:
        return str(client_version())
    except ProdpointerError:
        return "unknown"


def _check_tags(registry: Registry, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return problems and notes about the tags of one model and of its versions."""
    try:
        tag = registry.model(name).tags.get(POINTER_TAG)
        found = read_record(registry.versions(name))
    except ProdpointerError:  # reported with the permissions
        return (), ()
    problems, notes = [], []
    if tag is not None and tag not in POINTERS:
        problems.append(
            f"Invalid tag {POINTER_TAG}={tag!r} on {name!r}: loads, promotions and status fail. Set it to one of "
            f"{', '.join(POINTERS)}, or delete it; pointer= (--pointer) overrides it."
        )
    if found.faulty:
        repair = f" `prodpointer repair {name}` removes those with an invalid id." if found.impossible else ""
        problems.append(
            f"Invalid event tags, ignored ({len(found.faulty)}): "
            f"{_first([f'{key} of version {number}' for number, key in found.faulty])}.{repair}"
        )
    if found.foreign:
        models = sorted({repr(event.name) for _, event in found.foreign if event.name not in ("", name)})
        notes.append(
            f"Events copied from other versions, ignored ({len(found.foreign)}), "
            f"{f'of {_first(models)}, ' if models else ''}on versions: "
            f"{_first([str(number) for number in sorted({version.version for version, _ in found.foreign})])}."
        )
    return tuple(problems), tuple(notes)


def _address_notes(registry: Registry) -> tuple[str, ...]:
    """Return a note for each address that is not encrypted."""
    uris = dict.fromkeys((registry.addresses.registry_uri, registry.addresses.tracking_uri))
    return tuple(
        f"{without_credentials(uri)} is not encrypted: others on the network can read credentials and change models. "
        "Use https."
        for uri in uris
        if _is_unencrypted(uri)
    )


def _is_unencrypted(uri: str) -> bool:
    """Return whether a URI names another machine by plain HTTP."""
    parts = urlsplit(uri)
    if parts.scheme.lower() != "http":
        return False
    host = parts.hostname or ""
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost" and not host.endswith(".localhost")


def _first(texts: Sequence[str]) -> str:
    """Return the first few texts, and the number of the others."""
    more = f" and {len(texts) - _FEW} more" if len(texts) > _FEW else ""
    return ", ".join(texts[:_FEW]) + more


def _diagnose_registry(
    registry: Registry, found: Capabilities, rule: Rule, access: ReadAccess, permissions: Sequence[Permissions]
) -> Diagnosis:
    """Return the diagnosis of a usable registry."""
    where = registry.addresses.shown
    chosen = read_reply(rule, ModelReply(CONTROL_MODEL, {}, {}, {}), found, where)
    pointers, reason = pointers_to_move(chosen)
    denied = [*(problem for each in permissions for problem in each.problems), *access.problems]
    problems = (*denied, *unreadable(found, access.names))
    step = _next_step(access, permissions)
    try:
        check_supported(chosen, pointers, where)
    except ProdpointerError as error:
        problems, step = (str(error), *problems), error.next_step
    return Diagnosis(
        where,
        str(client_version()),
        found.shown_version,
        pointers.choice,
        reason,
        problems,
        max((error.exit_code for each in permissions for error in each.errors), default=0),
        rights=(access.shown, *(line for each in permissions for line in each.shown)),
        next_step=step,
    )


def _next_step(access: ReadAccess, permissions: Sequence[Permissions]) -> str:
    """Return the next step for the permissions found."""
    for error in (error for each in permissions for error in each.errors):
        return error.next_step
    if any(each.problems for each in permissions):
        return "Ask the registry's administrator for the missing permissions, then run this command again."
    if access.login and not permissions:
        return "`prodpointer doctor --model NAME` checks your permissions on a model; --try creates a scratch model."
    if access.login and all(each.of_scratch for each in permissions):
        return "You own the scratch model; `prodpointer doctor --model NAME` checks one that you do not own."
    if not access.names:
        return "`prodpointer register NAME RUN_ID ARTIFACT`, then `prodpointer promote NAME 1`."
    return "`prodpointer status` shows the live versions."


def screen(found: Diagnosis, *, symbols: bool = True) -> list[str]:
    """Return a diagnosis as lines that fit on one screen; the rest is counted, and ``--json`` has all of it.

    Each line starts with ``ok``, ``warning`` or ``problem``, and with a symbol of it where the terminal has some.
    """
    version = found.registry_version or "unknown"
    head = [
        _entry(OK if found.pointer else PROBLEM, "registry", found.registry),
        _entry(OK, "client version", found.client_version),
        _entry(OK if found.registry_version else WARNING, "registry version", version),
        _entry(OK if found.pointer else PROBLEM, "pointer", f"{found.pointer or 'none'}: {found.reason}"),
        *(_entry(_state_of(right), "permission", right) for right in found.rights),
    ]
    step = f" {found.next_step}"
    entries = [_entry(PROBLEM, "", problem.removesuffix(step)) for problem in found.problems]
    entries += [_entry(WARNING, "", note) for note in found.notes]
    end = _entry("", "next", found.next_step) if found.next_step else []
    shown = [line for entry in head for line in entry]
    for number, entry in enumerate(entries):
        last = number == len(entries) - 1
        if len(shown) + len(entry) + (not last) + len(end) > LINES:
            shown += _entry("", "", f"... and {len(entries) - number} more: prodpointer doctor --json")
            break
        shown += entry
    return [f"{_SYMBOLS.get(line.split(' ')[0], ' ')} {line}" if symbols else line for line in (*shown, *end)]


def _state_of(right: str) -> str:
    """Return the state of a sentence about permissions."""
    if ", no (" in right:
        return PROBLEM
    return WARNING if ", unknown (" in right or ", not tried (" in right else OK


def _entry(state: str, label: str, text: str) -> list[str]:
    """Return one entry, its text wrapped beside its state and its label."""
    head = f"{state:{_STATE}}{label:{_LABEL}}" if label else f"{state:{_STATE}}"
    return textwrap.wrap(
        head + text,
        COLUMNS - 2,  # the symbol and a space
        subsequent_indent=" " * len(head),
        break_on_hyphens=False,
        drop_whitespace=True,
    )

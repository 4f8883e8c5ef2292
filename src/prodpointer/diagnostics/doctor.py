"""What ``doctor`` tells: what there is, what was chosen and why, what will not work, rights, and the next step."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from urllib.parse import urlsplit

from prodpointer.connection import rule_for
from prodpointer.diagnostics.known_issues import limits
from prodpointer.diagnostics.permissions import Readable, Rights, asked, readable, tried
from prodpointer.errors import ProdpointerError, without_credentials
from prodpointer.history import log
from prodpointer.mlflow_client.capabilities import Capabilities, capabilities, client_version
from prodpointer.mlflow_client.open import open_registry
from prodpointer.mlflow_client.registry import Registry
from prodpointer.mlflow_client.rest import CONTROL_MODEL
from prodpointer.pointers.selection import Rule, pointer_name, view
from prodpointer.types import POINTER_TAG, POINTERS, Diagnosis, ModelReply
from prodpointer.validation import model_name

LINES, COLUMNS = 24, 100
"""The screen that everything fits on."""

_LABEL = 18
_FEW = 3  # of a kind that are named


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
    """Return what can be said of the registry in force; an unusable one is a finding, not an exception.

    Parameters
    ----------
    tracking_uri, registry_uri, workspace, pointer, alias, timeout
        As for :func:`prodpointer.connect`. No database is made or upgraded.
    model
        A registered model to ask about: what may be done with it. The requests cannot change it.
    trying
        Whether to find out on a scratch model, which is removed again. Otherwise nothing is written.

    Raises
    ------
    InvalidName
        The pointer, alias or model is none.
    ProdpointerError
        It was interrupted while ``trying``, and the scratch model is still there.
    """
    rule = rule_for(alias, None, pointer)
    subject = None if model is None else model_name(model)
    try:
        registry = open_registry(
            tracking_uri,
            registry_uri,
            timeout=timeout,
            create_database=False,
            upgrade_database=False,
            workspace=workspace,
        )
        found = capabilities(registry)
        seen = readable(registry, timeout=timeout)
    except ProdpointerError as error:
        shown = without_credentials(registry_uri or tracking_uri or "MLflow's own settings")
        shown += f", workspace {workspace}" if workspace else ""
        return Diagnosis(
            shown,
            str(client_version()),
            None,
            None,
            "no registry can be used",
            (str(error),),
            error.exit_code,
            next_step=error.next_step,
            workspace=workspace or None,
        )
    known = [] if subject is None else [asked(registry, found, subject)]
    known += [tried(registry, found)] if trying else []
    told = _told(registry, found, rule, seen, known)
    problems, notes = ((), ()) if subject is None else _of_model(registry, subject)
    named = registry.addresses.workspace
    return replace(told, problems=(*told.problems, *problems), notes=(*_of_address(registry), *notes), workspace=named)


def _of_model(registry: Registry, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what is wrong with the tags of one model and of its versions, and what is to be known of them."""
    try:
        tag = registry.model(name).tags.get(POINTER_TAG)
        found = log.record(registry.versions(name))
    except ProdpointerError:  # told by the rights
        return (), ()
    problems, notes = [], []
    if tag is not None and tag not in POINTERS:
        problems.append(
            f"The tag {POINTER_TAG} of {name!r} is {tag!r}: loads, promotions and status fail. Set it to one of "
            f"{', '.join(POINTERS)}, or delete it; pointer= (--pointer) overrides it."
        )
    if found.faulty:
        repair = f" `prodpointer repair {name}` removes those with an impossible id." if found.impossible else ""
        problems.append(
            f"Tags that are not valid events and are ignored ({len(found.faulty)}): "
            f"{_first([f'{key} of version {number}' for number, key in found.faulty])}.{repair}"
        )
    if found.foreign:
        models = sorted({repr(event.name) for _, event in found.foreign if event.name not in ("", name)})
        notes.append(
            f"Events that were copied with the tags of other versions and do not count ({len(found.foreign)}), "
            f"{f'of {_first(models)}, ' if models else ''}on versions: "
            f"{_first([str(number) for number in sorted({version.version for version, _ in found.foreign})])}."
        )
    return tuple(problems), tuple(notes)


def _of_address(registry: Registry) -> tuple[str, ...]:
    """Return what is to be known of addresses that are not encrypted."""
    uris = dict.fromkeys((registry.addresses.registry_uri, registry.addresses.tracking_uri))
    return tuple(
        f"{without_credentials(uri)} is not encrypted: others on the network can read logins and change models. "
        "Use https."
        for uri in uris
        if _is_open(uri)
    )


def _is_open(uri: str) -> bool:
    """Tell whether a URI names another machine by plain HTTP."""
    parts = urlsplit(uri)
    if parts.scheme.lower() != "http":
        return False
    host = parts.hostname or ""
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost" and not host.endswith(".localhost")


def _first(texts: Sequence[str]) -> str:
    """Return the first few texts, and how many more there are."""
    more = f" and {len(texts) - _FEW} more" if len(texts) > _FEW else ""
    return ", ".join(texts[:_FEW]) + more


def _told(registry: Registry, found: Capabilities, rule: Rule, seen: Readable, known: Sequence[Rights]) -> Diagnosis:
    """Return what was found out about a registry that can be used."""
    where = registry.addresses.shown
    chosen = view(rule, ModelReply(CONTROL_MODEL, {}, {}, {}), found, where)
    pointers, reason = chosen.moved()
    of_rights = [*(problem for each in known for problem in each.problems), *seen.problems]
    problems = (*of_rights, *limits(registry, found, seen.names))
    step = _next_step(seen, known)
    try:
        chosen.check_supported(pointers, where)
    except ProdpointerError as error:
        problems, step = (str(error), *problems), error.next_step
    return Diagnosis(
        where,
        str(client_version()),
        found.shown_version,
        pointer_name(pointers),
        reason,
        problems,
        max((error.exit_code for each in known for error in each.errors), default=0),
        rights=(seen.shown, *(line for each in known for line in each.shown)),
        next_step=step,
    )


def _next_step(seen: Readable, known: Sequence[Rights]) -> str:
    """Return what to do now, by what is known of rights."""
    for error in (error for each in known for error in each.errors):
        return error.next_step
    if any(each.problems for each in known):
        return "Ask the registry's administrator for what is missing, then run this again."
    if seen.login and not known:
        return "`prodpointer doctor --model NAME` asks what you may do with it; --try makes a scratch model."
    if seen.login and all(each.of_scratch for each in known):
        return "A scratch model is your own; `prodpointer doctor --model NAME` asks of one that is not."
    if not seen.names:
        return "`prodpointer register NAME RUN_ID ARTIFACT`, then `prodpointer promote NAME 1`."
    return "`prodpointer status` shows what is live."


def screen(found: Diagnosis) -> list[str]:
    """Return a diagnosis as lines that fit on one screen; what does not fit is counted, and ``--json`` has it all."""
    head = [
        *_entry("registry", found.registry),
        *_entry("client version", found.client_version),
        *_entry("registry version", found.registry_version or "not told"),
        *_entry("pointer", f"{found.pointer or 'none'}: {found.reason}"),
        *(line for right in found.rights for line in _entry("right", right)),
    ]
    end = _entry("next", found.next_step) if found.next_step else []
    step = f" {found.next_step}"
    entries = [_entry("problem", problem.removesuffix(step)) for problem in found.problems or ("none found",)]
    entries += [_entry("note", note) for note in found.notes]
    shown: list[str] = []
    for number, entry in enumerate(entries):
        last = number == len(entries) - 1
        if len(head) + len(shown) + len(entry) + (not last) + len(end) > LINES:
            shown += _entry("problem", f"... and {len(entries) - number} more: prodpointer doctor --json")
            break
        shown += entry
    return [*head, *shown, *end]


def _entry(label: str, text: str) -> list[str]:
    """Return one entry, its text wrapped beside its label."""
    return textwrap.wrap(
        f"{label:{_LABEL}}{text}",
        COLUMNS,
        subsequent_indent=" " * _LABEL,
        break_on_hyphens=False,
        drop_whitespace=True,
    )

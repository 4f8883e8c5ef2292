"""What ``doctor`` tells: what there is, what was chosen and why, what will not work, rights, and the next step."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from prodpointer.connecting import rule_for
from prodpointer.detection import Capabilities, capabilities, client_version
from prodpointer.errors import ProdpointerError, without_credentials
from prodpointer.limits import limits
from prodpointer.mlflow_border.opening import open_registry
from prodpointer.mlflow_border.registry import Registry
from prodpointer.mlflow_border.rest import CONTROL_MODEL
from prodpointer.names import model_name
from prodpointer.records import Diagnosis, ModelReply
from prodpointer.rights import Readable, Rights, asked, readable, tried
from prodpointer.selection import Rule, pointer_name, view

LINES, COLUMNS = 24, 100
"""The screen that everything fits on."""

_LABEL = 18


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
        seen = readable(registry, found, timeout=timeout)
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
        )
    known = [] if subject is None else [asked(registry, found, subject)]
    known += [tried(registry, found)] if trying else []
    return _told(registry, found, rule, seen, known)


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
    problems = [_entry("problem", problem.removesuffix(step)) for problem in found.problems or ("none found",)]
    shown: list[str] = []
    for number, problem in enumerate(problems):
        last = number == len(problems) - 1
        if len(head) + len(shown) + len(problem) + (not last) + len(end) > LINES:
            shown += _entry("problem", f"... and {len(problems) - number} more: prodpointer doctor --json")
            break
        shown += problem
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

"""Conformance: the checks run on temporary models of a registry, which are deleted afterwards."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from prodpointer.diagnostics.checks import (
    EACH_POINTER,
    ONCE,
    Check,
    CheckFailed,
    Trial,
    bundle_files,
    find_refusal,
    run_check,
)
from prodpointer.errors import ModelNotFound, ProdpointerError
from prodpointer.mlflow_client import Registry, ScratchExperiment, client_version, open_registry, probe_capabilities
from prodpointer.types import POINTERS

Outcome = Literal["works", "refused", "failed"]
SIGNS: dict[str, str] = {"works": "✅", "refused": "⛔", "failed": "❌"}


@dataclass(frozen=True)
class Finding:
    """The outcome of one check with one pointer; ``detail`` says why it was refused or how it failed."""

    pointer: str
    law: str  # the check; the name is a key of the printed JSON
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True)
class Conformance:
    """The results of all checks with this client and one registry.

    ``left`` lists what could not be deleted afterwards.
    """

    registry: str
    client_version: str
    registry_version: str | None
    findings: tuple[Finding, ...]
    left: tuple[str, ...] = ()

    @property
    def outcomes(self) -> dict[str, str]:
        """Return one outcome per pointer: ``failed`` if any check failed, else ``refused`` or ``works``."""
        found: dict[str, str] = {}
        for finding in self.findings:
            if found.get(finding.pointer) != "failed":
                found[finding.pointer] = finding.outcome
        return found

    @property
    def failed(self) -> bool:
        """Whether any check failed."""
        return "failed" in self.outcomes.values()

    @property
    def row(self) -> str:
        """The row for a compatibility table: client, registry, and a sign for each pointer."""
        signs = [f"{pointer} {SIGNS[outcome]}" for pointer, outcome in self.outcomes.items()]
        return " | ".join(["", self.client_version, self.registry_version or "unknown", *signs, ""]).strip()

    def as_json(self) -> dict[str, Any]:
        """Return the keys that ``conformance --json`` prints."""
        return {
            "client_version": self.client_version,
            "registry_version": self.registry_version,
            "pointers": self.outcomes,
            "findings": [vars(finding) for finding in self.findings],
            "left": list(self.left),
            "row": self.row,
        }


def check_registry(
    *,
    tracking_uri: str | None = None,
    registry_uri: str | None = None,
    workspace: str | None = None,
    pointers: tuple[str, ...] = POINTERS,
    prefix: str = "",
    timeout: float = 10.0,
) -> Conformance:
    """Run every check with every pointer on temporary models, delete them, and return the results.

    Parameters
    ----------
    tracking_uri, registry_uri, workspace, timeout
        As for :func:`prodpointer.connect`. No database is created or upgraded.
    pointers
        The pointers to check.
    prefix
        Start of the model names, such as ``catalog.schema.`` for registries whose names have levels.

    Raises
    ------
    ProdpointerError
        The registry cannot be used, or no run can be logged.
    """
    registry = open_registry(tracking_uri, registry_uri, timeout=timeout, workspace=workspace)
    version = probe_capabilities(registry).shown_version
    name = f"{prefix}prodpointer-conformance-{secrets.token_hex(4)}"
    left: list[str] = []
    with _trial(registry, name, left) as trial:
        findings = tuple(finding for pointer in pointers for finding in _check_pointer(trial, pointer))
    return Conformance(registry.addresses.shown, str(client_version()), version, findings, tuple(left))


def _check_pointer(trial: Trial, pointer: str) -> Iterator[Finding]:
    """Run the checks of one pointer, or report that the registry does not support it."""
    try:
        error = find_refusal(trial, pointer)
    except (CheckFailed, ProdpointerError) as failure:
        yield Finding(pointer, "a first promotion", "failed", f"{type(failure).__name__}: {failure}")
        return
    if error is not None:
        yield Finding(pointer, "a first promotion", "refused", f"{type(error).__name__}: {error.what}")
        return
    for check in (*EACH_POINTER, *(ONCE if pointer == "auto" else ())):
        broken = run_check(check, trial, pointer)
        yield Finding(pointer, _name(check), "failed" if broken else "works", broken or "")


def _name(check: Check) -> str:
    """Return the name of a check in words."""
    return str(getattr(check, "__name__", check)).replace("_", " ")


@contextmanager
def _trial(registry: Registry, name: str, left: list[str]) -> Iterator[Trial]:
    """Create the experiment and runs; delete them and every model at the end, and add what remains to ``left``."""
    with tempfile.TemporaryDirectory(prefix="prodpointer-conformance-") as scratch:
        experiment = ScratchExperiment(registry, name, Path(scratch))
        trial = Trial(registry, experiment, (), name, Path(scratch) / "cache")
        try:
            trial.runs = tuple(experiment.log(bundle_files(number)) for number in (1, 2, 3))
            yield trial
        finally:
            left += _clean_up(trial)


def _clean_up(trial: Trial) -> list[str]:
    """Delete what the checks created and return what remains, with the reason."""
    removals: list[tuple[str, Callable[[], None]]] = [
        (f"the registered model {name!r}", partial(trial.registry.delete_model, name)) for name in trial.made
    ]
    removals.append((f"the experiment {trial.prefix!r}", trial.experiment.delete))
    return [text for what, remove in removals if (text := _try_to_remove(what, remove))]


def _try_to_remove(what: str, remove: Callable[[], None]) -> str | None:
    """Remove one item; return why it could not be removed, or None if it is gone."""
    try:
        remove()
    except ModelNotFound:
        return None
    except ProdpointerError as error:
        return f"{what}: {error}"
    return None

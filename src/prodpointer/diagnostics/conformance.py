"""A registry put to the test: the laws tried on models of their own, which are removed again."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from prodpointer.diagnostics.checks import EACH_POINTER, ONCE, Law, LawBroken, Trial, bundle_files, check, refusal
from prodpointer.errors import ModelNotFound, ProdpointerError
from prodpointer.mlflow_client.capabilities import capabilities, client_version
from prodpointer.mlflow_client.open import open_registry
from prodpointer.mlflow_client.registry import Registry
from prodpointer.mlflow_client.run_logging import ScratchExperiment
from prodpointer.types import POINTERS

Outcome = Literal["works", "refused", "failed"]
SIGNS: dict[str, str] = {"works": "✅", "refused": "⛔", "failed": "❌"}


@dataclass(frozen=True)
class Finding:
    """What became of one law under one pointer; ``detail`` says why it was refused or how it failed."""

    pointer: str
    law: str
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True)
class Conformance:
    """What this client and one registry were found to do together.

    ``left`` names what could not be removed again.
    """

    registry: str
    client_version: str
    registry_version: str | None
    findings: tuple[Finding, ...]
    left: tuple[str, ...] = ()

    @property
    def outcomes(self) -> dict[str, str]:
        """Return one outcome a pointer: ``failed`` where any law failed, else ``refused`` or ``works``."""
        found: dict[str, str] = {}
        for finding in self.findings:
            if found.get(finding.pointer) != "failed":
                found[finding.pointer] = finding.outcome
        return found

    @property
    def failed(self) -> bool:
        """Whether any law failed."""
        return "failed" in self.outcomes.values()

    @property
    def row(self) -> str:
        """The row for a table of compatibility: client, registry, and a sign for each pointer."""
        signs = [f"{pointer} {SIGNS[outcome]}" for pointer, outcome in self.outcomes.items()]
        return " | ".join(["", self.client_version, self.registry_version or "not told", *signs, ""]).strip()

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


def try_registry(
    *,
    tracking_uri: str | None = None,
    registry_uri: str | None = None,
    workspace: str | None = None,
    pointers: tuple[str, ...] = POINTERS,
    prefix: str = "",
    timeout: float = 10.0,
) -> Conformance:
    """Try every law under every pointer on models made for it, remove them, and return what was found.

    Parameters
    ----------
    tracking_uri, registry_uri, workspace, timeout
        As for :func:`prodpointer.connect`. No database is made or upgraded.
    pointers
        The pointers to try.
    prefix
        What the names of the models start with, such as ``catalog.schema.`` where names have levels.

    Raises
    ------
    ProdpointerError
        There is no registry to try, or no run can be logged beside it.
    """
    registry = open_registry(
        tracking_uri,
        registry_uri,
        timeout=timeout,
        create_database=False,
        upgrade_database=False,
        workspace=workspace,
    )
    version = capabilities(registry).shown_version
    name = f"{prefix}prodpointer-conformance-{secrets.token_hex(4)}"
    left: list[str] = []
    with _trial(registry, name, left) as trial:
        findings = tuple(finding for pointer in pointers for finding in _try_pointer(trial, pointer))
    return Conformance(registry.addresses.shown, str(client_version()), version, findings, tuple(left))


def _try_pointer(trial: Trial, pointer: str) -> Iterator[Finding]:
    """Try the laws of one pointer, or find that it cannot be held and is refused by name."""
    try:
        error = refusal(trial, pointer)
    except (LawBroken, ProdpointerError) as failure:
        yield Finding(pointer, "a first promotion", "failed", f"{type(failure).__name__}: {failure}")
        return
    if error is not None:
        yield Finding(pointer, "a first promotion", "refused", f"{type(error).__name__}: {error.what}")
        return
    for law in (*EACH_POINTER, *(ONCE if pointer == "auto" else ())):
        broken = check(law, trial, pointer)
        yield Finding(pointer, _named(law), "failed" if broken else "works", broken or "")


def _named(law: Law) -> str:
    """Return a law's name in words."""
    return str(getattr(law, "__name__", law)).replace("_", " ")


@contextmanager
def _trial(registry: Registry, name: str, left: list[str]) -> Iterator[Trial]:
    """Make a trial's experiment and runs; remove them and every model made, and note in ``left`` what stays."""
    with tempfile.TemporaryDirectory(prefix="prodpointer-conformance-") as scratch:
        experiment = ScratchExperiment(registry, name, Path(scratch))
        trial = Trial(registry, experiment, (), name, Path(scratch) / "cache")
        try:
            trial.runs = tuple(experiment.log(bundle_files(number)) for number in (1, 2, 3))
            yield trial
        finally:
            left += _removed(trial)


def _removed(trial: Trial) -> list[str]:
    """Remove what a trial made and return what stays, with the reason."""
    removals: list[tuple[str, Callable[[], None]]] = [
        (f"the registered model {name!r}", partial(trial.registry.delete_model, name)) for name in trial.made
    ]
    removals.append((f"the experiment {trial.prefix!r}", trial.experiment.delete))
    return [text for what, remove in removals if (text := _failure_of(what, remove))]


def _failure_of(what: str, remove: Callable[[], None]) -> str | None:
    """Remove one thing and return why it stays, None where it is gone."""
    try:
        remove()
    except ModelNotFound:
        return None
    except ProdpointerError as error:
        return f"{what}: {error}"
    return None

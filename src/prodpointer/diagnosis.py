"""What ``doctor`` tells: what there is, what was chosen and why, and what will not work in this pair."""

from __future__ import annotations

from packaging.version import Version

from prodpointer.connecting import rule_for
from prodpointer.detection import Capabilities, capabilities, client_version, lists_nothing
from prodpointer.errors import ModelNotFound, ProdpointerError, without_credentials
from prodpointer.mlflow_border.addresses import Place
from prodpointer.mlflow_border.opening import open_registry
from prodpointer.mlflow_border.registry import Registry
from prodpointer.mlflow_border.rest import CONTROL_MODEL
from prodpointer.records import Diagnosis, ModelReply
from prodpointer.selection import pointer_name, view


def diagnose(
    *,
    tracking_uri: str | None,
    registry_uri: str | None,
    pointer: str = "auto",
    alias: str = "production",
    timeout: float = 10.0,
) -> Diagnosis:
    """Return what can be said of the registry in force; an unusable one is a finding, not an exception.

    Parameters
    ----------
    tracking_uri, registry_uri, pointer, alias, timeout
        As for :func:`prodpointer.connect`. No database is made or upgraded.
    """
    client = client_version()
    try:
        registry = open_registry(
            tracking_uri, registry_uri, timeout=timeout, create_database=False, upgrade_database=False
        )
        found = capabilities(registry)
        _check_that_the_api_answers(registry)
    except ProdpointerError as error:
        shown = without_credentials(registry_uri or tracking_uri or "MLflow's own settings")
        return Diagnosis(shown, str(client), None, None, "no registry can be used", (str(error),), error.exit_code)
    where = registry.addresses.shown
    seen = view(rule_for(alias, None, pointer), ModelReply(CONTROL_MODEL, {}, {}, {}), found, where)
    pointers, reason = seen.moved()
    problems = _limits(registry, client, found)
    try:
        seen.check_supported(pointers, where)
    except ProdpointerError as error:
        problems = (str(error), *problems)
    return Diagnosis(where, str(client), found.shown_version, pointer_name(pointers), reason, problems)


def _check_that_the_api_answers(registry: Registry) -> None:
    """Ask for a model that does not exist: a server may tell its version and refuse everything else."""
    try:
        registry.model(CONTROL_MODEL)
    except ModelNotFound:
        return


def _limits(registry: Registry, client: Version, found: Capabilities) -> tuple[str, ...]:
    """Return the known limits of this pair of versions, as measured."""
    if registry.place is Place.DATABASE:
        return ()
    limits: list[str] = []
    server = found.version
    if not found.aliases:
        limits.append("The registry has no aliases (they came with MLflow 2.3.0): stages are used.")
    elif not registry.client_has_aliases:
        limits.append(
            f"MLflow {client} has no alias methods: prodpointer uses REST for aliases, plain MLflow here cannot."
        )
    if server is None:
        limits.append("The registry does not tell its version, so its limits are not known.")
        return tuple(limits)
    if client.major >= 3 > server.major:
        limits.append(
            f"log_model of MLflow {client} fails on a server of MLflow {server}: log files with log_artifacts instead."
        )
    if lists_nothing(found):
        limits.append(
            f"search_registered_models of MLflow {client} answers an empty list on a server of MLflow {server}."
        )
    return tuple(limits)

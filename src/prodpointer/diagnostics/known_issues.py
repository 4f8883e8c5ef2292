"""Known issues of a pair of MLflow versions, as measured; each with a workaround."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from packaging.version import Version

from prodpointer.mlflow_client import Capabilities, Place, Registry, client_version, lists_nothing

_READS_RUNS_OF_TWO = Version("3.1.3")
_EMPTY_DIRECTORY = Version("3.9.0")
_REFUSES_NAMES = Version("3.11.1")


def unreadable(found: Capabilities, names: Sequence[str]) -> tuple[str, ...]:
    """Return a problem for models that this registry cannot read by their names.

    Parameters
    ----------
    found, names
        As for :func:`limits`.
    """
    gone = found.version is not None and found.version >= _REFUSES_NAMES
    return tuple(_names(names, gone=gone)) if gone else ()


def limits(registry: Registry, found: Capabilities, names: Sequence[str]) -> tuple[str, ...]:
    """Return the known issues of this client with this registry, the most serious first.

    Parameters
    ----------
    registry, found
        The registry and its capabilities.
    names
        The registered models that can be listed.
    """
    refused = () if unreadable(found, names) else tuple(_names(names, gone=False))
    if registry.place is Place.DATABASE:  # the client is the registry, so there is no pair
        return refused
    client = client_version()
    return (*_aliases(registry, found, client), *refused, *_pair(client, found.version, found), *_files(client))


def _aliases(registry: Registry, found: Capabilities, client: Version) -> Iterator[str]:
    """Yield the issues with aliases."""
    if not found.aliases and found.stages:
        yield "The registry has no aliases (added in MLflow 2.3.0): stages are used until the server is upgraded."
    elif found.aliases and not registry.client_has_aliases:
        yield f"Plain MLflow {client} has no alias methods: read and move aliases with prodpointer, which uses REST."
    if found.version is None:
        yield "The registry does not report its version, so its limits are unknown: run `prodpointer doctor --try`."


def _pair(client: Version, server: Version | None, found: Capabilities) -> Iterator[str]:
    """Yield what does not work with plain MLflow of one version on a server of another."""
    if server is None:
        return
    if client.major >= 3 > server.major:
        yield (
            f"log_model and register_model of MLflow {client} fail on {server}: use log_artifacts and "
            "`prodpointer register`."
        )
        if client < _READS_RUNS_OF_TWO:
            yield f"Plain MLflow {client} cannot download runs:/ here: load with prodpointer, or use 3.1.3."
    if server.major >= 3 > client.major:
        yield (
            f"MLflow {client} cannot load models that MLflow 3 logged and registered as runs:/: register them with "
            "`prodpointer register`."
        )
    if lists_nothing(found):
        yield (
            f"Plain search_registered_models of MLflow {client} returns nothing on {server}, without an error: use "
            "`prodpointer status`."
        )


def _files(client: Version) -> Iterator[str]:
    """Yield what plain MLflow does with a version that is a single file; the same on every server (measured)."""
    result = "is an empty directory" if client >= _EMPTY_DIRECTORY else "fails"
    yield f"Plain models:/ of a single file {result}: register a directory."


def _names(names: Sequence[str], *, gone: bool) -> Iterator[str]:
    """Yield the models whose names MLflow 3.11.1 and later cannot read (measured with 3.10.1 and 3.11.1)."""
    refused = [name for name in names if "/" in name or ":" in name or not name.strip()]
    if refused:
        cannot = "This MLflow cannot" if gone else "MLflow 3.11.1 and later cannot"
        step = "rename them with MLflow 3.10 or older" if gone else "rename them before the upgrade"
        yield f"{cannot} read names with / or :, as {refused[0]!r} ({len(refused)} in total): {step}."

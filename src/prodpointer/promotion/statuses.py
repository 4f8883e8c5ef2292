"""The status of one model from a snapshot, and of all models of a registry in a request for each page."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence

from prodpointer.errors import InvalidName, PointerUnsupported
from prodpointer.history.record import RECORD_TAG, join_found
from prodpointer.mlflow_client import Registry, probe_capabilities
from prodpointer.pointers.rule import Rule
from prodpointer.pointers.selection import check_readable, pointers_to_move
from prodpointer.pointers.snapshot import ModelSnapshot, read_reply
from prodpointer.promotion.sync import describe_mismatch
from prodpointer.types import ModelReply, ModelVersion, PointerStatus

Statuses = Iterator[PointerStatus | InvalidName | PointerUnsupported]


def status_of(snapshot: ModelSnapshot, workspace: str | None) -> PointerStatus:
    """Return what a snapshot says of the two pointers."""
    incomplete = snapshot.requested == "both" and (snapshot.alias is None) != (snapshot.stage is None)
    return PointerStatus(
        name=snapshot.reply.name,
        live=snapshot.live,
        alias=snapshot.alias,
        stage=snapshot.stage,
        agreed=not (snapshot.dangling or snapshot.differ or incomplete or len(snapshot.in_stage) > 1),
        pointer=pointers_to_move(snapshot)[0].choice,
        last_event=snapshot.recorded[-1] if snapshot.recorded else None,
        dangling=snapshot.dangling,
        in_stage=snapshot.in_stage,
        mismatch=describe_mismatch(snapshot),
        workspace=workspace,
    )


def read_statuses(registry: Registry, rule: Rule, names: Container[str] | None = None) -> Statuses:
    """Yield the status of each registered model by name, or of those named; or the error that concerns a model alone.

    A request is sent for each page of models and each page of versions: of those that hold events, and of all versions
    where a stage is in use, since any of them may be in the stage.
    """
    capabilities, where = probe_capabilities(registry), registry.addresses.shown
    every = (reply for page in registry.model_pages() for reply in page)
    wanted = (reply for reply in every if names is None or reply.name in names)
    replies = sorted(wanted, key=lambda reply: reply.name)
    versions = _versions(registry, rule, replies)

    def status(reply: ModelReply) -> PointerStatus | InvalidName | PointerUnsupported:
        try:
            pointers = read_reply(rule, reply, capabilities, where)
            check_readable(pointers, where)
        except (InvalidName, PointerUnsupported) as error:
            return error
        snapshot = pointers.with_versions(versions.get(reply.name, ()), now=registry.now())
        return status_of(snapshot, registry.addresses.workspace)

    yield from map(status, replies)


def _versions(registry: Registry, rule: Rule, replies: Sequence[ModelReply]) -> dict[str, list[ModelVersion]]:
    """Return the versions of each model that its status needs, lowest number first."""
    if registry.finds_tags and not any(rule.stage in reply.newest for reply in replies):
        recorded = _by_model(each for page in registry.version_pages(RECORD_TAG) for each in page)
        found = {reply.name: _with_shown(reply, rule, recorded.get(reply.name, [])) for reply in replies}
        enough = {name: versions for name, versions in found.items() if versions is not None}
        if len(enough) == len(replies):
            return enough
    return _by_model(each for page in registry.version_pages() for each in page) if replies else {}


def _by_model(versions: Iterable[ModelVersion]) -> dict[str, list[ModelVersion]]:
    """Return versions by the name of their model."""
    found: dict[str, list[ModelVersion]] = {}
    for version in sorted(versions, key=lambda each: each.version):
        found.setdefault(version.name, []).append(version)
    return found


def _with_shown(reply: ModelReply, rule: Rule, recorded: Sequence[ModelVersion]) -> list[ModelVersion] | None:
    """Return the versions with events and those that a reply shows, None where the status of the model needs others."""
    joined = join_found(recorded, list(reply.newest.values()))
    numbers = {each.version for each in joined or ()}
    named = {number for alias, number in reply.aliases.items() if alias.lower() == rule.alias}
    return joined if named <= numbers else None

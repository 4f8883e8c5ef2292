"""Roll back: find the version that was live before, and promote it."""

from __future__ import annotations

from prodpointer.errors import NothingToRollBack
from prodpointer.history import log
from prodpointer.mlflow_client import ArtifactStore
from prodpointer.pointers.snapshot import ModelSnapshot
from prodpointer.promotion.promoter import Expected, Promoter
from prodpointer.types import Promotion

_MOST_NAMED = 10  # versions in an error


def roll_back(
    promoter: Promoter, *, to: int | None, expected: Expected, reason: str, by: str | None, dry_run: bool = False
) -> Promotion:
    """Make the version live that was live before; see :meth:`prodpointer.RegisteredModel.rollback`."""
    snapshot = promoter.take_snapshot_to_move()
    target = _version_before(promoter, snapshot) if to is None else to
    _check_usable(promoter, target, snapshot)
    return promoter.promote(
        target, expected=expected, reason=reason, by=by, kind="rollback", snapshot=snapshot, dry_run=dry_run
    )


def _version_before(promoter: Promoter, snapshot: ModelSnapshot) -> int:
    """Return the version that was live before what is live, or raise ``NothingToRollBack``."""
    before = [each for each in log.stack(snapshot.moves)[:-1] if each is not None and each != snapshot.live]
    if before:
        return before[-1]
    snapshot = snapshot if snapshot.complete else promoter.take_snapshot(complete=True)
    archived = [each.version for each in snapshot.versions if each.stage == "Archived"]
    others = archived or [each.version for each in snapshot.versions if each.version != snapshot.live]
    kind = "archived versions" if archived else "other versions"
    hint = f"{kind}: {_newest(others)}" if others else "there is no other version"
    why = "nothing is recorded of what was live before" if snapshot.recorded else "no promotion was recorded"
    raise NothingToRollBack(
        f"Nothing to roll back {promoter.name!r} to: {why}; {hint}.",
        where=promoter.where,
        next_step="Name the version with to= (--to)." if others else "Register and promote another version.",
    )


def _existed(target: int, snapshot: ModelSnapshot) -> bool:
    """Tell whether a version that is not there was there once: numbers are given in order, and never twice."""
    newest = max((each.version for each in snapshot.versions), default=0)
    return target < newest or any(target in (each.from_version, each.to_version) for each in snapshot.recorded)


def _newest(versions: list[int]) -> str:
    """Return the highest numbers of some versions, and how many more there are."""
    shown = sorted(versions)[-_MOST_NAMED:]
    more = f" and {len(versions) - len(shown):,} older ones" if len(versions) > len(shown) else ""
    return ", ".join(map(str, shown)) + more


def _check_usable(promoter: Promoter, target: int, snapshot: ModelSnapshot) -> None:
    """Raise where the version to go back to is deleted, not READY or without its artifact."""
    version = snapshot.version(target) or promoter.registry.existing_version(promoter.name, target)
    if version is None:
        why = "was deleted" if _existed(target, snapshot) else "does not exist"
    elif version.status != "READY":
        why = f"is {version.status}, not READY"
    elif not ArtifactStore(promoter.registry).has(version):
        why = "has lost its artifact"
    else:
        return
    snapshot = snapshot if snapshot.complete else promoter.take_snapshot(complete=True)
    older = [each for each in log.stack(snapshot.moves)[:-1] if each not in {target, snapshot.live}]
    candidates = [each for each in older if snapshot.version(each or 0) is not None]
    hint = f"The next candidate is version {candidates[-1]}: name it" if candidates else "Name another version"
    raise NothingToRollBack(
        f"Version {target} of {promoter.name!r} {why}.", where=promoter.where, next_step=f"{hint} with to= (--to)."
    )

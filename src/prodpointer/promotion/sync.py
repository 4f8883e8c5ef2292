"""Which side moved: one alias and one stage of one model, compared with the record of both.

The record is the common ancestor: what the last recorded move left both pointers at. The pointer that no longer names
that version is the one that another tool moved.
"""

from __future__ import annotations

from enum import Enum

from prodpointer.pointers.snapshot import ModelSnapshot
from prodpointer.types import Pointers, Promotion, called


class Side(Enum):
    """Which pointer another tool has moved since the last recorded move."""

    NONE = "neither"
    ALIAS = "alias"
    STAGE = "stage"
    SAME = "both, to the same version"
    APART = "both, apart"
    UNKNOWN = "unknown: nothing is recorded of this model"


def side_moved(snapshot: ModelSnapshot, agreed: int | None = None) -> Side:
    """Return which pointer was moved by another tool, given what the record says that both named.

    Parameters
    ----------
    snapshot
        The model as it is.
    agreed
        What both were seen to name before, for a model of which nothing is recorded.
    """
    last = snapshot.last
    ancestor = last.to_version if last else agreed
    if last is None and agreed is None:
        return Side.NONE if snapshot.alias == snapshot.stage else Side.UNKNOWN
    alias, stage = (None if snapshot.dangling else snapshot.alias), snapshot.stage
    # A pointer that the last move did not touch and that is not set was never there.
    alias_stays = alias == ancestor or (alias is None and Pointers.ALIAS not in snapshot.last_moved)
    stage_stays = stage == ancestor or (stage is None and Pointers.STAGE not in snapshot.last_moved)
    if alias_stays or stage_stays:
        moved = {(True, True): Side.NONE, (True, False): Side.STAGE, (False, True): Side.ALIAS}
        return moved[alias_stays, stage_stays]
    return Side.SAME if alias == stage else Side.APART


def describe_mismatch(snapshot: ModelSnapshot) -> str:
    """Return one sentence on which side moved where the pointers differ, the empty text where they agree."""
    if not snapshot.differ or len(snapshot.in_stage) > 1:
        return ""
    return describe_sides(snapshot, side_moved(snapshot))


def open_intents(snapshot: ModelSnapshot) -> list[Promotion]:
    """Return the intents that were left open and after which nothing was done."""
    done = snapshot.last_done
    return [event for event in snapshot.recorded if event.state == "intended" and (event.event or "") > done]


def describe_sides(snapshot: ModelSnapshot, side: Side, agreed: int | None = None) -> str:
    """Return where the pointers are apart, and which of them moved."""
    apart = f"the alias names version {snapshot.alias}, the stage version {snapshot.stage}"
    was = called(snapshot.last.to_version if snapshot.last else agreed)
    moved = {
        Side.ALIAS: f"the alias moved from {was}",
        Side.STAGE: f"the stage moved from {was}",
        Side.APART: f"both moved from {was}, apart",
    }
    return f"{apart}: {moved.get(side, 'nothing is recorded that shows which one changed')}"

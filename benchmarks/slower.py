"""Where this library is slower than another contender, found in the results, and why, which is written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.measurements import (
    FILE_COLD,
    FILE_RESTED,
    FILE_WARM,
    FIRST,
    IMPORT,
    MODEL_COLD,
    OURS,
    PROMOTE,
    READ,
    READ_TAGS,
    ROLLBACK,
    Place,
    Results,
    World,
)

_TO_LOAD_AGAIN = (
    "Both ask one thing, compute the SHA-256 of the copy here and unpickle it. prodpointer asks for the model, to see "
    "both pointers, marks the copy as in use, so that no other process removes it, and keeps a note of what was live "
    "for the day on which the registry is down."
)
REASONS: Mapping[str, str] = {
    READ: (
        "It is one request either way. prodpointer asks for the model, whose answer has every alias and the newest "
        "version of each stage, to see both pointers; to look up one alias is less work for the server."
    ),
    READ_TAGS: (
        "prodpointer asks for the model, to see both pointers, and then for the version, to notice an alias of a "
        "version that was deleted."
    ),
    PROMOTE: (
        "Before the move prodpointer reads pointers and record and writes its event, after it closes the event and "
        "reads back what is live. A stage is moved without MLflow's "
        "archiving, which leaves two versions live where two promotions meet: what was displaced is archived by writes "
        "of their own, and the versions are read again."
    ),
    ROLLBACK: (
        "It is a promotion, before which the record is read for what was live and that version's artifact is looked "
        "for. The others set the number before the live one, or one that they are given."
    ),
    FILE_COLD: (
        "The SHA-256 of what came is checked before it is unpickled, and the download is kept on this machine, with a "
        "note of its digest."
    ),
    FILE_WARM: _TO_LOAD_AGAIN,
    FILE_RESTED: _TO_LOAD_AGAIN,
    MODEL_COLD: (
        "The SHA-256 of every file is checked and the paths in `MLmodel` are looked at before anything is loaded, and "
        "the download is kept on this machine."
    ),
    IMPORT: (
        "`import modelctl` reads its own version number; everything else, MLflow included, comes with the first call. "
        "`import prodpointer` brings its own modules and those of its cache, without MLflow."
    ),
    FIRST: (
        "Most of it is importing MLflow, for all of them. prodpointer's own modules come to that, and one request: "
        "which MLflow the server is."
    ),
}


class NoReason(Exception):
    """The library is slower somewhere and nobody has written why."""


@dataclass
class Slower:
    """One place where this library takes longer than one contender, in some of the worlds."""

    place: Place
    by: str
    times: dict[World, float] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """Why it is slower."""
        try:
            return REASONS[self.place.operation]
        except KeyError:
            how = ", ".join(f"{ratio:.2f} times as long on {world}" for world, ratio in self.times.items())
            raise NoReason(
                f"prodpointer is slower than {self.by} in {self.place!s} ({how}): find out why, mend it or write the "
                "reason in benchmarks/slower.py, then make the page with --page."
            ) from None


def slower_places(results: Results) -> list[Slower]:
    """Return every place where the median of this library is above that of another contender that had a result."""
    found: dict[tuple[Place, str], Slower] = {}
    for world in dict.fromkeys(each.world for each in results):
        for place in dict.fromkeys(each.place for each in results if each.world == world):
            there = results.at(world, place)
            for by, each in there.items():
                if by == OURS or OURS not in there or each.ended:
                    continue
                ratio = there[OURS].seconds.median / each.seconds.median
                if ratio > 1:
                    found.setdefault((place, by), Slower(place, by)).times[world] = ratio
    return list(found.values())

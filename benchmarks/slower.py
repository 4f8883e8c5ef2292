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
    "Both send one request, compute the SHA-256 of the local copy and unpickle it. prodpointer asks for the model, to "
    "see both pointers, marks the copy as in use, so that no other process removes it, and records what was live for "
    "the next outage."
)
REASONS: Mapping[str, str] = {
    READ: (
        "One request either way. prodpointer asks for the model, whose answer has every alias and the newest version "
        "of each stage, to see both pointers; looking up one alias is less work for the server."
    ),
    READ_TAGS: (
        "prodpointer asks for the model, to see both pointers, and then for the version, to notice an alias of a "
        "deleted version."
    ),
    PROMOTE: (
        "prodpointer reads pointers and record and writes its event before the move, closes the event afterwards and "
        "reads back which version is live. It moves a stage without MLflow's archiving, which leaves two versions live "
        "after a race, and archives the displaced version by a write of its own."
    ),
    ROLLBACK: (
        "A rollback is a promotion, after reading the record for the version that was live before and checking that "
        "its artifact exists. The others set the previous number, or a given one."
    ),
    FILE_COLD: (
        "The SHA-256 of the download is verified before unpickling, and the download is kept on this machine together "
        "with its digest."
    ),
    FILE_WARM: _TO_LOAD_AGAIN,
    FILE_RESTED: _TO_LOAD_AGAIN,
    MODEL_COLD: (
        "The SHA-256 of every file is verified and the paths in `MLmodel` are checked before anything is loaded, and "
        "the download is kept on this machine."
    ),
    IMPORT: (
        "`import modelctl` only reads its version number; everything else, MLflow included, is imported at the first "
        "call. `import prodpointer` imports its own modules and those of its cache, without MLflow."
    ),
    FIRST: (
        "Most of the time is importing MLflow, for every contender. prodpointer adds its own modules and one request "
        "for the server's version."
    ),
}


class NoReason(Exception):
    """The library is slower somewhere, and REASONS does not say why."""


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
                f"prodpointer is slower than {self.by} in {self.place!s} ({how}): fix it, or write the "
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

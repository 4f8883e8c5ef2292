"""The warnings, pointed at the caller's line rather than at this library's."""

from __future__ import annotations

import sys
import warnings
from datetime import datetime, timedelta, timezone
from types import FrameType

from prodpointer.errors import (
    CacheWarning,
    LastKnownGoodWarning,
    PointerDriftWarning,
    ProdpointerError,
    StageOnlyWarning,
    UnverifiedWarning,
)
from prodpointer.pointers.selection import View

_told_stage_only: set[tuple[str, str, str]] = set()


def warn_about(seen: View, registry: str, model: str) -> None:
    """Warn of what a reader should know: the two pointers differ, or on MLflow 3 there is a stage alone."""
    if seen.requested in ("auto", "both") and seen.drifted:
        _warn(
            f"The pointers of {model!r} differ: the alias {seen.spelling!r} names version {seen.alias}, the stage "
            f"{seen.rule.stage} names version {seen.stage}. The alias is taken as live.",
            PointerDriftWarning,
        )
    key = (registry, model, seen.rule.alias)
    stage_only = seen.requested == "auto" and (seen.alias is None or seen.dangling) and seen.stage is not None
    if stage_only and seen.capabilities.is_three and key not in _told_stage_only:
        _told_stage_only.add(key)
        _warn(
            f"Version {seen.stage} of {model!r} is live by its stage {seen.rule.stage} alone, on an MLflow 3 registry. "
            f"The next promotion sets the alias {seen.rule.alias!r} too.",
            StageOnlyWarning,
        )


def warn_unverified(model: str, version: int) -> None:
    """Warn that nobody recorded what the bytes of a version should be."""
    _warn(
        f"Version {version} of {model!r} has no recorded digest; its integrity cannot be verified. Register "
        "versions with prodpointer to record one.",
        UnverifiedWarning,
    )


def warn_uncached(directory: str, why: str, variable: str) -> None:
    """Warn that downloads are not kept."""
    _warn(
        f"Downloads are not kept after this process: {directory} cannot be used ({why}). Set {variable} to a "
        "directory that can be written.",
        CacheWarning,
    )


def warn_outdated(model: str, note: str, why: str) -> None:
    """Warn that what is kept as last-known-good is out of date, and stays."""
    _warn(
        f"The last-known-good version of {model!r} on this machine is out of date: {note} can be neither written nor "
        f"removed ({why}). While the registry is down, another process may load a version that is not live any more. "
        "Remove that file, or let the cache be written.",
        CacheWarning,
    )


def warn_last_known_good(model: str, version: int, at: datetime, why: ProdpointerError, *, named: int | None) -> None:
    """Warn that what is loaded was live, how long ago that is, and which version the registry ``named`` last."""
    age = timedelta(seconds=round((datetime.now(timezone.utc) - at).total_seconds()))
    newer = (
        f" Version {named} went live since then, and has not been live here yet."
        if named not in (None, version)
        else ""
    )
    _warn(
        f"Version {version} of {model!r} is loaded because it was live {age} ago (at {at:%Y-%m-%d %H:%M:%S} UTC); the "
        f"registry does not say what is live now: {why}{newer}",
        LastKnownGoodWarning,
    )


def _warn(text: str, category: type[Warning]) -> None:
    """Warn at the first frame outside this package."""
    level = 1
    frame: FrameType | None = sys._getframe()  # noqa: SLF001  # before Python 3.12 warnings has no way of its own
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] in ("prodpointer", "contextlib"):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)


def forget() -> None:
    """Forget which models were told of, so that the next reading tells again."""
    _told_stage_only.clear()

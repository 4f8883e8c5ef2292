"""The warnings, each at the caller's line."""

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
from prodpointer.pointers.snapshot import ModelSnapshot

_warned_stage_only: set[tuple[str, str, str]] = set()


def warn_about(seen: ModelSnapshot, registry: str, model: str) -> None:
    """Warn where the two pointers differ, or where on MLflow 3 only a stage is set; the latter once."""
    if seen.requested in ("auto", "both") and seen.differ:
        _warn(
            f"The pointers of {model!r} differ: the alias {seen.spelling!r} names version {seen.alias}, the stage "
            f"{seen.rule.stage} names version {seen.stage}. The alias is taken as live.",
            PointerDriftWarning,
        )
    key = (registry, model, seen.rule.alias)
    stage_only = seen.requested == "auto" and (seen.alias is None or seen.dangling) and seen.stage is not None
    if stage_only and seen.capabilities.is_three and key not in _warned_stage_only:
        _warned_stage_only.add(key)
        _warn(
            f"Version {seen.stage} of {model!r} is live by its stage {seen.rule.stage} alone, on an MLflow 3 registry. "
            f"The next promotion sets the alias {seen.rule.alias!r} too.",
            StageOnlyWarning,
        )


def warn_unverified(model: str, version: int) -> None:
    """Warn that a version has no recorded digest."""
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
    """Warn that a note of the last-known-good version is out of date and cannot be removed."""
    _warn(
        f"The last-known-good version of {model!r} on this machine is out of date: {note} can be neither written nor "
        f"removed ({why}). While the registry is down, another process may load a version that is no longer live. "
        "Remove that file, or make the cache writable.",
        CacheWarning,
    )


def warn_last_known_good(model: str, version: int, at: datetime, why: ProdpointerError, *, named: int | None) -> None:
    """Warn how long ago the loaded version was live, and which version the registry ``named`` last."""
    age = timedelta(seconds=round((datetime.now(timezone.utc) - at).total_seconds()))
    newer = (
        f" Version {named} went live since then, and has not been live here yet."
        if named not in (None, version)
        else ""
    )
    _warn(
        f"Version {version} of {model!r} is loaded because it was live {age} ago (at {at:%Y-%m-%d %H:%M:%S} UTC). The "
        f"registry did not name the live version: {why}{newer}",
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
    """Forget for which models a warning was given, so that it is given again."""
    _warned_stage_only.clear()

"""Who acts, where the caller does not say."""

from __future__ import annotations

import getpass
import os


def acting_user() -> str:
    """Return who acts: ``MLFLOW_TRACKING_USERNAME``, else the operating system's user, else a fixed text."""
    named = os.environ.get("MLFLOW_TRACKING_USERNAME")
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, ImportError, OSError):  # a number without a name: by Python up to 3.12, on Windows, from 3.13 on
        return f"uid-{os.getuid()}" if hasattr(os, "getuid") else "unknown"

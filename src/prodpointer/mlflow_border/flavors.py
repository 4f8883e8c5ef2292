"""Models that MLflow itself knows how to load."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from prodpointer.errors import UnsafeModel


def load_flavor(directory: Path, flavor: str) -> Any:
    """Return the object that ``mlflow.<flavor>.load_model`` makes of a directory with an ``MLmodel`` file.

    Parameters
    ----------
    directory
        A verified download.
    flavor
        ``"pyfunc"``, ``"sklearn"`` or another module of MLflow's.

    Raises
    ------
    UnsafeModel
        MLflow has no such flavor.
    """
    try:
        load = importlib.import_module(f"mlflow.{flavor if flavor.isidentifier() else 'no-such-flavor'}").load_model
    except (ModuleNotFoundError, AttributeError):
        raise UnsafeModel(
            f"MLflow has no flavor {flavor!r} that can be loaded here.",
            where=str(directory),
            next_step="Give the name of a flavor module of MLflow, and install its library.",
        ) from None
    return load(str(directory))

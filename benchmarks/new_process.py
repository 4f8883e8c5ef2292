"""What one new process does for the side by side benchmark: ``python -m benchmarks.new_process CONTENDER DO URI NAME``.

``read`` answers which version is live and ``load`` loads it; each contender imports what it needs and nothing else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.payload import FILE, LOADER, unpickled


def ours(do: str, uri: str, name: str) -> object:
    """Do it with this library; a load may begin with what was live last."""
    import prodpointer

    news = prodpointer.connect(name, tracking_uri=uri, pointer="alias")
    if do == "read":
        return news.live_version()
    return news.load_production(trusted=[LOADER], on_unavailable="last-known-good")


def hand_written(do: str, uri: str, name: str) -> object:
    """Do it with the page written by hand, which MLflow's own variable tells where the server is."""
    os.environ["MLFLOW_TRACKING_URI"] = uri
    from benchmarks import by_hand

    return by_hand.live_version(name) if do == "read" else by_hand.load_production(name)


def plain(do: str, uri: str, name: str) -> object:
    """Do it with plain MLflow."""
    import mlflow

    if do == "read":
        return mlflow.MlflowClient(uri).get_model_version_by_alias(name, "production")
    mlflow.set_tracking_uri(uri)
    return mlflow.pyfunc.load_model(f"models:/{name}@production")


def modelctl(do: str, uri: str, name: str) -> object:
    """Do it with modelctl."""
    from modelctl import core  # type: ignore[import-not-found, unused-ignore]

    if do == "read":
        return core.get_model_info(f"{name}@production", tracking_uri=uri)
    place = Path(os.environ["TMPDIR"], "pulled")
    core.pull_model(f"{name}@production", place, overwrite=True, tracking_uri=uri)
    return unpickled(place / FILE)


def main(arguments: Sequence[str]) -> int:
    """Do one thing and return 0 where there was a result."""
    by, do, uri, name = arguments
    done = {"prodpointer": ours, "by hand": hand_written, "MLflow": plain, "modelctl": modelctl}[by](do, uri, name)
    return 0 if done is not None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""One of several processes, each with its own MLflow, that promotes and reads the models of a fleet for a while.

It reads one order, a line of JSON, works until the time is over or its input ends, and writes what it did as one line.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from typing import Any

import mlflow

import prodpointer

PROMOTES = 0.25  # of all it does; the rest is reading
PAUSE_SECONDS = 0.02
LATEST_SECONDS = 60.0


def work(uri: str, names: list[str], versions: int, seconds: float, seed: int) -> dict[str, Any]:
    """Promote and read models at random, and return the count of each result."""
    drawn = random.Random(seed)
    models = [prodpointer.connect(name, tracking_uri=uri) for name in names]
    did: Counter[str] = Counter()
    wrong: list[str] = []
    end = time.monotonic() + seconds
    # On a busy machine until it has done each once.
    while time.monotonic() < end or (not (did["promoted"] and did["read"]) and time.monotonic() < end + LATEST_SECONDS):
        model = drawn.choice(models)
        try:
            if drawn.random() < PROMOTES:
                model.promote(drawn.randint(1, versions), reason="soak")
                did["promoted"] += 1
            elif model.live_version() is None:
                wrong.append(f"{model.name}: nothing was live")
            else:
                did["read"] += 1
        except prodpointer.PromotionLost:
            did["lost"] += 1
        except prodpointer.ProdpointerError as error:
            wrong.append(f"{model.name}: {type(error).__name__}: {error}")
        time.sleep(PAUSE_SECONDS)
    return {"mlflow": mlflow.__version__, "did": dict(did), "wrong": wrong}


def main() -> None:
    """Follow one order; what MLflow prints goes to standard error."""
    answers, sys.stdout = sys.stdout, sys.stderr
    import warnings

    warnings.simplefilter("ignore")  # a drift for a moment is what a migration beside promotions looks like
    print(json.dumps(work(*json.loads(sys.stdin.readline()))), file=answers, flush=True)


if __name__ == "__main__":
    main()

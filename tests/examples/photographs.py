"""Take photographs of MLflow's own pages after twenty promotions, and of the page of ``prodpointer report``.

``python -m tests.examples.photographs DIRECTORY`` in an environment with this package and an MLflow, whose server is
photographed; ``nox -s photographs`` does so for the newest of each major. A photograph that is too large for a page of
the site is an error.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
from PIL import Image

import prodpointer
from prodpointer.pages.model import model_page
from prodpointer.types import PointerStatus, Promotion, Verdict
from tests.examples.browser import BrowserFailed, Page, browsing
from tests.servers import serve

MODEL = "news-recommender"
MAJOR = version("mlflow").partition(".")[0]
PROMOTIONS = [1, 2, 1, 2, 3, 2, 3, 4, 3, 4, 2, 4, 3, 4, 1, 4, 3, 4, 3, 4]
WHY = ("weekly retrain", "more clicks", "worse on Sundays", "new ranker")
WHO = ("ada", "grace", "ci")
WIDTH = 1280
COLOURS = 256
LARGEST = 150_000  # bytes
PATIENCE, SETTLED = 60.0, 3.0  # seconds
# What MLflow opens over its own pages at the first visit.
CLOSE = "document.querySelectorAll('button[aria-label=Close]').forEach((button) => button.click())"
# Scrolls the table of tags, which has a height of its own, to the record.
SHOW = """[...document.querySelectorAll("tr")].filter((row) => row.innerText.startsWith("prodpointer.record"))
.forEach((row) => {
  const box = row.closest("[class*=table-body]") || row.parentElement;
  box.scrollTop += row.getBoundingClientRect().top - box.getBoundingClientRect().top;
})"""


def publish() -> None:
    """Register four versions of the model and one of two others, and promote twenty times."""
    mlflow.set_experiment("news")
    news = prodpointer.connect(MODEL)
    for number in range(1, 5):
        _register(news, auc=round(0.9 + number / 100, 2))
    for number, target in enumerate(PROMOTIONS):
        reason, by = WHY[number % len(WHY)], WHO[number % len(WHO)]
        news.promote(target, gates=["auc >= 0.9"], reason=reason, by=by)
    for name in ("ads-ctr", "churn"):
        model = prodpointer.connect(name)
        _register(model, auc=0.8)
        model.promote(1, reason="the first one", by="ada")


def _register(model: prodpointer.RegisteredModel, *, auc: float) -> None:
    """Register a version with one metric."""
    with mlflow.start_run() as run:
        mlflow.log_metric("auc", auc)
        mlflow.log_dict({"auc": auc}, "bundle/model.json")
    model.register(run.info.run_id, "bundle", tags={"dataset": "clicks-2026-11"})


def report() -> str:
    """Return the page that ``prodpointer report`` writes, of a model with five weeks of history."""
    now = datetime(2026, 11, 30, 12, 4, tzinfo=timezone.utc)
    moves = [
        replace(move, at=now - timedelta(days=days), gates=tuple(_verdicts(auc, live)))
        for days, auc, live, move in (
            (35, 0.905, None, _move(None, 1, "ci", "the first one")),
            (28, 0.912, 0.905, _move(1, 2, "ci", "weekly retrain")),
            (21, 0.918, 0.912, _move(2, 3, "ada", "more clicks")),
            (19, None, None, _move(3, 2, "oncall", "worse on Sundays", kind="rollback")),
            (15, 0.908, 0.912, _move(2, 4, "ci", "weekly retrain", state="refused")),
            (12, None, None, _move(2, None, "oncall", "feature store broken", kind="withdraw")),
            (10, 0.921, None, _move(None, 5, "grace", "feature store mended")),
            (5, None, None, _move(5, 6, "", "not recorded: moved by another tool", kind="unrecorded")),
            (5, 0.93, 0.921, _move(6, 7, "ci", "weekly retrain")),
        )
    ]
    status = PointerStatus(MODEL, 7, 7, 7, agreed=True, pointer="both", last_event=moves[-1], in_stage=(7,))
    registry = "https://mlflow.example.org"
    return model_page(status, moves, alias="production", stage="Production", registry=registry, at=now)


def _move(before: int | None, after: int | None, by: str, reason: str, **fields: Any) -> Promotion:
    """Return a move of both pointers, at a time that is not known yet."""
    digest = hashlib.sha256(str(after).encode()).hexdigest() if after else None
    at = datetime.now(timezone.utc)
    return Promotion(MODEL, before, after, ("alias", "stage"), at, by, reason, sha256=digest, **fields)


def _verdicts(auc: float | None, live: float | None) -> Iterator[Verdict]:
    """Yield the verdict of a gate on one metric."""
    if auc is not None:
        passed = live is None or auc >= live
        reason = "" if passed else f"{auc} is below {live} (production {live})"
        yield Verdict("auc >= production", "auc", auc, live, live, passed, reason)


def photograph(page: Page, address: str, wanted: str, file: Path, *, height: int) -> None:
    """Open a page of MLflow, wait until it shows a text, and write a small picture of it."""
    page.look(width=WIDTH, height=height)
    page.open("about:blank")  # the address before it may differ in its fragment alone
    page.open(address)
    deadline = time.monotonic() + PATIENCE
    while wanted not in str(page.evaluate("document.body ? document.body.innerText : ''")):
        if time.monotonic() > deadline:
            raise BrowserFailed(f"{address} does not show {wanted!r}")
        time.sleep(0.2)
    for script in (CLOSE, SHOW):
        time.sleep(SETTLED)
        page.evaluate(script)
    time.sleep(SETTLED)
    page.photograph(file)
    _make_small(file, height)


def _make_small(file: Path, height: int) -> None:
    """Write the upper part of a picture with fewer colours, as small as it gets."""
    with Image.open(file) as picture:
        upper = picture.convert("RGB").crop((0, 0, picture.width, min(picture.height, height)))
        small = upper.quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(file, optimize=True)
    if file.stat().st_size > LARGEST:
        raise BrowserFailed(f"{file} has {file.stat().st_size:,} bytes")


def main(directory: Path) -> None:
    """Photograph the live version, the model with its versions, and the table of models."""
    with (
        tempfile.TemporaryDirectory(prefix="photographs-") as scratch,
        serve(sys.executable, Path(scratch), version=version("mlflow")) as server,
    ):
        mlflow.set_tracking_uri(server.uri)
        publish()
        with browsing() as page:
            model = f"{server.uri}/#/models/{MODEL}"
            live = f"{model}/versions/{PROMOTIONS[-1]}"
            files = {name: directory / f"mlflow{MAJOR}-{name}.png" for name in ("version", "model", "models")}
            photograph(page, live, "prodpointer.record", files["version"], height=760)
            photograph(page, model, "live since", files["model"], height=900)
            photograph(page, f"{server.uri}/#/models", MODEL, files["models"], height=480)
            written = Path(scratch, "report.html")
            written.write_text(report(), encoding="utf-8")
            photograph(page, written.as_uri(), MODEL, directory / "report.png", height=780)
    print(f"photographs of MLflow {version('mlflow')} are in {directory}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

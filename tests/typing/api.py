"""The public API as a type checker sees it; nobody runs this file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import prodpointer
from prodpointer import (
    Gate,
    Live,
    MemoryPointer,
    ModelVersion,
    PointerStatus,
    ProductionPointer,
    Promotion,
    Pulled,
    RegisteredModel,
    Selection,
    State,
)

news: RegisteredModel = prodpointer.connect("news", pointer="both", stages={"champion": "Production"}, timeout=5)
number: int = news.register("run", "bundle", tags={"dataset": "clicks"}, local_path=Path("bundle"))
move: Promotion = news.promote(number, expected=None, reason="weekly retrain")
from_version: int | None = move.from_version
gated: Promotion = news.promote(number, gates=[Gate("auc", at_least=0.8), "auc >= production"], across_datasets=True)
undone: Promotion = news.withdraw()
back: Promotion = news.rollback(to=1, expected=2, reason="worse")
past: list[Promotion] = news.history()
then: ModelVersion | None = news.live_at(move.at)
mended: tuple[str, ...] = news.repair().mended
reused: int = news.register("run", "bundle", if_exists="reuse")
live: ModelVersion | None = news.production()
known: int | None = news.live_version()
loaded: Any = news.load_production(lambda path: path.read_bytes())
loaded = news.load_production(trusted=["newsreco.Ranker"])
loaded = news.load_production(verify="required", on_unavailable="last-known-good")
pulled: Pulled | None = news.pull("here", verify="required")
digest: str = news.adopt(1)
with news.follow(30, warm_up=lambda model: model.predict(1), on_withdraw="keep", max_stale=3600) as handle:
    serving: Live = handle
    state: State = handle.state
    old: float | None = handle.age
    ready: bool = handle.wait_ready(60)
status: PointerStatus = news.status()
selection: Selection = news.selection
pointer: ProductionPointer = MemoryPointer([1, 2])
named: int | None = pointer.get()

version: int = prodpointer.register("run", "newsreco.pkl", "news")
again: Promotion = prodpointer.promote(version, "news")
undo: Promotion = prodpointer.rollback("news")
bundle: Any = prodpointer.load_production("news", alias="staging")

news.promote("2", expected=1)
news.promote(1.5)  # type: ignore[arg-type]
news.follow(on_withdraw="drop")  # type: ignore[arg-type]
prodpointer.connect("news", pointer="aliases")  # type: ignore[arg-type]

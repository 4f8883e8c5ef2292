"""The public API as a type checker sees it; this file is never executed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import prodpointer
from prodpointer import (
    AccessDenied,
    AliasPointer,
    ArtifactNotFound,
    ArtifactStoreUnavailable,
    CacheWarning,
    Comparison,
    Difference,
    DropIn,
    ExpectationFailed,
    Gate,
    GateFailed,
    IntegrityError,
    InvalidName,
    LastKnownGoodWarning,
    Live,
    LiveStats,
    LoadFailed,
    MemoryPointer,
    MirroredPointer,
    ModelNotFound,
    ModelVersion,
    MoveUnconfirmed,
    NothingToRollBack,
    PointerDriftWarning,
    PointerStatus,
    PointerUnsupported,
    ProdpointerError,
    ProductionPointer,
    Promotion,
    PromotionLost,
    PromotionRefused,
    Pulled,
    RegisteredModel,
    RegistryError,
    RegistryUnavailable,
    RegistryUnsupported,
    SchemaMismatch,
    Selection,
    StageOnlyWarning,
    StagePointer,
    State,
    UnsafeModel,
    UnverifiedWarning,
    Verdict,
    VersionNotFound,
    WorkspaceNotFound,
)

news: RegisteredModel = prodpointer.connect("news", pointer="both", stages={"champion": "Production"}, timeout=5)
number: int = news.register("run", "bundle", tags={"dataset": "clicks"}, local_path=Path("bundle"))
move: Promotion = news.promote(number, expected=None, reason="weekly retrain")
from_version: int | None = move.from_version
gated: Promotion = news.promote(number, gates=[Gate("auc", at_least=0.8), "auc >= production"], across_datasets=True)
judged: list[tuple[str, bool, float | None]] = [(each.gate, each.passed, each.candidate) for each in gated.gates]
undone: Promotion = news.withdraw(expected=number)
back: Promotion = news.rollback(to=1, expected=2, reason="worse")
past: list[Promotion] = news.history()
then: ModelVersion | None = news.live_at(move.at)
mended: tuple[str, ...] = news.repair(dry_run=True).mended
listed: list[ModelVersion] = news.versions(metrics=False)
side_by_side: Comparison = news.compare(1, "2")
changes: list[tuple[str, float | None]] = [(each.name, each.change) for each in side_by_side.metrics]
first: Difference = side_by_side.params[0]
address: str = news.page(version=2)
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
    stats: LiveStats = handle.stats()
    old: float | None = handle.age
    ready: bool = handle.wait_ready(60)
status: PointerStatus = news.status()
selection: Selection = news.selection
pointer: ProductionPointer = MemoryPointer([1, 2])
named: int | None = pointer.get()


def of_one_model(alias: AliasPointer, stage: StagePointer) -> ProductionPointer:
    """Each pointer is a ``ProductionPointer``, and two of them make one."""
    both: MirroredPointer = MirroredPointer(alias, stage)
    pointers: list[ProductionPointer] = [alias, stage, both]
    return pointers[-1]


try:
    news.promote(number)
except ExpectationFailed as refused:
    other: int | None = refused.live
except GateFailed as refused:
    verdicts: tuple[Verdict, ...] = refused.verdicts
    reasons: list[str] = [each.reason for each in refused.verdicts if not each.passed]
except MoveUnconfirmed as unconfirmed:
    meant: int | None = unconfirmed.version
except PromotionLost as lost:
    winner: int | None = lost.winner
    event: str | None = lost.event
except SchemaMismatch as mismatch:
    schema: tuple[str | None, str | None] = (mismatch.found, mismatch.expected)
except RegistryError as answer:
    code: str = answer.code
except InvalidName as wrong:
    also: ValueError = wrong
except ProdpointerError as failure:
    told: tuple[str, str, str] = (failure.what, failure.where, failure.next_step)
    code_of_the_process: int = failure.exit_code
REFUSALS: tuple[type[PromotionRefused], ...] = (ExpectationFailed, GateFailed)
FAILURES: tuple[type[ProdpointerError], ...] = (
    AccessDenied,
    ArtifactNotFound,
    ArtifactStoreUnavailable,
    IntegrityError,
    LoadFailed,
    ModelNotFound,
    NothingToRollBack,
    PointerUnsupported,
    RegistryUnavailable,
    RegistryUnsupported,
    UnsafeModel,
    VersionNotFound,
    WorkspaceNotFound,
)
WARNINGS: tuple[type[UserWarning], ...] = (
    CacheWarning,
    LastKnownGoodWarning,
    PointerDriftWarning,
    StageOnlyWarning,
    UnverifiedWarning,
)

version: int = prodpointer.register("run", "newsreco.pkl", "news")
again: Promotion = prodpointer.promote(version, "news")
undo: Promotion = prodpointer.rollback("news")
bundle: Any = prodpointer.load_production("news", alias="staging")

registry: DropIn = prodpointer.drop_in("news", artifact_file="newsreco.pkl", on_unavailable="none")
version = registry.register("run")
version = registry.register("run", artifact_file="other.pkl", name="other")
again = registry.promote(version, name="news", alias="staging")
undo = registry.rollback()
bundle = registry.load_production()


async def serve() -> None:
    """Each verb has a twin for asyncio, with its parameters."""
    fraud: RegisteredModel = await prodpointer.aconnect("fraud", pointer="both", timeout=5)
    made: int = await fraud.aregister("run", "bundle", tags={"dataset": "clicks"})
    moves: list[Promotion] = [await fraud.apromote(made, expected=None, gates=["auc >= 0.8"])]
    moves += [await fraud.arollback(to=1), *await fraud.ahistory()]
    states: list[PointerStatus] = [await fraud.astatus(), await fraud.arepair()]
    files: list[Path] = [pulled.path for pulled in [await fraud.apull("here")] if pulled is not None]
    async with fraud.afollow(every=30, warm_up=lambda model: model.predict(1)) as following:
        print(moves, states, files, await following.await_ready(60), following.age)
        await following.aclose()
    print(await fraud.aload_production(lambda path: path.read_bytes(), verify="required"))
    await fraud.apromote(1.5)  # type: ignore[arg-type]
    await fraud.apromote(1, expcted=2)  # type: ignore[call-arg]
    fraud.afollow(on_withdraw="drop")  # type: ignore[arg-type]
    await prodpointer.aconnect("fraud", pointer="aliases")  # type: ignore[arg-type]


news.promote("2", expected=1)
news.promote(1.5)  # type: ignore[arg-type]
news.follow(on_withdraw="drop")  # type: ignore[arg-type]
prodpointer.drop_in("news", artifact_file="a.pkl", on_unavailable="null")  # type: ignore[arg-type]
prodpointer.connect("news", pointer="aliases")  # type: ignore[arg-type]

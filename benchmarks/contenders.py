"""What each contender calls for each thing that is measured, in an environment with MLflow, this package and modelctl.

Every contender has registered models of its own, so that none reads what another one wrote.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import mlflow

import prodpointer
from benchmarks import by_hand
from benchmarks.measurements import (
    FILE_COLD,
    FILE_RESTED,
    FILE_WARM,
    HISTORY,
    LARGE,
    MODEL_COLD,
    MODEL_RESTED,
    MODEL_WARM,
    OURS,
    PAUSE,
    PROMOTE,
    READ,
    READ_TAGS,
    ROLLBACK,
    SIZES,
    Place,
)
from benchmarks.payload import FILE, IN_MODEL, LOADER, saved, unpickled

ALIAS, STAGE = "production", "Production"
POINTERS: tuple[Literal["alias", "stage", "both"], ...] = ("alias", "stage", "both")
MOVES = "moves"
"""The size, in the name of a model, of the one whose pointer is moved."""


@dataclass(frozen=True)
class Act:
    """What is called and measured; ``before`` is called first and is not."""

    do: Callable[[], object]
    before: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Setting:
    """Where the contenders work: the server, or the proxy before it, a directory of their own, and the sizes."""

    uri: str
    directory: Path
    sizes: tuple[str, ...]

    @property
    def downloads(self) -> Path:
        """Where temporary files go, and are removed after each call."""
        return self.directory / "downloads"

    def enter(self) -> None:
        """Make MLflow and Python use them."""
        mlflow.set_tracking_uri(self.uri)
        self.downloads.mkdir(parents=True, exist_ok=True)
        tempfile.tempdir = str(self.downloads)

    def clear_downloads(self) -> None:
        """Remove what a call left behind."""
        for left in self.downloads.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()

    def cache(self, what: str) -> Path:
        """Return a directory for downloads that are kept."""
        return self.directory / "kept" / what


Acts = Iterator[tuple[Place, Act]]

LOADS = {"file": (FILE_COLD, FILE_WARM, FILE_RESTED), "model": (MODEL_COLD, MODEL_WARM, MODEL_RESTED)}


def named(by: str, pointer: str, what: str, size: str = "") -> str:
    """Return the name of a registered model."""
    return "-".join(part for part in (by, pointer, what, size) if part).replace(" ", "_")


def acts(by: str, setting: Setting) -> dict[Place, Act]:
    """Return everything that a contender does."""
    made = {OURS: ours, "by hand": hand_written, "MLflow": plain, "modelctl": modelctl}
    return dict(made[by](setting))


def loads(
    what: str,
    pointer: str,
    size: str,
    load: Callable[[], object],
    *,
    forget: Callable[[], object] = lambda: None,
    again: Callable[[], object] | None = None,
) -> Acts:
    """Yield a load of what is not on this machine, one right after another one, and one after a pause.

    ``forget`` removes what was kept; ``again`` is the second load, where it is another call.
    """
    again = again or load
    cold, warm, rested = LOADS[what]
    yield Place(cold, pointer, size), Act(load, forget)
    yield Place(warm, pointer, size), Act(again, again)
    if size != LARGE:
        yield Place(rested, pointer, size), Act(again, partial(time.sleep, PAUSE))


def ours(setting: Setting) -> Acts:
    """Yield what this library does."""
    for pointer in POINTERS:
        connect = partial(prodpointer.connect, tracking_uri=setting.uri, pointer=pointer)
        news = connect(named(OURS, pointer, MOVES))
        yield Place(READ, pointer), Act(news.live_version)
        yield Place(READ_TAGS, pointer), Act(news.production)
        yield Place(HISTORY, pointer), Act(news.history)
        yield Place(PROMOTE, pointer), Act(partial(news.promote, 2))
        yield Place(ROLLBACK, pointer), Act(news.rollback)
        for size in setting.sizes if pointer != "both" else ():
            for what in ("file", "model"):
                cache = setting.cache(f"{pointer}-{what}-{size}")
                kept = connect(named(OURS, pointer, what, size), cache_dir=cache)
                load = partial(kept.load_production, trusted=[LOADER])
                forget = partial(shutil.rmtree, cache, ignore_errors=True)
                yield from loads(what, pointer, size, load, forget=forget)


def hand_written(setting: Setting) -> Acts:
    """Yield what the page written by hand does: the alias, and on MLflow 2 the stage."""
    pages: dict[str, tuple[Callable[..., object], ...]] = {
        "alias": (by_hand.promote, by_hand.live_version, by_hand.load_production, by_hand.rollback)
    }
    if mlflow.__version__.startswith("2."):
        pages["stage"] = (
            by_hand.promote_to_stage,
            by_hand.live_in_stage,
            by_hand.load_from_stage,
            by_hand.roll_stage_back,
        )
    for pointer, (promote, read, load, back) in pages.items():
        name = named("by hand", pointer, MOVES)
        yield Place(READ, pointer), Act(partial(read, name))
        yield Place(READ_TAGS, pointer), Act(partial(read, name))
        yield Place(PROMOTE, pointer), Act(partial(promote, 2, name))
        yield Place(ROLLBACK, pointer), Act(partial(back, name))
        for size in setting.sizes:
            yield from loads("file", pointer, size, partial(load, named("by hand", pointer, "file", size)))


def plain(setting: Setting) -> Acts:
    """Yield what plain MLflow does; for both pointers it is told twice."""
    client = mlflow.MlflowClient(setting.uri)

    def by_alias(name: str) -> Any:
        return client.get_model_version_by_alias(name, ALIAS)

    def by_stage(name: str) -> Any:
        return client.get_latest_versions(name, [STAGE])

    def set_alias(name: str, version: str) -> None:
        client.set_registered_model_alias(name, ALIAS, version)

    def set_stage(name: str, version: str) -> None:
        client.transition_model_version_stage(name, version, STAGE, archive_existing_versions=True)

    reads, sets = {"alias": [by_alias], "stage": [by_stage]}, {"alias": [set_alias], "stage": [set_stage]}
    for pointer in POINTERS:
        name = named("MLflow", pointer, MOVES)
        read = partial(_each, reads.get(pointer, [by_alias, by_stage]), name)
        move = partial(_each, sets.get(pointer, [set_alias, set_stage]), name)
        yield Place(READ, pointer), Act(read)
        yield Place(READ_TAGS, pointer), Act(read)
        yield Place(PROMOTE, pointer), Act(partial(move, "2"))
        yield Place(ROLLBACK, pointer), Act(partial(move, "1"))
        for size in setting.sizes if pointer != "both" else ():
            model = named("MLflow", pointer, "model", size)
            uri = f"models:/{model}@{ALIAS}" if pointer == "alias" else f"models:/{model}/{STAGE}"
            yield from loads("model", pointer, size, partial(mlflow.pyfunc.load_model, uri))


def _each(verbs: Sequence[Callable[..., object]], *arguments: str) -> object:
    """Call one verb, or two one after the other."""
    return [verb(*arguments) for verb in verbs]


def modelctl(setting: Setting) -> Acts:
    """Yield what modelctl does: aliases alone, and what it loads is pulled and then unpickled."""
    from modelctl import core  # type: ignore[import-not-found, unused-ignore]  # beside, where it can be installed

    uri = setting.uri
    name = named("modelctl", "alias", MOVES)
    read = partial(core.get_model_info, f"{name}@{ALIAS}", tracking_uri=uri)
    yield Place(READ, "alias"), Act(read)
    yield Place(READ_TAGS, "alias"), Act(read)
    yield Place(PROMOTE, "alias"), Act(partial(core.promote_alias, name, "2", ALIAS, tracking_uri=uri))
    yield Place(ROLLBACK, "alias"), Act(partial(core.promote_alias, name, "1", ALIAS, tracking_uri=uri))
    for size in setting.sizes:
        ref, place = f"{named('modelctl', 'alias', 'file', size)}@{ALIAS}", setting.cache(f"modelctl-{size}")

        def pull(ref: str = ref, place: Path = place) -> object:
            core.pull_model(ref, place, tracking_uri=uri)
            return unpickled(place / FILE)

        def verify(ref: str = ref, place: Path = place) -> object:
            if not core.verify_model(ref, place, tracking_uri=uri).matches:
                raise AssertionError(f"{place} is not what {ref} is")
            return unpickled(place / FILE)

        forget = partial(shutil.rmtree, place, ignore_errors=True)
        yield from loads("file", "alias", size, pull, forget=forget, again=verify)


def prepare(setting: Setting, contenders: Sequence[str]) -> None:
    """Log the bundles and register every model of the contenders, version 1 live."""
    setting.enter()
    client = mlflow.MlflowClient(setting.uri)
    for number, size in enumerate(setting.sizes):
        run_id = str(client.create_run("0").info.run_id)
        model = saved(setting.directory / "saved", SIZES[size])
        client.log_artifacts(run_id, str(model), "bundle")
        for pointer in POINTERS:
            if number == 0:
                _register(client, pointer, MOVES, run_id, model, versions=2)
            if pointer != "both":
                _register(client, pointer, size, run_id, model, versions=1)
        if "modelctl" in contenders:
            _register_with_modelctl(setting, size, model, moves=number == 0)
        setting.clear_downloads()
    shutil.rmtree(setting.directory / "saved", ignore_errors=True)


def _register(client: Any, pointer: str, what: str, run_id: str, model: Path, *, versions: int) -> None:
    """Register one run's bundle for all that register runs, and make version 1 live."""
    for by, kind, path in (
        (OURS, "file", f"bundle/{IN_MODEL}"),
        (OURS, "model", "bundle"),
        ("by hand", "file", f"bundle/{IN_MODEL}"),
        ("MLflow", "model", "bundle"),
    ):
        name = named(by, pointer, MOVES) if what == MOVES else named(by, pointer, kind, what)
        if what == MOVES and (by, kind) == (OURS, "file"):  # one of the two is enough to be moved
            continue
        for _ in range(versions):
            _register_one(by, name, run_id, path, model / IN_MODEL if kind == "file" else model)
        if by == OURS:
            prodpointer.connect(name, pointer=pointer).promote(1)  # type: ignore[arg-type]
            continue
        if pointer != "stage":
            client.set_registered_model_alias(name, ALIAS, "1")
        if pointer != "alias":
            client.transition_model_version_stage(name, "1", STAGE, archive_existing_versions=True)


def _register_one(by: str, name: str, run_id: str, path: str, local: Path) -> None:
    """Register a run's file or directory as each one does."""
    if by == OURS:
        prodpointer.connect(name).register(run_id, path, local_path=local)
    elif by == "by hand":
        by_hand.register(run_id, path, name)
    else:
        mlflow.register_model(f"runs:/{run_id}/{path}", name)


def _register_with_modelctl(setting: Setting, size: str, model: Path, *, moves: bool) -> None:
    """Register the bundle's file with modelctl, which uploads it once more into a layout of its own."""
    from modelctl import core  # type: ignore[import-not-found, unused-ignore]

    names = [named("modelctl", "alias", "file", size)]
    names += [named("modelctl", "alias", MOVES)] * 2 if moves else []
    for name in names:
        aliases = [ALIAS] if name == names[0] else []
        core.register_model_directory((model / IN_MODEL).parent, name, aliases=aliases, tracking_uri=setting.uri)
    if moves:
        core.promote_alias(names[-1], "1", ALIAS, tracking_uri=setting.uri)

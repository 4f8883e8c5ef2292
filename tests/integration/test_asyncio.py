"""The verbs for asyncio: the loop goes on, and a task that is cancelled leaves nothing half done."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import pickle
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import prodpointer
from prodpointer import ExpectationFailed, RegisteredModel, State, VersionNotFound
from prodpointer.artifacts.register import digest_tags
from tests.integration.conftest import Lab
from tests.integration.stub import Request, Stub, body, document, registry, stub

TWINS = {
    "adopt",
    "compare",
    "follow",
    "history",
    "live_at",
    "live_version",
    "load_production",
    "production",
    "promote",
    "pull",
    "register",
    "repair",
    "report",
    "rollback",
    "status",
    "version",
    "versions",
    "withdraw",
}
OURS = ("prodpointer-call", "prodpointer-digest")


def threads() -> list[str]:
    """Return the threads of calls that still run."""
    return [each.name for each in threading.enumerate() if each.name.startswith(OURS)]


def waits_until(happened: Callable[[], object], seconds: float = 10) -> Coroutine[Any, Any, None]:
    """Wait until something is so, while the loop goes on."""

    async def wait() -> None:
        end = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < end
            await asyncio.sleep(0.005)

    return wait()


@pytest.mark.parametrize("verb", sorted(TWINS))
def test_each_verb_has_a_twin_with_its_parameters(verb: str) -> None:
    """``apromote`` takes what ``promote`` takes, and ``help`` says so."""
    mine, twin = getattr(RegisteredModel, verb), getattr(RegisteredModel, f"a{verb}")
    assert inspect.signature(twin) == inspect.signature(mine)
    assert (twin.__name__, twin.__qualname__) == (f"a{verb}", f"RegisteredModel.a{verb}")
    assert inspect.iscoroutinefunction(twin) == (verb != "follow")


def test_a_story_is_told_with_await(lab: Lab, name: str, tmp_path: Path) -> None:
    """Each verb does what it does without ``await``."""

    async def story() -> None:
        news = await prodpointer.aconnect(name, tracking_uri=lab.uri)
        for number in (1, 2):
            assert await news.aregister(lab.run({"model.pkl": pickle.dumps({"n": number})}), "model.pkl") == number
        assert (await news.apromote(1, reason="first")).to_version == 1
        assert await news.aload_production() == {"n": 1}
        assert (await news.apromote(2, expected=1)).from_version == 1
        assert await news.alive_version() == 2
        assert (await news.arollback()).to_version == 1
        live = await news.aproduction()
        assert live is not None
        assert live == await news.aversion(1)
        assert [move.kind for move in await news.ahistory()] == ["promote", "promote", "rollback"]
        assert (await news.astatus()).agreed
        pulled = await news.apull(tmp_path)
        assert pulled is not None
        assert await news.aadopt(1) == pulled.sha256
        assert (await news.arepair()).mended == ()
        await news.awithdraw()
        assert await news.aload_production() is None

    asyncio.run(story())


def test_errors_are_raised_where_they_are_awaited(lab: Lab, name: str) -> None:
    """With their fields, and the stack of the verb."""
    model = lab.model(name, 2)
    model.promote(1)

    async def fail() -> None:
        with pytest.raises(VersionNotFound):
            await model.apromote(9)
        with pytest.raises(ExpectationFailed) as refused:
            await model.apromote(2, expected=2)
        assert (refused.value.live, refused.value.expected) == (1, 2)

    asyncio.run(fail())


def test_the_context_of_the_task_goes_with_it(lab: Lab, name: str) -> None:
    """A loader sees the context variables of the task that awaits it."""
    model = lab.model(name)
    model.promote(1)
    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant")

    async def load() -> Any:
        tenant.set("ada")
        return await model.aload_production(lambda _: tenant.get())

    assert asyncio.run(load()) == "ada"


def test_the_loop_goes_on_while_a_version_loads(lab: Lab, name: str) -> None:
    """32 MB are digested and loaded, cold and warm, and no other task waits for long; locks do not stop it either."""
    model = lab.model(name, 0)
    content = pickle.dumps([bytes(1_000_000) for _ in range(32)])
    model.promote(model.register(lab.run({"model.pkl": content}), "model.pkl"))
    lags: list[float] = []

    async def tick() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            lags.append(time.perf_counter() - began)

    async def load() -> None:
        ticking = asyncio.create_task(tick())
        for _ in range(3):
            assert len(await model.aload_production()) == 32
        ticking.cancel()

    asyncio.run(load())
    lags.sort()
    assert len(lags) > 20
    assert lags[len(lags) // 2] < 0.02
    assert lags[-1] < 0.25  # of a machine with other work; a load takes longer on the loop itself


# Following


def test_following_neither_blocks_the_loop_nor_outlives_the_block(lab: Lab, name: str) -> None:
    """``async with`` follows, and its thread has ended when the block has."""
    model = lab.model(name, 2)
    model.promote(1)

    async def follow() -> prodpointer.Live:
        async with model.afollow(every=0.05) as live:
            assert await live.await_ready(30)
            assert (live.state, live.model) == (State.READY, {"n": 1})
            await model.apromote(2)
            await waits_until(lambda: live.version == 2)
        assert not [each for each in threading.enumerate() if each.name.startswith("prodpointer-follow")]
        return live

    assert asyncio.run(follow()).model == {"n": 2}


def test_waiting_for_the_first_object_may_end_without_one(lab: Lab, name: str) -> None:
    """With nothing live it ends after its time, or with the handle."""
    model = lab.model(name)

    async def follow() -> None:
        async with model.afollow(every=60) as live:
            assert not await live.await_ready(0.05)
            waiting = asyncio.create_task(live.await_ready())
            await asyncio.sleep(0)
            await live.aclose()
            assert not await asyncio.wait_for(waiting, 5)

    asyncio.run(follow())


def test_a_cancelled_task_closes_what_it_follows(lab: Lab, name: str) -> None:
    """The thread ends also where the block is left by a cancellation."""
    model = lab.model(name)
    model.promote(1)
    entered: list[prodpointer.Live] = []

    async def follow() -> None:
        async with model.afollow(every=60) as live:
            await live.await_ready(30)
            entered.append(live)
            await asyncio.sleep(60)

    async def cancel() -> None:
        task = asyncio.create_task(follow())
        await waits_until(lambda: entered)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not [each for each in threading.enumerate() if each.name.startswith("prodpointer-follow")]

    asyncio.run(cancel())


def test_a_loader_that_hangs_does_not_keep_the_loop(lab: Lab, name: str, gate: threading.Event) -> None:
    """Leaving waits a second at most, and other tasks go on meanwhile."""
    model = lab.model(name)
    model.promote(1)
    hanging = threading.Event()

    def hang(_: Path) -> None:
        hanging.set()
        gate.wait(30)

    async def follow() -> float:
        async with model.afollow(every=60, loader=hang):
            await waits_until(hanging.is_set)
            began = time.monotonic()
            ticks = asyncio.create_task(waits_until(lambda: time.monotonic() > began + 0.2))
        assert ticks.done()
        return time.monotonic() - began

    assert asyncio.run(follow()) < 3


# Cancellation


def test_a_cancelled_read_is_cut_off(name: str, forgetful: None) -> None:
    """A registry that hangs keeps neither the task nor the thread until the timeout."""

    def answer(running: Stub, request: Request) -> Iterable[bytes]:
        if request.path.startswith("/version") or not asked:
            return registry()(request)
        hanging.set()
        running.closed.wait(30)
        return []

    asked: list[bool] = []
    hanging = threading.Event()

    async def read(server: Stub) -> float:
        model = await prodpointer.aconnect(name, tracking_uri=server.uri, timeout=20)
        asked.append(True)
        task = asyncio.create_task(model.astatus())
        await waits_until(hanging.is_set)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        took = time.monotonic() - began
        await waits_until(lambda: not threads(), 5)
        return took

    with stub(answer) as server:
        assert asyncio.run(read(server)) < 2


def test_a_cancelled_load_leaves_nothing(lab: Lab, name: str, cache_directory: Path, gate: threading.Event) -> None:
    """A loader cannot be stopped; when it ends, its thread does, its lock is free, and the next load works."""
    model = lab.model(name)
    model.promote(1)
    loading = threading.Event()

    def slow(path: Path) -> Any:
        loading.set()
        gate.wait(30)
        return path.name

    async def cancel() -> None:
        task = asyncio.create_task(model.aload_production(slow))
        await waits_until(loading.is_set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.set()
        await waits_until(lambda: not threads())
        assert await model.aload_production() == {"n": 1}

    asyncio.run(cancel())
    assert [path for path in cache_directory.rglob("*") if "part" in path.name and path.is_dir()] == []


def test_a_cancelled_download_leaves_no_file(name: str, forgetful: None, cache_directory: Path) -> None:
    """A download that trickles is cut off; neither its bytes nor its thread nor its lock stays."""
    downloading = threading.Event()

    def answer(running: Stub, request: Request) -> Iterable[bytes]:
        path = urlsplit(request.path).path
        located = f"{running.uri}/api/2.0/mlflow-artifacts/artifacts/1"
        version = {"name": name, "version": "1", "status": "READY", "source": f"{located}/model.pkl", "run_id": "1"}
        if path.endswith("runs/get"):
            info = {"run_id": "1", "experiment_id": "1", "artifact_uri": located, "lifecycle_stage": "active"}
            return [document({"run": {"info": info}})]
        if path.endswith("mlflow-artifacts/artifacts"):
            return [document({"files": [{"path": "model.pkl", "is_dir": False, "file_size": 10**6}]})]
        if path.endswith("model.pkl"):
            downloading.set()
            whole = body(bytes(10**6))
            return chain([whole[:200_000]], running.slowly(whole[200_000:], 0.05))
        model = {"name": name, "aliases": [{"alias": "production", "version": "1"}]}
        return registry(model, get={"model_version": version}, get_download_uri={"artifact_uri": version["source"]})(
            request
        )

    async def cancel(server: Stub) -> float:
        model = await prodpointer.aconnect(name, tracking_uri=server.uri, timeout=20)
        task = asyncio.create_task(model.aload_production())
        await waits_until(lambda: downloading.is_set() or task.done())
        await waits_until(lambda: any(path.name == "model.pkl" for path in cache_directory.rglob("*")))
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        took = time.monotonic() - began
        await waits_until(lambda: not threads())
        return took

    with stub(answer) as server:
        assert asyncio.run(cancel(server)) < 2
    assert [path for path in cache_directory.rglob("*") if path.is_file() and path.stat().st_size > 1000] == []


def test_a_timeout_of_the_caller_is_a_timeout(lab: Lab, name: str, gate: threading.Event) -> None:
    """``asyncio.wait_for`` raises its own error."""
    model = lab.model(name)
    model.promote(1)

    async def load() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(model.aload_production(lambda _: gate.wait(30)), 0.1)
        gate.set()

    asyncio.run(load())


def hold(monkeypatch: pytest.MonkeyPatch, model: RegisteredModel, call: str, gate: threading.Event) -> threading.Event:
    """Let a call to the registry wait until the gate is open, and say when it has begun."""
    registry_of_model, begun = vars(model)["_registry"], threading.Event()
    real = getattr(registry_of_model, call)

    def held(*args: Any, **kwargs: Any) -> Any:
        begun.set()
        gate.wait(30)
        return real(*args, **kwargs)

    monkeypatch.setattr(registry_of_model, call, held)
    return begun


@pytest.mark.parametrize("times", [1, 3], ids=["once", "again and again"])
def test_a_move_that_has_begun_is_completed(
    lab: Lab,
    name: str,
    gate: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    times: int,
) -> None:
    """A cancelled promotion is whole once the cancellation is raised, and the log says so."""
    model = lab.model(name, 2, pointer="both")
    model.promote(1)
    moving = hold(monkeypatch, model, "set_alias", gate)

    async def cancel() -> None:
        task = asyncio.create_task(model.apromote(2, reason="half way"))
        await waits_until(moving.is_set)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0.01)
        assert not task.done()
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        await waits_until(lambda: not threads())

    asyncio.run(cancel())
    status = model.status()
    assert (status.live, status.alias, status.stage, status.agreed) == (2, 2, 2, True)
    assert [(move.to_version, move.state) for move in model.history()] == [(1, "done"), (2, "done")]
    assert f"promote of {name!r} was completed, though its task was cancelled" in caplog.text


@pytest.mark.parametrize("verb", ["promote", "withdraw"])
def test_a_move_that_has_not_begun_never_does(
    lab: Lab, name: str, gate: threading.Event, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """A promotion that was cancelled while it read moves nothing and leaves no intent."""
    model = lab.model(name, 2)
    model.promote(1)
    before = model.history()
    reading = hold(monkeypatch, model, "model", gate)

    async def cancel() -> None:
        task = asyncio.create_task(model.apromote(2) if verb == "promote" else model.awithdraw())
        await waits_until(reading.is_set)
        task.cancel()
        await asyncio.sleep(0.01)
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert model.live_version() == 1
    assert model.history() == before


def test_a_cancelled_registration_makes_no_version(
    lab: Lab, name: str, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registration that was cancelled before the version was made makes none, nor the model."""
    model = prodpointer.connect(name, tracking_uri=lab.uri)
    run_id = lab.run({"model.pkl": pickle.dumps(1)})
    reading, real = threading.Event(), digest_tags

    def held(*args: Any) -> Any:
        reading.set()
        gate.wait(30)
        return real(*args)

    monkeypatch.setattr("prodpointer.artifacts.register.digest_tags", held)

    async def cancel() -> None:
        task = asyncio.create_task(model.aregister(run_id, "model.pkl"))
        await waits_until(reading.is_set)
        task.cancel()
        await asyncio.sleep(0.01)
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    with pytest.raises(prodpointer.ModelNotFound):
        model.status()


def test_the_end_of_a_loop_waits_for_no_thread(lab: Lab, name: str, gate: threading.Event) -> None:
    """A load that hangs does not keep ``asyncio.run`` from its end: the thread is a daemon and no executor's."""
    model = lab.model(name)
    model.promote(1)
    began = time.monotonic()

    async def leave() -> None:
        task = asyncio.create_task(model.aload_production(lambda _: gate.wait(30)))
        await asyncio.sleep(0.05)
        assert not task.done()

    asyncio.run(leave())
    assert time.monotonic() - began < 5

"""A news service that serves what is live, follows it without a restart, and goes on when the registry is down.

``python -m uvicorn --factory --app-dir examples/news_api news_api:create_app`` starts it. It serves the live version in
MLflow's registry with ``NEWSRECO_USE_REGISTRY=1``, else a local pickle, else a model that it trains at the start.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias, cast

import newsreco
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse

import prodpointer
from prodpointer import ProdpointerError, State

PAGE = Path(__file__).with_name("page.html")
ASK_HISTORY_EVERY = 5.0  # seconds; the page asks this service more often than this service asks the registry
WAIT_FOR_HISTORY = 1.0  # seconds; then the record known before is the answer, and the question goes on


@dataclass(frozen=True)
class Settings:
    """What the environment says."""

    use_registry: bool = False
    pickle: Path = Path("newsreco.pkl")
    model: str = "news-recommender"
    follow_every: float = 10.0
    timeout: float = 5.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read ``NEWSRECO_USE_REGISTRY``, ``NEWSRECO_PICKLE``, ``NEWSRECO_MODEL`` and ``NEWSRECO_FOLLOW_EVERY``."""
        return cls(
            use_registry=environment.get("NEWSRECO_USE_REGISTRY", "") == "1",
            pickle=Path(environment.get("NEWSRECO_PICKLE", cls.pickle)),
            model=environment.get("NEWSRECO_MODEL", cls.model),
            follow_every=float(environment.get("NEWSRECO_FOLLOW_EVERY", cls.follow_every)),
        )


@dataclass(frozen=True)
class Unchanging:
    """A model that came from no registry: it has no version, and nothing to be stale against."""

    model: newsreco.Bundle
    version: int | None = None
    state: State = State.READY
    age: float | None = None
    last_error: ProdpointerError | None = None

    @property
    def serving(self) -> tuple[newsreco.Bundle, int | None]:
        """The model and its version at once."""
        return self.model, self.version


# Both have a model, a version, a state, an age and a last error, and neither asks anybody for them.
Served: TypeAlias = prodpointer.Live | Unchanging


class History:
    """The record of moves, as last known: asked for at most every few seconds, and not while the registry is away."""

    def __init__(self, news: prodpointer.RegisteredModel, served: Served) -> None:
        """Know nothing yet."""
        self._news = news
        self._served = served
        self._lock = threading.Lock()
        self._asking: threading.Thread | None = None
        self._asked_at = -ASK_HISTORY_EVERY
        self._known_at: float | None = None
        self._events: list[dict[str, Any]] = []

    def read(self) -> dict[str, Any]:
        """Return the events, newest first, and how many seconds ago the registry told them; waits a second at most."""
        with self._lock:
            asking = self._asking_now()
        if asking is not None:
            asking.join(timeout=WAIT_FOR_HISTORY)
        known_at = self._known_at
        return {"events": self._events, "age": None if known_at is None else time.monotonic() - known_at}

    def _asking_now(self) -> threading.Thread | None:
        """Return the thread that asks the registry, a new one where it is time; None where what is known will do."""
        if self._asking is not None and self._asking.is_alive():
            return self._asking
        due = time.monotonic() - self._asked_at >= ASK_HISTORY_EVERY
        if not due or self._served.state is State.STALE:
            return None
        self._asked_at = time.monotonic()
        # A daemon: a registry that hangs must not keep the service from stopping.
        self._asking = threading.Thread(target=self._ask, name="history", daemon=True)
        self._asking.start()
        return self._asking

    def _ask(self) -> None:
        """Ask the registry; an answer that does not come leaves what is known, and `/live` says that it is stale."""
        try:
            found = self._news.history()
        except ProdpointerError:
            return
        self._events = [{**each.as_json(), "kind": each.kind, "state": each.state} for each in reversed(found)]
        self._known_at = time.monotonic()


@dataclass(frozen=True)
class Service:
    """What answers the requests: a model, where it came from, and its history where there is a registry."""

    name: str
    source: str
    served: Served
    history: History | None = None


@contextmanager
def serving(settings: Settings) -> Iterator[Service]:
    """Serve the live version, else the local pickle, else a model trained now, until the block ends."""
    if settings.use_registry:
        news = prodpointer.connect(settings.model, timeout=settings.timeout)
        with news.follow(every=settings.follow_every, warm_up=newsreco.check) as live:
            yield Service(settings.model, "registry", live, History(news, live))
    elif settings.pickle.is_file():
        bundle = cast("newsreco.Bundle", pickle.loads(settings.pickle.read_bytes()))  # noqa: S301  # the operator's own
        newsreco.check(bundle)
        yield Service(settings.model, f"file {settings.pickle.name}", Unchanging(bundle))
    else:
        bundle = newsreco.trained(newsreco.clicks_of(weeks=1))
        yield Service(settings.model, "trained at the start", Unchanging(bundle))


def service_of(request: Request) -> Service:
    """Return what the application serves from."""
    return cast("Service", request.app.state.service)


Asked = Annotated[Service, Depends(service_of)]
router = APIRouter()


@router.get("/", response_class=FileResponse)
def page() -> Path:
    """Show the live version, its age and its history to people."""
    return PAGE


# Endpoints that work or wait are plain functions: FastAPI runs them in threads, beside the event loop.
@router.get("/recommend/{user}")
def recommend(user: str, service: Asked, limit: Annotated[int, Query(ge=1, le=20)] = 5) -> dict[str, Any]:
    """Recommend articles to a user; one whom the model does not know gets the popular ones."""
    model, version = service.served.serving
    if model is None:
        raise HTTPException(503, detail="No model is live.")
    return {"user": user, "items": newsreco.recommended(model, user, limit), "version": version}


@router.get("/healthz")
async def healthz(service: Asked) -> dict[str, str]:
    """Say that the process is alive, whatever it serves: a restart would not help against any state."""
    return {"status": "alive", "state": service.served.state}


@router.get("/readyz")
async def readyz(service: Asked, response: Response) -> dict[str, Any]:
    """Say whether requests can be answered: also by a stale model, and by the last good one beside a broken version."""
    state, ready = service.served.state, service.served.model is not None
    response.status_code = 200 if ready and state is not State.NOT_READY else 503
    return {"ready": response.status_code == 200, "state": state}


@router.get("/statusz")
async def statusz(service: Asked, response: Response) -> dict[str, Any]:
    """Say for a monitor whether the live version is served; `/readyz` stays green while the version before is."""
    state = service.served.state
    response.status_code = 200 if state in (State.READY, State.STALE) else 503
    return {"state": state, "version": service.served.version}


@router.get("/live")
async def live(service: Asked) -> dict[str, Any]:
    """Say which version is served, in which state, and how many seconds ago the registry confirmed it."""
    served = service.served
    return {
        "name": service.name,
        "source": service.source,
        "version": served.version,
        "state": served.state,
        "age": served.age,
        "last_error": None if served.last_error is None else str(served.last_error),
    }


@router.get("/history")
def history(service: Asked) -> dict[str, Any]:
    """Return every move of the pointer, newest first, as last known; `age` is null where nothing is known yet."""
    return {"events": [], "age": None} if service.history is None else service.history.read()


def create_app() -> FastAPI:
    """Return the application; what it serves is opened when it starts and closed when it stops."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        stack = ExitStack()
        app.state.service = await asyncio.to_thread(stack.enter_context, serving(Settings.from_environment()))
        try:
            yield
        finally:
            await asyncio.to_thread(stack.close)

    app = FastAPI(title="News recommendations", lifespan=lifespan)
    app.include_router(router)
    return app

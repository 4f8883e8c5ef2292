"""The API, ``python -m uvicorn news_web:app``: the live bundle with ``NEWSRECO_USE_REGISTRY=1``, else a local file."""

from __future__ import annotations

import os
import pickle
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from news_flow import LOCAL, registry

served: dict[str, Any] = {}


def load() -> None:
    """Load the live bundle, or the local one where the registry is not used, is down or has nothing live."""
    bundle = registry.load_production() if os.environ.get("NEWSRECO_USE_REGISTRY") == "1" else None
    served["source"] = "file" if bundle is None else "registry"
    served["bundle"] = pickle.loads(LOCAL.read_bytes()) if bundle is None else bundle  # noqa: S301  # our own file


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Load before the first request."""
    load()
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/recommend")
def recommend() -> dict[str, Any]:
    """Return the ranked articles, and where they came from."""
    return {"items": served["bundle"]["ranker"], "source": served["source"]}

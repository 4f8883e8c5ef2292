"""Check the page of ``examples/news_api`` in a real browser, from the first promotion to a stopped service.

``python -m tests.examples.look [DIRECTORY]`` from the root of a checkout, in an environment with this package, MLflow,
FastAPI and uvicorn; ``nox -s page`` makes one. The page is opened once and stays open: whatever it shows later it
learned by itself. What it looked like goes to the directory. It ends with 1 where the page shows anything else.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path

from tests.examples.browser import BrowserFailed, Page, browsing, installed
from tests.examples.service import FOLLOW_EVERY, environment, publish_nonsense, run, running, train
from tests.servers import free_port, serve

MODEL = "news-recommender"
SIZES = {"wide": (1000, False), "dark": (1000, True), "narrow": (390, False), "narrow-dark": (390, True)}


class Looks:
    """The page, and what was seen of it."""

    def __init__(self, page: Page, directory: Path) -> None:
        """Have seen nothing yet."""
        self._page = page
        self._directory = directory

    def see(self, moment: str, *, moves: int, **expected: str) -> None:
        """Wait until the page shows what is expected and as many moves, photograph it and say so."""
        texts = self._page.shows(expected)
        shown = self._page.evaluate("document.querySelectorAll('#history tr').length")
        if shown != moves:
            raise BrowserFailed(f"{moment}: wanted {moves} moves in the history; the page shows {texts['history']!r}")
        if not self._page.evaluate("window.openedOnce === true"):
            raise BrowserFailed(f"{moment}: the page was loaded again")
        if self._page.errors:
            raise BrowserFailed(f"{moment}: the page's script failed: {self._page.errors}")
        for size, (width, dark) in SIZES.items():
            self._page.look(width=width, dark=dark)
            if self._page.evaluate("document.documentElement.scrollWidth") > width:
                raise BrowserFailed(f"{moment}: the page is wider than a window of {width} pixels")
            self._page.photograph(self._directory / f"{moment}-{size}.png")
        print(f"{moment}: version {texts['version']}, {texts['state']}, {texts['age']!r}, {moves} move(s)")


def look(directory: Path) -> None:
    """Run the whole scenario with an open page, and fail if the page does not follow."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="page-")))
        port = free_port()
        settings = environment(
            scratch,
            MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port}",
            NEWSRECO_USE_REGISTRY="1",
            NEWSRECO_FOLLOW_EVERY=FOLLOW_EVERY,
            NEWSRECO_MODEL=MODEL,
        )
        page = stack.enter_context(browsing())
        looks = Looks(page, directory)
        fresh = {"state": "READY", "age": "Confirmed ", "since": "Live for ", "items": "-"}
        with ExitStack() as until_it_stops:
            with registry(scratch, port):
                train(scratch, settings, "--reason", "the first one")
                service = until_it_stops.enter_context(running(scratch, settings))
                page.open(service.uri)
                page.evaluate("window.openedOnce = true")
                looks.see("promoted", moves=1, version="1", history="the first one", **fresh)
                train(scratch, settings, "--weeks", "2", "--reason", "more clicks")
                looks.see("promoted-again", moves=2, version="2", history="more clicks", **fresh)
            stale = {"state": "STALE", "age": "Confirmed ", "error": "127.0.0.1", "items": "-"}
            looks.see("registry-stopped", moves=2, version="2", **stale)
            with registry(scratch, port):
                looks.see("registry-back", moves=2, version="2", **fresh)
                publish_nonsense(scratch, settings)
                looks.see("broken", moves=3, version="2", state="ERROR", error="warm-up", history="nonsense", items="-")
                run([sys.executable, "-m", "prodpointer", "withdraw", MODEL], scratch, settings)
                nothing = {"state": "NOT READY", "history": "withdrawn", "unanswered": "No model"}
                looks.see("withdrawn", moves=4, version="none", **nothing)
        looks.see("service-stopped", moves=4, state="NO ANSWER")


@contextmanager
def registry(scratch: Path, port: int) -> Iterator[None]:
    """Run the MLflow server of this environment until the block ends; its database stays."""
    with serve(sys.executable, scratch / "registry", version=version("mlflow"), port=port):
        yield


def main() -> None:
    """Look, and say where the photographs are."""
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="news-page-"))
    directory.mkdir(parents=True, exist_ok=True)
    try:
        print(f"looking with {installed()}")
        look(directory)
    except BrowserFailed as failed:
        sys.exit(str(failed))
    print(f"photographs are in {directory}")


if __name__ == "__main__":
    main()

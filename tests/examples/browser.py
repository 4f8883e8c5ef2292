"""A headless Chromium, controlled over a pipe with its own protocol, without a driver.

Messages are JSON documents, each ended by a zero byte: the browser reads them from file descriptor 3 and answers on 4.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",  # it sees our own page only, and a container has no user namespaces
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--lang=en-GB",
)
# Moves the two ends to where the browser looks for them, by way of numbers that are neither, and becomes the browser.
MOVE_ENDS = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(each), fcntl.F_DUPFD_CLOEXEC, 10) for each in sys.argv[1:3]]
for end, place in zip(ends, (3, 4)):
    os.dup2(end, place)
os.execv(sys.argv[3], sys.argv[3:])
"""

PATIENCE = 30.0


class BrowserFailed(Exception):
    """The browser is not there, does not answer, or the page did not become what was expected."""


class Page:
    """One open page."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        """Talk to the browser's first page."""
        self._to = to_browser
        self._from = from_browser
        self._unread = b""
        self._last = 0
        self._session: str | None = None
        self.errors: list[str] = []
        target = self._tell("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._tell("Runtime.enable")
        self._tell("Page.enable")

    def close(self) -> None:
        """Close the pipes, which ends the browser."""
        os.close(self._to)
        os.close(self._from)

    def open(self, address: str) -> None:
        """Go to an address."""
        failed = self._tell("Page.navigate", url=address).get("errorText")
        if failed:
            raise BrowserFailed(f"{address}: {failed}")

    def evaluate(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        found = self._tell("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in found:
            raise BrowserFailed(f"{script}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def texts(self) -> dict[str, str]:
        """Return what a reader sees, by the id of its place: nothing that is hidden."""
        seen = "each.checkVisibility() ? each.innerText : ''"
        script = f"[...document.querySelectorAll('[id]')].map((each) => [each.id, {seen}])"
        return {name: str(text).strip() for name, text in self.evaluate(script)}

    def shows(self, expected: Mapping[str, str], within: float = 30.0) -> dict[str, str]:
        """Return the texts once each place named shows what is expected somewhere in its text."""
        deadline = time.monotonic() + within
        while True:
            texts = self.texts()
            if all(part in texts.get(name, "") for name, part in expected.items()):
                return texts
            if time.monotonic() > deadline:
                raise BrowserFailed(f"wanted {dict(expected)}; the page shows {texts}")
            time.sleep(0.1)

    def look(self, *, width: int = 1000, height: int = 820, dark: bool = False) -> None:
        """Show the page in a window of this size, in light or dark mode."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._tell("Emulation.setEmulatedMedia", features=[scheme])
        self._tell("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def photograph(self, file: Path) -> None:
        """Write the whole page as a PNG."""
        shot = self._tell("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    def _tell(self, method: str, **parameters: object) -> Any:
        """Send one message and return its result; what the browser says in between is errors of the page or nothing."""
        self._last += 1
        message: dict[str, object] = {"id": self._last, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(answer["params"]["exceptionDetails"]))
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise BrowserFailed(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def _read(self) -> Any:
        """Return the browser's next message."""
        while b"\0" not in self._unread:
            if not select.select([self._from], [], [], PATIENCE)[0]:
                raise BrowserFailed(f"the browser has said nothing for {PATIENCE:.0f} s")
            part = os.read(self._from, 1 << 16)
            if not part:
                raise BrowserFailed("the browser has ended")
            self._unread += part
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)


def installed() -> str:
    """Return the path of a browser, or say how to get one."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    raise BrowserFailed(f"no browser: none of {', '.join(NAMES)} is on PATH. On Debian: apt-get install -y chromium")


@contextmanager
def browsing() -> Iterator[Page]:
    """Run a browser of its own until the block ends and give its page."""
    browser = installed()
    ours, theirs = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as profile:
        ends = (str(ours[0]), str(theirs[1]))
        command = [browser, *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(
            [sys.executable, "-c", MOVE_ENDS, *ends, *command],
            pass_fds=(ours[0], theirs[1]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(ours[0])
        os.close(theirs[1])
        page = None
        try:
            page = Page(ours[1], theirs[0])
            yield page
        finally:
            if page is not None:
                page.close()
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

"""What is logged of a call whose task was cancelled."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from prodpointer._asynchronous import in_thread


def test_a_cancelled_write_that_fails_is_logged_without_credentials(caplog: pytest.LogCaptureFixture) -> None:
    """The error may come from any library; the loop never retrieves it."""
    caplog.set_level(logging.WARNING, "prodpointer")
    begun, cancelled = threading.Event(), threading.Event()

    def write() -> None:
        begun.set()
        cancelled.wait(5)
        raise ValueError("http://ada:s3cret@registry:5000 said no")

    async def cancel() -> None:
        task = asyncio.create_task(in_thread(write, writing="promote of 'news'"))
        assert await asyncio.to_thread(begun.wait, 5)
        task.cancel()
        await asyncio.sleep(0)
        cancelled.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert caplog.messages == ["promote of 'news' failed, and its task was cancelled: http://***@registry:5000 said no"]

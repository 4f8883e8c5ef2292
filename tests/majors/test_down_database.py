"""A database opened directly that is down: last-known-good is served, as with a server."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from mlflow import MlflowClient

import prodpointer
from prodpointer import LastKnownGoodWarning, RegistryUnavailable, State
from tests.postgres import postgres

TIMEOUT = 5.0


class Database:
    """A PostgreSQL that can be stopped, and comes back at the same address with what it held."""

    def __init__(self, directory: Path) -> None:
        """Start it and make a database."""
        self._directory = directory
        self._socket = directory / "socket"
        self._running = ExitStack()
        self.uri = self.start(new=True)

    def start(self, *, new: bool = False) -> str:
        """Start the server; its socket is where it was."""
        running = self._running.enter_context(postgres(self._directory / "data"))
        self._socket.unlink(missing_ok=True)
        self._socket.symlink_to(running.socket_directory)
        if new:
            running.create("mlflow")
        return f"postgresql+psycopg2://postgres:@/mlflow?host={self._socket}"

    def stop(self) -> None:
        """Stop the server."""
        self._running.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A PostgreSQL of the test's own."""
    made = Database(tmp_path)
    yield made
    made.stop()


def test_a_database_that_is_down_has_a_last_known_good(database: Database, tmp_path: Path, forgetful: None) -> None:
    """A process that connects while it is down loads and follows what was live, and goes on with it once it is back."""
    options = {"tracking_uri": database.uri, "timeout": TIMEOUT}
    news = prodpointer.connect("news", create_database=True, **options)  # type: ignore[arg-type]
    client = MlflowClient(database.uri)
    experiment = client.create_experiment("news", artifact_location=(tmp_path / "artifacts").as_uri())
    for number in (1, 2):
        run = client.create_run(experiment).info
        bundle = Path(run.artifact_uri.removeprefix("file://"), "bundle")
        bundle.mkdir(parents=True)
        (bundle / "newsreco.pkl").write_bytes(pickle.dumps({"ranker": number}))
        news.register(run.run_id, "bundle")
    news.promote(1)
    assert news.load_production() == {"ranker": 1}
    database.stop()
    began = time.monotonic()
    again = prodpointer.connect("news", **options)  # type: ignore[arg-type]
    with pytest.warns(LastKnownGoodWarning):
        assert again.load_production(on_unavailable="last-known-good") == {"ranker": 1}
    assert time.monotonic() - began < 2
    for verb in (again.status, again.load_production):
        with pytest.raises(RegistryUnavailable):
            verb()
    with pytest.raises(RegistryUnavailable):
        prodpointer.connect("another", **options)  # type: ignore[arg-type]
    with prodpointer.connect("news", **options).follow(0.3) as live:  # type: ignore[arg-type]
        assert live.wait_ready(5)
        assert (live.version, live.state) == (1, State.STALE)
        database.start()
        assert again.promote(2).to_version == 2
        deadline = time.monotonic() + 20
        while live.version != 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert (live.version, live.state) == (2, State.READY)

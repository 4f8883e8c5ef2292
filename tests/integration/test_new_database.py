"""Processes that open one new SQLite file at the same moment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from prodpointer.mlflow_client import schema_check
from prodpointer.mlflow_client.open import open_registry
from prodpointer.mlflow_client.schema_check import lock_databases
from tests.integration.conftest import Lab, quiet, revision_of

OPEN = """
import sys, warnings
warnings.simplefilter("ignore")
import mlflow.store.tracking.sqlalchemy_store, mlflow.store.model_registry.sqlalchemy_store
import prodpointer
print("ready", flush=True)
sys.stdin.readline()
try:
    prodpointer.connect("churn", tracking_uri=sys.argv[1])
except prodpointer.ProdpointerError as error:
    print(error)
else:
    print("open")
"""


def opened_at_once(file: Path) -> list[str]:
    """Open a new database in two processes at the same moment and return what each says."""
    command = [sys.executable, "-c", OPEN, f"sqlite:///{file}"]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return [process.communicate(timeout=120)[0].strip() for process in processes]


def test_two_processes_make_one_new_file(tmp_path: Path) -> None:
    """Each opens the registry, and nothing but the database is left in its directory."""
    file = tmp_path / "new.db"
    assert (opened_at_once(file), list(tmp_path.iterdir())) == (["open", "open"], [file])


def test_a_registry_beside_the_runs_is_made_when_it_is_opened(lab: Lab, tmp_path: Path) -> None:
    """The registry's own file has its schema while the lock is held, and not only after the first call."""
    file = tmp_path / "registry.db"
    with quiet():
        open_registry(lab.uri, f"sqlite:///{file}", timeout=10, create_database=None, upgrade_database=False)
    assert revision_of(file) == revision_of(lab.file)


@pytest.mark.skipif(os.name == "nt", reason="Windows locks no directory")
def test_a_directory_locked_for_other_reasons_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block runs after a while, though the lock is still held."""
    import fcntl

    monkeypatch.setattr(schema_check, "_LONGEST_MIGRATION", 0.1)
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with lock_databases([f"sqlite:///{tmp_path}/new.db"]):
            passed = True
    finally:
        os.close(handle)
    assert passed


def test_a_directory_that_is_not_there_is_no_reason_to_fail(tmp_path: Path) -> None:
    """Where nothing can be locked the block runs, and its own look says what is wrong."""
    with lock_databases([f"sqlite:///{tmp_path}/nowhere/new.db"]):
        passed = True
    assert passed

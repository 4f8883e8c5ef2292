"""Registering a large artifact computes its digest without loading it into memory."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

from mlflow import MlflowClient

from tests.servers import Server

SIZE = 1024**3  # bytes
MOST_GROWTH = 64 * 1024**2

SCRIPT = """
import os, sys, threading, time
import prodpointer

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

model = prodpointer.connect(sys.argv[1], tracking_uri=sys.argv[2])
model.register(sys.argv[3], "small")  # whatever is imported on the way is there now
before, most, done = resident(), [0], threading.Event()

def watch():
    while not done.wait(0.005):
        most[0] = max(most[0], resident())

watching = threading.Thread(target=watch)
watching.start()
version = model.register(sys.argv[3], "large")
done.set()
watching.join()
print(version, most[0] - before, model.version(version).sha256)
"""


def test_registering_a_gigabyte_takes_little_memory(
    server: Server, python_of: Callable[[str], Path], name: str
) -> None:
    """The digest of 1 GB is that of its bytes, and the process grows by less than 64 MB."""
    client = MlflowClient(server.uri)
    run_id = client.create_run(client.create_experiment(name)).info.run_id
    stored = server.directory / "artifacts" / client.get_run(run_id).info.experiment_id / run_id / "artifacts"
    for directory, size in (("small", 1), ("large", SIZE)):
        (stored / directory).mkdir(parents=True)
        with (stored / directory / "model.bin").open("wb") as file:
            file.truncate(size)
    command = [str(python_of(server.version)), "-c", SCRIPT, name, server.uri, run_id]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    zeros = hashlib.sha256()
    for _ in range(SIZE // 1024**2):
        zeros.update(bytes(1024**2))
    manifest = f"{zeros.hexdigest()}  model.bin\n"
    assert answer[0] == "2"
    assert answer[2] == hashlib.sha256(manifest.encode()).hexdigest()
    assert int(answer[1]) < MOST_GROWTH

"""A promoter that can be killed at any moment: each promotion runs in a child of this process."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import mlflow

import prodpointer

assert mlflow.__version__  # imported here once, so that a child begins with it


def promote(uri: str, name: str, pointer: str, version: int) -> None:
    """Promote, and end this child."""
    kind: Any = pointer
    code = 1
    try:
        prodpointer.connect(name, tracking_uri=uri, pointer=kind).promote(version)
        code = 0
    finally:
        os._exit(code)


def main() -> None:
    """For each task make a child, tell its number, let it go when told so, and tell what it ended with."""
    for line in sys.stdin:
        start, go = os.pipe()
        child = os.fork()
        if child == 0:
            os.read(start, 1)
            promote(*json.loads(line))
        print(child, flush=True)
        sys.stdin.readline()
        os.write(go, b"!")
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        os.close(start)
        os.close(go)


if __name__ == "__main__":
    main()

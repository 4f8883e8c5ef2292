"""Prove that the tests hold the promises of the documentation: each patch breaks one, and named tests must fail.

``python -m tests.mutations`` applies the patches of this directory one by one to a copy of ``src`` and runs the tests
that each one names. It ends with 1 where one of them passes on a broken copy, or fails on one that nothing broke.

A patch is what ``git diff src`` prints, below lines that say which promise it breaks and how::

    Promise: what the documentation promises
    Breaks: what the patch does
    Caught by: test_file.py::test_name, test_file.py::test_other_name
    Only: mlflow 3

A test may be in any file of that name below ``tests``. ``Only`` is for what not every MLflow shows: ``mlflow 2``,
``mlflow 3``, ``aliases``, ``before aliases``; of several, separated by commas, all have to hold.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mlflow.version import VERSION

from tests.mlflow_table import ROOT

HERE = Path(__file__).parent
TESTS = ROOT / "tests"
LONGEST = 600  # seconds that the tests of one patch may take: a broken promise may be one to end


class Failure(Exception):
    """A patch proves nothing as it stands."""


@dataclass(frozen=True)
class Patch:
    """One broken promise: a diff of ``src``, the tests that must notice it, and under which conditions they can."""

    file: Path
    tests: tuple[str, ...]
    only: tuple[str, ...]

    @property
    def nodes(self) -> list[str]:
        """The tests by the paths of their files."""
        return [node for test in self.tests for node in self._places(*test.split("::"))]

    def _places(self, name: str, function: str) -> list[str]:
        """Return where a test is now."""
        files = [file for file in TESTS.rglob(name) if f"def {function}(" in file.read_text(encoding="utf-8")]
        if not files:
            raise Failure(f"{self.file.name} names {name}::{function}, and there is no such test: name another one.")
        return [f"{file.relative_to(ROOT)}::{function}" for file in files]


def read(file: Path) -> Patch:
    """Return a patch as its header describes it."""
    header = file.read_text(encoding="utf-8").partition("\n--- ")[0]
    fields = dict(re.findall(r"^([A-Z][a-z ]+): (.+(?:\n +.+)*)", header, re.MULTILINE))
    if missing := {"Promise", "Breaks", "Caught by"} - set(fields):
        raise Failure(f"{file.name} does not say: {', '.join(sorted(missing))}.")
    tests, only = (tuple(re.split(r",\s*", fields[key])) if key in fields else () for key in ("Caught by", "Only"))
    return Patch(file, tests, only)


def conditions(version: str) -> set[str]:
    """Return the conditions that apply to a version of MLflow."""
    release = tuple(int(part) for part in version.split(".")[:2])
    return {f"mlflow {release[0]}", "before aliases" if release < (2, 3) else "aliases"}


def failed(nodes: Sequence[str], source: Path, longest: float | None = None) -> set[str]:
    """Run tests on a copy of the source and return the functions of those that fail.

    Each runs in the one combination of store and pointer in which most environments run it.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", "--combinations=one", *nodes]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=longest, check=False
    )
    found = {kind: set(re.findall(rf"^{kind} \S+?::(\w+)", done.stdout, re.MULTILINE)) for kind in ("FAILED", "ERROR")}
    if found["ERROR"] or done.returncode not in (0, 1):
        raise Failure(f"did not run: {', '.join(sorted(found['ERROR'])) or done.stdout[-2000:] + done.stderr[-2000:]}")
    return found["FAILED"]


def apply(patch: Patch, directory: Path) -> Path:
    """Return a copy of the source that a patch broke."""
    source = directory / "src"
    shutil.copytree(ROOT / "src", source)
    # The directory above is searched for no repository, where paths would be taken as paths below its root.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(directory.parent)}
    command = ["git", "apply", "-C1", str(patch.file)]
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(
            f"{patch.file.relative_to(ROOT)} does not apply any more: {done.stderr.strip()} To refresh it, break the "
            "promise in src again, replace the diff below its header by `git diff src`, and take the change back."
        )
    return source


def outcome(patch: Patch) -> str:
    """Return what is wrong with the tests of a patch, the empty text where each of them noticed it."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            caught_by = failed(patch.nodes, apply(patch, Path(scratch)), LONGEST)
        except Failure as failure:
            return str(failure)
        except subprocess.TimeoutExpired:
            return f"did not end in {LONGEST} s"
    passed = {test.partition("::")[2] for test in patch.tests} - caught_by
    return f"SURVIVES {', '.join(sorted(passed))}" if passed else ""


def problems(patches: Sequence[Patch], jobs: int) -> int:
    """Try each patch, print the result, and return the number of problems."""
    found = failed(sorted({node for patch in patches for node in patch.nodes}), ROOT / "src")
    if found:
        print(f"FAIL where nothing is broken: {', '.join(sorted(found))}", flush=True)
    count = len(found)
    with ThreadPoolExecutor(jobs) as pool:
        for patch, problem in zip(patches, pool.map(outcome, patches), strict=True):
            print(f"{patch.file.stem:<36} {problem or 'caught'}", flush=True)
            count += bool(problem)
    return count


def main() -> int:
    """Try the patches that the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations")
    parser.add_argument("words", nargs="*", default=[""], help="parts of the names of patches to try, by default all")
    parser.add_argument("--jobs", type=int, default=2, help="how many to try at a time")
    options = parser.parse_args()
    files = [file for file in sorted(HERE.glob("*.patch")) if any(word in file.stem for word in options.words)]
    try:
        patches = [patch for patch in map(read, files) if conditions(VERSION).issuperset(patch.only)]
        count = problems(patches, options.jobs)
    except Failure as failure:
        sys.exit(str(failure))
    print(f"MLflow {VERSION}: {len(patches)} patches, {count} problems")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())

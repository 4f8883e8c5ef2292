"""The steps of ``action.yml``, run with bash as on a runner, with a real registry."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.conftest import Command, Lab
from tests.mlflow_table import ROOT

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
EXPRESSION = re.compile(r"\$\{\{ (?P<path>[\w.-]+) \}\}")
BASH = ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail")
# Closes quotes, runs a command in each way a shell knows, and has lines that a runner or a file of outputs would obey.
HOSTILE = "--help'' \"\" ; touch pwned; $(touch pwned) `touch pwned`\ntouch pwned\n::error::pwned\npromoted=true"
# Importing MLflow in a new process takes seconds, so the programs ask the process of the tests, which has it.
PROGRAM = """\
import os, sys
from multiprocessing.connection import Client
with Client({address!r}, authkey=b"tests") as tests:
    tests.send((sys.argv[1:], os.environ.get("MLFLOW_TRACKING_URI", "")))
    code, out, err = tests.recv()
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""


@dataclass(frozen=True)
class Outcome:
    """How a use of the action ended: the exit code of its last step, what was printed, its outputs."""

    code: int
    printed: str
    outputs: dict[str, str]


@dataclass(frozen=True)
class Job:
    """A job that uses the action: its directory, the environment of its steps, the commands that prodpointer got."""

    directory: Path
    environment: dict[str, str]
    commands: list[list[str]] = field(default_factory=list)

    def use(self, **inputs: str) -> Outcome:
        """Run the steps in order until one fails, each with the inputs and the outputs of the steps before it."""
        known = {f"inputs.{name}": each.get("default", "") for name, each in ACTION["inputs"].items()}
        known |= {f"inputs.{name.replace('_', '-')}": value for name, value in inputs.items()}
        code, printed = 0, ""
        for step in ACTION["runs"]["steps"]:
            code, said, outputs = self._run(step, known)
            printed += said
            known |= {f"steps.{step.get('id')}.outputs.{name}": value for name, value in outputs.items()}
            if code:
                break
        return Outcome(code, printed, {name: _filled(each["value"], known) for name, each in ACTION["outputs"].items()})

    def _run(self, step: dict[str, Any], known: dict[str, str]) -> tuple[int, str, dict[str, str]]:
        """Run one step; return its exit code, what it printed and its outputs."""
        assert step["shell"] == "bash"
        script, output = self.directory.parent / "step.sh", self.directory.parent / "output"
        script.write_text(step["run"], encoding="utf-8")
        output.write_text("", encoding="utf-8")
        given = {name: _filled(value, known) for name, value in step["env"].items()}
        done = subprocess.run(
            [*BASH, str(script)],
            cwd=self.directory,
            env={**self.environment, **given, "GITHUB_OUTPUT": str(output)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
            timeout=60,
        )
        lines = output.read_text(encoding="utf-8").splitlines()
        return done.returncode, done.stdout, dict(line.split("=", 1) for line in lines)


def _filled(value: str, known: dict[str, str]) -> str:
    """Return a value of the action with its expressions filled in; what is unknown is empty, as on a runner."""
    return EXPRESSION.sub(lambda found: known.get(found["path"], ""), value)


@pytest.fixture
def job(tmp_path: Path, cli: Command, monkeypatch: pytest.MonkeyPatch) -> Iterator[Job]:
    """A job in an empty directory whose programs are this Python and this prodpointer."""
    programs, directory = tmp_path / "bin", tmp_path / "job"
    programs.mkdir()
    directory.mkdir()
    used = Job(directory, {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"})

    def answer(listener: Listener) -> None:
        while True:
            with listener.accept() as program:
                arguments, uri = program.recv()
                if not arguments:
                    return
                used.commands.append(arguments)
                monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
                answered = cli(*arguments)
                program.send((answered.exit_code, answered.out, answered.err))

    with Listener(authkey=b"tests") as listener:
        script = tmp_path / "ask.py"
        script.write_text(PROGRAM.format(address=listener.address), encoding="utf-8")
        _program(programs / "python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        _program(programs / "prodpointer", f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
        answering = threading.Thread(target=answer, args=(listener,))
        answering.start()
        yield used
        if answering.is_alive():
            with Client(listener.address, authkey=b"tests") as program:
                program.send(([], ""))
        answering.join()


def _program(place: Path, text: str) -> None:
    """Write a program."""
    place.write_text(text, encoding="utf-8")
    place.chmod(0o755)


def logged(lab: Lab, accuracy: float) -> str:
    """Log a run with a bundle and a metric; return its id."""
    run_id = lab.run({"bundle/model.bin": str(accuracy).encode()})
    lab.client.log_metric(run_id, "accuracy", accuracy)
    return run_id


def test_a_better_model_goes_live_and_a_worse_one_does_not(lab: Lab, job: Job, name: str) -> None:
    """The outputs and the record say what happened; a refused promotion fails the job only where it asks for that."""
    name, reason = f"--help '{name}' $(touch pwned)", "nightly: \"$(touch pwned)\" `touch pwned` it's 'better'"
    common = {"model": name, "artifact": "bundle", "gates": "accuracy >= 0.5\n\naccuracy >= production\n"}
    common["tracking_uri"] = lab.uri
    better = job.use(run_id=logged(lab, 0.9), reason=reason, **common)
    assert (better.code, better.outputs) == (0, {"version": "1", "promoted": "true"}), better.printed

    (job.directory / "run id").write_text(f"{logged(lab, 0.8)}\n", encoding="utf-8")
    worse = job.use(run_id_file="run id", **common)
    assert (worse.code, worse.outputs) == (0, {"version": "2", "promoted": "false"}), worse.printed
    strict = job.use(run_id_file="run id", fail_if_refused="true", **common)
    assert (strict.code, strict.outputs) == (3, {"version": "2", "promoted": "false"}), strict.printed

    model = lab.model(name)
    promoted = model.history()[0]
    assert (model.live_version(), promoted.to_version, promoted.reason, len(promoted.gates)) == (1, 1, reason, 2)
    assert not (job.directory / "pwned").exists()


@pytest.mark.parametrize("what", ["model", "run_id", "artifact", "gates", "prodpointer_version"])
def test_a_hostile_input_is_refused_and_not_run(lab: Lab, job: Job, name: str, what: str) -> None:
    """It reaches prodpointer or pip in one piece, which refuses it; nothing goes live, the runner gets no command."""
    job.environment["MLFLOW_TRACKING_URI"] = lab.uri
    inputs = {"model": name, "run_id": logged(lab, 0.9), "artifact": "bundle", "gates": "accuracy >= 0.5"}
    ended = job.use(**inputs | {what: HOSTILE})
    assert (ended.code != 0, ended.outputs["promoted"]) == (True, ""), ended.printed
    assert [line for line in ended.printed.splitlines() if line.startswith("::")] == []
    assert not (job.directory / "pwned").exists()
    if what == "gates":
        assert [each.removeprefix("--gate=") for each in job.commands[-1][1:5]] == HOSTILE.splitlines()
    elif what != "prodpointer_version":
        assert HOSTILE in job.commands[-1]


def test_the_tracking_uri_of_the_job_counts_where_none_is_given(lab: Lab, job: Job, name: str) -> None:
    """It is how MLflow itself is told."""
    job.environment["MLFLOW_TRACKING_URI"] = lab.uri
    ended = job.use(model=name, run_id=logged(lab, 0.9), artifact="bundle", gates="accuracy >= 0.5")
    assert (ended.code, ended.outputs) == (0, {"version": "1", "promoted": "true"}), ended.printed


@pytest.mark.parametrize("what", ["run_id", "gates"])
def test_an_input_that_is_missing_is_named(job: Job, name: str, what: str) -> None:
    """Without a run there is nothing to register; without a gate anything would go live."""
    inputs = {"model": name, "run_id": "0" * 32, "artifact": "bundle", "gates": "accuracy >= 0.5"}
    ended = job.use(**inputs | {what: " \n" if what == "gates" else ""})
    assert (ended.code, ended.outputs, job.commands) == (2, {"version": "", "promoted": ""}, [])
    assert f"'{what.replace('_', '-')}'" in ended.printed


def test_no_script_has_an_expression() -> None:
    """The runner would paste what an input contains into the script."""
    assert [step["name"] for step in ACTION["runs"]["steps"] if "${{" in step["run"]] == []

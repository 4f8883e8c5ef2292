"""What is said where MLflow cannot be imported, and where no registry is configured."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import prodpointer
from prodpointer import connect
from prodpointer.errors import RegistryUnsupported

WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == "mlflow":
            raise ModuleNotFoundError({text!r}, name={missing!r})

sys.meta_path.insert(0, Missing())
from prodpointer.cli.main import main
main(sys.argv[1:], prog_name="prodpointer")
"""


def run_without(missing: str, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process in which importing MLflow fails for lack of a module."""
    code = WITHOUT.format(text=f"No module named {missing!r}", missing=missing)
    environment = {**os.environ, "PYTHONPATH": str(Path(prodpointer.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=directory,
        env=environment,
    )


@pytest.mark.parametrize("command", ["demo", "doctor", "conformance"])
def test_what_to_install_is_said_in_one_line(command: str, tmp_path: Path) -> None:
    """MLflow that imports ``pkg_resources``, which newer setuptools lack, needs another setuptools."""
    done = run_without("pkg_resources", tmp_path, command)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "pip install 'setuptools<81'" in " ".join((done.stdout + done.stderr).split())


def test_a_missing_mlflow_is_to_be_installed(tmp_path: Path) -> None:
    """The module that is missing is the one to install."""
    done = run_without("mlflow", tmp_path, "--tracking-uri", "sqlite:///x.db", "status")
    assert (done.returncode, done.stdout, list(tmp_path.iterdir())) == (1, "", [])
    assert done.stderr == (
        "error: MLflow cannot be imported: ModuleNotFoundError: No module named 'mlflow'.\n"
        "  next:  Run: pip install mlflow.\n"
    )


def test_a_file_store_in_the_working_directory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory ``mlruns`` is there and is no registry: the error does not say that there is nothing."""
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RegistryUnsupported) as refused:
        connect("churn")
    assert "the directory mlruns here is a plain file store" in refused.value.what

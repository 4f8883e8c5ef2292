"""The cost of importing: no MLflow before it is needed, and immediate help."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points, version

import pytest

USAGE: tuple[list[str], ...] = ([], ["--help"], ["nonsense"], ["status", "--no-such-option"], ["migrate", "--help"])
HEAVY = ("mlflow", "sqlalchemy", "alembic", "sklearn", "numpy", "pandas", "requests", "rich")


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this Python with its default warnings."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def script(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command that the distribution installs, with the Python that it names."""
    (entry,) = (each for each in entry_points(group="console_scripts", name="prodpointer"))
    code = f"import sys; from {entry.module} import {entry.attr}; sys.argv[0] = 'prodpointer'; sys.exit({entry.attr}())"
    return python("-c", code, *arguments)


def loaded_after(code: str) -> set[str]:
    """Return the heavy packages that a fresh process has imported after some code, whether or not it ended there."""
    end = "import atexit, sys; atexit.register(lambda: print('\\n' + ' '.join(sys.modules), file=sys.stderr))"
    answer = python("-c", f"{end}\n{code}")
    modules = {name.partition(".")[0] for name in answer.stderr.splitlines()[-1].split()}
    assert "prodpointer" in modules
    return modules & set(HEAVY)


def test_importing_the_package_imports_nothing_heavy() -> None:
    """``import prodpointer`` leaves MLflow and all that comes with it alone."""
    assert loaded_after("import prodpointer") == set()


def test_the_plugin_imports_nothing_heavy() -> None:
    """Running pytest in an environment with prodpointer does not import MLflow."""
    assert loaded_after("import prodpointer.testing") == set()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["promote", "--help"], ["migrate"], ["nonsense"]], ids=" ".join
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    """Help, the version and wrong usage are answered without MLflow."""
    code = f"sys.argv = ['prodpointer', *{arguments!r}]; from prodpointer.cli.main import main; main()"
    assert loaded_after(code) == set()


def test_heavy_imports_are_detected() -> None:
    """The control: what the other tests look for is found where it is imported."""
    assert loaded_after("import prodpointer, rich") == {"rich"}


def test_help_imports_few_modules() -> None:
    """``--help`` imports fewer than 350 modules, about 0.2 s of work; time itself says more about the machine."""
    answer = python("-X", "importtime", "-m", "prodpointer", "--help")
    assert 100 < len([line for line in answer.stderr.splitlines() if line.startswith("import time:")]) < 350


def test_help_names_every_command() -> None:
    """Help lists the commands and the exit codes."""
    out = python("-m", "prodpointer", "--help").stdout
    commands = ("demo", "register", "promote", "withdraw", "status", "pull", "doctor")
    assert [command for command in commands if f"\n  {command} " not in out] == []
    assert "0 done, 1 failed, 2 wrong usage" in out


def test_the_version_is_that_of_the_distribution() -> None:
    """``--version`` says what is installed."""
    answer = python("-m", "prodpointer", "--version")
    assert answer.stdout.split()[-1] == version("prodpointer")


def test_the_package_knows_its_version() -> None:
    """``__version__`` is the distribution's."""
    assert python("-c", "import prodpointer; print(prodpointer.__version__)").stdout.strip() == version("prodpointer")


def test_importing_gives_no_warning() -> None:
    """``import prodpointer`` works with warnings as errors."""
    assert python("-W", "error", "-c", "import prodpointer").stderr == ""


@pytest.mark.parametrize("arguments", [*USAGE, ["--version"]], ids=" ".join)
def test_the_module_is_the_command(arguments: list[str]) -> None:
    """``python -m prodpointer`` prints what ``prodpointer`` prints, under that name, and ends with the same code."""
    module, command = python("-m", "prodpointer", *arguments), script(*arguments)
    assert (module.returncode, module.stdout, module.stderr) == (command.returncode, command.stdout, command.stderr)
    assert "__main__" not in module.stdout + module.stderr
    assert ("Usage: prodpointer " in module.stdout + module.stderr) == (arguments in USAGE)


def test_an_unknown_command_ends_with_two() -> None:
    """The process ends with the exit code of wrong usage."""
    assert python("-m", "prodpointer", "nonsense").returncode == 2

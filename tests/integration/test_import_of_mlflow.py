"""MLflow is imported only when needed, with ``python -m prodpointer`` as with the command."""

from __future__ import annotations

from tests.unit.test_import import loaded_after, python, script


def test_connecting_imports_mlflow() -> None:
    """What needs a registry imports MLflow."""
    assert "mlflow" in loaded_after("import prodpointer; prodpointer.connect('x', tracking_uri='file:///nowhere')")


def test_the_module_fails_as_the_command_does() -> None:
    """A command that finds no registry says the same and ends with the same code."""
    arguments = ("promote", "n", "x", "--tracking-uri", "file:///nowhere")
    module, command = python("-m", "prodpointer", *arguments), script(*arguments)
    assert (module.returncode, module.stdout, module.stderr) == (command.returncode, command.stdout, command.stderr)
    assert module.returncode == 1

"""A pytest plugin for projects that run on both MLflow majors; pytest loads it once prodpointer is installed.

Fixtures: ``embedded_registry``, ``mlflow_server``, ``start_mlflow_server``, ``live_model``, ``production_pointer`` and
``memory_pointer``. Markers: ``pointers`` and ``mlflow_servers``. Option: ``--mlflow-server VERSION``.
"""

from prodpointer.pointers.memory import MemoryPointer
from prodpointer.testing.environments import EnvironmentFailed
from prodpointer.testing.fixtures import (
    embedded_registry,
    empty_mlflow_database,
    live_model,
    memory_pointer,
    mlflow_server,
    production_pointer,
    start_mlflow_server,
)
from prodpointer.testing.fixtures import pytest_addoption as pytest_addoption
from prodpointer.testing.fixtures import pytest_configure as pytest_configure
from prodpointer.testing.fixtures import pytest_generate_tests as pytest_generate_tests
from prodpointer.testing.registries import ScratchRegistry
from prodpointer.testing.servers import ServerFailed

__all__ = [
    "EnvironmentFailed",
    "MemoryPointer",
    "ScratchRegistry",
    "ServerFailed",
    "embedded_registry",
    "empty_mlflow_database",
    "live_model",
    "memory_pointer",
    "mlflow_server",
    "production_pointer",
    "start_mlflow_server",
]

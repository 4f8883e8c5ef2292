"""The one place where MLflow's types and errors become ours: the other packages import from here alone.

MLflow is imported inside functions only, so that ``import prodpointer`` and ``prodpointer --help`` stay without it.
"""

from prodpointer.mlflow_client.artifact_store import ArtifactStore, disk_error, is_disk_full
from prodpointer.mlflow_client.capabilities import (
    Capabilities,
    ask_again_after,
    lists_nothing,
    probe_capabilities,
)
from prodpointer.mlflow_client.capabilities import forget as forget_capabilities
from prodpointer.mlflow_client.deadline import cut_off, cut_off_requests
from prodpointer.mlflow_client.installed import client_version
from prodpointer.mlflow_client.many_runs import read_runs
from prodpointer.mlflow_client.metrics import read_evidence
from prodpointer.mlflow_client.mlmodel import check_links, load_flavor
from prodpointer.mlflow_client.open import open_registry, reopen_registry
from prodpointer.mlflow_client.process_settings import local_artifacts_in, make_empty_database, set_aside
from prodpointer.mlflow_client.registry import Registry
from prodpointer.mlflow_client.rest import CONTROL_MODEL
from prodpointer.mlflow_client.run_logging import ScratchExperiment, log_directory
from prodpointer.mlflow_client.uris import Addresses, Place
from prodpointer.mlflow_client.worker import begin

__all__ = [
    "CONTROL_MODEL",
    "Addresses",
    "ArtifactStore",
    "Capabilities",
    "Place",
    "Registry",
    "ScratchExperiment",
    "ask_again_after",
    "begin",
    "check_links",
    "client_version",
    "cut_off",
    "cut_off_requests",
    "disk_error",
    "forget_capabilities",
    "is_disk_full",
    "lists_nothing",
    "load_flavor",
    "local_artifacts_in",
    "log_directory",
    "make_empty_database",
    "open_registry",
    "probe_capabilities",
    "read_evidence",
    "read_runs",
    "reopen_registry",
    "set_aside",
]

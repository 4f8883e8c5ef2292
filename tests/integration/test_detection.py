"""The capabilities of a registry, from its address and MLflow's own classes, without a request."""

from __future__ import annotations

import importlib
import importlib.util
import uuid
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.version import Version

import prodpointer
from prodpointer import InvalidName, RegistryUnsupported
from prodpointer.mlflow_client.capabilities import Capabilities, lists_nothing, probe_capabilities
from prodpointer.mlflow_client.converters import reply
from prodpointer.mlflow_client.registry import Registry
from prodpointer.mlflow_client.uris import Addresses
from tests.integration.conftest import HAS_ALIASES, MLFLOW, quiet

with quiet():
    from mlflow.store.model_registry.abstract_store import AbstractStore
    from mlflow.tracking._model_registry.utils import _get_store_registry

pytestmark = pytest.mark.usefixtures("forgetful")
READS_UNITY_CATALOG = Version("2.9") <= MLFLOW
CONVERSION = (
    "mlflow.utils._unity_catalog_utils"
    if importlib.util.find_spec("mlflow.utils._unity_catalog_utils")
    else "mlflow.store._unity_catalog.registry.utils"
)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of Databricks at all."""
    for variable in ("HOST", "TOKEN", "CONFIG_PROFILE", "CONFIG_FILE", "USERNAME", "PASSWORD"):
        monkeypatch.delenv(f"DATABRICKS_{variable}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))


def can(uri: str, tracking_uri: str = "databricks") -> Capabilities:
    """Return what a registry at this address can do."""
    with quiet():
        return probe_capabilities(Registry(Addresses(tracking_uri, uri, chosen=True), timeout=2))


def test_the_workspace_registry_has_stages_alone() -> None:
    """On the Databricks workspace registry a stage is the pointer, whichever the client."""
    found = can("databricks")
    assert (found.is_three, found.aliases, found.stages) == (False, False, True)


def test_unity_catalog_has_aliases_alone() -> None:
    """On Unity Catalog an alias is the pointer; a client that drops its aliases is refused and reads no None."""
    if READS_UNITY_CATALOG:
        found = can("databricks-uc")
        assert (found.is_three, found.aliases, found.stages) == (True, True, False)
    else:
        with pytest.raises(RegistryUnsupported, match=r"MLflow 2\.9 or later"):
            can("databricks-uc")


def test_clients_that_drop_the_aliases_of_unity_catalog_are_those_refused() -> None:
    """MLflow's entity for a Unity Catalog model has its aliases exactly with the clients that are not refused."""
    assert (aliases_of_unity_catalog() == {"production": 3}) is READS_UNITY_CATALOG


def aliases_of_unity_catalog() -> Mapping[str, int]:
    """Return what the installed client makes of a reply of Unity Catalog with one alias."""
    if importlib.util.find_spec("mlflow.store._unity_catalog") is None:  # 2.0.1 has never heard of it
        return {}
    with quiet():
        conversion = importlib.import_module(CONVERSION)
        messages = importlib.import_module("mlflow.protos.databricks_uc_registry_messages_pb2")
    message = messages.RegisteredModel(name="a.b.c")
    if HAS_ALIASES and hasattr(message, "aliases"):
        message.aliases.add(alias="production", version="3")
    return reply(conversion.registered_model_from_uc_proto(message)).aliases


@pytest.mark.parametrize("uri", ["databricks-uc", "databricks-uc://profile"])
@pytest.mark.parametrize("name", ["news", "schema.news", "a.b.", "a..c", "a.b.c.d"])
def test_a_name_in_unity_catalog_has_three_levels(uri: str, name: str) -> None:
    """A name that MLflow would complete by whatever session is open is no name."""
    with quiet(), pytest.raises(InvalidName, match=r"catalog\.schema\.model"):
        prodpointer.connect(name, tracking_uri="databricks", registry_uri=uri)


def test_a_name_of_three_levels_is_one() -> None:
    """The full name of a model connects, where the client can read Unity Catalog at all."""
    with quiet(), nullcontext() if READS_UNITY_CATALOG else pytest.raises(RegistryUnsupported):
        prodpointer.connect("main.prod.news", tracking_uri="databricks", registry_uri="databricks-uc")


def test_the_open_unity_catalog_holds_no_pointer() -> None:
    """MLflow's client for the open-source Unity Catalog implements neither pointer, which is said at once."""
    with pytest.raises(RegistryUnsupported, match=r"neither aliases nor stages|know 'uc'"):
        can("uc:http://127.0.0.1:9", "http://127.0.0.1:9")


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("uri", ["databricks", "databricks://profile", "databricks-uc", "databricks-uc://profile"])
def test_databricks_without_credentials_is_no_registry(uri: str) -> None:
    """An unconfigured Databricks is RegistryUnsupported with what to set, whatever that client raises."""
    step = "DATABRICKS_HOST" if READS_UNITY_CATALOG or "uc" not in uri else "2.9 or later"
    with quiet(), pytest.raises(RegistryUnsupported, match=step):
        prodpointer.connect("a.b.c", tracking_uri="databricks", registry_uri=uri).live_version()


class Homemade(AbstractStore):  # type: ignore[misc]
    """A plugin's store of its own kind, which has stages and no aliases."""

    def transition_model_version_stage(self, *_: object) -> None:
        """Move nothing."""


class Complete(Homemade):
    """A plugin's store that has aliases too."""

    def set_registered_model_alias(self, *_: object) -> None:
        """Set nothing."""


class Empty(AbstractStore):  # type: ignore[misc]
    """A plugin's store that has neither."""


def plugin(kind: type[AbstractStore]) -> str:
    """Make MLflow know a scheme of its own for this store, as an installed plugin does, and return an address of it."""
    scheme = f"plugin-{uuid.uuid4().hex}"
    _get_store_registry().register(scheme, lambda *_, **__: kind())
    return f"{scheme}://registry"


@pytest.mark.parametrize(
    ("kind", "aliases", "stages"), [(Homemade, False, True), (Complete, HAS_ALIASES, True), (Empty, False, False)]
)
def test_a_plugin_can_do_what_its_store_defines(kind: type[AbstractStore], aliases: bool, stages: bool) -> None:
    """A plugin has the pointers that its own class defines, and no alias where the client has none."""
    found = can(plugin(kind), "http://nobody")
    assert (found.aliases, found.stages) == (aliases, stages)
    assert found.is_three is (MLFLOW.major >= 3)


TWO = Capabilities(Version("2.20.4"), is_three=False, aliases=True, stages=True, how="")


@pytest.mark.parametrize(
    ("found", "silent"),
    [
        (TWO, True),
        (replace(TWO, version=Version("2.0.1")), True),
        (replace(TWO, version=Version("2.21")), False),
        (replace(TWO, version=Version("3.17.2"), is_three=True), False),
        (replace(TWO, version=None), True),
        (replace(TWO, version=None, is_three=True), False),
    ],
)
def test_which_pairs_list_nothing(found: Capabilities, silent: bool) -> None:
    """Clients from 2.21 on may list nothing on servers up to 2.20.4, and on those of MLflow 2 that do not say."""
    assert lists_nothing(found) is (silent and Version("2.21") <= MLFLOW)

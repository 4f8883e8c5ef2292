"""Warnings: which reads give which warning, how often, and at which line."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from packaging.version import Version

from prodpointer._warnings import forget, warn_about, warn_unverified
from prodpointer.errors import PointerDriftWarning, StageOnlyWarning, UnverifiedWarning
from prodpointer.mlflow_client.capabilities import Capabilities
from prodpointer.pointers.rule import Rule
from prodpointer.pointers.snapshot import ModelSnapshot
from prodpointer.types import ModelReply, ModelVersion
from tests.integration.conftest import HAS_ALIASES, IS_THREE, Lab

RULE = Rule("production", "Production", None, None)
THREE = Capabilities(Version("3.17.2"), is_three=True, aliases=True, stages=True, how="MLflow 3.17.2")
TWO = Capabilities(Version("2.22.5"), is_three=False, aliases=True, stages=True, how="MLflow 2.22.5")


def view(
    alias: int | None = None,
    stage: int | None = None,
    *,
    registry: Capabilities = THREE,
    requested: str = "auto",
    dangling: bool = False,
) -> ModelSnapshot:
    """Return what a registry says of a model."""
    newest: dict[str | None, ModelVersion] = {}
    if stage is not None:
        newest["Production"] = ModelVersion("news", stage, "Production", "READY", "", None, None, None)
    reply = ModelReply("news", {} if alias is None else {"production": alias}, newest, {})
    return ModelSnapshot(RULE, registry, reply, requested, "the default", "production", dangling)


def told(seen: ModelSnapshot, name: str, registry: str = "sqlite:///x.db") -> list[type[Warning]]:
    """Return the warnings that one reading gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_about(seen, registry, name)
    return [each.category for each in caught]


def test_a_stage_alone_on_three_is_told(name: str) -> None:
    """Who reads a stage on an MLflow 3 registry should know that the next promotion sets the alias too."""
    with pytest.warns(
        StageOnlyWarning, match=f"Version 2 of '{name}' is live by its stage Production alone.*alias 'production'"
    ):
        warn_about(view(stage=2), "sqlite:///x.db", name)


def test_a_stage_alone_is_told_once(name: str) -> None:
    """The second reading of the same model in the same process is silent."""
    assert [told(view(stage=2), name), told(view(stage=3), name)] == [[StageOnlyWarning], []]


def test_a_stage_alone_is_told_for_each_registry(name: str) -> None:
    """A model of the same name elsewhere is another model."""
    assert [told(view(stage=2), name, "http://one"), told(view(stage=2), name, "http://two")] == [
        [StageOnlyWarning]
    ] * 2


def test_a_stage_alone_is_told_again_after_forgetting(name: str) -> None:
    """What was told can be forgotten, for tests and for long sessions."""
    told(view(stage=2), name)
    forget()
    assert told(view(stage=2), name) == [StageOnlyWarning]


def test_a_stage_behind_a_dangling_alias_is_told(name: str) -> None:
    """An alias that names a deleted version counts as unset."""
    assert told(view(1, 2, dangling=True), name) == [StageOnlyWarning]


def test_drift_is_told(name: str) -> None:
    """Both pointers are named with their versions, and which of them counts."""
    with pytest.warns(
        PointerDriftWarning,
        match=f"'{name}' differ: the alias 'production' names version 2, the stage Production names version 3",
    ):
        warn_about(view(2, 3), "sqlite:///x.db", name)


@pytest.mark.parametrize("registry", [TWO, THREE], ids=["2", "3"])
def test_drift_is_told_each_time(name: str, registry: Capabilities) -> None:
    """Drift may come and go, so each reading tells it, on either major."""
    seen = view(2, 3, registry=registry)
    assert [told(seen, name), told(seen, name)] == [[PointerDriftWarning]] * 2


def test_drift_is_told_under_both(name: str) -> None:
    """Who asked for both pointers wants to know that they differ."""
    assert told(view(2, 3, requested="both"), name) == [PointerDriftWarning]


@pytest.mark.parametrize(
    "seen",
    [
        view(),
        view(alias=2),
        view(2, 2),
        view(stage=2, registry=TWO),
        view(2, 3, requested="alias"),
        view(2, 3, requested="stage"),
        view(stage=2, requested="stage"),
        view(stage=2, requested="both"),
        view(alias=2, dangling=True),
    ],
    ids=["nothing", "an alias", "agreement", "a stage on 2", "drift under alias", "drift under stage",
         "a stage under stage", "a stage under both", "a dangling alias"],
)  # fmt: skip
def test_what_is_normal_is_not_told(seen: ModelSnapshot, name: str) -> None:
    """A reader is warned of nothing that is as it should be, or as it was asked for."""
    assert told(seen, name) == []


def test_a_version_without_a_digest_is_told(name: str) -> None:
    """Nobody can say whether its bytes changed."""
    with pytest.warns(UnverifiedWarning, match=f"Version 3 of '{name}' has no recorded digest"):
        warn_unverified(name, 3)


def test_a_warning_points_at_the_caller(lab: Lab, name: str) -> None:
    """The line shown is the one that called the library, however deep inside it the reason is."""
    model = lab.model(name, 0)
    model.register(lab.run({"model.pkl": b"N."}), "model.pkl", digest=False)
    model.promote(1)
    with pytest.warns(UnverifiedWarning) as caught:
        assert model.load_production() is None
    assert [Path(each.filename).name for each in caught] == [Path(__file__).name]


def test_a_stage_that_plain_mlflow_set_is_told_on_three(lab: Lab, name: str) -> None:
    """Reading a stage-only model warns on an MLflow 3 registry and is normal on 2.x."""
    model = lab.model(name)
    lab.to_stage(name, 1, "Production")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert model.live_version() == 1
    assert [each.category for each in caught] == ([StageOnlyWarning] if IS_THREE else [])


def test_pointers_that_plain_mlflow_set_apart_are_told(lab: Lab, name: str) -> None:
    """Drift that others made is told where aliases exist; before 2.3 a database holds no alias."""
    model = lab.model(name, 2)
    lab.to_stage(name, 1, "Production")
    if HAS_ALIASES:
        lab.client.set_registered_model_alias(name, "production", "2")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        live = model.live_version()
    expected = ([PointerDriftWarning], 2) if HAS_ALIASES else ([], 1)
    assert ([each.category for each in caught], live) == expected


def test_a_program_can_be_run_with_warnings_as_errors(lab: Lab, name: str) -> None:
    """After MLflow's own import, promoting and reading warn of nothing, so warnings may be errors."""
    lab.model(name)
    script = (
        "import sys, warnings\n"
        "with warnings.catch_warnings():\n"
        "    warnings.simplefilter('ignore')\n"
        "    import mlflow, prodpointer\n"
        "    model = prodpointer.connect(sys.argv[2], tracking_uri=sys.argv[1])\n"
        "warnings.simplefilter('error')\n"
        "model.promote(1); print(model.load_production(), model.status().live); model.withdraw()\n"
    )
    answer = subprocess.run([sys.executable, "-c", script, lab.uri, name], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout.strip().splitlines()[-1:]) == (0, ["{'n': 1} 1"]), answer.stderr

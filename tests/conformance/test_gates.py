"""Gates at a promotion: a version that fails does not go live, and the result is in the history."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from prodpointer import Gate, GateFailed, InvalidName, RegisteredModel
from prodpointer.cli.main import main
from tests.conformance.conftest import Connect, Registry


@pytest.fixture
def scored(fresh: Connect, registry: Registry) -> RegisteredModel:
    """A model with versions whose runs logged an auc of 0.8, 0.9 and, for the third, none."""
    model = fresh()
    for auc in (0.8, 0.9, None):
        run_id = registry.run_with({"bundle/newsreco.pkl": f"auc {auc}".encode()})
        if auc is not None:
            registry.plain.log_metric(run_id, "auc", auc)
        model.register(run_id, "bundle")
    return model


def test_a_better_version_goes_live_with_its_gate_results(scored: RegisteredModel) -> None:
    """Gates that pass let the promotion through, and both numbers are in the event, also when it is read back."""
    scored.promote(1)
    move = scored.promote(2, gates=[Gate("auc", better_than_production_by=0.05), "auc >= 0.85"])
    assert scored.live_version() == 2
    assert scored.history()[-1] == move
    text = json.dumps(move.as_json()["gates"])
    assert ("0.9" in text, "0.8" in text) == (True, True)


@pytest.mark.parametrize(
    ("version", "gate"),
    [(1, "auc >= production"), (1, "auc >= 0.85"), (3, "auc >= 0.1"), (1, "loss <= 1")],
    ids=["worse", "too low", "missing", "another metric"],
)
def test_a_version_that_fails_a_gate_is_refused(scored: RegisteredModel, version: int, gate: str) -> None:
    """A gate that fails, or cannot be judged, refuses: nothing is moved, and the refusal is recorded."""
    scored.promote(2)
    before = scored.history()
    with pytest.raises(GateFailed) as refused:
        scored.promote(version, gates=[gate, "auc >= 0"])
    assert not refused.value.verdicts[0].passed
    assert len(refused.value.verdicts) == 2
    *moves, refusal = scored.history()
    assert (scored.live_version(), moves) == (2, before)
    assert (refusal.state, refusal.to_version, refusal.gates[0].passed) == ("refused", version, False)


def test_the_first_promotion_has_only_absolute_gates(scored: RegisteredModel) -> None:
    """With nothing live a comparison counts for nothing, and the event says so; a threshold still refuses."""
    with pytest.raises(GateFailed):
        scored.promote(1, gates=["auc >= 0.85", "auc >= production"])
    move = scored.promote(1, gates=["auc >= 0.5", "auc >= production + 0.1"])
    assert len(move.gates) == 2
    assert scored.live_version() == 1


def test_the_option_of_the_call_is_for_gates_that_compare(scored: RegisteredModel) -> None:
    """``across_datasets=True`` of a promotion asks nothing of a gate that compares nothing."""
    scored.promote(1)
    scored.promote(2, gates=["auc >= 0.85", "auc >= production"], across_datasets=True)
    assert scored.live_version() == 2


def test_an_empty_gate_is_refused(scored: RegisteredModel) -> None:
    """What is no gate is an error before anything is looked at."""
    with pytest.raises(InvalidName):
        scored.promote(1, gates=["auc is good"])
    assert scored.live_version() is None


def test_the_command_line_ends_with_3(scored: RegisteredModel, registry: Registry) -> None:
    """``promote --gate`` refuses with exit code 3 and says why; a gate that cannot be read is wrong usage."""
    command = ["--tracking-uri", registry.uri, "promote", scored.name, "1"]
    refused = CliRunner().invoke(main, [*command, "--gate", "auc >= 0.99"])
    assert (refused.exit_code, "0.99" in refused.output) == (3, True)
    assert CliRunner().invoke(main, [*command, "--gate", "auc is good"]).exit_code == 2
    passed = CliRunner().invoke(main, [*command, "--gate", "auc >= 0.8", "--json"])
    assert (passed.exit_code, json.loads(passed.stdout)["to_version"]) == (0, 1)

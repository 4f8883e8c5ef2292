"""``prodpointer conformance``: it passes on a good registry, finds a broken one, and leaves nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from prodpointer.cli.main import main
from prodpointer.diagnostics.conformance import Conformance, check_registry
from tests.conformance.conftest import HAS_ALIASES, HERE, RELEASE, STORES, Registry
from tests.conformance.test_doctor import wait_for
from tests.proxy import Answer, Hang, Proxy, on_path

# The check of a registry, which takes seconds, is shared.
pytestmark = pytest.mark.xdist_group("conformance")


@pytest.fixture(scope="module", params=STORES)
def tried(request: pytest.FixtureRequest) -> tuple[Registry, set[str], Conformance]:
    """A registry, the models it had before, and the results of the checks."""
    registry: Registry = request.getfixturevalue(request.param)
    before = registry.names()
    return registry, before, check_registry(tracking_uri=registry.uri)


def test_every_check_passes(tried: tuple[Registry, set[str], Conformance]) -> None:
    """On a registry of this MLflow every pointer works, or is refused by name where there are no aliases."""
    _, _, found = tried
    assert [finding for finding in found.findings if finding.outcome == "failed"] == []
    refused = {pointer for pointer, outcome in found.outcomes.items() if outcome == "refused"}
    assert refused == (set() if HAS_ALIASES else {"alias", "both"})
    assert all("PointerUnsupported" in finding.detail for finding in found.findings if finding.outcome == "refused")


def test_nothing_is_left_behind(tried: tuple[Registry, set[str], Conformance]) -> None:
    """The models are gone, and the experiment is deleted with its runs."""
    registry, before, found = tried
    assert found.left == ()
    assert registry.names() == before
    assert [each.name for each in registry.plain.search_experiments() if "conformance" in each.name] == []


def test_the_row_names_both_sides(tried: tuple[Registry, set[str], Conformance]) -> None:
    """The row for the page has the versions of client and registry and a sign for each pointer."""
    registry, _, found = tried
    told = HERE if RELEASE >= (2, 1, 0) or registry.uri.startswith("sqlite") else "unknown"
    assert found.row.startswith(f"| {HERE} | {told} | auto ✅ | alias {'✅' if HAS_ALIASES else '⛔'} |")


def test_a_registry_that_ignores_a_move_is_detected(between: Proxy) -> None:
    """A registry that answers a withdrawal with success and keeps the pointer fails the check of withdrawals."""
    between.when(on_path("transition-stage"), Answer(200, b'{"model_version": {}}'))
    found = check_registry(tracking_uri=between.uri, pointers=("stage",))
    assert found.failed
    broken = {finding.law for finding in found.findings if finding.outcome == "failed"}
    assert broken
    assert found.left == ()


def test_what_cannot_be_deleted_is_named(between: Proxy, served: Registry) -> None:
    """A registry that refuses to delete leaves models behind, and each is named."""
    between.when(on_path("registered-models/delete"), Answer(403, b"no", "text/plain"))
    before = served.names()
    found = check_registry(tracking_uri=between.uri, pointers=("stage",))
    left = served.names() - before
    assert left
    assert all(any(repr(name) in text for text in found.left) for name in left)
    for name in left:
        served.plain.delete_registered_model(name)


def test_the_command_fails_if_a_check_fails(between: Proxy) -> None:
    """A failed check is printed, and the exit code is 1; with ``--json`` standard output is one document."""
    between.when(on_path("transition-stage"), Answer(200, b'{"model_version": {}}'))
    arguments = ["--tracking-uri", between.uri, "--pointer", "stage", "conformance"]
    told = CliRunner().invoke(main, arguments)
    assert told.exit_code == 1
    assert "failed" in told.output
    assert json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)["pointers"] == {"stage": "failed"}


def test_an_interruption_leaves_nothing_behind(served: Registry, between: Proxy) -> None:
    """SIGTERM, as a scheduler sends it, deletes the models and the experiment."""
    before = served.names()
    between.when(on_path("/model-versions/set-tag"), Hang(60))
    command = [sys.executable, "-m", "prodpointer", "--tracking-uri", between.uri, "conformance"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_for(between, "/model-versions/set-tag")
        assert len(served.names()) == len(before) + 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 1
    assert served.names() == before

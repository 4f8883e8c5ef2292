"""``doctor`` with a server: versions, the chosen pointer and why, known problems, and permissions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from prodpointer.diagnostics.doctor import diagnose, screen
from prodpointer.mlflow_client.rest import Rest
from prodpointer.mlflow_client.uris import Addresses
from tests.conformance.conftest import HAS_ALIASES, IS_THREE, RELEASE, Connect, Registry
from tests.proxy import Answer, Drop, Hang, Proxy, on_path

HERE = ".".join(map(str, RELEASE))
TELLS = RELEASE >= (2, 1, 0)
SCRATCH = "prodpointer-doctor-"
OF_ALIASES = ["set an alias", "delete an alias"] if HAS_ALIASES else []
MOVES = ["tag a version", *OF_ALIASES, "move a stage"]


def scratch_models(served: Registry) -> set[str]:
    """Return the scratch models that are there."""
    return {name for name in served.names() if name.startswith(SCRATCH)}


def wait_for(between: Proxy, part: str) -> None:
    """Return once a request of that path has come."""
    deadline = time.monotonic() + 60
    while not any(part in path for _, path in between.requests):
        assert time.monotonic() < deadline, between.requests
        time.sleep(0.05)


def telling(between: Proxy, version: str | None) -> str:
    """Let the server tell another version, or none, and return the address."""
    answer = Answer(404, b"", "text/html") if version is None else Answer(200, version.encode(), "text/plain")
    between.when(on_path("/version"), answer)
    return between.uri


def test_a_server_of_the_clients_version_is_diagnosed(served: Registry, forgetful: None) -> None:
    """Both versions, the pointer of a new model and the reason; 2.0.1 has no call that tells its version."""
    found = diagnose(tracking_uri=served.uri, registry_uri=None)
    told = HERE if TELLS else None
    assert (found.client_version, found.registry_version, found.exit_code) == (HERE, told, 0)
    assert [each for each in found.problems if "cannot read names" not in each] == []
    assert found.pointer == ("alias" if IS_THREE else "stage")
    assert (HERE if TELLS else "does not tell") in found.reason


def test_the_known_issues_of_one_version_are_listed(served: Registry, forgetful: None) -> None:
    """Before 2.3 there are no aliases, before 2.1 there is no version to go by, and single files are a limit always."""
    notes = diagnose(tracking_uri=served.uri, registry_uri=None).notes
    limits = [each for each in notes if "cannot read names" not in each]  # of models that other tests made
    expected = [(not HAS_ALIASES, "has no aliases"), (not TELLS, "does not report"), (True, "a single file")]
    assert len(limits) == sum(there for there, _ in expected)
    assert [words for there, words in expected if any(words in limit for limit in limits)] == [
        words for there, words in expected if there
    ]


def test_a_server_without_aliases_is_reported(between: Proxy) -> None:
    """On a server of 2.2.2 stages are used, which is a warning; the alias asked for is a problem by name."""
    uri = telling(between, "2.2.2")
    assert any("no aliases" in note for note in diagnose(tracking_uri=uri, registry_uri=None).notes)
    asked = diagnose(tracking_uri=uri, registry_uri=None, pointer="alias")
    assert any("There are no aliases here" in problem for problem in asked.problems)


def test_the_known_issues_of_an_older_server_are_listed(between: Proxy) -> None:
    """MLflow 3 on 2: log_model and runs:/; the empty list of clients from 2.21 on; aliases by REST before 2.3."""
    found = diagnose(tracking_uri=telling(between, "2.9.2"), registry_uri=None)
    notes = " ".join(found.notes)
    assert ("log_model" in notes) == IS_THREE
    assert ("cannot download runs:/" in notes) == ((3, 0, 0) <= RELEASE < (3, 1, 3))
    assert ("search_registered_models" in notes) == (RELEASE >= (2, 21, 0))
    assert ("uses REST" in notes) == (not HAS_ALIASES)


def test_a_server_without_a_version_is_reported(between: Proxy) -> None:
    """Without a version the limits are not known, and doctor says that too."""
    found = diagnose(tracking_uri=telling(between, None), registry_uri=None)
    assert found.registry_version is None
    assert any("does not report its version" in note for note in found.notes)


def test_a_server_that_answers_only_its_version_is_detected(between: Proxy) -> None:
    """A refused Host header leaves /version open: doctor asks one question of the registry itself."""
    between.when(on_path("/api/"), Answer(403, b"Invalid Host header", "text/plain"))
    found = diagnose(tracking_uri=between.uri, registry_uri=None)
    assert (found.pointer, found.exit_code) == (None, 1)
    assert any("denied" in problem or "refuses access" in problem for problem in found.problems)


def test_an_unreachable_registry_is_a_finding(between: Proxy) -> None:
    """Nothing listens: the exit code is that of an unavailable registry, and nothing is raised."""
    uri = between.uri
    between.refuse()
    found = diagnose(tracking_uri=uri, registry_uri=None)
    assert (found.pointer, found.exit_code) == (None, 5)


def test_the_known_issues_of_an_older_client_are_listed(between: Proxy) -> None:
    """What MLflow 3 logged and registered as runs:/ is not where a client of MLflow 2 looks."""
    notes = " ".join(diagnose(tracking_uri=telling(between, "3.17.2"), registry_uri=None).notes)
    assert ("registered as runs:/" in notes) == (not IS_THREE)


def test_the_known_issue_of_single_files_is_listed(served: Registry, forgetful: None) -> None:
    """An empty directory from 3.9.0 on, an error before: the last warning says which."""
    told = diagnose(tracking_uri=served.uri, registry_uri=None).notes[-1]
    assert ("is an empty directory" in told, " fails" in told) == (RELEASE >= (3, 9, 0), RELEASE < (3, 9, 0))


def test_doctor_writes_nothing(between: Proxy) -> None:
    """Without ``--try`` every request is a question."""
    diagnose(tracking_uri=between.uri, registry_uri=None)
    assert {method for method, _ in between.requests} == {"GET"}


def test_a_server_without_logins_is_reported(served: Registry, forgetful: None) -> None:
    """A server that answers who gives no name is said to."""
    assert diagnose(tracking_uri=served.uri, registry_uri=None).rights[0].startswith("no login required; ")


@pytest.mark.parametrize(("status", "wanted"), [(302, True), (401, True), (403, True), (200, None), (500, None)])
def test_a_login_required_by_a_gateway_is_detected(between: Proxy, status: int, wanted: bool | None) -> None:
    """Who gives no credentials is refused or sent to a login page; any other answer says nothing of logins."""
    between.when(on_path("/registered-models/get"), Answer(status, b"a page", "text/html"))
    assert Rest(Addresses(between.uri, between.uri, True), timeout=5).wants_login() is wanted


def test_the_login_probe_sends_no_credentials(served: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what the environment holds nor what stands in the address is sent."""
    seen: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization"))
            self.send_error(401)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cr3t")
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        uri = f"http://me:s3cr3t@127.0.0.1:{server.server_port}"
        assert Rest(Addresses(uri, uri, True), timeout=5).wants_login() is True
        server.shutdown()
    assert seen == [None]


def test_a_refused_list_is_reported(between: Proxy) -> None:
    """A registry that answers and does not list its models can be used, by names."""
    between.when(on_path("/registered-models/search"), Answer(403, b"not for you", "text/plain"))
    found = diagnose(tracking_uri=between.uri, registry_uri=None)
    assert (found.exit_code, "models cannot be listed" in found.rights[0]) == (0, True)
    assert any("cannot be listed (HTTP 403: not for you)" in problem for problem in found.problems)


def test_trying_leaves_nothing_behind(served: Registry, forgetful: None) -> None:
    """Every move is tried on a scratch model, and afterwards there is none."""
    found = diagnose(tracking_uri=served.uri, registry_uri=None, trying=True)
    done = ", ".join(["create a model", "create a version", *MOVES, "delete a model"])
    assert f"on a scratch model, yes: {done}" in found.rights
    assert (found.exit_code, scratch_models(served)) == (0, set())


def test_unsupported_moves_are_not_tried(between: Proxy) -> None:
    """On a server without aliases none is set, and doctor says so."""
    found = diagnose(tracking_uri=telling(between, "2.2.2"), registry_uri=None, trying=True)
    assert "on a scratch model, not tried (not supported): set an alias, delete an alias" in found.rights
    assert not any(path.endswith("/registered-models/alias") for _, path in between.requests)


def test_a_missing_permission_is_a_problem(served: Registry, between: Proxy) -> None:
    """A refusal is told with the server's words and with what fails without that right."""
    between.when(on_path("/model-versions/set-tag"), Answer(403, b"not for you", "text/plain"))
    found = diagnose(tracking_uri=between.uri, registry_uri=None, trying=True)
    assert "on a scratch model, no (HTTP 403: not for you): tag a version" in found.rights
    assert "You may not tag a version (on a scratch model): promote, rollback and withdraw fail" in found.problems[0]
    assert (found.exit_code, scratch_models(served)) == (0, set())


def test_without_permission_to_create_models_nothing_else_is_tried(served: Registry, between: Proxy) -> None:
    """A refused scratch model ends the trial, and nothing has to be removed."""
    between.when(on_path("/registered-models/create"), Answer(403, b"not for you", "text/plain"))
    found = diagnose(tracking_uri=between.uri, registry_uri=None, trying=True)
    assert "on a scratch model, no (HTTP 403: not for you): create a model" in found.rights
    assert any("not tried (no scratch model)" in right for right in found.rights)
    assert not any("delete" in path for _, path in between.requests)


@pytest.mark.parametrize("at", ["/registered-models/create", "/model-versions/create", "/transition-stage"])
def test_a_failed_trial_leaves_nothing_behind(served: Registry, between: Proxy, at: str) -> None:
    """A connection lost on the way, the request done or not, ends the trial with 5 and without a scratch model."""
    between.when(on_path(at), Drop(delivered=True))
    found = diagnose(tracking_uri=between.uri, registry_uri=None, trying=True)
    assert (found.exit_code, scratch_models(served)) == (5, set())
    assert any("no connection" in problem for problem in found.problems)


def test_a_scratch_model_that_cannot_be_deleted_is_named(served: Registry, between: Proxy) -> None:
    """What is left is named, with the command that removes it, and the exit code is 1."""
    between.when(on_path("/registered-models/delete"), Answer(403, b"not for you", "text/plain"))
    found = diagnose(tracking_uri=between.uri, registry_uri=None, trying=True)
    (left,) = scratch_models(served)
    assert found.exit_code == 1
    assert f"scratch model {left} could not be deleted (HTTP 403: not for you)" in found.problems[0]
    command = found.next_step.partition(": ")[2]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": served.uri, "PATH": str(Path(sys.executable).parent)}
    subprocess.run(["/bin/sh", "-c", command], check=True, env=environment, capture_output=True)
    assert scratch_models(served) == set()


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_trial_leaves_nothing_behind(served: Registry, between: Proxy, by: signal.Signals) -> None:
    """Ctrl-C, or the end that a scheduler makes of a job, removes the scratch model on the way out."""
    between.when(on_path("/model-versions/set-tag"), Hang(60))
    command = [sys.executable, "-m", "prodpointer", "--tracking-uri", between.uri, "doctor", "--try"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_for(between, "/model-versions/set-tag")
        assert len(scratch_models(served)) == 1
        process.send_signal(by)
        assert process.wait(30) == 1
    assert scratch_models(served) == set()


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_trial_that_cannot_clean_up_says_so(served: Registry, between: Proxy) -> None:
    """What an interruption leaves is named on standard error."""
    between.when(on_path("/model-versions/set-tag"), Hang(60))
    between.when(on_path("/registered-models/delete"), Answer(403, b"not for you", "text/plain"))
    command = [sys.executable, "-m", "prodpointer", "--tracking-uri", between.uri, "doctor", "--try"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for(between, "/model-versions/set-tag")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    (left,) = scratch_models(served)
    served.plain.delete_registered_model(left)
    assert process.returncode == 1
    assert f"scratch model {left} could not be deleted" in said


def test_checking_a_model_changes_nothing(fresh: Connect, registry: Registry) -> None:
    """Every move is asked of a model that is live, and it is as it was; the registry has every right to tell of."""
    model = fresh(2)
    model.promote(2)
    before = registry.picture(model.name)
    found = diagnose(tracking_uri=registry.uri, registry_uri=None, model=model.name)
    assert f"on '{model.name}', yes: {', '.join(['read', *MOVES])}" in found.rights
    assert registry.picture(model.name) == before


def test_a_missing_model_is_not_checked(between: Proxy) -> None:
    """A name that is not there is told as such, and no move is asked of it."""
    found = diagnose(tracking_uri=between.uri, registry_uri=None, model="nowhere-to-be-found")
    assert any("The registered model 'nowhere-to-be-found' does not exist." in right for right in found.rights)
    assert any("not tried (it cannot be read): tag a version" in right for right in found.rights)
    assert found.exit_code == 2
    assert {method for method, _ in between.requests} == {"GET"}


@pytest.mark.parametrize("trying", [False, True])
def test_everything_fits_on_one_screen(served: Registry, between: Proxy, trying: bool) -> None:
    """24 lines of 100 columns hold the worst pair with every right refused; what does not fit is counted."""
    for path in (
        "/registered-models/alias",
        "/model-versions/",
        "/registered-models/search",
        "/registered-models/delete",
    ):
        between.when(on_path(path), Answer(403, b"not for you, whoever you may be", "text/plain"))
    found = diagnose(tracking_uri=telling(between, "2.9.2"), registry_uri=None, trying=trying, model="a" * 90)
    for left in scratch_models(served):
        served.plain.delete_registered_model(left)
    lines = screen(found)
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100
    assert lines[-1].startswith((" ", "next"))

"""What ``doctor`` tells: what there is, what was chosen and why, and an unusable registry as a finding."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import mlflow
import pytest

from prodpointer.diagnosis import diagnose
from prodpointer.errors import InvalidName
from tests.unit.conftest import HAS_ALIASES, NEW_POINTER, Lab

SECRET = "s3cr3t"


def test_a_usable_registry_is_no_problem(lab: Lab) -> None:
    """A database of the installed MLflow has no limits and ends with 0."""
    found = diagnose(tracking_uri=lab.uri, registry_uri=None)
    assert (found.problems, found.exit_code) == ((), 0)


def test_both_versions_are_told(lab: Lab) -> None:
    """Where the client opens the database itself, its version is the registry's too."""
    found = diagnose(tracking_uri=lab.uri, registry_uri=None)
    assert (found.client_version, found.registry_version) == (mlflow.__version__, mlflow.__version__)


def test_the_pointer_of_a_new_model_is_told(lab: Lab) -> None:
    """What ``auto`` gives a new model here, and why."""
    found = diagnose(tracking_uri=lab.uri, registry_uri=None)
    assert found.pointer == NEW_POINTER
    assert f"client's version {mlflow.__version__} decides" in found.reason


@pytest.mark.parametrize("pointer", ["stage", "alias", "both"])
def test_an_override_is_told(lab: Lab, pointer: str) -> None:
    """An override is what would be used, and the reason names it."""
    found = diagnose(tracking_uri=lab.uri, registry_uri=None, pointer=pointer)
    assert (found.pointer, found.reason) == (pointer, f"the argument pointer= says {pointer}")


@pytest.mark.parametrize(("pointer", "alias"), [("alias", "production"), ("both", "production"), ("auto", "champion")])
def test_a_pointer_that_cannot_be_held_is_a_problem(lab: Lab, pointer: str, alias: str) -> None:
    """Aliases asked for where there are none are a finding; from 2.3 on they are there."""
    found = diagnose(tracking_uri=lab.uri, registry_uri=None, pointer=pointer, alias=alias)
    assert [problem.split(":")[0] for problem in found.problems] == (
        [] if HAS_ALIASES else ["There are no aliases here"]
    )


def test_an_override_in_the_environment_is_told(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names the variable."""
    monkeypatch.setenv("PRODPOINTER_POINTER", "stage")
    assert "PRODPOINTER_POINTER says stage" in diagnose(tracking_uri=lab.uri, registry_uri=None).reason


def test_an_unknown_override_is_refused(lab: Lab) -> None:
    """A pointer that is none is wrong usage, not a finding."""
    with pytest.raises(InvalidName):
        diagnose(tracking_uri=lab.uri, registry_uri=None, pointer="champion")


def test_a_registry_out_of_reach_is_a_finding(closed_port: int) -> None:
    """No server ends with 5, and the one problem says why."""
    found = diagnose(tracking_uri=f"http://127.0.0.1:{closed_port}", registry_uri=None)
    assert (found.exit_code, found.pointer, found.registry_version, len(found.problems)) == (5, None, None, 1)
    assert "no connection" in found.problems[0]


def test_a_missing_database_is_a_finding_and_is_not_made(tmp_path: Path) -> None:
    """Looking for problems makes no database."""
    found = diagnose(tracking_uri=f"sqlite:///{tmp_path.as_posix()}/new.db", registry_uri=None)
    assert (found.exit_code, list(tmp_path.iterdir())) == (1, [])


def test_a_file_store_is_a_finding(tmp_path: Path) -> None:
    """A plain file store is named as what it is."""
    found = diagnose(tracking_uri=tmp_path.as_uri(), registry_uri=None)
    assert (found.exit_code, "plain file store" in found.problems[0]) == (1, True)


def test_nothing_configured_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a setting the problem names the variable to set."""
    monkeypatch.chdir(tmp_path)
    found = diagnose(tracking_uri=None, registry_uri=None)
    assert (found.exit_code, "MLFLOW_TRACKING_URI" in found.problems[0]) == (1, True)


def test_a_credential_is_not_told(closed_port: int) -> None:
    """Neither the registry shown nor the problem has the password."""
    found = diagnose(tracking_uri=f"http://me:{SECRET}@127.0.0.1:{closed_port}", registry_uri=None)
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<html>Welcome</html>", "not a model registry"),
        (404, b"<html>Not Found</html>", "not a model registry"),
        (404, b'{"detail": "Not Found"}', "not a model registry"),
        (200, b'"1.2.3"', "not a model registry"),
        (200, b"1.2.3", "asked for|Could not|not a model registry"),
        (403, b"no", "refuses"),
        (401, b"no", "refuses"),
    ],
)
def test_a_web_server_that_is_no_registry_is_a_finding(status: int, body: bytes, words: str) -> None:
    """Whatever another server answers, it is not taken for an old registry."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        found = diagnose(tracking_uri=f"http://127.0.0.1:{server.server_port}", registry_uri=None)
        server.shutdown()
    assert (found.exit_code, found.pointer) == (1, None)
    assert any(word in found.problems[0] for word in words.split("|"))

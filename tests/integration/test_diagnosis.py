"""``doctor``: versions, the chosen pointer and why, an unusable registry as a finding, and one screen."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import mlflow
import pytest
from packaging.version import Version

from prodpointer.diagnostics.doctor import diagnose, screen
from prodpointer.diagnostics.known_issues import limits, unreadable
from prodpointer.errors import InvalidName
from prodpointer.mlflow_client.capabilities import probe_capabilities
from prodpointer.mlflow_client.open import open_registry
from prodpointer.types import Diagnosis
from tests.integration.conftest import HAS_ALIASES, MLFLOW, NEW_POINTER, Lab

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


def test_an_unreachable_registry_is_a_finding(closed_port: int) -> None:
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
        (200, b"1.2.3", "asked for|Could not|not a model registry|not a JSON object"),
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


def test_a_database_knows_no_rights(lab: Lab) -> None:
    """A database opened directly has no permissions, and doctor says so."""
    assert "has no permissions" in diagnose(tracking_uri=lab.uri, registry_uri=None).rights[0]


def test_trying_on_a_database_leaves_it_as_it_was(lab: Lab) -> None:
    """Every move that the installed MLflow has is tried, and the scratch model is gone."""
    before = names(lab)
    found = diagnose(tracking_uri=lab.uri, registry_uri=None, trying=True)
    aliases = "set an alias, delete an alias, " if HAS_ALIASES else ""
    tried = f"create a model, create a version, tag a version, {aliases}move a stage, delete a model"
    assert (found.rights[1], found.problems) == (f"on a scratch model, yes: {tried}", ())
    assert names(lab) == before


def names(lab: Lab) -> set[str]:
    """Return the names of all registered models."""
    return {model.name for model in lab.client.search_registered_models(max_results=1000)}


def test_a_model_that_is_no_name_is_refused(lab: Lab) -> None:
    """A blank name is wrong usage, not a finding."""
    with pytest.raises(InvalidName):
        diagnose(tracking_uri=lab.uri, registry_uri=None, model=" ")


def test_a_database_of_another_mlflow_is_told_with_the_next_step(tmp_path: Path) -> None:
    """A schema that the installed MLflow does not know is named, with what to use instead; the file is not touched."""
    file = tmp_path / "other.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('from_tomorrow')")
        connection.commit()
    before = file.read_bytes()
    found = diagnose(tracking_uri=f"sqlite:///{file.as_posix()}", registry_uri=None)
    assert (found.exit_code, "from_tomorrow" in found.problems[0], "its server's address" in found.next_step) == (
        1,
        True,
        True,
    )
    assert file.read_bytes() == before


@pytest.mark.parametrize("refused", ["team/news", "news:2", "   "])
def test_names_that_newer_mlflow_refuses_are_reported(lab: Lab, refused: str) -> None:
    """A problem where this MLflow does not read the model by its name, a warning before an upgrade to 3.11.1."""
    found = probe_capabilities(open_registry(lab.uri, None, timeout=5, create_database=False, upgrade_database=False))
    registry = open_registry(lab.uri, None, timeout=5, create_database=False, upgrade_database=False)
    problems, notes = unreadable(found, ["news", refused]), limits(registry, found, ["news", refused])
    (text,) = problems + notes
    assert repr(refused) in text
    assert (problems != (), text.startswith("This MLflow cannot")) == (Version("3.11.1") <= MLFLOW,) * 2


def test_names_that_every_mlflow_reads_are_no_problem(lab: Lab) -> None:
    """Dots, spaces inside and other alphabets are no limit."""
    registry = open_registry(lab.uri, None, timeout=5, create_database=False, upgrade_database=False)
    assert limits(registry, probe_capabilities(registry), ["news.de", "my news", "n\u00fcws"]) == ()


def test_the_screen_says_the_next_step_once(closed_port: int) -> None:
    """The step of a failure stands in the line of its own, and not in the problem as well."""
    found = diagnose(tracking_uri=f"http://127.0.0.1:{closed_port}", registry_uri=None)
    text = " ".join(" ".join(screen(found)).split())
    assert (text.count(found.next_step), " ".join(found.problems).count(found.next_step)) == (1, 1)


def test_every_line_of_the_screen_says_what_it_is(lab: Lab) -> None:
    """Each entry has its state and its label, and text that goes on is indented below it."""
    lines = screen(diagnose(tracking_uri=lab.uri, registry_uri=None))
    entries = [(line[:10].split(), line[11:29].strip()) for line in lines if line[:29].strip()]
    ok = ["\u2713", "ok"]
    labels = ["registry", "client version", "registry version", "pointer", "permission"]
    assert entries == [*((ok, label) for label in labels), ([], "next")]


def test_problems_and_warnings_are_told_apart() -> None:
    """A symbol for eyes and a word for readers without it."""
    found = Diagnosis("x", "3.0", None, "alias", "none", ("broken",), notes=("odd",))
    assert [line for line in screen(found) if not line.startswith("\u2713")] == [
        "! warning  registry version  unknown",
        "\u2717 problem  broken",
        "! warning  odd",
    ]
    assert [line for line in screen(found, symbols=False) if not line.startswith("ok")] == [
        "warning  registry version  unknown",
        "problem  broken",
        "warning  odd",
    ]


@pytest.mark.parametrize(
    ("right", "symbol"),
    [("on 'm', yes: read", "\u2713"), ("on 'm', no (HTTP 403): read", "\u2717"), ("on 'm', not tried (x): read", "!")],
)
def test_a_permission_has_a_state(right: str, symbol: str) -> None:
    """What is refused is a problem, what is unknown a warning."""
    shown = screen(Diagnosis("x", "3.0", "3.0", "alias", "none", (), rights=(right,)))
    assert [line[0] for line in shown if "permission" in line] == [symbol]


def test_a_missing_model_ends_with_2(lab: Lab) -> None:
    """The name is wrong usage; the next step lists those that exist."""
    found = diagnose(tracking_uri=lab.uri, registry_uri=None, model="no-such-model")
    assert (found.exit_code, "'no-such-model' does not exist" in found.problems[0]) == (2, True)
    assert "prodpointer status" in found.next_step


def test_a_long_word_is_cut_to_the_screen() -> None:
    """An address without a blank in it goes on in the next line."""
    found = Diagnosis("x" * 250, "3.0", None, None, "none", ("y" * 250,), next_step="z" * 250)
    assert max(map(len, screen(found))) == 100

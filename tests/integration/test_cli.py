"""The command line with a real registry: every command, its JSON keys, its exit codes, and one line per error."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pickle
import pty
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import mlflow
import pytest

import prodpointer
from prodpointer._identity import acting_user
from prodpointer.cli import main as command_line
from tests.integration.conftest import HAS_ALIASES, IS_THREE, NEW_POINTER, Answer, Command, Lab, quiet

MOVE_KEYS = {"name", "from_version", "to_version", "pointers", "event", "at", "by", "reason", "gates"}
MOVE_KEYS |= {"kind", "state", "alias", "workspace", "sha256", "migration", "source"}
STATUS_KEYS = {"name", "live", "alias", "stage", "agreed", "pointer", "last_event"}
STATUS_KEYS |= {"mismatch", "dangling", "in_stage", "mended", "workspace"}
SECRET = "s3cr3t"


@pytest.fixture
def at(cli: Command, lab: Lab) -> Command:
    """Return a function that runs a command on the session's registry."""

    def run(*arguments: object) -> Answer:
        return cli("--tracking-uri", lab.uri, *arguments)

    return run


def the_error(answer: Answer) -> str:
    """Return the error that a command ended with: the fact, then where and what next; nothing on standard output."""
    assert answer.out == ""
    first, *rest = answer.err.splitlines()
    assert first.startswith("error: ")
    assert [line[:9].rstrip() for line in rest] == ["  where:", "  next:"][-len(rest) :] * bool(rest)
    return answer.err


def apart(lab: Lab, name: str) -> None:
    """Make the two pointers of a model with two versions disagree, as plain MLflow does."""
    lab.to_stage(name, 1, "Production")
    if HAS_ALIASES:
        lab.client.set_registered_model_alias(name, "production", "2")
    else:
        lab.to_stage(name, 2, "Production")


def test_register_prints_the_version(at: Command, lab: Lab, name: str) -> None:
    """A new version is printed with its number and digest."""
    answer = at("register", name, lab.run({"model.pkl": b"bytes"}), "model.pkl")
    assert answer.exit_code == 0
    assert answer.out == f"{name}: registered version 1, SHA-256 {hashlib.sha256(b'bytes').hexdigest()}\n"


def test_register_prints_json(at: Command, lab: Lab, name: str) -> None:
    """With ``--json`` it is name, version and digest."""
    answer = at("register", name, lab.run({"model.pkl": b"bytes"}), "model.pkl", "--json")
    digest = hashlib.sha256(b"bytes").hexdigest()
    assert answer.document == {"name": name, "version": 1, "sha256": digest, "reused": False}


def test_register_takes_tags(at: Command, lab: Lab, name: str) -> None:
    """Each ``--tag`` is a tag of the version; its value may hold an equals sign or nothing."""
    at("register", name, lab.run({"model.pkl": b""}), "model.pkl", "--tag", "a=1", "--tag", "b=x=y", "--tag", "c=")
    tags = lab.model(name, 0).version(1).tags
    assert {key: tags[key] for key in "abc"} == {"a": "1", "b": "x=y", "c": ""}


def test_register_takes_a_digest(at: Command, lab: Lab, name: str) -> None:
    """``--sha256`` is recorded as it is given."""
    answer = at("register", name, lab.run({"model.pkl": b""}), "model.pkl", "--sha256", "ab" * 32, "--json")
    assert answer.document["sha256"] == "ab" * 32


def test_register_takes_a_local_copy(at: Command, lab: Lab, name: str, tmp_path: Path) -> None:
    """``--local-path`` is where the digest comes from."""
    (tmp_path / "copy.pkl").write_bytes(b"copy")
    run_id = lab.run({"model.pkl": b""})
    answer = at("register", name, run_id, "model.pkl", "--local-path", tmp_path / "copy.pkl", "--json")
    assert answer.document["sha256"] == hashlib.sha256(b"copy").hexdigest()


def test_register_can_leave_the_digest_out(at: Command, lab: Lab, name: str) -> None:
    """``--no-digest`` records none, and says so."""
    answer = at("register", name, lab.run({"model.pkl": b""}), "model.pkl", "--no-digest")
    assert answer.out == f"{name}: registered version 1, SHA-256 not recorded\n"


def test_register_without_the_artifact_fails(at: Command, lab: Lab, name: str) -> None:
    """An artifact that the run does not have ends with 1 and one line."""
    answer = at("register", name, lab.run({"model.pkl": b""}), "gone.pkl")
    assert answer.exit_code == 1
    assert "has no artifact 'gone.pkl'" in the_error(answer)


def test_promote_says_what_is_live(at: Command, lab: Lab, name: str) -> None:
    """A move is printed as what is live, what was, and what moved."""
    lab.model(name)
    answer = at("promote", name, "1")
    assert answer.exit_code == 0
    assert answer.out == f"{name}@production: none → 1 ({NEW_POINTER}) by {acting_user()}\n"


def test_promote_says_when_nothing_had_to_move(at: Command, lab: Lab, name: str) -> None:
    """Promoting what is live is no move."""
    lab.model(name).promote(1)
    assert at("promote", name, "1").out == f"{name}@production: 1 already, nothing to move\n"


def test_promote_prints_json(at: Command, lab: Lab, name: str) -> None:
    """With ``--json`` a move has exactly the keys of the contract."""
    lab.model(name, 2).promote(1)
    document = at("promote", name, "2", "--reason", "weekly", "--json").document
    assert set(document) == MOVE_KEYS
    assert (document["from_version"], document["to_version"], document["reason"]) == (1, 2, "weekly")


@pytest.mark.parametrize("expected", ["1", "none", "None"])
def test_promote_with_the_right_expectation(expected: str, at: Command, lab: Lab, name: str) -> None:
    """A move passes where the version named by ``--expected`` is live, or where ``none`` is named and nothing is."""
    model = lab.model(name, 2)
    if expected == "1":
        model.promote(1)
    assert at("promote", name, "2", "--expected", expected).exit_code == 0


@pytest.mark.parametrize("expected", ["2", "none"])
def test_promote_with_the_wrong_expectation_ends_with_three(expected: str, at: Command, lab: Lab, name: str) -> None:
    """A refused promotion ends with 3, moves nothing and says what is live."""
    model = lab.model(name, 2)
    model.promote(1)
    answer = at("promote", name, "2", "--expected", expected)
    assert (answer.exit_code, model.live_version()) == (3, 1)
    assert f"Version 1 of '{name}' is live" in the_error(answer)


def test_promote_where_nothing_is_live_says_so(at: Command, lab: Lab, name: str) -> None:
    """An expectation of a version where nothing is live speaks of nothing, not of a version None."""
    lab.model(name)
    answer = at("promote", name, "1", "--expected", "1")
    assert (answer.exit_code, "None" in the_error(answer)) == (3, False)


@pytest.mark.parametrize("version", ["abc", "0", "01", "1.0", "v1", ""])
def test_promote_of_no_version_is_wrong_usage(version: str, at: Command, lab: Lab, name: str) -> None:
    """What is no version ends with 2 and one line."""
    lab.model(name)
    answer = at("promote", name, version)
    assert (answer.exit_code, "Invalid version" in the_error(answer)) == (2, True)


def test_promote_of_a_missing_version_fails(at: Command, lab: Lab, name: str) -> None:
    """A version that does not exist ends with 1 and one line that names it."""
    lab.model(name)
    answer = at("promote", name, "7")
    assert (answer.exit_code, f"Version 7 of '{name}' does not exist" in the_error(answer)) == (1, True)


def test_withdraw_says_that_nothing_is_live(at: Command, lab: Lab, name: str) -> None:
    """A withdrawal is printed as a move to nothing."""
    model = lab.model(name)
    model.promote(1)
    answer = at("withdraw", name)
    assert (answer.exit_code, model.live_version()) == (0, None)
    assert answer.out == f"{name}@production: 1 → none ({NEW_POINTER}) by {acting_user()}\n"


def test_withdraw_prints_json(at: Command, lab: Lab, name: str) -> None:
    """With ``--json`` a withdrawal has the keys of a move and goes to null."""
    lab.model(name).promote(1)
    document = at("withdraw", name, "--reason", "broken", "--json").document
    assert set(document) == MOVE_KEYS
    assert (document["from_version"], document["to_version"], document["reason"]) == (1, None, "broken")


def test_rollback_goes_to_what_was_live_before(at: Command, lab: Lab, name: str) -> None:
    """A rollback is printed as the move it is, and names what was live."""
    model = lab.model(name, 3)
    for version in (1, 3):
        model.promote(version)
    answer = at("rollback", name, "--reason", "worse")
    assert (answer.exit_code, model.live_version()) == (0, 1)
    assert answer.out == f"{name}@production: 3 → 1 ({NEW_POINTER}) by {acting_user()}: worse\n"
    document = at("rollback", name, "--to", "2", "--json").document
    assert set(document) == MOVE_KEYS
    assert (document["from_version"], document["to_version"]) == (1, 2)


def test_rollback_without_a_record_fails(at: Command, lab: Lab, name: str) -> None:
    """Without a known previous version, one line names the existing versions."""
    lab.model(name, 2).promote(1)
    answer = at("rollback", name)
    assert (answer.exit_code, "other versions: 2" in the_error(answer)) == (1, True)


def test_rollback_with_the_wrong_expectation_ends_with_three(at: Command, lab: Lab, name: str) -> None:
    """A refused rollback ends with 3 and moves nothing."""
    model = lab.model(name, 2)
    model.promote(1)
    model.promote(2)
    assert at("rollback", name, "--expected", "1").exit_code == 3
    assert model.live_version() == 2


def test_history_prints_json(at: Command, lab: Lab, name: str) -> None:
    """With ``--json`` each event has exactly the keys of a move, oldest first."""
    model = lab.model(name, 2)
    model.promote(1, reason="first")
    model.promote(2)
    document = at("history", name, "--json").document
    assert (list(document), document["name"]) == (["name", "events"], name)
    assert [set(event) for event in document["events"]] == [MOVE_KEYS, MOVE_KEYS]
    assert [event["to_version"] for event in document["events"]] == [1, 2]


def test_history_prints_a_table(at: Command, lab: Lab, name: str) -> None:
    """For people it is a line a move, with who and why; moves of other tools are among them."""
    model = lab.model(name, 2)
    nothing = at("history", name)
    assert (len(nothing.out.splitlines()), nothing.err) == (1, "No moves are recorded.\n")
    model.promote(1, reason="weekly retrain", by="ada")
    apart_by_others(lab, name)
    lines = at("history", name).out.splitlines()
    assert any("promote" in line and "ada" in line and "weekly retrain" in line for line in lines)
    assert any("unrecorded" in line for line in lines)


def apart_by_others(lab: Lab, name: str) -> None:
    """Make version 2 live as plain MLflow does."""
    if NEW_POINTER == "alias":
        lab.client.set_registered_model_alias(name, "production", "2")
    else:
        lab.to_stage(name, 1, "Archived")
        lab.to_stage(name, 2, "Production")


def test_history_tells_what_was_live_at_a_time(at: Command, lab: Lab, name: str) -> None:
    """``--at`` names the version of that time; before the first move nothing was live."""
    move = lab.model(name).promote(1)
    assert at("history", name, "--at", "2020-01-01").out.startswith(f"{name}: nothing was live at 2020-01-01T00:00")
    later = move.at.replace(year=move.at.year + 1).isoformat()
    assert at("history", name, "--at", later, "--json").document["version"] == 1
    assert at("history", name, "--at", later.replace("+00:00", "Z")).out.startswith(f"{name}: version 1 was live")


def test_history_at_no_time_is_wrong_usage(at: Command, lab: Lab, name: str) -> None:
    """What is no time ends with 2."""
    lab.model(name)
    assert at("history", name, "--at", "yesterday").exit_code == 2


def test_repair_says_what_it_mended(at: Command, lab: Lab, name: str) -> None:
    """What did not follow what is live is put right and named; the second time there is nothing to mend."""
    lab.model(name, 2)
    apart(lab, name)
    answer = at("repair", name)
    assert (answer.exit_code, "the stage Production: " in answer.out) == (0, True)
    assert at("repair", name).out == f"{name}: nothing to repair\n"
    [found] = at("repair", name, "--json").document["models"]
    assert (set(found), found["agreed"]) == (STATUS_KEYS, True)


def test_status_prints_json(at: Command, lab: Lab, name: str) -> None:
    """With ``--json`` each model has exactly the keys of the contract."""
    lab.model(name).promote(1)
    document = at("status", name, "--json").document
    assert list(document) == ["models"]
    [found] = document["models"]
    assert set(found) == STATUS_KEYS
    assert (found["name"], found["live"], found["agreed"], found["pointer"]) == (name, 1, True, NEW_POINTER)


def test_status_prints_the_last_event(at: Command, lab: Lab, name: str) -> None:
    """The last event in a status has the keys of a move."""
    model = lab.model(name)
    model.promote(1)
    model.withdraw(reason="broken")
    [found] = at("status", name, "--json").document["models"]
    assert set(found["last_event"]) == MOVE_KEYS


def test_status_prints_a_table(at: Command, lab: Lab, name: str) -> None:
    """For people it is a table with the model's name and what is live."""
    lab.model(name).promote(1)
    answer = at("status", name)
    [row] = [line for line in answer.out.splitlines() if name in line]
    assert (answer.exit_code, "yes" in row, NEW_POINTER in row) == (0, True, True)


@pytest.mark.parametrize("suffix", ["[red]x", "[bold]", "[v2]"])
def test_status_prints_a_name_with_brackets(suffix: str, at: Command, lab: Lab, name: str) -> None:
    """A name is printed as it is, not taken for markup."""
    lab.model(f"{name}{suffix}")
    assert f"{name}{suffix}" in at("status", f"{name}{suffix}").out


def test_status_prints_a_long_name_whole(at: Command, lab: Lab, name: str) -> None:
    """A table in a pipe has no width to fit, so a name is not cut."""
    long = f"{name}-{'x' * 120}"
    lab.model(long)
    assert long in at("status", long).out


def test_a_narrow_terminal_cuts_nothing() -> None:
    """What does not fit into a column goes on in the next line."""
    status = "PointerStatus('a-model-of-the-north', 1, 1, None, True, 'alias', None)"
    code = f"from prodpointer.cli.output import print_statuses, PointerStatus; print_statuses([{status}])"
    terminal, end = pty.openpty()
    environment = {**os.environ, "COLUMNS": "40", "TERM": "dumb"}
    subprocess.run([sys.executable, "-c", code], stdout=end, env=environment, check=True)
    os.close(end)
    out = os.read(terminal, 65536).decode()
    os.close(terminal)
    assert ("model" in out, "…" in out) == (True, False)


def test_status_of_several_models(at: Command, lab: Lab, name: str) -> None:
    """Several names give several models, in the order asked for."""
    for suffix in "ab":
        lab.model(f"{name}-{suffix}")
    document = at("status", f"{name}-b", f"{name}-a", "--json").document
    assert [found["name"] for found in document["models"]] == [f"{name}-b", f"{name}-a"]


def test_status_of_every_model(cli: Command, tmp_path: Path) -> None:
    """Without a name every registered model of the registry is there, in order."""
    uri = f"sqlite:///{tmp_path.as_posix()}/registry.db"
    with quiet():
        prodpointer.connect("any", tracking_uri=uri)
        client = mlflow.MlflowClient(uri)
        for each in ("b", "a", "c"):
            client.create_registered_model(each)
    document = cli("--tracking-uri", uri, "status", "--json").document
    assert [found["name"] for found in document["models"]] == ["a", "b", "c"]


def test_status_of_an_empty_registry(cli: Command, tmp_path: Path) -> None:
    """A registry without models is no error and says so."""
    uri = f"sqlite:///{tmp_path.as_posix()}/registry.db"
    with quiet():
        prodpointer.connect("any", tracking_uri=uri)
    answer = cli("--tracking-uri", uri, "status")
    assert (answer.exit_code, answer.err) == (0, "There are no registered models.\n")
    assert len(answer.out.splitlines()) == 1


def test_status_of_a_missing_model_fails(at: Command, name: str) -> None:
    """A typo must not look like a model without a live version."""
    answer = at("status", name, "--json")
    assert (answer.exit_code, f"'{name}' does not exist" in the_error(answer)) == (2, True)


def test_a_model_that_cannot_be_told_hides_no_other(at: Command, lab: Lab, name: str) -> None:
    """What is wrong with one model is an error line and the exit code; the status of the others is there."""
    lab.model(name)
    answer = at("status", "nowhere-to-be-found", name, "--json")
    assert (answer.exit_code, [each["name"] for each in answer.document["models"]]) == (2, [name])
    assert answer.err.startswith("error: The registered model 'nowhere-to-be-found' does not exist.")


def test_pointers_that_disagree_end_with_four(at: Command, lab: Lab, name: str) -> None:
    """``status`` prints what it found and ends with 4 where alias and stage differ, or a stage has two versions."""
    lab.model(name, 2)
    apart(lab, name)
    answer = at("status", name, "--json")
    [found] = answer.document["models"]
    assert (answer.exit_code, found["agreed"], found["live"]) == (4, False, 2)


def test_pointers_that_disagree_are_shown_to_people(at: Command, lab: Lab, name: str) -> None:
    """The table says no under agreed, and below it stands why, and what to do."""
    lab.model(name, 2)
    apart(lab, name)
    answer = at("status", name)
    [row] = [line for line in answer.out.splitlines() if name in line]
    assert (answer.exit_code, "\tno\t" in row) == (4, True)
    first, *_, last = answer.err.splitlines()
    assert first.startswith(f"{name}: ")
    assert last == f"  next: prodpointer --tracking-uri {lab.uri} repair {name}"


def test_a_warning_is_one_line_on_standard_error(at: Command, lab: Lab, name: str, tmp_path: Path) -> None:
    """A warning of the library's is shown without a file or a line of source, and leaves the result alone."""
    model = lab.model(name, 0)
    model.register(lab.run({"model.pkl": b""}), "model.pkl", digest=False)
    model.promote(1)
    answer = at("pull", name, tmp_path / "there", "--json")
    assert answer.document["sha256"] is None
    assert answer.err.startswith(f"warning: Version 1 of '{name}' has no recorded digest")
    assert answer.err.count("\n") == 1


def test_a_stage_alone_warns_on_three(at: Command, lab: Lab, name: str) -> None:
    """A promotion of a stage-only model is silent on 2.x; on an MLflow 3 registry it sets both pointers."""
    lab.model(name, 2)
    lab.to_stage(name, 1, "Production")
    answer = at("promote", name, "2", "--json")
    assert answer.document["pointers"] == (["alias", "stage"] if IS_THREE else ["stage"])


def test_pull_copies_what_is_live(at: Command, lab: Lab, name: str, tmp_path: Path) -> None:
    """The live version's artifact is in the directory, with its bytes."""
    lab.model(name, 2).promote(2)
    answer = at("pull", name, tmp_path / "there")
    assert answer.exit_code == 0
    assert answer.out == f"{name}: copied version 2 to {tmp_path / 'there' / 'bundle'}\n"
    assert pickle.loads((tmp_path / "there" / "bundle" / "model.pkl").read_bytes()) == {"n": 2}


def test_pull_prints_json(at: Command, lab: Lab, name: str, tmp_path: Path) -> None:
    """With ``--json`` it is the version, where it is and its digest."""
    model = lab.model(name)
    model.promote(1)
    assert at("pull", name, tmp_path, "--json").document == {
        "name": name,
        "version": 1,
        "path": str(tmp_path / "bundle"),
        "sha256": model.version(1).sha256,
    }


def test_pull_where_nothing_is_live_fails(at: Command, lab: Lab, name: str, tmp_path: Path) -> None:
    """Nothing to copy is no success, and makes no directory."""
    lab.model(name)
    answer = at("pull", name, tmp_path / "there")
    assert (answer.exit_code, (tmp_path / "there").exists()) == (1, False)
    assert f"No version of '{name}' is live" in the_error(answer)


def test_pull_replaces_nothing(at: Command, lab: Lab, name: str, tmp_path: Path) -> None:
    """What is there already stays as it is."""
    lab.model(name).promote(1)
    (tmp_path / "bundle").write_text("mine")
    answer = at("pull", name, tmp_path)
    assert (answer.exit_code, (tmp_path / "bundle").read_text()) == (1, "mine")
    assert "already" in the_error(answer)


def test_pull_of_changed_bytes_fails(at: Command, lab: Lab, name: str, tmp_path: Path) -> None:
    """Bytes that are not those registered are never put into the directory."""
    model = lab.model(name)
    model.promote(1)
    lab.artifact(str(model.version(1).run_id), "bundle/model.pkl").write_bytes(b"other")
    answer = at("pull", name, tmp_path / "there")
    assert (answer.exit_code, (tmp_path / "there").exists()) == (1, False)
    assert "are not those" in the_error(answer)


def test_the_timeout_may_be_given(cli: Command, closed_port: int) -> None:
    """``--timeout`` is a number of seconds above nothing, before or after the command."""
    uri = f"http://127.0.0.1:{closed_port}"
    assert cli("--tracking-uri", uri, "--timeout", "0.5", "status", "news").exit_code == 5
    assert cli("--tracking-uri", uri, "status", "news", "--timeout", "0").exit_code == 2


@pytest.mark.parametrize("command", ["status", "doctor", "conformance"])
def test_the_timeout_bounds_every_command(command: str, cli: Command) -> None:
    """A server that takes the connection and stays silent is given up after ``--timeout``, and ends with 5."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        assert cli("--tracking-uri", uri, command, "--timeout", "0.5").exit_code == 5
    assert time.monotonic() - began < 5


def test_pull_can_require_a_digest(at: Command, lab: Lab, name: str, tmp_path: Path) -> None:
    """With ``--verify required`` a version without a digest is refused, and the command that records one is named."""
    model = lab.model(name, 0)
    model.register(lab.run({"model.pkl": b""}), "model.pkl", digest=False)
    model.promote(1)
    answer = at("pull", name, tmp_path / "there", "--verify", "required")
    assert (answer.exit_code, (tmp_path / "there").exists()) == (1, False)
    assert f"prodpointer adopt {name} 1" in the_error(answer)


def test_adopt_records_a_digest(at: Command, lab: Lab, name: str, tmp_path: Path) -> None:
    """A version without a digest has the one of its bytes afterwards, and is pulled where one is required."""
    model = lab.model(name, 0)
    model.register(lab.run({"model.pkl": b"bytes"}), "model.pkl", digest=False)
    model.promote(1)
    digest = hashlib.sha256(b"bytes").hexdigest()
    assert at("adopt", name, "1", "--json").document == {"name": name, "version": 1, "sha256": digest}
    assert at("adopt", name, "1").out == f"{name}: the recorded SHA-256 of version 1 is {digest}\n"
    assert model.version(1).sha256 == digest
    assert at("pull", name, tmp_path, "--verify", "required").exit_code == 0


def test_doctor_prints_json(at: Command) -> None:
    """With ``--json`` a diagnosis has exactly the keys of the contract."""
    answer = at("doctor", "--json")
    keys = ["client_version", "registry_version", "pointer", "reason", "problems", "notes", "registry", "workspace"]
    assert list(answer.document) == [*keys, "permissions", "next_step"]
    assert (answer.exit_code, answer.document["pointer"], answer.document["problems"]) == (0, NEW_POINTER, [])


def test_doctor_tells_people(at: Command) -> None:
    """For people it says the versions, the pointer and why, and on a healthy setup nothing of a problem."""
    out = at("doctor").out
    assert f"ok       client version    {mlflow.__version__}\n" in out
    assert f"ok       pointer           {NEW_POINTER}: the database is opened directly" in out
    assert "problem" not in out
    assert "warning" not in out


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_symbols_are_printed_where_the_terminal_has_them(lab: Lab, encoding: str) -> None:
    """A terminal without them shows the words alone."""
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    with contextlib.redirect_stdout(out):
        command_line.main.main(["--tracking-uri", lab.uri, "doctor"], standalone_mode=False)
    out.flush()
    printed = out.buffer.getvalue().decode(encoding)
    assert printed.startswith("\u2713 ok " if encoding == "utf-8" else "ok ")


def test_doctor_of_a_missing_model_ends_with_two(at: Command) -> None:
    """The name is wrong usage, and the output names it."""
    answer = at("doctor", "--model", "no-such-model", "--json")
    assert answer.exit_code == 2
    assert [problem.partition(" [")[0] for problem in answer.document["problems"]] == [
        "The registered model 'no-such-model' does not exist."
    ]


def test_doctor_of_a_closed_port_ends_with_five(cli: Command, closed_port: int) -> None:
    """A registry out of reach is a finding on standard output, and ends with 5."""
    answer = cli("--tracking-uri", f"http://127.0.0.1:{closed_port}", "doctor", "--json")
    assert (answer.exit_code, answer.document["pointer"], answer.err) == (5, None, "")


COMMANDS: list[list[Any]] = [
    ["status", "news"],
    ["status"],
    ["promote", "news", "1"],
    ["withdraw", "news"],
    ["pull", "news", "there"],
    ["register", "news", "0" * 32, "x"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_registry_out_of_reach_ends_with_five(command: list[Any], cli: Command, closed_port: int) -> None:
    """If no server listens, every command ends with 5 and one line."""
    answer = cli("--tracking-uri", f"http://127.0.0.1:{closed_port}", *command)
    assert (answer.exit_code, "no connection" in the_error(answer)) == (5, True)


def test_a_registry_out_of_reach_is_told_within_seconds(
    cli: Command, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain MLflow retries for minutes by default; the answer here comes within ten seconds."""
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    started = time.monotonic()
    cli("--tracking-uri", f"http://127.0.0.1:{closed_port}", "status", "news")
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("command", [*COMMANDS, ["doctor"]], ids=" ".join)
def test_a_credential_is_never_printed(command: list[Any], cli: Command, closed_port: int) -> None:
    """Neither stream shows the password of the address."""
    answer = cli("--tracking-uri", f"http://me:{SECRET}@127.0.0.1:{closed_port}", *command)
    assert answer.exit_code == 5
    assert SECRET not in answer.out + answer.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["promote"],
        ["promote", "news"],
        ["promote", "news", "1", "2"],
        ["status", "--pointer", "champion"],
        ["status", "--nonsense"],
        ["register", "news", "r", "a", "--tag", "novalue"],
        ["register", "news", "r", "a", "--local-path", "/nowhere/at/all"],
        ["pull", "news"],
        ["pull", "news", __file__],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_two(arguments: list[str], at: Command) -> None:
    """What the command line cannot understand ends with 2, on standard error."""
    answer = at(*arguments)
    assert (answer.exit_code, answer.out, "Error: " in answer.err) == (2, "", True)


def test_options_count_before_the_command(cli: Command, lab: Lab, name: str) -> None:
    """Shared options may come before the command."""
    lab.model(name)
    answer = cli("--tracking-uri", lab.uri, "--json", "--pointer", "stage", "promote", name, "1")
    assert answer.document["pointers"] == ["stage"]


def test_options_count_after_the_command(cli: Command, lab: Lab, name: str) -> None:
    """Shared options may come after the command and its arguments."""
    lab.model(name)
    answer = cli("promote", name, "1", "--tracking-uri", lab.uri, "--json", "--pointer", "stage")
    assert answer.document["pointers"] == ["stage"]


def test_an_option_after_the_command_wins(cli: Command, lab: Lab, name: str) -> None:
    """Given twice, the option nearer to the command counts."""
    lab.model(name)
    before = ("--pointer", "both", "--tracking-uri", "nonsense")
    answer = cli(*before, "promote", name, "1", "--tracking-uri", lab.uri, "--json", "--pointer", "stage")
    assert answer.document["pointers"] == ["stage"]


def test_the_environment_is_mlflow_s_own(cli: Command, lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without options the registry is the one that MLflow's variable names."""
    lab.model(name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", lab.uri)
    assert cli("status", name).exit_code == 0


def test_the_registry_may_be_apart(cli: Command, lab: Lab, name: str, closed_port: int) -> None:
    """``--registry-uri`` is where the pointers are, wherever the runs are."""
    lab.model(name)
    answer = cli("--tracking-uri", f"http://127.0.0.1:{closed_port}", "status", name, "--registry-uri", lab.uri)
    assert answer.exit_code == 0


def test_an_alias_can_be_named(at: Command, lab: Lab, name: str) -> None:
    """``--alias staging`` moves that pointer and leaves production alone."""
    model = lab.model(name, 2)
    model.promote(1)
    document = at("promote", name, "2", "--alias", "staging", "--json").document
    assert (document["to_version"], model.live_version()) == (2, 1)


def test_nothing_configured_fails(cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a registry the one line names the variable to set, and nothing is made."""
    monkeypatch.chdir(tmp_path)
    answer = cli("status")
    assert (answer.exit_code, list(tmp_path.iterdir())) == (1, [])
    assert "MLFLOW_TRACKING_URI" in the_error(answer)


@pytest.mark.parametrize("command", [["status"], ["doctor"]], ids=" ".join)
def test_looking_makes_no_database(command: list[str], cli: Command, tmp_path: Path) -> None:
    """Listing and diagnosing make no database where there is none."""
    answer = cli("--tracking-uri", f"sqlite:///{tmp_path.as_posix()}/new.db", *command)
    assert (answer.exit_code, list(tmp_path.iterdir())) == (1, [])


def test_demo_prints_json(cli: Command, tmp_path: Path) -> None:
    """With ``--json`` the demonstration is its directory, its registry and its steps."""
    answer = cli("demo", "--dir", tmp_path / "demo", "--json")
    assert answer.exit_code == 0
    assert list(answer.document) == ["directory", "tracking_uri", "steps"]
    assert {frozenset(step) for step in answer.document["steps"]} == {frozenset(("did", "version", "live", "accuracy"))}


def test_demo_prints_each_step(cli: Command, tmp_path: Path) -> None:
    """For people each step is a numbered line, and the last line says how to look again."""
    lines = cli("demo", "--dir", tmp_path / "demo").out.splitlines()
    assert [line.split(".")[0] for line in lines[:-1]] == [str(number) for number in range(1, 8)]
    uri = f"sqlite:///{(tmp_path / 'demo' / 'registry.db').as_posix()}"
    assert lines[-1] == f"Try next: prodpointer --tracking-uri {uri} status digits"


def test_demo_makes_a_directory_of_its_own(cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ``--dir`` the registry is in a new temporary directory, which is named."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    directory = Path(cli("demo", "--json").document["directory"])
    assert (directory / "registry.db").is_file()


def test_json_is_alone_on_standard_output(cli: Command, tmp_path: Path) -> None:
    """Nothing of MLflow's, not even the migrations of a new database, is mixed with the document."""
    answer = cli(
        "--tracking-uri", f"sqlite:///{tmp_path.as_posix()}/new.db", "--json", "register", "news", "0" * 32, "x"
    )
    assert answer.out == ""
    assert [line for line in answer.err.splitlines() if line.startswith("error: ")] != []


def test_json_keeps_letters_as_they_are(at: Command, lab: Lab, name: str) -> None:
    """Names in other alphabets are readable in the document."""
    lab.model(f"{name}-\u00fc")
    answer = at("status", f"{name}-\u00fc", "--json")
    assert f"{name}-\u00fc" in answer.out
    assert json.loads(answer.out)["models"][0]["name"] == f"{name}-\u00fc"

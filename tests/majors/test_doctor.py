"""Permissions on real servers with logins: what each user may do, what ``doctor`` shows, and that nothing changes."""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Callable, Iterator

import pytest
from mlflow import MlflowClient

import prodpointer
from prodpointer import AccessDenied, RegisteredModel
from prodpointer.diagnostics.doctor import diagnose, screen
from prodpointer.mlflow_client import capabilities
from prodpointer.types import Diagnosis
from tests import mlflow_table
from tests.majors.basic_auth import ADMIN, EDITOR, LOGINS, READER, VISITOR, Guarded, Login, guarded

MOVES = "tag a version, set an alias, delete an alias, move a stage"
ALL = f"create a model, create a version, {MOVES}, delete a model"
SCRATCH = "prodpointer-doctor-"
EVERYBODY = pytest.mark.parametrize("login", LOGINS, ids=lambda login: login.name)
POINTERS = pytest.mark.parametrize("pointer", ["alias", "stage", "both"])
As = Callable[[Login], None]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """The newest MLflow 2, where everybody may read everything."""
    version = mlflow_table.newest_of_major(2).version
    with guarded(version, tmp_path_factory.mktemp("two"), default_permission="READ") as found:
        yield found


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """The newest MLflow 3, where nothing is allowed unless it is granted."""
    version = mlflow_table.newest_of_major(3).version
    with guarded(version, tmp_path_factory.mktemp("three"), default_permission="NO_PERMISSIONS") as found:
        yield found


@pytest.fixture(params=["two", "three"])
def guard(request: pytest.FixtureRequest) -> Guarded:
    """Each of the two servers in turn."""
    found: Guarded = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def log_in(monkeypatch: pytest.MonkeyPatch, forgetful: None) -> As:
    """Be a user from now on, by MLflow's own variables."""

    def be(login: Login) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", login.name)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", login.password)
        capabilities.forget()

    return be


@pytest.fixture
def name(guard: Guarded, log_in: As) -> str:
    """A model of the admin's with two versions that the editor may edit and the reader may read."""
    return admins_model(guard, log_in)


def admins_model(guard: Guarded, log_in: As) -> str:
    """Make such a model; its versions have no bytes."""
    log_in(ADMIN)
    plain = MlflowClient(guard.uri)
    name = f"news-{uuid.uuid4().hex[:12]}"
    plain.create_registered_model(name)
    for _ in range(2):
        plain.create_model_version(name, "s3://bucket/bundle")
    guard.grant("registered_model", name, EDITOR, "EDIT")
    guard.grant("registered_model", name, READER, "READ")
    return name


def model(guard: Guarded, name: str, pointer: str = "auto") -> RegisteredModel:
    """Connect as the current user."""
    return prodpointer.connect(name, tracking_uri=guard.uri, pointer=pointer)  # type: ignore[arg-type]


def picture(guard: Guarded, name: str, log_in: As) -> tuple[object, ...]:
    """Return everything of a model that a verb could change, as the admin sees it."""
    log_in(ADMIN)
    plain = MlflowClient(guard.uri)
    versions = {each.version: (each.current_stage, each.tags) for each in plain.search_model_versions(f"name='{name}'")}
    return versions, dict(plain.get_registered_model(name).aliases)


def told(guard: Guarded, *, asked: str | None = None, trying: bool = False) -> Diagnosis:
    """Return the diagnosis for the current user; it must not contain a password."""
    found = diagnose(tracking_uri=guard.uri, registry_uri=None, model=asked, trying=trying)
    shown = repr(found) + "\n".join(screen(found))
    assert not [login.name for login in (*LOGINS, VISITOR) if login.password in shown]
    return found


def scratch_models(guard: Guarded, log_in: As) -> list[str]:
    """Return the scratch models that are there, as the admin sees them."""
    log_in(ADMIN)
    found = MlflowClient(guard.uri).search_registered_models(max_results=1000)
    return [each.name for each in found if each.name.startswith(SCRATCH)]


@POINTERS
def test_the_reader_reads(guard: Guarded, name: str, log_in: As, pointer: str) -> None:
    """Every reading verb works for who may only read."""
    model(guard, name, pointer).promote(2)
    log_in(READER)
    news = model(guard, name, pointer)
    live = news.production()
    assert (news.live_version(), live and live.version, news.status().live, news.selection.pointer) == (
        2,
        2,
        2,
        pointer,
    )


@POINTERS
def test_the_reader_promotes_nothing(guard: Guarded, name: str, log_in: As, pointer: str) -> None:
    """A promotion is denied before its record is written, says which right is missing, and nothing has moved."""
    model(guard, name, pointer).promote(1)
    before = picture(guard, name, log_in)
    log_in(READER)
    with pytest.raises(AccessDenied, match=r"tag version 2 .*permissions on the model"):
        model(guard, name, pointer).promote(2)
    assert picture(guard, name, log_in) == before


@POINTERS
def test_the_editor_promotes(guard: Guarded, name: str, log_in: As, pointer: str) -> None:
    """Who may edit a model may move its alias and its stages, and back to an older version."""
    log_in(EDITOR)
    news = model(guard, name, pointer)
    for version in (2, 1):
        news.promote(version)
        assert news.live_version() == version


def test_the_editor_withdraws_by_stage(guard: Guarded, name: str, log_in: As) -> None:
    """A stage is only moved, which who may edit may."""
    log_in(EDITOR)
    news = model(guard, name, "stage")
    news.promote(2)
    assert news.withdraw().pointers == ("stage",)
    assert news.live_version() is None


@pytest.mark.parametrize("pointer", ["alias", "both"])
def test_the_editor_withdraws_no_alias(guard: Guarded, name: str, log_in: As, pointer: str) -> None:
    """Deleting an alias needs MANAGE: a withdrawal is denied, and neither pointer nor the record has changed."""
    log_in(EDITOR)
    model(guard, name, pointer).promote(2)
    before = picture(guard, name, log_in)
    log_in(EDITOR)
    with pytest.raises(AccessDenied, match="delete the alias"):
        model(guard, name, pointer).withdraw()
    assert picture(guard, name, log_in) == before


def test_a_wrong_password_is_denied_and_not_told(guard: Guarded, log_in: As) -> None:
    """No verb gets anywhere, and the password is in no part of the error."""
    log_in(Login(READER.name, "of-somebody-else"))
    for verb in ("live_version", "status", "load_production", "withdraw"):
        with pytest.raises(AccessDenied, match="MLFLOW_TRACKING_PASSWORD") as denied:
            getattr(model(guard, "news"), verb)()
        assert "of-somebody-else" not in "".join(traceback.format_exception(denied.value))


def test_a_password_that_was_changed_is_denied(
    guard: Guarded, name: str, log_in: As, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known of the registry opens nothing: a verb of a model already connected is denied as well."""
    log_in(READER)
    news = model(guard, name)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "of-somebody-else")
    with pytest.raises(AccessDenied) as denied:
        news.status()
    assert "of-somebody-else" not in "".join(traceback.format_exception(denied.value))


def test_doctor_of_a_wrong_password(guard: Guarded, log_in: As) -> None:
    """Nothing can be used, and the next step names the variables to check."""
    log_in(Login(READER.name, "of-somebody-else"))
    found = told(guard)
    assert (found.exit_code, found.pointer, "MLFLOW_TRACKING_PASSWORD" in found.next_step) == (1, None, True)
    assert "of-somebody-else" not in repr(found)


def test_doctor_without_a_login(guard: Guarded, forgetful: None) -> None:
    """A server that wants a login and gets none is a finding too."""
    found = told(guard)
    assert (found.exit_code, found.pointer, "MLFLOW_TRACKING_USERNAME" in found.next_step) == (1, None, True)


@EVERYBODY
def test_doctor_tells_that_the_login_is_taken(guard: Guarded, log_in: As, login: Login) -> None:
    """The output says that the login is accepted, and how to check more."""
    log_in(login)
    found = told(guard)
    assert (found.exit_code, found.registry_version) == (0, guard.server.version)
    assert found.rights[0].startswith("login required and accepted; readable models: ")
    assert "doctor --model NAME" in found.next_step


def test_doctor_tells_where_names_are_hidden(two: Guarded, three: Guarded, log_in: As) -> None:
    """Where nothing is allowed unless granted, a name that does not exist is a denied one, and doctor can be used."""
    hidden = {}
    for guard in (two, three):
        log_in(READER)
        hidden[guard.default_permission] = any("AccessDenied here" in note for note in told(guard).notes)
    assert hidden == {"READ": False, "NO_PERMISSIONS": True}


@EVERYBODY
def test_trying_leaves_nothing_behind(guard: Guarded, log_in: As, login: Login) -> None:
    """Every user owns their scratch model: every move is allowed, and it is deleted."""
    log_in(login)
    found = told(guard, trying=True)
    assert (found.exit_code, found.rights[1:]) == (0, (f"on a scratch model, yes: {ALL}",))
    assert scratch_models(guard, log_in) == []


@pytest.mark.parametrize(
    ("login", "no"), [(ADMIN, ""), (EDITOR, "delete an alias"), (READER, MOVES)], ids=["admin", "editor", "reader"]
)
def test_doctor_tells_the_rights_on_a_model(guard: Guarded, name: str, log_in: As, login: Login, no: str) -> None:
    """Each user is told what is allowed and what is not, the missing rights are problems, and nothing has changed."""
    before = picture(guard, name, log_in)
    log_in(login)
    found = told(guard, asked=name)
    yes = ", ".join(right for right in ("read", *MOVES.split(", ")) if right not in no)
    refused = (f"on '{name}', no (HTTP 403: Permission denied): {no}",) if no else ()
    assert found.rights[1:] == (f"on '{name}', yes: {yes}", *refused)
    missing = [problem.partition(" (")[0] for problem in found.problems if problem.startswith("You may not")]
    assert missing == [f"You may not {right}" for right in no.split(", ") if right]
    assert picture(guard, name, log_in) == before


def test_a_model_that_may_not_be_read(three: Guarded, log_in: As) -> None:
    """To whom nothing was granted nothing of a model is told, and doctor says what is missing."""
    name = admins_model(three, log_in)
    log_in(VISITOR)
    found = told(three, asked=name)
    assert found.rights[1:] == (
        f"on '{name}', no (HTTP 403: Permission denied): read",
        f"on '{name}', not tried (it cannot be read): {MOVES}",
    )


def test_stages_and_tags_are_rights_on_versions_in_mlflow_three(three: Guarded, log_in: As) -> None:
    """Who may edit a model and only read versions moves its alias, and neither a stage nor a tag."""
    name = admins_model(three, log_in)
    limited = three.somebody()
    three.grant("registered_model", name, limited, "EDIT")
    three.grant("registered_model_version", "*", limited, "READ")
    log_in(limited)
    assert told(three, asked=name).rights[1:] == (
        f"on '{name}', yes: read, set an alias",
        f"on '{name}', no (HTTP 403: Permission denied): tag a version, delete an alias, move a stage",
    )


def test_a_scratch_model_that_its_maker_may_not_delete_is_named(three: Guarded, log_in: As) -> None:
    """Deleting a model is a right on its versions too: who lacks it is told what is left behind."""
    limited = three.somebody()
    three.grant("registered_model_version", "*", limited, "EDIT")
    log_in(limited)
    found = told(three, trying=True)
    (left,) = scratch_models(three, log_in)
    MlflowClient(three.uri).delete_registered_model(left)
    assert (found.exit_code, left in found.problems[0], left in found.next_step) == (1, True, True)


def test_who_may_make_no_model_is_told(three: Guarded, log_in: As) -> None:
    """A refused scratch model is a problem by name, and there is none."""
    limited = three.somebody()
    three.grant("registered_model", "*", limited, "DENY")
    log_in(limited)
    found = told(three, trying=True)
    assert "on a scratch model, no (HTTP 403: Permission denied): create a model" in found.rights
    assert any(problem.startswith("You may not create a model") for problem in found.problems)
    assert (found.exit_code, scratch_models(three, log_in)) == (0, [])

"""The errors: their tree, their fields, their text, and what the text never contains."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from collections.abc import Iterator

import pytest

from prodpointer import errors
from prodpointer.errors import ProdpointerError, without_credentials


def descendants(root: type[ProdpointerError]) -> Iterator[type[ProdpointerError]]:
    """Yield a class and every class below it."""
    yield root
    for child in root.__subclasses__():
        yield from descendants(child)


CLASSES = sorted(set(descendants(ProdpointerError)), key=lambda each: each.__name__)
WARNINGS = (errors.StageOnlyWarning, errors.PointerDriftWarning, errors.UnverifiedWarning)
SECRET = "s3cr3t"

each_class = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)


def filled(kind: type[ProdpointerError]) -> ProdpointerError:
    """Return an error with its three parts and its own fields set to something else than their defaults."""
    error = kind("It broke.", where="sqlite:///x.db", next_step="Mend it.")
    for field in own_fields(kind):
        setattr(error, field, f"value of {field}")
    return error


def own_fields(kind: type[ProdpointerError]) -> list[str]:
    """Return the fields that an error has beside the three every error has."""
    return [field for each in kind.__mro__ for field in vars(each).get("__annotations__", {})]


def drawn_tree(text: str) -> dict[str, str]:
    """Return each class that a drawing names below another, with the one above it."""
    above: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    for line in text.splitlines():
        found = re.match(r"^(?P<lines>[ │├└─]*)(?P<name>[A-Z]\w+)", line)
        if not found or (not path and found["name"] != "ProdpointerError"):
            continue
        depth = len(found["lines"])
        if path and "─" not in found["lines"]:
            break
        path = [(at, name) for at, name in path if at < depth]
        if path:
            above[found["name"]] = path[-1][1]
        path.append((depth, found["name"]))
    return above


def test_the_drawn_tree_is_the_real_one() -> None:
    """The module's docstring draws every error below the one it descends from."""
    real = {kind.__name__: kind.__bases__[0].__name__ for kind in CLASSES if kind is not ProdpointerError}
    assert drawn_tree(errors.__doc__ or "") == real


def test_every_error_is_public() -> None:
    """Each error and warning can be imported from the top of the package."""
    import prodpointer

    assert {kind.__name__ for kind in (*CLASSES, *WARNINGS)} <= set(prodpointer.__all__)


@each_class
def test_an_error_survives_pickling(kind: type[ProdpointerError]) -> None:
    """An error that crossed a process border has its class, its fields and its text."""
    error = filled(kind)
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), vars(back), str(back)) == (kind, vars(error), str(error))


@each_class
def test_an_error_survives_copying(kind: type[ProdpointerError]) -> None:
    """A copied error has its class, its fields and its text."""
    error = filled(kind)
    back = copy.copy(error)
    assert (type(back), vars(back), str(back)) == (kind, vars(error), str(error))


@each_class
def test_own_fields_have_a_default(kind: type[ProdpointerError]) -> None:
    """A specific field of an error can be read even if it was not set."""
    error = kind("It broke.")
    assert [getattr(error, field) for field in own_fields(kind)] == [getattr(kind, field) for field in own_fields(kind)]


@each_class
def test_every_error_says_what_it_means(kind: type[ProdpointerError]) -> None:
    """Each class has a docstring of its own."""
    assert kind.__doc__ not in (None, *(base.__doc__ for base in kind.__mro__[1:]))


@pytest.mark.parametrize(
    ("what", "where", "next_step", "text"),
    [
        ("It broke.", "", "", "It broke."),
        ("It broke.", "here", "", "It broke. [here]"),
        ("It broke.", "", "Mend it.", "It broke. Mend it."),
        ("It broke.", "here", "Mend it.", "It broke. [here] Mend it."),
    ],
    ids=["what", "what and where", "what and next", "all three"],
)
def test_the_text_is_what_where_next(what: str, where: str, next_step: str, text: str) -> None:
    """An error's text is what happened, where in brackets, and what to do next."""
    assert str(ProdpointerError(what, where=where, next_step=next_step)) == text


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.RegistryUnavailable, 5),
        (errors.MoveUnconfirmed, 1),
        (errors.ArtifactStoreUnavailable, 5),
        (errors.PromotionRefused, 3),
        (errors.ExpectationFailed, 3),
        (errors.PromotionLost, 3),
        (errors.InvalidName, 2),
    ],
)
def test_errors_with_an_exit_code_of_their_own(kind: type[ProdpointerError], code: int) -> None:
    """What can be no name is wrong usage, 2; refused or lost promotions end with 3, a registry out of reach with 5."""
    assert kind.exit_code == code


def test_all_other_errors_end_with_one() -> None:
    """Every error without an exit code of its own ends the command line with 1."""
    others = [kind for kind in CLASSES if kind.exit_code not in (2, 3, 5)]
    assert {kind.exit_code for kind in others} == {1}


def test_an_invalid_name_is_a_value_error() -> None:
    """Callers who catch ValueError for bad input catch ``InvalidName``."""
    assert issubclass(errors.InvalidName, ValueError)


@pytest.mark.parametrize("kind", WARNINGS, ids=lambda kind: kind.__name__)
def test_warnings_are_shown_by_default(kind: type[Warning]) -> None:
    """Each warning is a UserWarning, which Python shows unless told otherwise."""
    assert issubclass(kind, UserWarning)
    assert not issubclass(kind, ProdpointerError)


@pytest.mark.parametrize(
    "text",
    [
        f"http://me:{SECRET}@host:5000",
        f"https://me:{SECRET}@host/prefix",
        f"https://:{SECRET}@host",
        f"https://{SECRET}@host",
        f"postgresql://me:{SECRET}@host/db",
        f"postgresql+psycopg2://me:{SECRET}@host:5432/db?sslmode=require",
        f"mysql+pymysql://me:a@{SECRET}@host/db",
        f"mysql+pymysql://me:{SECRET}@b@host/db",
        f"postgresql://me:a%40{SECRET}%2Fb@host/db",
        f"postgresql://me:a/{SECRET}@host/db",
        f"postgresql://me:{SECRET}/b@host/db",
        f"postgresql://me:1/{SECRET}@host/db",
        f"postgresql://me:a'{SECRET}@host/db",
        f'postgresql://me:a"{SECRET}@host/db',
        f"postgresql://me:{SECRET}?b@host/db",
        f"postgresql://me:#{SECRET}@host/db",
        f"https://me:a/{SECRET}@host/",
        f"HTTPS://me:{SECRET}@HOST",
        f"Could not reach 'http://me:{SECRET}@host' at all",
        f"first http://one:{SECRET}@a then http://two:{SECRET}@b",
        f"https://host/path?token={SECRET}",
        f"https://host/path?a=1&token={SECRET}&b=2",
        f"https://host/path?TOKEN={SECRET}",
        f"https://host/path?password={SECRET}",
        f"https://host/path?api_key={SECRET}",
        f"https://host/path?access_token={SECRET}",
        f"https://host/path?client_secret={SECRET}",
        f"https://account.blob.core.windows.net/c/x?sv=2024&sig={SECRET}",
        f"https://bucket.s3.amazonaws.com/x?X-Amz-Signature={SECRET}&X-Amz-Date=1",
        f"postgresql:///db?host=h&user=me&password={SECRET}",
        f"mssql+pyodbc:///?odbc_connect=DRIVER=x;UID=me;PWD={SECRET}",
        f"mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BUID%3Dme%3BPWD%3D{SECRET}",
        f"Authorization: Bearer {SECRET}{SECRET}",
        f"sent Bearer {SECRET}{SECRET}{SECRET} to it",
        f"Authorization: {SECRET}{SECRET}",
        f"{{'Authorization': 'Bearer {SECRET}{SECRET}'}}",
        f"Authorization: Basic {SECRET}{SECRET}==",
        f"authorization: basic {SECRET}{SECRET}==",
        f"authorization: bearer {SECRET}.{SECRET}-{SECRET}",
    ],
)
def test_no_credential_is_shown(text: str) -> None:
    """Whatever form a credential has in a URI or a header, it is taken out."""
    assert SECRET not in without_credentials(text)


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:///registry.db",
        "sqlite:////home/me@work/registry.db",
        "http://host:5000",
        "http://host:5000/ml/news@production",
        "https://host/ml/news@production",
        "https://[::1]:5000/x",
        "models:/news@production",
        "runs:/0123456789abcdef/bundle",
        "mlflow-artifacts:/1/0123456789abcdef/artifacts/model",
        "s3://bucket/key",
        "wasbs://models@account.blob.core.windows.net/1/0123456789abcdef/artifacts",
        "No answer from 'abfss://models@account.dfs.core.windows.net'.",
        "wasbs://$web@account.blob.core.windows.net/team@work/model",
        "databricks://profile",
        "The alias 'a@b' of 'http://host' is none.",
        "Check the user's permissions, and MLFLOW_TRACKING_PASSWORD (or the token).",
        "postgresql://host/db?sslmode=require",
    ],
)
def test_what_is_no_credential_stays(text: str) -> None:
    """A text without a credential is shown as it is."""
    assert without_credentials(text) == text


def test_the_host_stays_when_the_password_goes() -> None:
    """A reader still learns which server was meant."""
    assert without_credentials(f"http://me:{SECRET}@host:5000/ml") == "http://***@host:5000/ml"


def test_the_database_stays_when_the_password_goes() -> None:
    """A reader still learns which database was meant, also behind a password with a slash."""
    assert without_credentials(f"postgresql://me:a/{SECRET}@host:5432/db") == "postgresql://***@host:5432/db"


@pytest.mark.parametrize("part", ["what", "where", "next_step"])
def test_every_part_of_an_error_is_without_credentials(part: str) -> None:
    """What, where and next lose their credentials in the fields, in the text and in the arguments."""
    parts = {"what": "It broke.", "where": "", "next_step": "", part: f"http://me:{SECRET}@host"}
    error = ProdpointerError(parts["what"], where=parts["where"], next_step=parts["next_step"])
    assert SECRET not in f"{error} {error!r} {error.args} {vars(error)}"


def test_the_three_parts_are_taken_by_name() -> None:
    """Only what happened is positional, so that where and next are never confused."""
    kinds = [parameter.kind for parameter in inspect.signature(ProdpointerError).parameters.values()]
    assert kinds == [
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.KEYWORD_ONLY,
        inspect.Parameter.KEYWORD_ONLY,
    ]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MLFLOW_TRACKING_PASSWORD", "the old house"),
        ("PRODPOINTER_WEBHOOK_SECRET", "whsec_bmV3IG9uZQ=="),
        ("PRODPOINTER_WEBHOOK_SECRET", "whsec_bmV3IG9uZQ==  whsec_b2xkIG9uZQ=="),
    ],
)
def test_no_credential_of_a_variable_is_shown(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """A password may hold blanks; between two secrets of webhooks there is one."""
    monkeypatch.setenv(variable, value)
    texts = value.split() if variable.startswith("PRODPOINTER") else [value]
    assert [str(ProdpointerError(f"The server said {text} is wrong.")) for text in texts] == [
        "The server said *** is wrong."
    ] * len(texts)

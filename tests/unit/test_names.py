"""Names and numbers from callers: what is accepted, normalised and refused."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from prodpointer.errors import InvalidName
from prodpointer.validation import alias_name, model_name, new_model_name, stage_for, version_number


@pytest.mark.parametrize(("given", "number"), [(1, 1), (3, 3), ("3", 3), ("10", 10), (2**31, 2**31)])
def test_a_version_is_a_whole_number_from_one_on(given: object, number: int) -> None:
    """Numbers are taken as MLflow gives them: an int on a database, text over REST."""
    found = version_number(given)
    assert (found, type(found)) == (number, int)


@pytest.mark.parametrize(
    "given",
    [
        "abc", "", " ", "v1", "latest", "0", "-1", "01", "03", " 1", "1 ", "1\n", "1.0", "1e3", "+1", "1_000",
        "\u0661", "\u00b2",
        "9" * 19, 0, -1, True, False, 1.0, 3.5, float("nan"), None, [], [1], (1,), b"1", {},
    ],
    ids=repr,
)  # fmt: skip
def test_an_invalid_version_is_refused(given: object) -> None:
    """Text in any other form, other types and numbers below one are no versions."""
    with pytest.raises(InvalidName, match="Invalid version"):
        version_number(given)


def test_a_refused_version_is_shown_as_it_was_given() -> None:
    """The message shows a blank before a number, which a reader would not see otherwise."""
    with pytest.raises(InvalidName, match="Invalid version ' 1'"):
        version_number(" 1")


@pytest.mark.parametrize(
    "given",
    ["production", "champion", "v", "v1a", "version1", "1", "a-b_c", "latest2", "\u00fcn\u00ef", "x" * 255],
)
def test_an_alias_that_every_mlflow_takes(given: str) -> None:
    """Letters, digits, underscores and dashes make an alias, up to 255 of them."""
    assert alias_name(given) == given


@pytest.mark.parametrize("given", ["Production", "PRODUCTION", "pRoduction"])
def test_an_alias_is_folded_to_lower_case(given: str) -> None:
    """Aliases are case-sensitive in MLflow, so a name in any case means the one in lower case."""
    assert alias_name(given) == "production"


@pytest.mark.parametrize("given", ["latest", "Latest", "LATEST", "v1", "V1", "v12", "V12", "v007"])
def test_a_reserved_alias_is_refused(given: str) -> None:
    """MLflow keeps ``latest`` and ``v`` with a number for itself."""
    with pytest.raises(InvalidName, match="reserved"):
        alias_name(given)


@pytest.mark.parametrize(
    "given",
    [
        "",
        " ",
        "a b",
        "a/b",
        "a.b",
        "a@b",
        "a:b",
        "a'b",
        'a"b',
        "a\n",
        "\U0001f680",
        "x" * 256,
        None,
        1,
        True,
        b"a",
    ],
    ids=repr,
)
def test_an_invalid_alias_is_refused(given: object) -> None:
    """Other characters, nothing, more than 255 characters and other types are no alias."""
    with pytest.raises(InvalidName, match="Invalid alias"):
        alias_name(given)


@pytest.mark.parametrize(
    ("alias", "stages", "stage"),
    [
        ("production", None, "Production"),
        ("staging", None, "Staging"),
        ("champion", None, None),
        ("production", {}, "Production"),
        ("champion", {"champion": "Production"}, "Production"),
        ("champion", {"Champion": "production"}, "Production"),
        ("champion", {"champion": "STAGING"}, "Staging"),
        ("staging", {"champion": "Production"}, "Staging"),
        ("production", {"production": "Staging"}, "Staging"),
    ],
)
def test_the_stage_an_alias_stands_for(alias: str, stages: Mapping[str, str] | None, stage: str | None) -> None:
    """Two aliases have a stage of their name, others the one they are given, in any case, or none."""
    assert stage_for(alias, stages) == stage


@pytest.mark.parametrize("stage", ["Archived", "None", "", "Prod", "champion"])
def test_a_stage_that_no_pointer_can_use_is_refused(stage: str) -> None:
    """Archived, None and unknown stages never say what is live."""
    with pytest.raises(InvalidName, match="Invalid stage"):
        stage_for("champion", {"champion": stage})


@pytest.mark.parametrize(
    "given", ["news", "a.b", "news 2", "100%", "a@b", "it's", "\u00fcn\u00ef", " x ", "a/b", "a:b", "x" * 500]
)
def test_a_model_name_that_some_registry_may_hold(given: str) -> None:
    """A text of one line may be the name of a model that is there, also with characters new models cannot have."""
    assert model_name(given) == given


@pytest.mark.parametrize("given", ["", " ", "\t", None, 3, True, b"news", ["news"]], ids=repr)
def test_an_invalid_model_name_is_refused(given: object) -> None:
    """Nothing, blanks and other types are no names."""
    with pytest.raises(InvalidName, match="Invalid model name"):
        model_name(given)


@pytest.mark.parametrize("given", ["a\nb", "a\tb", "a\x00b", "news\n"], ids=repr)
def test_a_model_name_of_two_lines_is_refused(given: str) -> None:
    """A control character in a name would break every listing."""
    with pytest.raises(InvalidName, match="control character"):
        model_name(given)


@pytest.mark.parametrize("given", ["a/b", "a:b", "/", "models:/news"])
def test_a_new_model_has_no_name_that_newer_mlflow_cannot_read(given: str) -> None:
    """MLflow 3.11.1 and later cannot read names with a slash or a colon, so none is made."""
    with pytest.raises(InvalidName, match="'/' or ':'"):
        new_model_name(given)


def test_a_new_model_keeps_its_name() -> None:
    """Any other name is taken as it is."""
    assert new_model_name("news 2") == "news 2"


def test_a_new_model_name_fits_into_mlflows_tables() -> None:
    """PostgreSQL and MySQL hold 256 characters; a longer name that SQLite holds already can still be asked for."""
    assert new_model_name("x" * 256) == "x" * 256
    with pytest.raises(InvalidName, match="257 characters"):
        new_model_name("x" * 257)
    assert model_name("x" * 2000) == "x" * 2000
    with pytest.raises(InvalidName, match="2001 characters"):
        model_name("x" * 2001)


def test_text_that_is_not_unicode_is_refused() -> None:
    """Bytes of a command line that are not UTF-8 arrive as characters that nothing can write."""
    with pytest.raises(InvalidName, match="not Unicode"):
        model_name("news-\udcff")

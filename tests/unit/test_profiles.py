"""Profiles: the options of a registry under a name, in a TOML file."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from prodpointer.cli.main import main
from prodpointer.cli.options import Settings, keep_settings, settings_of
from prodpointer.cli.profiles import config_file, load_profile
from prodpointer.errors import InvalidName

PROD = """
[profiles.prod]
tracking_uri = "https://mlflow.example.com"
workspace = "news"
alias = "champion"
timeout = 5
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where the profiles are."""
    monkeypatch.setenv("PRODPOINTER_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.delenv("PRODPOINTER_PROFILE", raising=False)
    return tmp_path / "config.toml"


def settings(before: Settings, **own: str) -> Settings:
    """Return the settings of a command with options before and after its name."""
    context = click.Context(main)
    keep_settings(context, vars(before))
    return settings_of(context, own)


def test_a_profile_is_read(file: Path) -> None:
    """Its values are those of the table."""
    file.write_text(PROD, encoding="utf-8")
    expected = {"tracking_uri": "https://mlflow.example.com", "workspace": "news", "alias": "champion", "timeout": 5}
    assert load_profile("prod") == expected


def test_a_profile_sets_what_no_option_does(file: Path) -> None:
    """An option before or after the command comes first."""
    file.write_text(PROD, encoding="utf-8")
    found = settings(Settings(profile="prod", workspace="ads"), alias="blue")
    assert (found.tracking_uri, found.workspace, found.alias) == ("https://mlflow.example.com", "ads", "blue")
    assert settings(Settings(), profile="prod").alias == "champion"


def test_the_environment_names_a_profile(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An option names another one."""
    file.write_text(f"{PROD}[profiles.test]\nalias = 'b'\n", encoding="utf-8")
    monkeypatch.setenv("PRODPOINTER_PROFILE", "prod")
    assert settings(Settings()).alias == "champion"
    assert settings(Settings(profile="test")).alias == "b"


def test_an_empty_workspace_is_none_of_the_profile(file: Path) -> None:
    """As in ``connect``; another empty option is as one that is not given."""
    file.write_text(PROD, encoding="utf-8")
    found = settings(Settings(profile="prod", workspace=""), alias="", tracking_uri="")
    assert (found.workspace, found.alias, found.tracking_uri) == ("", "champion", "https://mlflow.example.com")
    assert " --workspace ''" in found.shown


def test_a_migration_takes_a_profile_after_its_name(file: Path) -> None:
    """As every command does; here one that cannot be used."""
    file.write_text("[profiles.prod]\nalais = 'b'", encoding="utf-8")
    result = CliRunner().invoke(main, ["migrate", "plan", "--profile", "prod"])
    assert "unknown key 'alais'" in result.output


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "There is no profile 'prod'"),
        ("[profiles.test]", "There is no profile 'prod'"),
        ("[profiles.prod]\ntracking_url = 'x'", "unknown key 'tracking_url'"),
        ("[profile.prod]", "unknown key 'profile'"),
        ("profiles = 1", "not a table of tables"),
        ("[profiles.prod]\nalias = 1", "'alias' of the profile 'prod' is not text"),
        ("[profiles.prod]\npointer = 'champion'", "'pointer' of the profile 'prod' is 'champion'"),
        ("[profiles.prod]\ntimeout = 0", "not a number above 0"),
        ("[profiles.prod]\ntimeout = true", "not a number above 0"),
        ("[profiles.prod]\ntracking_uri = 'https://ada:s3cr3t@mlflow.example.com'", "holds a credential"),
        ("[profiles.prod]\nregistry_uri = 'postgresql://ada:s3cr3t@db/mlflow'", "holds a credential"),
        ("[profiles.prod", "not TOML"),
    ],
)
def test_a_profile_that_is_wrong_is_refused(text: str, says: str, file: Path) -> None:
    """With the file, and without a credential; it never selects another registry instead."""
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidName, match=says) as caught:
        load_profile("prod")
    assert caught.value.where == str(file)
    assert "s3cr3t" not in str(caught.value)


def test_a_wrong_profile_ends_with_two(file: Path) -> None:
    """As any other wrong usage."""
    file.write_text("[profiles.prod]\nalais = 'b'", encoding="utf-8")
    result = CliRunner().invoke(main, ["--profile", "prod", "status"])
    assert (result.exit_code, "unknown key 'alais'" in result.output) == (2, True)


def test_the_file_is_the_user_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variable it is in the user's configuration directory."""
    monkeypatch.delenv("PRODPOINTER_CONFIG", raising=False)
    assert config_file().parts[-2:] == ("prodpointer", "config.toml")


def test_a_suggested_command_has_the_options_and_no_credential() -> None:
    """It can be copied."""
    shown = Settings(tracking_uri="https://ada:s3cr3t@mlflow", alias="my alias").shown
    assert shown == " --tracking-uri 'https://***@mlflow' --alias 'my alias'"

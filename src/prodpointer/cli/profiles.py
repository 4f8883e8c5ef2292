"""Profiles: the options of a registry under a name, in a TOML file of the user's."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from prodpointer._text import list_some
from prodpointer.errors import InvalidName, without_login
from prodpointer.types import POINTERS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROFILE_VARIABLE = "PRODPOINTER_PROFILE"
CONFIG_VARIABLE = "PRODPOINTER_CONFIG"
_URIS = ("tracking_uri", "registry_uri")
_TEXTS = (*_URIS, "workspace", "pointer", "alias")


def config_file() -> Path:
    """Return where the profiles are: ``PRODPOINTER_CONFIG``, else ``config.toml`` of the user's configuration."""
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    from platformdirs import user_config_path

    return user_config_path("prodpointer", appauthor=False) / "config.toml"


def load_profile(name: str) -> dict[str, Any]:
    """Return what a profile sets, or raise ``InvalidName`` for one that is not there or cannot be used."""
    profiles = _profiles(config_file())
    if name not in profiles:
        known = f"It has: {list_some(profiles)}." if profiles else f"Add a table [profiles.{name}] to it."
        raise InvalidName(f"There is no profile {name!r}.", where=str(config_file()), next_step=known)
    _check_profile(name, profiles[name])
    return profiles[name]


def profile_names() -> list[str]:
    """Return the names of the profiles, in the order of the file."""
    return list(_profiles(config_file()))


def _profiles(file: Path) -> dict[str, dict[str, Any]]:
    """Return the table of profiles of a file; there are none where the file does not exist."""
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InvalidName(f"The profiles cannot be read: {error.strerror}.", where=str(file)) from error
    except ValueError as error:  # also what is not UTF-8
        raise InvalidName(f"The file is not TOML: {error}.", where=str(file)) from error
    _refuse_unknown(document, ("profiles",), "the file")
    profiles = document.get("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(each, dict) for each in profiles.values()):
        raise _invalid("'profiles' is not a table of tables", "Write [profiles.NAME].")
    return profiles


def _check_profile(name: str, table: dict[str, Any]) -> None:
    """Raise ``InvalidName`` for a table with a value that cannot be used."""
    where = f"the profile {name!r}"
    _refuse_unknown(table, (*_TEXTS, "timeout"), where)
    for key in _TEXTS:
        if not isinstance(table.get(key, ""), str):
            raise _invalid(f"{key!r} of {where} is not text", f'Write {key} = "…".')
    for key in _URIS:
        if without_login(table.get(key, "")) != table.get(key, ""):
            raise _invalid(
                f"{key!r} of {where} holds a credential",
                "Remove it, and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN.",
            )
    if table.get("pointer", "auto") not in POINTERS:
        raise _invalid(f"'pointer' of {where} is {table['pointer']!r}", f"Use one of: {', '.join(POINTERS)}.")
    timeout = table.get("timeout", 1)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        raise _invalid(f"'timeout' of {where} is not a number above 0", "Write seconds: timeout = 10.")


def _refuse_unknown(table: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    """Raise for a key that would have no effect: a typo must not select another registry."""
    unknown = [key for key in table if key not in known]
    if unknown:
        raise _invalid(f"{where} has the unknown key {unknown[0]!r}", f"Known keys: {', '.join(known)}.")


def _invalid(what: str, next_step: str) -> InvalidName:
    """Return the error for a file that cannot be used."""
    return InvalidName(f"Invalid profiles: {what}.", where=str(config_file()), next_step=next_step)

"""Names and numbers that a caller gives, checked before anything is asked."""

from __future__ import annotations

import re
from collections.abc import Mapping

from prodpointer._text import CONTROLS, HIDDEN, JOINERS
from prodpointer.errors import InvalidName

STAGES_OF_ALIASES: Mapping[str, str] = {"production": "Production", "staging": "Staging"}
"""The stage that each alias stands for, unless ``connect(stages=)`` says otherwise."""

_STAGES = {"production": "Production", "staging": "Staging"}
_ALIAS = re.compile(r"[\w-]{1,255}")
_RESERVED_ALIAS = re.compile(r"latest|v\d+", re.IGNORECASE)
_LONGEST_NAME = 2000  # in a question over REST: servers of 2.2.2 refuse request lines from 4,095 bytes on (measured)
_LONGEST_NEW_NAME = 256  # in MLflow's tables, 2.0.1 to 3.17.2; SQLite does not mind
_FIRST_TOO_LARGE = 10**18  # databases hold versions in 64 bits at most
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_ACTING = re.compile(rf"[{CONTROLS}]|\r(?!\n)")
_HIDDEN = re.compile(rf"[{HIDDEN}]")
_JOINERS = re.compile(rf"[{JOINERS}]")


def model_name(name: object) -> str:
    """Return the name of a registered model, or raise ``InvalidName`` for what is blank, too long or not one line."""
    if not isinstance(name, str) or not name.strip():
        raise InvalidName(f"Invalid model name {name!r}.", next_step="Give a text that is not blank.")
    if len(name) > _LONGEST_NAME:
        raise InvalidName(
            f"The name {name[:40]!r}... has {len(name)} characters.", next_step=f"Give one of {_LONGEST_NAME} at most."
        )
    readable_text(name, "The name")
    if any(ord(character) < 32 for character in name):
        raise InvalidName(f"The name {name!r} holds a control character.", next_step="Give a name of one line.")
    return name


def readable_text(text: str, called: str) -> str:
    """Return a text, or raise ``InvalidName`` where it holds a character that is none, which no registry can store."""
    if any("\ud800" <= character <= "\udfff" for character in text):  # what is left of bytes that are not UTF-8
        raise InvalidName(
            f"{called} {text[:80]!r} is not Unicode.", next_step="Give a text that can be written as UTF-8."
        )
    return text


def plain_text(text: str, called: str) -> str:
    """Return a text of one or more lines, or raise ``InvalidName`` where a reader would not see what is written.

    Refused are control characters but tabs and ends of lines, those that turn the direction of writing, and those that
    show nothing. Zero-width joiners are allowed, since some scripts and emoji need them.
    """
    readable_text(text, called)
    if found := _ACTING.search(text):
        raise InvalidName(
            f"{called} {text[:80]!r} holds the control character {found.group()!r}.",
            next_step="Remove it: a terminal acts on it instead of showing it.",
        )
    _refuse_invisible(text, called, _HIDDEN)
    return text


def _refuse_invisible(text: str, called: str, characters: re.Pattern[str]) -> None:
    """Raise ``InvalidName`` where a text holds one of these characters."""
    if found := characters.search(text):
        raise InvalidName(
            f"{called} {text[:80]!r} holds the invisible character {found.group()!r}.",
            next_step="Remove it: a reader cannot see it.",
        )


def new_model_name(name: str) -> str:
    """Return a name that a new registered model may have in every MLflow.

    MLflow up to 3.10.1 creates models with ``/`` or ``:`` in their names, 3.11.1 and later cannot read them (measured).
    """
    plain_text(name, "The name")
    _refuse_invisible(name, "The name", _JOINERS)
    if len(name) > _LONGEST_NEW_NAME:
        raise InvalidName(
            f"The name {name[:40]!r}... has {len(name)} characters.",
            next_step=f"MLflow's tables hold {_LONGEST_NEW_NAME}: choose a shorter one.",
        )
    if "'" in name and '"' in name:
        raise InvalidName(
            f"The name {name!r} holds both kinds of quotes.",
            next_step="MLflow's searches cannot name such a model; choose a name with one kind or none.",
        )
    if "/" in name or ":" in name:
        raise InvalidName(
            f"The name {name!r} holds '/' or ':'.",
            next_step="MLflow 3.11.1 and later cannot read such models; choose a name without them.",
        )
    return name


def alias_name(alias: object) -> str:
    """Return an alias in lower case, or raise ``InvalidName`` for what MLflow refuses from 2.4.2 on."""
    if not isinstance(alias, str) or not _ALIAS.fullmatch(alias):
        raise InvalidName(
            f"Invalid alias {alias!r}.", next_step="Use letters, digits, '_' and '-', at most 255 of them."
        )
    if _RESERVED_ALIAS.fullmatch(alias):
        raise InvalidName(f"The alias {alias!r} is reserved by MLflow.", next_step="Choose another name.")
    return alias.lower()


def stage_for(alias: str, stages: Mapping[str, str] | None) -> str | None:
    """Return the stage an alias stands for, or None; raise ``InvalidName`` for a stage that is none."""
    given = {key.lower(): stage for key, stage in (stages or {}).items()}
    stage = given.get(alias, STAGES_OF_ALIASES.get(alias))
    if stage is not None and str(stage).lower() not in _STAGES:
        raise InvalidName(
            f"Invalid stage {stage!r}.",
            where=f"stages[{alias!r}]",
            next_step="Use Production or Staging.",
        )
    return None if stage is None else _STAGES[stage.lower()]


def version_number(version: object) -> int:
    """Return a version's number, or raise ``InvalidName``.

    MLflow gives versions as text over REST and as numbers on a database, so both are taken: 3 and "3", but not "03",
    "v3", 3.0, True, 0 or -1.
    """
    number = version if isinstance(version, int) and not isinstance(version, bool) else None
    if isinstance(version, str) and _VERSION.fullmatch(version):
        number = int(version)
    if number is None or not 1 <= number < _FIRST_TOO_LARGE:
        raise InvalidName(f"Invalid version {version!r}.", next_step="Give a whole number from 1 on.")
    return number

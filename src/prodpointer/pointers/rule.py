"""What a caller asked for: an alias, the stage it stands for, and which pointer counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from prodpointer.errors import InvalidName
from prodpointer.types import POINTER_TAG, POINTERS

POINTER_VARIABLE = "PRODPOINTER_POINTER"

_OF_MODEL = f"the model's tag {POINTER_TAG}"


@dataclass(frozen=True)
class Rule:
    """What a caller asked for: an alias, the stage it stands for, and an override.

    ``stage`` is None for an alias that stands for no stage. ``argument`` and ``environment`` are overrides, None where
    there is none; the model's own tag comes between them. ``alias`` is in lower case, ``written`` is how a new one is
    spelled.
    """

    alias: str
    stage: str | None
    argument: str | None
    environment: str | None
    written: str = field(default="", compare=False)

    @property
    def sees(self) -> str:
        """What tells one rule from another that may see another version live; the model's tag is the same for both."""
        override = self.argument or (f"auto, {POINTER_VARIABLE}={self.environment}" if self.environment else "auto")
        return f"{self.alias} as {self.stage} by {override}"

    def requested(self, tags: Mapping[str, str]) -> tuple[str, str]:
        """Return the override in force for a model with these tags, and where it comes from."""
        tag = tags.get(POINTER_TAG)
        if self.stage is None and tag in ("stage", "both"):
            tag = None  # it is about the model's stages, and this alias stands for none
        for value, source in (
            (self.argument, "the argument pointer="),
            (tag, _OF_MODEL),
            (self.environment, f"the environment variable {POINTER_VARIABLE}"),
        ):
            if value:
                return known_pointer(value, source), source
        return "auto", "the default"


def known_pointer(value: str, source: str) -> str:
    """Return ``value`` if it is a pointer's name; raise ``InvalidName`` with its source otherwise."""
    if value not in POINTERS:
        step = f"Use one of {', '.join(POINTERS)}."
        if source == _OF_MODEL:
            step = f"Set the tag to one of {', '.join(POINTERS)}, or delete it; pointer= (--pointer) overrides it."
        raise InvalidName(f"Invalid pointer {value!r}.", where=source, next_step=step)
    return value

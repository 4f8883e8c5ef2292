"""What a gate said, as a value: the journal keeps it, and the error of a refused promotion carries it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LIVE = "production"
"""What a gate's text calls the live version's value."""


@dataclass(frozen=True)
class Verdict:
    """What one gate said.

    The numbers are None where there is none or it is not finite, and ``reason`` then says why. ``threshold`` is the
    value that had to be reached. A gate that passed has a reason too where something was not compared.
    """

    gate: str
    metric: str
    candidate: float | None
    production: float | None
    threshold: float | None
    passed: bool
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the keys that an event and ``promote --json`` hold; both numbers always, the rest where there is any.

        NaN and infinities are null, since JSON has no name for them.
        """
        numbers_of = {"candidate": self.candidate, "production": self.production}
        document: dict[str, Any] = {"gate": self.gate, **numbers_of, "passed": self.passed}
        if self.threshold is not None:
            document["threshold"] = self.threshold
        if self.reason:
            document["reason"] = self.reason
        return document

    def as_text(self) -> str:
        """Return one line for people."""
        values = [f"candidate {self.candidate!r}"] if self.candidate is not None else []
        values += [f"{LIVE} {self.production!r}"] if self.production is not None else []
        said = ", ".join(values) + (": " if values and self.reason else "") + self.reason
        return f"{'passed' if self.passed else 'refused'}: {self.gate} ({said})"

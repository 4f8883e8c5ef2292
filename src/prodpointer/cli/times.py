"""Times as people write them on a command line."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import click


class _When(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic from click 8.3 on
    """A date or a time of ISO 8601; without a zone it is UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the aware time of a text."""
        if isinstance(value, datetime):
            return value
        text = str(value)
        try:
            at = datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)
        except ValueError:
            self.fail(f"Invalid time {text!r}; write it like 2026-11-23T12:00", param, ctx)
        return at if at.tzinfo else at.replace(tzinfo=timezone.utc)


WHEN: Any = _When()

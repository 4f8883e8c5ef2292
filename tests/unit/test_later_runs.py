"""Which runs came after one that is about to be undone."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from prodpointer.history.record import RECORD_TAG, record_text
from prodpointer.migration.runs import later_runs
from prodpointer.types import Before, ModelReply, ModelVersion, Promotion

BEGAN = datetime(2026, 11, 3, 12, tzinfo=timezone.utc)


def changed(name: str, **runs: int) -> ModelReply:
    """Return a model that runs changed, each at the time that its event's number says."""
    events = [
        Promotion(
            name,
            None,
            1,
            ("alias",),
            BEGAN + timedelta(hours=number),
            "ada",
            event=f"{number:012}-ab12cd34",
            kind="migrate",
            migration=Before(run, "Production"),
        )
        for run, number in runs.items()
    ]
    tags = {RECORD_TAG: record_text(sorted(events, key=lambda event: event.event or ""))}
    version = ModelVersion(name, 1, None, "READY", "file:///x", None, BEGAN, None, tags=tags)
    return ModelReply(name, {}, {}, {}, versions=(version,))


def test_later_runs_are_in_order_of_time() -> None:
    """The last one, which is undone first, is the last; a run ends with its last model."""
    names = [f"run-{chr(97 + number)}" for number in range(8)]
    runs = {name: 9 - number for number, name in enumerate(names)}
    fleet = [changed("churn", first=1, **runs), changed("news", **{"first": 1, "run-h": 20})]
    later = later_runs(fleet, "first")
    assert list(later) == [*reversed(names[:-1]), "run-h"]
    assert later["run-h"] == 2

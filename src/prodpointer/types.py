"""The values that cross the border: frozen, typed, without I/O.

Versions are ``int``, times are aware UTC datetimes, and a stage that is not set is ``None``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Flag
from pathlib import Path
from typing import Any, Literal, get_args

from prodpointer._html import html_table
from prodpointer._text import number_text

Pointer = Literal["auto", "alias", "stage", "both"]
POINTERS: tuple[str, ...] = get_args(Pointer)


class Pointers(Flag):
    """Which of a model's two pointers are meant."""

    NONE = 0
    ALIAS = 1
    STAGE = 2
    BOTH = 3

    @classmethod
    def where(cls, *, alias: bool, stage: bool) -> Pointers:
        """Return the pointers for which a condition holds."""
        return (cls.ALIAS if alias else cls.NONE) | (cls.STAGE if stage else cls.NONE)

    @classmethod
    def parse(cls, names: Collection[str]) -> Pointers:
        """Return the pointers that an event names."""
        return cls.where(alias="alias" in names, stage="stage" in names)

    @property
    def names(self) -> tuple[str, ...]:
        """Their names, in the order in which they are moved."""
        return tuple(str(each.name).lower() for each in (Pointers.ALIAS, Pointers.STAGE) if each in self)

    @property
    def choice(self) -> str:
        """What the option ``pointer`` calls them: ``alias``, ``stage`` or ``both``."""
        return str(self.name).lower()


DIGEST_TAG = "prodpointer.sha256"
OWNER_TAG = "prodpointer.owner"
DATASETS_TAG = "prodpointer.datasets"
POINTER_TAG = "prodpointer.pointer"
WINDOW_TAG = "prodpointer.window"


def utc_from_millis(millis: int | None) -> datetime | None:
    """Return the aware UTC time of a count of milliseconds since 1970, or None."""
    return None if millis is None else datetime.fromtimestamp(millis / 1000, tz=timezone.utc)


_MOST_ROWS = 50  # of a list in a notebook
_MOST_METRICS = 8  # columns of metrics there


def shown_time(at: datetime | None) -> str:
    """Return a time as a page shows it: to the second, in UTC."""
    return "" if at is None else f"{at.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def called(version: int | None) -> str:
    """Return what a text calls a version or the lack of one."""
    return "nothing" if version is None else f"version {version}"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a registered model, as the registry described it at one moment.

    ``live``, ``aliases`` and ``metrics`` are filled by :meth:`prodpointer.RegisteredModel.versions` and ``compare``
    alone: whether the version is live, the aliases that name it, and the latest metrics of its run. Where these could
    not be read ``metrics`` is empty and ``metrics_note`` says why.
    """

    name: str
    version: int
    stage: str | None
    status: str
    source: str
    run_id: str | None
    created_at: datetime | None
    updated_at: datetime | None
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    live: bool = False
    aliases: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict, hash=False)
    metrics_note: str = ""

    @property
    def sha256(self) -> str | None:
        """The digest recorded when the version was registered; None where none was, as for versions made elsewhere."""
        return self.tags.get(DIGEST_TAG)

    @property
    def pointers(self) -> tuple[str, ...]:
        """What points to it: ``live``, each alias as ``@alias``, and the stage."""
        live, stage = ("live",) if self.live else (), (self.stage,) if self.stage else ()
        return (*live, *(f"@{alias}" for alias in self.aliases), *stage)

    @property
    def owner(self) -> str | None:
        """Who registered it, where that is recorded."""
        return self.tags.get(OWNER_TAG)

    @property
    def datasets(self) -> tuple[str, ...]:
        """The datasets of its run, as name and digest, as they were recorded when it was registered."""
        return tuple(self.tags.get(DATASETS_TAG, "").split())

    def as_json(self) -> dict[str, Any]:
        """Return the keys that ``versions --json`` prints for one version; NaN and infinities are null."""
        return {
            "version": self.version,
            "live": self.live,
            "aliases": list(self.aliases),
            "stage": self.stage,
            "status": self.status,
            "metrics": {name: _finite(value) for name, value in self.metrics.items()},
            "metrics_note": self.metrics_note,
            "created_at": self.created_at.isoformat() if self.created_at else None,
            "owner": self.owner,
            "datasets": list(self.datasets),
            "sha256": self.sha256,
            "run_id": self.run_id,
            "source": self.source,
        }

    def _repr_html_(self) -> str:
        """Return the version as a notebook shows it."""
        return VersionList([self])._repr_html_()


class VersionList(list[ModelVersion]):
    """A list of versions that notebooks show as a table."""

    def _repr_html_(self) -> str:
        shown = self[-_MOST_ROWS:]
        metrics = sorted({name for each in shown for name in each.metrics})[:_MOST_METRICS]
        rows = [
            (
                each.version,
                " ".join(each.pointers) or None,
                each.status,
                *(number_text(each.metrics[name]) if name in each.metrics else None for name in metrics),
                shown_time(each.created_at),
                each.run_id,
                each.sha256 and each.sha256[:12],
            )
            for each in shown
        ]
        columns = ("version", "pointers", "status", *metrics, "created", "run", "sha256")
        return html_table(rows, columns, note=_left_out(len(self)))


@dataclass(frozen=True)
class Difference:
    """One value of two versions: of a metric, a parameter or a tag; None where a version has none."""

    name: str
    a: Any
    b: Any

    @property
    def differs(self) -> bool:
        """Whether the two values are different."""
        return bool(self.a != self.b)

    @property
    def change(self) -> float | None:
        """By how much the second number is greater than the first, None where one of them is no finite number."""
        numbers = [_finite(self.a), _finite(self.b)]
        return None if numbers[0] is None or numbers[1] is None else numbers[1] - numbers[0]

    def as_json(self) -> dict[str, Any]:
        """Return the keys that ``compare --json`` prints for one value; NaN and infinities are null."""
        values = {
            key: _finite(each) if isinstance(each, float) else each for key, each in (("a", self.a), ("b", self.b))
        }
        return {"name": self.name, **values, "change": self.change}


@dataclass(frozen=True)
class Comparison:
    """Two versions of one model side by side; :meth:`prodpointer.RegisteredModel.compare` makes it.

    ``metrics`` and ``params`` are those of both runs, ``tags`` those of both versions without prodpointer's own;
    each value that either version has is there, in order of the names. ``datasets`` are those of each run.
    """

    name: str
    a: ModelVersion
    b: ModelVersion
    metrics: tuple[Difference, ...]
    params: tuple[Difference, ...]
    tags: tuple[Difference, ...]
    datasets: tuple[tuple[str, ...], tuple[str, ...]]

    @property
    def same_datasets(self) -> bool:
        """Whether both runs logged the same datasets, and some, so that their metrics can be compared."""
        return bool(self.datasets[0]) and set(self.datasets[0]) == set(self.datasets[1])

    def as_json(self) -> dict[str, Any]:
        """Return the keys that ``compare --json`` prints."""
        values = {key: [each.as_json() for each in getattr(self, key)] for key in ("metrics", "params", "tags")}
        datasets = {"a": list(self.datasets[0]), "b": list(self.datasets[1])}
        versions = {"a": self.a.as_json(), "b": self.b.as_json()}
        return {"name": self.name, **versions, **values, "datasets": datasets, "same_datasets": self.same_datasets}


@dataclass(frozen=True)
class ReadRun:
    """What a run measured; where it could not be read ``problem`` says why and the rest is empty."""

    metrics: Mapping[str, float] = field(default_factory=dict, hash=False)
    params: Mapping[str, str] = field(default_factory=dict, hash=False)
    datasets: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class ModelReply:
    """What the registry says of one model: both kinds of pointer, its own tags, and its versions where they were read.

    ``aliases`` maps each alias as it is spelled to its version; ``newest`` maps each stage in use (``"Production"``,
    ``"Staging"``, ``"Archived"``; None for versions without one) to the highest-numbered version in it. Measured for
    MLflow 2.2.2 to 3.17.2: one request carries both. ``created_at`` distinguishes a model from a deleted one of
    the same name; ``updated_at`` is the time of the last move to a stage, and of no move of an alias. ``versions`` are
    None where they were not read; replies are equal whether they were or not.
    """

    name: str
    aliases: Mapping[str, int] = field(hash=False)
    newest: Mapping[str | None, ModelVersion] = field(hash=False)
    tags: Mapping[str, str] = field(hash=False)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    versions: tuple[ModelVersion, ...] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Run:
    """The facts of a run that registering an artifact needs."""

    run_id: str
    experiment_id: str
    artifact_uri: str
    git_commit: str | None
    datasets: tuple[str, ...]


LIVE = "production"
"""What a gate's text calls the live version's value."""


@dataclass(frozen=True)
class Verdict:
    """The result of one gate.

    The numbers are None where there is none or it is not finite, and ``reason`` then says why. ``threshold`` is the
    value that had to be reached. A gate that passed has a reason too where something was not compared. Of a move that
    was read from the record the longest texts are cut. The keys of the JSON may be read too: ``verdict["passed"]``.
    """

    gate: str
    metric: str
    candidate: float | None
    production: float | None
    threshold: float | None
    passed: bool
    reason: str = ""

    def __getitem__(self, key: str) -> Any:
        """Return a value by its key in JSON: moves had the documents themselves before they had verdicts."""
        return self.as_json()[key]

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Verdict:
        """Return the verdict that a document holds; what is not of its type there, is not there."""
        gate, reason = (str(document.get(key) or "") for key in ("gate", "reason"))
        candidate, production, threshold = (
            _finite(document.get(key)) for key in ("candidate", "production", "threshold")
        )
        passed = document.get("passed") is True
        return cls(gate, _metric_of(gate), candidate, production, threshold, passed, reason)

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
        values = [f"candidate {number_text(self.candidate)}"] if self.candidate is not None else []
        values += [f"{LIVE} {number_text(self.production)}"] if self.production is not None else []
        said = ", ".join(values) + (": " if values and self.reason else "") + self.reason
        return f"{'passed' if self.passed else 'refused'}: {self.gate} ({said})"


def _metric_of(gate: str) -> str:
    """Return the metric with which the text of a gate begins; both may be cut."""
    text = gate.strip()
    if text[:1] in {"'", '"'}:
        return text[1:].partition(text[0])[0]
    return re.split(r"[\s<>=]", text, maxsplit=1)[0]


def _finite(value: object) -> float | None:
    """Return a number of JSON, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) <= sys.float_info.max else None  # no NaN is


Kind = Literal["promote", "rollback", "withdraw", "unrecorded", "migrate", "bridge", "finish", "undo"]
State = Literal["intended", "done", "lost", "refused"]
MIGRATING = ("migrate", "bridge", "finish", "undo")
"""The kinds of moves that bring the pointers of a model into agreement, or put them back, during a migration."""


@dataclass(frozen=True)
class Before:
    """What one run of a migration found before it moved the pointers of one model, so that they can be put back.

    ``stage`` is the stage that stands for the alias. ``alias`` is the version that the alias named, ``stages`` maps
    each version that was moved to the stage it had (None for none), ``tag`` is what the model's tag
    ``prodpointer.pointer`` said and ``window`` the run that had set it, None where it was not set.
    """

    run: str
    stage: str | None = None
    alias: int | None = None
    stages: Mapping[int, str | None] = field(default_factory=dict, hash=False)
    tag: str | None = None
    window: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what is kept of it in an event."""
        stages = {str(version): stage for version, stage in self.stages.items()}
        return {**vars(self), "stages": stages}


@dataclass(frozen=True)
class Promotion:
    """One move of the pointer: promote, roll back or withdraw (``to_version`` is None).

    ``pointers`` names what was moved, empty where nothing had to move. ``event`` is the id of its record in the
    registry, None where there is none. ``alias`` is the name of the pointer that was moved, ``sha256`` the digest of
    the version that went live. ``kind`` ``"unrecorded"`` is a move that other tools made: what is known of it is the
    time by which it had happened. ``state`` is ``"intended"`` from before the pointer moves, then ``"done"``, or
    ``"lost"`` where another promotion won; ``"refused"`` is a promotion that a gate refused, before anything moved.
    ``after`` is the last event that was done when this one was decided, so that of two that raced neither looks like a
    move by another tool. ``migration`` belongs to the moves of ``prodpointer migrate``: the run, and what the pointers
    were before it.

    ``holder_created_at`` is when the version that holds the record was created: an event that was copied with the tags
    to another version does not count there. ``passing`` is the event by which the version that was found live was live,
    where that event was not done yet; empty where there was none, None in events written before this was noted.
    ``workspace`` is the one that the model is in, None where none was named. ``omitted_gates`` counts the verdicts for
    which the record has no room.
    """

    name: str
    from_version: int | None
    to_version: int | None
    pointers: tuple[str, ...]
    at: datetime
    by: str
    reason: str = ""
    gates: tuple[Verdict, ...] = ()
    event: str | None = None
    alias: str = "production"
    kind: Kind = "promote"
    state: State = "done"
    sha256: str | None = None
    migration: Before | None = None
    after: str | None = None
    holder_created_at: datetime | None = None
    passing: str | None = None
    workspace: str | None = None
    omitted_gates: int = 0

    @property
    def held_by(self) -> int | None:
        """The version that holds the record of it: the one it moves to; of a move to nothing, the one that was live."""
        return self.from_version if self.to_version is None else self.to_version

    def as_json(self) -> dict[str, Any]:
        """Return the keys that ``promote --json`` and ``history --json`` print; ``source`` says who recorded it."""
        keys = ("name", "from_version", "to_version", "pointers", "event", "at", "by", "reason", "gates")
        values = {**vars(self), "at": self.at.isoformat()}
        gates = [gate.as_json() for gate in self.gates]
        gates += [{"omitted": self.omitted_gates}] if self.omitted_gates else []
        values |= {"pointers": list(self.pointers), "gates": gates}
        document = {key: values[key] for key in (*keys, "kind", "state", "alias", "workspace", "sha256")}
        migration = self.migration.as_json() if self.migration else None
        source = "unrecorded" if self.kind == "unrecorded" else "prodpointer"
        return {**document, "migration": migration, "source": source}

    def _repr_html_(self) -> str:
        """Return the move as a notebook shows it."""
        return PromotionList([self])._repr_html_()


class PromotionList(list[Promotion]):
    """A list of moves that notebooks show as a table."""

    def _repr_html_(self) -> str:
        rows = [
            (
                shown_time(each.at),
                each.kind if each.state == "done" else f"{each.kind} ({each.state})",
                f"{each.from_version or 'none'} → {each.to_version or 'none'}",
                " and ".join(each.pointers),
                each.by,
                each.reason,
            )
            for each in self[-_MOST_ROWS:]
        ]
        return html_table(rows, ("at", "event", "move", "pointers", "by", "reason"), note=_left_out(len(self)))


@dataclass(frozen=True)
class PointerStatus:
    """What both pointers of one model say, side by side.

    ``alias`` and ``stage`` are as the registry names them; ``live`` is the version that loads, None when nothing does.
    ``dangling`` says that the alias names a version that was deleted, so it does not count. ``in_stage`` lists
    every version in the stage: more than one means that ``agreed`` is false. ``mended`` lists what a repair put right,
    ``mismatch`` says which pointer another tool moved where the two differ. ``workspace`` is that of the model.
    """

    name: str
    live: int | None
    alias: int | None
    stage: int | None
    agreed: bool
    pointer: str
    last_event: Promotion | None
    dangling: bool = False
    in_stage: tuple[int, ...] = ()
    mended: tuple[str, ...] = ()
    mismatch: str = ""
    workspace: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the keys that ``status --json`` prints for one model."""
        return {
            "name": self.name,
            "live": self.live,
            "alias": self.alias,
            "stage": self.stage,
            "agreed": self.agreed,
            "pointer": self.pointer,
            "last_event": self.last_event.as_json() if self.last_event else None,
            "mismatch": self.mismatch,
            "dangling": self.dangling,
            "in_stage": list(self.in_stage),
            "mended": list(self.mended),
            "workspace": self.workspace,
        }

    def _repr_html_(self) -> str:
        """Return the status as a notebook shows it."""
        event = self.last_event
        rows = {
            "model": self.name,
            "workspace": self.workspace,
            "live": called(self.live),
            "alias": called(self.alias) + (" (deleted)" if self.dangling else ""),
            "stage": ", ".join(map(called, self.in_stage)) or called(self.stage),
            "agreed": "yes" if self.agreed else f"no: {self.mismatch}".rstrip(": "),
            "last event": event and f"{event.kind} at {shown_time(event.at)} by {event.by}",
            "reason": event and event.reason,
            "mended": "; ".join(self.mended),
        }
        always = {"model", "live", "alias", "stage", "agreed"}
        return html_table([(key, value) for key, value in rows.items() if value or key in always])


@dataclass(frozen=True)
class Pulled:
    """A verified copy of a live version's artifact, and the digest it was checked against (None: none recorded)."""

    name: str
    version: int
    path: Path
    sha256: str | None

    def as_json(self) -> dict[str, Any]:
        """Return the keys that ``pull --json`` prints."""
        return {"name": self.name, "version": self.version, "path": str(self.path), "sha256": self.sha256}


@dataclass(frozen=True)
class Selection:
    """Which pointer was chosen and why.

    ``pointer`` is what a write would move now: ``alias``, ``stage`` or ``both``; ``requested`` is what was asked for,
    ``auto`` unless overridden. ``registry_version`` is None where a registry does not tell.
    """

    pointer: str
    requested: str
    reason: str
    client_version: str
    registry_version: str | None


@dataclass(frozen=True)
class Diagnosis:
    """What ``doctor`` found: the two versions, the pointer a new model gets and why, and what will not work.

    ``rights`` are sentences on what the caller may do, ``next_step`` is what to do now. ``exit_code`` is 0 where a
    registry can be used, whatever its limits. ``notes`` are warnings: known issues of plain MLflow with this registry,
    and what else is worth knowing; none keeps this library from working.
    """

    registry: str
    client_version: str
    registry_version: str | None
    pointer: str | None
    reason: str
    problems: tuple[str, ...]
    exit_code: int = 0
    rights: tuple[str, ...] = ()
    next_step: str = ""
    notes: tuple[str, ...] = ()
    workspace: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the keys that ``doctor --json`` prints."""
        return {
            "client_version": self.client_version,
            "registry_version": self.registry_version,
            "pointer": self.pointer,
            "reason": self.reason,
            "problems": list(self.problems),
            "notes": list(self.notes),
            "registry": self.registry,
            "workspace": self.workspace,
            "permissions": list(self.rights),
            "next_step": self.next_step,
        }


def _left_out(count: int) -> str:
    """Return how many rows of a list a notebook does not show: the first ones."""
    return f"and {count - _MOST_ROWS:,} before these" if count > _MOST_ROWS else ""
